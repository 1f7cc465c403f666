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
class FilmWarning:
    """Something odd about a film that can be read.

    Attributes:
        code: Stays the same from version to version, ``looks-inverted``.
        text: One sentence without a full stop, without the file's name and without anything of a patient.
    """

    code: str
    text: str


LEAST_SIDE = 32
"""Pixels; nothing smaller is a film."""

# The largest digital radiographs have some 20 million pixels; far beyond that a file is an attack on the memory.
MOST_PIXELS = 100_000_000


def check_size(width: int, height: int) -> None:
    """Refuses a picture by the size that its header claims, before anything of it is decoded.

    Raises:
        UnreadableFilm: Absurdly large or tiny.
    """
    if width * height > MOST_PIXELS:
        raise UnreadableFilm(f"claims {width} x {height} pixels, more than {MOST_PIXELS:,}")
    if min(width, height) < LEAST_SIDE:
        raise UnreadableFilm(f"is {width} x {height} pixels, too small for a film")


@dataclass(frozen=True, slots=True)
class Film:
    """A film as read.

    Attributes:
        pixels: uint8 (H,W), right way up, bright where the body stopped the rays.
        coloured: Whether the file holds true colour: a photograph rather than a radiograph.
        mode: How the file stores its pixels, in Pillow's words, or ``DICOM``.
        warnings: What a reader of the answer should know of how the film was read.
    """

    pixels: Pixels
    coloured: bool
    mode: str
    warnings: tuple[FilmWarning, ...] = ()
