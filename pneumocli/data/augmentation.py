"""Random crops of films, resized and sometimes mirrored: the assignment's augmentation.

Where a crop lies is drawn on the CPU. It is resized there by torchvision, film by film, or on a GPU a batch at once,
with the same result bit for bit: what a network is trained on does not depend on the device.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from pneumocli.data.cache import Pixels

# 8 to 100 % of a film's area at an aspect of 3/4 to 4/3, drawn alike whatever the crops are resized to.
_DRAWN = v2.RandomResizedCrop(224)
_FLIPPED = 0.5

# torch resizes 8-bit pictures in whole numbers: a direction's weights have as many bits as 16 with a sign can hold.
_LARGEST_WEIGHT = 2**15 - 1
# Sums of 8-bit pixels times weights of 16 bits are exact in float32, in whatever order a GPU adds them. Only crops more
# than four times as large as their square would have finer weights, and none of a crop source is.
_MOST_BITS = 16


class Crop(NamedTuple):
    """A crop as it was drawn.

    Attributes:
        pixels: uint8 (h,w), a copy.
        flipped: Whether it is to be mirrored.
    """

    pixels: Pixels
    flipped: bool


class Crops(NamedTuple):
    """A batch of drawn crops.

    Attributes:
        pixels: uint8 (n,H,W), each crop in the upper left corner.
        sizes: int64 (n,2), height and width of each.
        flipped: bool (n,).
    """

    pixels: Tensor
    sizes: Tensor
    flipped: Tensor


def draw(film: Pixels) -> Crop:
    """A random crop of a film, uint8 (H,W), by torch's global generator."""
    box = _DRAWN.make_params([torch.empty(1, *film.shape, device="meta")])  # looks at the size alone
    rows = slice(box["top"], box["top"] + box["height"])
    columns = slice(box["left"], box["left"] + box["width"])
    return Crop(film[rows, columns].copy(), bool(torch.rand(1) < _FLIPPED))


def resized(crop: Crop, size: int) -> Tensor:
    """A crop as a square of ``size`` pixels, uint8 (1,size,size), on the CPU."""
    square: Tensor = functional.resize(torch.from_numpy(crop.pixels).unsqueeze(0), [size, size], antialias=True)
    return square.flip(-1) if crop.flipped else square


def together(crops: Sequence[Crop]) -> Crops:
    """Crops as a batch, to be resized at once."""
    sizes = np.array([crop.pixels.shape for crop in crops])
    pixels = np.zeros((len(crops), *sizes.max(axis=0)), np.uint8)
    for place, crop in zip(pixels, crops, strict=True):
        place[: crop.pixels.shape[0], : crop.pixels.shape[1]] = crop.pixels
    return Crops(torch.from_numpy(pixels), torch.from_numpy(sizes), torch.tensor([crop.flipped for crop in crops]))


def resized_at_once(crops: Crops, size: int) -> Tensor:
    """The crops as squares of ``size`` pixels, uint8 (n,1,size,size), on the device that they are on.

    Resizing is linear in each direction, so a batch is resized by two products with matrices of weights.
    """
    for_rows = _weights(crops.sizes[:, 0], crops.pixels.shape[1], size)
    for_columns = _weights(crops.sizes[:, 1], crops.pixels.shape[2], size)
    with _whole_factors():
        wide = _weighted(crops.pixels.float() @ for_columns[0].mT, for_columns[1])
        squares = _weighted(for_rows[0] @ wide, for_rows[1]).to(torch.uint8)
    return torch.where(crops.flipped[:, None, None], squares.flip(-1), squares).unsqueeze(1)


@contextmanager
def _whole_factors() -> Iterator[None]:
    """Keeps matrix products from rounding their factors to TF32 or bfloat16, which some containers set for speed."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _weights(lengths: Tensor, extent: int, size: int) -> tuple[Tensor, Tensor]:
    """What each pixel counts for in each resized one: bilinear, over a wider range where a crop is made smaller.

    Args:
        lengths: int64 (n,), of each crop in this direction.
        extent: Of the batch in this direction.
        size: To resize to.

    Returns:
        Whole numbers, float32 (n,size,extent), and what stands for 1, float32 (n,1,1): the arithmetic of torch's
        ``upsample_bilinear2d_aa`` for 8-bit pictures, which is Pillow's.
    """
    length = lengths.double()[:, None, None]
    scale = length / size
    reach = scale.clamp(min=1)
    centres = scale * (torch.arange(size, device=lengths.device)[:, None] + 0.5)
    pixels = torch.arange(extent, device=lengths.device)
    weights = (1 - (pixels + 0.5 - centres).abs() / reach).clamp(min=0) * (pixels < length)
    weights /= weights.sum(-1, keepdim=True)
    bits = (((_LARGEST_WEIGHT + 0.5) / weights.amax((1, 2), keepdim=True)).log2().ceil() - 1).clamp(max=_MOST_BITS)
    one = bits.exp2()
    return (weights * one + 0.5).floor().float(), one.float()


def _weighted(sums: Tensor, one: Tensor) -> Tensor:
    """Weighted sums as grey levels, whole numbers."""
    return (sums / one + 0.5).floor().clamp(0, 255)
