"""What a film is once it is read, and how reading one fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.errors import DataError

Pixels = NDArray[np.uint8]


class UnreadableFilm(DataError):
    """A file is no film, or is damaged.

    Args:
        reason: Short, without the file's name: ``"is empty"``.
        hint: What to do, if anything.
    """

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason, hint)
        self.reason = reason


@contextmanager
def still_there(path: Path) -> Iterator[None]:
    """Names a film that could be read when a training began, and cannot be any more.

    Raises:
        DataError: It cannot be read.
    """
    try:
        yield
    except UnreadableFilm as error:
        raise DataError(
            f"{path} {error.reason}; it could be read when the training began",
            "put it back as it was: then --resume continues the training",
        ) from error


@dataclass(frozen=True, slots=True)
class Film:
    """A film as read.

    Attributes:
        pixels: uint8 (H,W), right way up, bright where the body stopped the rays.
        coloured: Whether the file holds true colour: a photograph rather than a radiograph.
        mode: How the file stores its pixels, in Pillow's words, or ``DICOM``.
    """

    pixels: Pixels
    coloured: bool
    mode: str


def stretch(values: NDArray[np.generic]) -> Pixels:
    """Pixels of more than 8 bits as 8 bits: linear, darkest to 0, brightest to 255; a uniform picture is 0.

    Args:
        values: Any number type, (H,W).

    Raises:
        UnreadableFilm: A value is not finite.
    """
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise UnreadableFilm("holds pixels that are not finite")
    low, high = numbers.min(), numbers.max()
    if high == low:
        return np.zeros(values.shape, np.uint8)
    scaled: Pixels = np.rint((numbers - low) * (255 / (high - low))).astype(np.uint8)
    return scaled
