"""Training films in a GPU's memory: they move there once, and crops are gathered there, without a loader."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pneumocli.core.config import TrainConfig
from pneumocli.core.events import Listener, Remark, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.model.device import memory_errors_translated, to_device
from pneumocli.training.augmentation import Crops, Place
from pneumocli.training.film_cache import Films
from pneumocli.training.plan import keeps_films

_AT_ONCE = 64  # films on their way, 12 MB of pinned memory


@dataclass(frozen=True)
class FilmsOnDevice:
    """Decoded films, one after the other.

    Attributes:
        pixels: uint8 (P,), on the device, row by row.
        starts: int64 (N,), where each film begins in ``pixels``.
        sizes: int64 (N,2), height and width of each.
    """

    pixels: Tensor
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    def crops(self, numbers: list[int], places: Sequence[Place]) -> Crops:
        """Crops of these films where they lie: no pixel is moved."""
        widths = self.sizes[numbers, 1]
        tops, lefts, heights, crop_widths = np.array([place[:4] for place in places]).T
        starts = self.starts[numbers] + tops * widths + lefts
        sizes = np.stack([heights, crop_widths], axis=1)
        return Crops.of(self.pixels, starts, widths, sizes, [place.flipped for place in places])


def kept_films(films: Films, config: TrainConfig, device: torch.device, listener: Listener) -> Films | FilmsOnDevice:
    """The films where the training keeps them: in the device's memory if :func:`keeps_films` says so, or as they are.

    Args:
        films: Of a training.
        config: Its settings.
        device: Its device.
        listener: Gets a remark and progress where they are moved.

    Raises:
        OutOfMemory: What was free a moment ago no longer is.
    """
    sizes = films.sizes
    if sizes is None or not keeps_films(config, device, int(sizes.prod(axis=1).sum())):
        return films
    return moved(films, sizes, device, listener)


@memory_errors_translated(
    "the device has too little memory for the training films, though three times as much was free a moment ago",
    "end other programs that use it (nvidia-smi shows those on an NVIDIA GPU)",
)
def moved(films: Films, sizes: NDArray[np.int64], device: torch.device, listener: Listener = ignore) -> FilmsOnDevice:
    """Copies films into a device's memory.

    Args:
        films: At least one.
        sizes: int64 (N,2), height and width of each.
        device: Where to.
        listener: Gets a remark and progress.

    Raises:
        OutOfMemory: The device has too little memory.
    """
    ends = sizes.prod(axis=1).cumsum()
    pixels = torch.empty(int(ends[-1]), dtype=torch.uint8, device=device)
    size = f"{len(pixels) / 1e6:,.0f} MB"
    listener(Remark(f"the training films stay in the GPU's memory ({size}): no worker prepares batches"))
    task = "moving films to the GPU"
    listener(TaskStarted(task, len(films)))
    stop = 0
    for first in range(0, len(films), _AT_ONCE):
        numbers = list(range(first, min(first + _AT_ONCE, len(films))))
        films.will_need(numbers)
        some = np.concatenate([films[number].ravel() for number in numbers])
        films.let_go()
        start, stop = stop, stop + len(some)
        pixels[start:stop] = to_device(torch.from_numpy(some), device)
        listener(TaskAdvanced(task, numbers[-1] + 1))
    listener(TaskFinished(task))
    return FilmsOnDevice(pixels, ends - sizes.prod(axis=1), sizes)
