"""Samples of any depth, with colour and opacity or without, as 8-bit grey pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumocli.data.film import Film, FilmWarning, Pixels, UnreadableFilm

__all__ = ["CLIPPED", "Numbers", "Samples", "film_of", "is_coloured", "stretch"]

Numbers = NDArray[Any]

CLIPPED = FilmWarning("clipped", "a marker or border far outside the film's values was clipped")

# A film saved as RGB differs between its channels by JPEG's rounding only; a photograph by far more.
_COLOUR_DIFFERENCE = 12.0

# So few grey values beyond an empty gap of so many times the range of the rest, on less than half of the film, are no
# film: a body that stands out of a black background has many.
_WIDE_GAP, _MOST_BEYOND, _FEW_LEVELS = 4.0, 0.5, 16
# What lies so many times the range between the 5 and the 95 % quantile beyond it, on so few pixels, is none either.
_CORE, _FAR, _FEW = 0.05, 2.0, 0.04
_LEAST_LEVELS = 32  # fewer grey values are a drawing or a mask: all of them count


@dataclass(frozen=True, slots=True)
class Samples:
    """A picture as its file stores it, right way up.

    Attributes:
        values: (H,W) grey, or (H,W,3) red, green, blue; of at most 8 bits as uint8 of 0-255.
        opacity: (H,W), any scale; 0 is transparent. ``None`` for an opaque picture.
        premultiplied: Whether the values were already multiplied by the opacity.
        mode: How the file stores its pixels, for tables.
    """

    values: Numbers
    opacity: Numbers | None
    premultiplied: bool
    mode: str


def film_of(samples: Samples) -> Film:
    """The film that samples show: luminance, over black where it is transparent, stretched where it has over 8 bits.

    Opacity is relative to the most opaque pixel: a film that is half transparent everywhere is the film.

    Raises:
        UnreadableFilm: Wholly transparent, or a value is not finite.
    """
    coloured = samples.values.ndim == 3 and is_coloured(samples.values)
    grey = _luminance(samples.values) if samples.values.ndim == 3 else samples.values
    opacity = _relative_opacity(samples.opacity)
    if opacity is not None and (opacity == 1).all():
        opacity = None
    shown = None if opacity is None else opacity > 0
    warnings: tuple[FilmWarning, ...] = ()
    pixels: Pixels
    if grey.dtype == np.uint8:
        pixels = grey.astype(np.uint8, copy=False)
    else:
        pixels, clipped = stretch(grey, shown)
        warnings = (CLIPPED,) if clipped else ()
    if opacity is not None and shown is not None:
        over_black = pixels if samples.premultiplied else np.rint(pixels * opacity)
        pixels = np.where(shown, over_black, 0).astype(np.uint8)
    return Film(pixels, coloured=coloured, mode=samples.mode, warnings=warnings)


def _relative_opacity(opacity: Numbers | None) -> NDArray[np.float32] | None:
    if opacity is None:
        return None
    most = float(opacity.max())
    if not most > 0:
        raise UnreadableFilm("is wholly transparent")
    relative: NDArray[np.float32] = np.clip(opacity.astype(np.float32) / np.float32(most), 0, 1)
    return relative


def _luminance(values: Numbers) -> Numbers:
    """ITU-R 601 luminance, for 8 bits as Pillow computes it, bit for bit; equal channels stay what they are."""
    red, green, blue = values[..., 0], values[..., 1], values[..., 2]
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return red
    if values.dtype in (np.uint8, np.uint16):  # the sum of the weights is 65536: 16 bits just fit
        weighed = red.astype(np.uint32) * 19595 + green.astype(np.uint32) * 38470 + blue.astype(np.uint32) * 7471
        grey: Numbers = ((weighed + 0x8000) >> 16).astype(values.dtype)
        return grey
    return np.asarray(values.astype(np.float64) @ np.array([0.299, 0.587, 0.114]))


def is_coloured(values: Numbers) -> bool:
    """Whether colour is more than noise, judged on a thumbnail of (H,W,3)."""
    if values.dtype != np.uint8:
        # Every n-th pixel is enough to judge by; the film's own range stands for 0-255.
        step = max(1, min(values.shape[:2]) // 256)
        part = values[::step, ::step].astype(np.float64)
        if not np.isfinite(part).all() or np.ptp(part) == 0:
            return False
        values = ((part - part.min()) * (255 / np.ptp(part))).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(values, np.uint8))
    small = np.asarray(picture.resize((64, 64), Image.Resampling.BOX), np.float32)
    spread = small.max(axis=2) - small.min(axis=2)
    return float(spread.mean()) > _COLOUR_DIFFERENCE


def stretch(values: Numbers, shown: NDArray[np.bool_] | None = None, *, robust: bool = True) -> tuple[Pixels, bool]:
    """Pixels of more than 8 bits as 8 bits: linear, darkest to 0, brightest to 255; a uniform picture is 0.

    Burnt-in markers and borders do not count as darkest or brightest and are clipped: up to 16 grey values beyond an
    empty gap of more than four times the range of the rest, on less than half of the film; and values on at most 4 %
    of the film that lie farther from the middle 90 % of all values than twice their range.

    Args:
        values: Any number type, (H,W).
        shown: bool (H,W): the pixels that count and are shown; the others become 0. All by default.
        robust: Whether to look for markers and borders.

    Returns:
        uint8 (H,W), and whether anything was clipped.

    Raises:
        UnreadableFilm: A value is not finite, or no pixel counts.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UnreadableFilm("holds pixels that are not finite")
    counting = values.ravel() if shown is None else values[shown]
    if counting.size == 0:
        raise UnreadableFilm("holds no pixel but padding")
    levels, counts = _histogram(counting)
    low, high = levels[0], levels[-1]
    if robust and len(levels) >= _LEAST_LEVELS:
        low, high = _limits(levels, counts)
    clipped = bool(low > levels[0] or high < levels[-1])
    pixels = _scaled(values, float(low), float(high))
    if shown is not None:
        pixels[~shown] = 0
    return pixels, clipped


def _histogram(values: Numbers) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The values that occur, rising, and how often each does."""
    if values.dtype.kind in "iu":
        least, most = int(values.min()), int(values.max())
        if most - least < 1 << 16:
            # Widened first: the difference of two 16-bit numbers with a sign need not fit into one.
            counts = np.bincount(values.astype(np.int64) - least)
            present = np.flatnonzero(counts)
            return (present + least).astype(np.float64), counts[present].astype(np.int64)
    levels, found = np.unique(values.astype(np.float64), return_counts=True)
    return levels, found.astype(np.int64)


def _limits(levels: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """Darkest and brightest value of the film itself."""
    high = _upper_limit(levels, counts)
    low = -_upper_limit(-levels[::-1], counts[::-1])
    return low, high


def _upper_limit(levels: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    shares = np.cumsum(counts) / counts.sum()
    gaps, ranges = np.diff(levels), levels[:-1] - levels[0]
    below = np.arange(1, len(levels))
    possible = (below >= _LEAST_LEVELS) & (len(levels) - below <= _FEW_LEVELS) & (shares[:-1] > 1 - _MOST_BEYOND)
    wide = np.flatnonzero((gaps > _WIDE_GAP * ranges) & possible)
    if wide.size:
        return float(levels[wide[0]])
    low, high = (levels[np.searchsorted(shares, share)] for share in (_CORE, 1 - _CORE))
    limit = high + _FAR * (high - low)
    far = int(np.searchsorted(levels, limit, side="right"))
    if high == low or far == len(levels) or 1 - shares[far - 1] > _FEW:
        return float(levels[-1])
    above = np.flatnonzero((levels[:-1] >= high) & (gaps > (high - low) / 8))
    return float(levels[above[0]]) if above.size else float(levels[far - 1])


def _scaled(values: Numbers, low: float, high: float) -> Pixels:
    if high == low:
        return np.zeros(values.shape, np.uint8)
    pixels: Pixels
    if values.dtype in (np.uint8, np.uint16):
        # One multiplication per value that can occur instead of one per pixel.
        every = np.arange(np.iinfo(values.dtype).max + 1, dtype=np.float64)
        pixels = _linear(every, low, high)[values]
        return pixels
    return _linear(values.astype(np.float64), low, high)


def _linear(values: NDArray[np.float64], low: float, high: float) -> Pixels:
    scaled: Pixels = np.rint((np.clip(values, low, high) - low) * (255 / (high - low))).astype(np.uint8)
    return scaled
