"""Devices that are there, and devices that are not."""

import pytest
import torch

from pneumocli.core.errors import DeviceError
from pneumocli.model.device import cpu_multiplies_bf16, resolve_device, resolve_precision

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
    ("capabilities", "expected"), [({"amx_bf16": True}, True), ({"amx_bf16": False}, False), ({}, None)]
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
