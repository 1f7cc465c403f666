"""Devices that are there, and devices that are not."""

import os
import subprocess
import sys

import pytest
import torch

from pneumocli.core.errors import DeviceError, OutOfMemory
from pneumocli.model.device import (
    Snapshot,
    cpu_multiplies_bf16,
    memory_errors_translated,
    resolve_device,
    resolve_precision,
    to_device,
)

CPU = torch.device("cpu")


def test_a_missing_gpu_is_never_replaced(no_gpu: None):
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(DeviceError, match=f"device {name} was asked for"):
            resolve_device(name)
    assert resolve_device("auto") == CPU


def test_auto_takes_the_first_gpu(two_gpus: None):
    assert resolve_device("auto") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match="has 2 CUDA devices"):
        resolve_device("cuda:2")


def test_precision_follows_the_device(two_gpus: None, monkeypatch: pytest.MonkeyPatch):
    gpu = torch.device("cuda", 0)
    assert resolve_precision("auto", CPU) == "fp32"
    assert resolve_precision("auto", gpu) == "fp16"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert resolve_precision("auto", gpu) == "bf16"
    assert resolve_precision("bf16", CPU) == "bf16"
    with pytest.raises(DeviceError, match="fp16 needs a GPU"):
        resolve_precision("fp16", CPU)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": True}, None),
        ({"amx_bf16": False, "avx512_bf16": False}, False),
        ({}, None),
    ],
)
def test_what_torch_reports_of_the_cpu(
    capabilities: dict[str, bool], expected: bool | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert cpu_multiplies_bf16() is expected


@pytest.mark.parametrize(
    ("cuda", "hip", "reason"),
    [
        (None, None, "built for the CPU only"),
        ("13.0", None, r"torch for CUDA 13\.0 finds no GPU; nvidia-smi"),
        (None, "7.0.51831", r"torch for ROCm 7\.0\.51831 finds no GPU; rocm-smi"),
    ],
)
def test_why_there_is_no_gpu_names_what_torch_is_built_for(
    cuda: str | None, hip: str | None, reason: str, no_gpu: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", hip)
    with pytest.raises(DeviceError, match=reason):
        resolve_device("cuda")


WHEEL = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        pytest.param((6, 0), WHEEL, False, id="P100"),
        pytest.param((7, 0), WHEEL, False, id="V100"),
        pytest.param((7, 5), WHEEL, True, id="T4"),
        pytest.param((8, 9), WHEEL, True, id="L4 by the code of 8.6"),
        pytest.param((10, 3), WHEEL, True, id="B300 by the code of 10.0"),
        pytest.param((12, 1), WHEEL, True, id="GB10 by the code of 12.0"),
        pytest.param((8, 0), ["sm_86", "sm_90"], False, id="older than the code of its family"),
        pytest.param((12, 0), ["sm_80", "sm_90", "compute_90"], True, id="translated from PTX"),
        pytest.param((8, 0), ["sm_90", "compute_90"], False, id="older than the PTX"),
        pytest.param((12, 0), ["sm_90a", "compute_90a"], False, id="PTX of one chip"),
        pytest.param((9, 0), ["sm_90a"], True, id="code of this very chip"),
        pytest.param((10, 3), ["sm_100f"], True, id="code of a family"),
        pytest.param((6, 0), [], True, id="torch names no architectures"),
    ],
)
def test_a_card_without_kernels_is_refused(
    capability: tuple[int, int], built_for: list[str], runs: bool, two_gpus: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla P100-PCIE-16GB")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built_for)
    for setting in ("auto", "cuda", "cuda:1"):
        if runs:
            assert resolve_device(setting).type == "cuda"
            continue
        with pytest.raises(DeviceError) as caught:
            resolve_device(setting)
        assert caught.value.message == (
            f"Tesla P100-PCIE-16GB has compute capability {capability[0]}.{capability[1]}, and the installed torch "
            f"holds code for {', '.join(built_for)} only"
        )
        assert "--device cpu" in (caught.value.hint or "")


def test_code_for_amds_gpus_is_not_held_against_nvidias_numbers(two_gpus: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.version, "hip", "7.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 4))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["gfx90a", "gfx942"])
    assert resolve_device("cuda") == torch.device("cuda", 0)


FLAGS = """
import torch
from pneumocli.model.device import ieee_float32

def state():
    backends = torch.backends
    places = backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv
    return [place.fp32_precision for place in places]

SETTINGS = [
    "pass",
    "torch.set_float32_matmul_precision('high')",
    "torch.backends.cudnn.allow_tf32 = False",
    "torch.set_float32_matmul_precision('medium')",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "torch.backends.cuda.matmul.fp32_precision = 'ieee'; torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "torch.backends.cudnn.conv.fp32_precision = 'tf32'; torch.backends.cudnn.rnn.fp32_precision = 'ieee'",
    "torch.backends.fp32_precision = 'tf32'",
]
for setting in SETTINGS:
    exec(setting)
    before = state()
    try:
        with ieee_float32():
            assert set(state()) == {"ieee"}, (setting, state())
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert state() == before, (setting, before, state())
print(len(SETTINGS), "settings")
"""


@pytest.mark.slow
def test_products_are_exact_inside_and_as_set_outside():
    """In a process of its own: some settings make torch refuse to name others, and that stays so."""
    for env in ({}, {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}):
        program = [sys.executable, "-W", "error", "-c", FLAGS]
        done = subprocess.run(program, env={**os.environ, **env}, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("8 settings\n", "")


class Copied:
    """Stands for a tensor of a device: notes how it gets to another."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.calls: list[object] = []

    def pin_memory(self) -> "Copied":
        self.calls.append("pinned")
        return self

    def to(self, device: torch.device, **how: object) -> "Copied":
        self.calls.append((device.type, how))
        return self


@pytest.mark.parametrize(
    ("device", "calls"),
    [
        ("cpu", [("cpu", {})]),
        ("mps", [("mps", {})]),
        ("cuda:1", ["pinned", ("cuda", {"non_blocking": True})]),
    ],
)
def test_nothing_but_cuda_is_copied_to_while_the_program_goes_on(device: str, calls: list[object]):
    tensor = Copied()
    to_device(tensor, torch.device(device))
    assert tensor.calls == calls


def test_what_is_on_a_gpu_is_not_pinned_again():
    tensor = Copied("cuda:0")
    to_device(tensor, torch.device("cuda:0"))
    assert tensor.calls == [("cuda", {})]


def test_a_snapshot_keeps_its_number():
    number = torch.tensor(3.0)
    snapshot = Snapshot(number)
    number += 1
    assert snapshot.value() == 3.0


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.99 GB, other allocations: 128.00 KB)."),
        RuntimeError("Invalid buffer size: 24.00 GB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("Caught RuntimeError in pin memory thread for device 0.\nCUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: not enough memory: you tried to"),
        RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer"),
        MemoryError("Unable to allocate 24.0 GiB for an array with shape (65536, 1, 224, 224)"),
    ],
)
def test_every_librarys_way_to_lack_memory_is_translated(error: Exception):
    with pytest.raises(OutOfMemory) as caught, memory_errors_translated("too little", "take less"):
        raise error
    assert (caught.value.message, caught.value.hint, caught.value.__cause__) == ("too little", "take less", error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is out of shared memory."),
        ValueError("out of memory"),
    ],
)
def test_another_error_stays_itself(error: Exception):
    with pytest.raises(type(error)) as caught, memory_errors_translated("too little", "take less"):
        raise error
    assert caught.value is error
