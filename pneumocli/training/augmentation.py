"""Random crops of films, resized and sometimes mirrored: the assignment's augmentation, and what recipes add to it.

Where a crop lies is drawn on the CPU. It is resized there by torchvision, film by film, or on a GPU a batch at once,
with the same result bit for bit where torch resizes 8-bit pictures in whole numbers, which it does on CPUs with AVX2;
on others it rounds floats, and a pixel may be one grey level off. Squares that are altered further are resized on the
CPU always: then a film has the same pixels whatever the device.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from pneumocli.core.config import TrainConfig
from pneumocli.data.film import Pixels
from pneumocli.model.device import ieee_float32, to_device
from pneumocli.training.alterations import Alteration, Alterations

_FLIPPED = 0.5

# torch resizes 8-bit pictures in whole numbers: a direction's weights have as many bits as 16 with a sign can hold.
_LARGEST_WEIGHT = 2**15 - 1
# Sums of 8-bit pixels times weights of 16 bits are exact in float32, in whatever order a GPU adds them. Only crops more
# than four times as large as their square would have finer weights, and none of a crop source is.
_MOST_BITS = 16


# Crops resized in one go. They take 0.2 GB at 384 x 500 pixels (counted, see docs/benchmarks.md); what the number does
# to a card's speed was not measured.
_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is drawn for a film; the defaults are the assignment's.

    Attributes:
        crop_scale: Smallest share of a film's area that a crop holds.
        mirror: Whether half of the crops are mirrored.
        alterations: How far the resized crop may be altered.
    """

    crop_scale: float = 0.08
    mirror: bool = True
    alterations: Alterations = Alterations()  # noqa: RUF009 - immutable

    @classmethod
    def of(cls, config: TrainConfig) -> Self:
        """What a run's settings ask for."""
        return cls(config.crop_scale, config.mirror, Alterations.of(config))


class Place(NamedTuple):
    """Where a crop lies in its film, in pixels, and what is to be done to it.

    Attributes:
        top: First row.
        left: First column.
        height: Number of rows.
        width: Number of columns.
        flipped: Whether it is to be mirrored.
        alteration: What is to be done to it after that.
    """

    top: int
    left: int
    height: int
    width: int
    flipped: bool
    alteration: Alteration | None = None


class Crop(NamedTuple):
    """A crop, cut out of its film.

    Attributes:
        pixels: uint8 (h,w), a copy.
        flipped: Whether it is to be mirrored.
        alteration: What is to be done to it after that.
    """

    pixels: Pixels
    flipped: bool
    alteration: Alteration | None = None


class Crops(NamedTuple):
    """A batch of drawn crops.

    Attributes:
        pixels: uint8 (P,), what they are read from, row by row: crops one after the other, which side by side would
            take twice the room, or whole films.
        starts: int32 or int64 (n,), where each begins in ``pixels``.
        strides: The same (n,), from a row of it to the next.
        sizes: int64 (n,2), height and width of each.
        flipped: bool (n,).
        extent: The greatest height and width, known without asking a GPU.
    """

    pixels: Tensor
    starts: Tensor
    strides: Tensor
    sizes: Tensor
    flipped: Tensor
    extent: tuple[int, int]

    @classmethod
    def of(
        cls,
        pixels: Tensor,
        starts: NDArray[np.int64],
        strides: NDArray[np.int64],
        sizes: NDArray[np.int64],
        flipped: list[bool],
    ) -> Self:
        """Crops in ``pixels``, which are as the attributes describe them."""
        height, width = sizes.max(axis=0).tolist()
        # Places take half the memory in 32 bits. Some lie beyond the pixels, beside a small crop in a large frame.
        farthest = len(pixels) + height * int(strides.max()) + width
        counting = torch.int32 if farthest < 2**31 else torch.int64
        return cls(
            pixels,
            torch.from_numpy(starts).to(counting),
            torch.from_numpy(strides).to(counting),
            torch.from_numpy(sizes),
            torch.tensor(flipped),
            (height, width),
        )

    def part(self, first: int, count: int) -> Self:
        """Some of the crops, in the same pixels."""
        chosen = slice(first, first + count)
        starts, strides, sizes, flipped = (each[chosen] for each in self[1:5])
        return self._replace(starts=starts, strides=strides, sizes=sizes, flipped=flipped)

    def to(self, device: torch.device) -> Self:
        """The same on another device; what is there already stays."""
        pixels, starts, strides, sizes, flipped = (to_device(part, device) for part in self[:5])
        return self._replace(pixels=pixels, starts=starts, strides=strides, sizes=sizes, flipped=flipped)


@cache
def _boxes(crop_scale: float) -> v2.RandomResizedCrop:
    """Draws the places of crops, at an aspect of 3/4 to 4/3, alike whatever the crops are resized to."""
    return v2.RandomResizedCrop(224, scale=(crop_scale, 1.0))


def draw_place(height: int, width: int, augmentation: Augmentation) -> Place:
    """The place of a random crop in a film of that size, by torch's global generator."""
    box = _boxes(augmentation.crop_scale).make_params([torch.empty(1, height, width, device="meta")])
    flipped = bool(torch.rand(1) < _FLIPPED) and augmentation.mirror
    alteration = augmentation.alterations.draw() if augmentation.alterations else None
    return Place(box["top"], box["left"], box["height"], box["width"], flipped, alteration)


def draw(film: Pixels, augmentation: Augmentation = Augmentation()) -> Crop:
    """A random crop of a film, uint8 (H,W), by torch's global generator."""
    height, width = film.shape
    place = draw_place(height, width, augmentation)
    rows, columns = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)
    return Crop(film[rows, columns].copy(), place.flipped, place.alteration)


def resized(crop: Crop, size: int) -> Tensor:
    """A crop as a square of ``size`` pixels, uint8 (1,size,size), on the CPU."""
    square: Tensor = functional.resize(torch.from_numpy(crop.pixels).unsqueeze(0), [size, size], antialias=True)
    square = square.flip(-1) if crop.flipped else square
    if crop.alteration is None:
        return square
    return torch.from_numpy(crop.alteration.applied_to(square[0].numpy())).unsqueeze(0)


def together(crops: Sequence[Crop]) -> Crops:
    """Crops as a batch, to be resized at once; none of them to be altered."""
    sizes = np.array([crop.pixels.shape for crop in crops])
    areas = sizes.prod(axis=1)
    pixels = torch.from_numpy(np.concatenate([crop.pixels.ravel() for crop in crops]))
    return Crops.of(pixels, areas.cumsum() - areas, sizes[:, 1], sizes, [crop.flipped for crop in crops])


def resized_at_once(crops: Crops, size: int) -> Tensor:
    """The crops as squares of ``size`` pixels, uint8 (n,1,size,size), on the device that they are on.

    Resizing is linear in each direction, so a batch is resized by two products with matrices of weights. Large batches
    are resized in slices, so that the memory it takes does not grow with the batch.
    """
    squares = [_resized_slice(crops.part(first, _AT_ONCE), size) for first in range(0, len(crops.sizes), _AT_ONCE)]
    together = squares[0] if len(squares) == 1 else torch.cat(squares)
    return torch.where(crops.flipped[:, None, None], together.flip(-1), together).unsqueeze(1)


def _resized_slice(crops: Crops, size: int) -> Tensor:
    """The crops, not mirrored, uint8 (n,size,size)."""
    with ieee_float32():  # the weights are whole numbers of 16 bits, which TF32 and bfloat16 cut off
        for_columns, one = _weights(crops.sizes[:, 1], crops.extent[1], size)
        wide = _weighted(_side_by_side(crops).float() @ for_columns.mT, one)
        for_rows, one = _weights(crops.sizes[:, 0], crops.extent[0], size)  # now, when what is large is gone
        return _weighted(for_rows @ wide, one).to(torch.uint8)


def _side_by_side(crops: Crops) -> Tensor:
    """Crops in the upper left corners of equal pictures, uint8 (n,H,W); what lies beyond them is arbitrary."""
    starts, strides = crops.starts[:, None, None], crops.strides[:, None, None]
    row, column = (torch.arange(length, device=starts.device, dtype=starts.dtype) for length in crops.extent)
    places = starts + row[:, None] * strides + column
    return crops.pixels.index_select(0, places.clamp_(max=len(crops.pixels) - 1).view(-1)).view(places.shape)


def _weights(lengths: Tensor, extent: int, size: int) -> tuple[Tensor, Tensor]:
    """What each pixel counts for in each resized one: bilinear, over a wider range where a crop is made smaller.

    Args:
        lengths: int64 (n,), of each crop in this direction.
        extent: The greatest of them.
        size: To resize to.

    Returns:
        Whole numbers, float32 (n,size,extent), 0 beyond a crop's length, and what stands for 1, float32 (n,1,1): the
        arithmetic of torch's ``upsample_bilinear2d_aa`` for 8-bit pictures, which is Pillow's.
    """
    device = lengths.device
    length = lengths.double()[:, None, None]
    scale = length / size
    reach = scale.clamp(min=1)
    centres = scale * (torch.arange(size, device=device)[:, None] + 0.5)
    taps = 2 * math.ceil(max(extent / size, 1)) + 1
    pixels = (centres - reach + 0.5).floor() + torch.arange(taps, device=device)
    weights = (1 - (pixels + 0.5 - centres).abs() / reach).clamp(min=0) * ((pixels >= 0) & (pixels < length))
    weights /= weights.sum(-1, keepdim=True)
    bits = (((_LARGEST_WEIGHT + 0.5) / weights.amax((1, 2), keepdim=True)).log2().ceil() - 1).clamp(max=_MOST_BITS)
    one = bits.exp2()
    # Those before and beyond the picture have a place, too, each its own: two for one place would be a race on a GPU.
    matrix = torch.zeros(len(lengths), size, taps + extent + taps, device=device)
    matrix.scatter_(-1, pixels.long() + taps, (weights * one + 0.5).floor().float())
    return matrix[..., taps : taps + extent], one.float()


def _weighted(sums: Tensor, one: Tensor) -> Tensor:
    """Weighted sums as grey levels, whole numbers, in their place."""
    return sums.div_(one).add_(0.5).floor_().clamp_(0, 255)
