"""Memory and utilisation of an NVIDIA GPU while it trains."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pneumocli.core.events import DeviceSampled

if TYPE_CHECKING:
    import torch


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
        except nvml.NVMLError:  # not reported for a MIG slice
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
