"""Memory and utilisation of an NVIDIA GPU while it trains."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import pynvml

from pneumocli.core.events import DeviceSampled

if TYPE_CHECKING:
    import torch

_Value = TypeVar("_Value")


class GpuProbe:
    """Looks at one NVIDIA GPU through its driver.

    Args:
        uuid: CUDA's name of the device. The driver's and CUDA's numbers of it differ where ``CUDA_VISIBLE_DEVICES`` or
            ``CUDA_DEVICE_ORDER`` says so: CUDA counts the fastest first, the driver by their slots.
        name: The device's name where the driver gives none.

    Raises:
        NVMLError: The driver knows no such device.
    """

    def __init__(self, uuid: str, name: str) -> None:
        self._name = name
        try:
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        except pynvml.NVMLError:
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")  # a slice of a GPU

    def sample(self) -> DeviceSampled:
        """Name, memory and utilisation at this moment; ``None`` for what the driver does not report."""
        name = _reported(lambda: pynvml.nvmlDeviceGetName(self._handle)) or self._name
        memory = _reported(lambda: pynvml.nvmlDeviceGetMemoryInfo(self._handle))  # none of its own on a GB10
        rates = _reported(lambda: pynvml.nvmlDeviceGetUtilizationRates(self._handle))  # none for a MIG slice
        return DeviceSampled(
            name.decode() if isinstance(name, bytes) else name,
            None if memory is None else int(memory.used),
            None if memory is None else int(memory.total),
            None if rates is None else rates.gpu / 100,
        )


def _reported(ask: Callable[[], _Value]) -> _Value | None:
    try:
        return ask()
    except pynvml.NVMLError:
        return None


@contextlib.contextmanager
def gpu_probe(device: "torch.device") -> Iterator[GpuProbe | None]:
    """A probe for a CUDA device, ``None`` for others and where the driver does not know it."""
    import torch

    if device.type != "cuda" or torch.version.hip is not None:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # a container without the driver's library
        yield None
        return
    try:
        yield _probe(device)
    finally:
        _reported(pynvml.nvmlShutdown)


def _probe(device: "torch.device") -> GpuProbe | None:
    import torch

    found = torch.cuda.get_device_properties(device)
    return _reported(lambda: GpuProbe(str(found.uuid), found.name))
