"""The machine: which device, how it is used, what is installed, and how busy it is."""

import contextlib
import os
import platform
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pneumocli.core.errors import DeviceError, OutOfMemory

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]


def resolve_device(name: str) -> "torch.device":
    """The device for a setting such as ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    ``auto`` takes the first CUDA device, else Apple's GPU, else the CPU.

    Raises:
        DeviceError: The device that was asked for is not there, or the installed torch holds no code for it; the CPU
            never stands in for it.
    """
    import torch

    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = device.index or 0
        if index >= count:
            found = f"this machine has {count} CUDA devices" if count else why_no_cuda()
            raise DeviceError(f"device {name} was asked for, but {found}", "--device cpu does without a GPU")
        device = torch.device("cuda", index)
        _check_code(device)
        return device
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device mps was asked for, but there is no Apple GPU that torch can use", "--device cpu")
    return device


def why_no_cuda() -> str:
    """Why torch finds no CUDA device, for a sentence: how it was built, and which program knows more."""
    import torch

    # A build for AMD's GPUs calls its devices cuda, too, and has no CUDA version.
    if torch.version.hip is not None:
        return f"torch for ROCm {torch.version.hip} finds no GPU; rocm-smi shows whether the driver does"
    if torch.version.cuda is not None:
        return f"torch for CUDA {torch.version.cuda} finds no GPU; nvidia-smi shows whether the driver does"
    return "the installed torch is built for the CPU only (https://pytorch.org/get-started has others)"


def _check_code(device: "torch.device") -> None:
    """Refuses a card that the installed torch cannot run on: its first kernel would fail with words that name neither.

    Raises:
        DeviceError: torch is built for other architectures.
    """
    import torch

    built_for = torch.cuda.get_arch_list() if torch.version.hip is None else []
    with warnings.catch_warnings():
        # torch warns of every card in the machine at the first look at one, also of those that nobody asked for.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.cuda")
        capability = torch.cuda.get_device_capability(device)
    if built_for and not any(_runs(architecture, capability) for architecture in built_for):
        raise DeviceError(
            f"{torch.cuda.get_device_name(device)} has compute capability {capability[0]}.{capability[1]}, and the "
            f"installed torch holds code for {', '.join(built_for)} only",
            "--device cpu, or another build of torch: https://pytorch.org/get-started",
        )


def _runs(architecture: str, capability: tuple[int, int]) -> bool:
    """Whether a card runs code for an architecture such as ``sm_86``, ``sm_90a`` or ``compute_90``.

    References:
        CUDA C++ Programming Guide, "Compute Capabilities": machine code (``sm``) runs on cards of the same major and
        the same or a later minor number, PTX (``compute``) on every later card. With the suffix ``a`` either runs on
        that very number alone, with ``f`` within the major number.
    """
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", architecture)
    if match is None:
        return True  # of a kind that is not known here: left to torch
    kind, suffix, built_for = match[1], match[4], (int(match[2]), int(match[3]))
    if suffix == "a":
        return capability == built_for
    return capability >= built_for and (capability[0] == built_for[0] or (kind == "compute" and not suffix))


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


@contextlib.contextmanager
def ieee_float32() -> Iterator[None]:
    """Keeps products and convolutions of float32 from rounding their factors to TF32 or bfloat16, for all threads.

    cuDNN does so by default on cards from 8.0 on, cuBLAS and oneDNN where a notebook or a container asks for speed.
    """
    import torch

    # Asked of each place on its own: torch refuses to name its older, common settings once a place differs from them.
    backends: Any = torch.backends
    places = (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv)
    before = [place.fp32_precision for place in places]
    for place in places:
        place.fp32_precision = "ieee"
    try:
        yield
    finally:
        for place, precision in zip(places, before, strict=True):
            place.fp32_precision = precision


def current_device(device: "torch.device") -> contextlib.AbstractContextManager[object]:
    """Makes a CUDA device the current one: torch and its threads do there what names no device, not on the first.

    On the first it would open a context, some hundred megabytes of a GPU that another program may use.
    """
    import torch

    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


# What the libraries below torch call it: torch has one exception for its own allocator, a RuntimeError for the others.
_LACKS_MEMORY = re.compile(
    r"out of memory|ALLOC_FAILED|ALLOCATION_FAILED|can't allocate memory|not enough memory|Invalid buffer size"
    r"|[Ff]ailed to allocate|bad[_ ]alloc|OutOfMemory"
)


def lacks_memory(error: Exception) -> bool:
    """Whether an error means that a device has too little memory."""
    return isinstance(error, MemoryError) or _LACKS_MEMORY.search(str(error)) is not None


@contextlib.contextmanager
def memory_errors_translated(message: str, hint: str) -> Iterator[None]:
    """Translates the lack of memory on a device, whichever library reports it; also a decorator.

    Raises:
        OutOfMemory: With this message and hint.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise OutOfMemory(message, hint) from error


def to_device(tensor: "torch.Tensor", device: "torch.device") -> "torch.Tensor":
    """A tensor of the CPU on a device: the only way for any to get there. One that is there already stays.

    To CUDA the copy is made while the program goes on, from pinned memory, which torch keeps until it is done. To
    Apple's GPU the program waits: torch would free or reuse the memory under the copy, and the result be garbage
    (pytorch issues 139550, 189690).
    """
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Snapshot:
    """A number as it is on a device at this moment, to be read later.

    Args:
        number: A scalar. On CUDA nothing waits for it, elsewhere the program does.
    """

    def __init__(self, number: "torch.Tensor") -> None:
        import torch

        self._copied: torch.cuda.Event | None = None
        if number.device.type == "cuda":
            self._copy = number.to("cpu", non_blocking=True, copy=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch gives it no types
            self._copied.record(torch.cuda.current_stream(number.device))
        else:
            self._copy = number.to("cpu", copy=True)

    def value(self) -> float:
        """The number, once it is here."""
        if self._copied is not None:
            self._copied.synchronize()
        return float(self._copy)


def cpu_multiplies_bf16() -> bool | None:
    """Whether the CPU is faster in bfloat16: with Intel's AMX it is, without any instruction for it it is slower.

    ``None`` where that is not known: torch does not tell, or the CPU has AVX-512's instruction alone, with which an AMD
    EPYC took half of float32's time, and an Intel Xeon 1.3 times as much (docs/benchmarks.md).
    """
    import torch

    # Not every torch from 2.9 on has it, and an ARM CPU's answer has no such entry.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    has_matrix_unit = capabilities.get("amx_bf16")
    return None if capabilities.get("avx512_bf16") and not has_matrix_unit else has_matrix_unit


def has_cpp_compiler() -> bool:
    """Whether ``torch.compile`` can build code for the CPU: it looks for ``$CXX``, or the system's usual compiler."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", usual)) is not None
