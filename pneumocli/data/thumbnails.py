"""Small pictures of films inside pages."""

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumocli.data.film import UnreadableFilm
from pneumocli.data.images import read_film

FILM_SIDE = 320
"""Pixels along the longer side of a film on a page: the page stays below some megabytes."""


def data_url(pixels: NDArray[np.uint8], side: int = FILM_SIDE) -> str:
    """A picture, (H,W) grey or (H,W,3), made small enough for a page, as a data URL."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def png_url(picture: bytes) -> str:
    """A PNG file as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def plain_picture(path: Path, side: int = FILM_SIDE) -> str | None:
    """A film as a data URL; ``None`` where it can no longer be read."""
    try:
        return data_url(read_film(path).pixels, side)
    except UnreadableFilm:
        return None
