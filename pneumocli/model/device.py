"""The machine: which device, how it is used, what is installed, and how busy it is."""

import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import platformdirs

from pneumocli.core.errors import DeviceError
from pneumocli.core.events import DeviceSampled
from pneumocli.core.records import Environment
from pneumocli.core.version import __version__

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]

# What decides a result: recorded with every run.
_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn", "scipy", "onnx", "onnxruntime", "pydicom")


def cache_folder() -> Path:
    """Where decoded films and hashes are kept: ``$PNEUMO_CACHE``, or the system's place for caches."""
    chosen = os.environ.get("PNEUMO_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("pneumo", appauthor=False)


def resolve_device(name: str) -> "torch.device":
    """The device for a setting such as ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    ``auto`` takes the first CUDA device, else Apple's GPU, else the CPU.

    Raises:
        DeviceError: The device that was asked for is not there; the CPU never stands in for it.
    """
    import torch

    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = device.index or 0
        if index >= count:
            found = f"this machine has {count} CUDA devices" if count else _why_no_cuda(torch.version.cuda)
            raise DeviceError(f"device {name} was asked for, but {found}", "--device cpu trains without a GPU")
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device mps was asked for, but there is no Apple GPU that torch can use", "--device cpu")
    return device


def _why_no_cuda(built_for: str | None) -> str:
    if built_for is None:
        return "the installed torch is built for the CPU only (https://pytorch.org/get-started has others)"
    return f"torch {built_for and f'for CUDA {built_for} '}finds no GPU; nvidia-smi shows whether the driver does"


def device_name(device: "torch.device") -> str:
    """The device's name for people."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU ({platform.machine()})"
    return platform.processor() or platform.machine()


def resolve_precision(setting: str, device: "torch.device") -> Precision:
    """The arithmetic for a setting; ``auto`` is fp32 on the CPU and MPS, bf16 on CUDA where it is fast, else fp16.

    Raises:
        DeviceError: The device cannot do what was asked.
    """
    import torch

    if setting == "auto":
        if device.type != "cuda":
            return "fp32"
        # Tensor cores take bf16 from compute capability 8.0 on; a T4 (7.5) emulates it slowly.
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    if setting == "fp16" and device.type == "cpu":
        raise DeviceError("--precision fp16 needs a GPU: on the CPU half precision loses gradients", "--precision bf16")
    if setting not in ("fp32", "bf16", "fp16"):
        raise ValueError(f"unknown precision {setting!r}")
    return setting  # type: ignore[return-value]


def cpu_multiplies_bf16() -> bool | None:
    """Whether the CPU has a matrix unit for bfloat16 (Intel's AMX); ``None`` where torch does not tell."""
    import torch

    # Not every torch from 2.9 on has it, and an ARM CPU's answer has no such entry.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities.get("amx_bf16")


def has_cpp_compiler() -> bool:
    """Whether ``torch.compile`` can build code for the CPU: it looks for ``$CXX``, or the system's usual compiler."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", usual)) is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """Every ``auto`` resolved, from the device and the amount of work, once: recorded, and restored by a resume.

    Attributes:
        device: As resolved, such as ``cuda:0``.
        precision: Arithmetic of forward and backward.
        compile: Whether the network is compiled.
        threads: CPU threads inside one operation.
        workers: Processes that prepare batches.
        world_size: Training processes.
    """

    device: str
    precision: Precision
    compile: bool
    threads: int
    workers: int
    world_size: int


def describe(plan: Plan) -> Environment:
    """The record of this process and machine for ``environment.json``."""
    import torch

    return Environment(
        started_utc=utc_now(),
        package_version=__version__,
        commit=_source_commit(),
        argv=tuple(sys.argv),
        versions={"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES},
        platform=platform.platform(),
        device=plan.device,
        device_name=device_name(torch.device(plan.device)),
        precision=plan.precision,
        compile=plan.compile,
        threads=plan.threads,
        workers=plan.workers,
        world_size=plan.world_size,
    )


def utc_now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _source_commit() -> str | None:
    """The commit of the checkout that the package runs from; ``None`` for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None


class GpuProbe:
    """Looks at one NVIDIA GPU through its driver.

    Args:
        index: CUDA's number of the device.
    """

    def __init__(self, index: int) -> None:
        import pynvml

        self._nvml = pynvml
        pynvml.nvmlInit()
        # CUDA_VISIBLE_DEVICES renumbers the devices for CUDA, not for the driver.
        visible = [part for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
        chosen = visible[index].strip() if index < len(visible) else str(index)
        if re.fullmatch(r"\d+", chosen):
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(int(chosen))
        else:
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(chosen)

    def sample(self) -> DeviceSampled:
        """Name, memory and utilisation at this moment."""
        nvml = self._nvml
        name = nvml.nvmlDeviceGetName(self._handle)
        memory = nvml.nvmlDeviceGetMemoryInfo(self._handle)
        try:
            busy = nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu / 100
        except nvml.NVMLError:  # not told for a MIG slice
            busy = None
        text = name.decode() if isinstance(name, bytes) else name
        return DeviceSampled(text, int(memory.used), int(memory.total), busy)


@contextlib.contextmanager
def gpu_probe(device: "torch.device") -> Iterator[GpuProbe | None]:
    """A probe for a CUDA device, ``None`` for others and where the driver's library is not to be had."""
    if device.type != "cuda":
        yield None
        return
    import pynvml

    try:
        probe = GpuProbe(device.index or 0)
    except pynvml.NVMLError:  # a container without the driver's library: training goes on, unseen
        yield None
        return
    try:
        yield probe
    finally:
        pynvml.nvmlShutdown()
