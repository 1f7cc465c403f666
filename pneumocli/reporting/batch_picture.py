"""The picture of a training batch: the films as the network sees them, cropped, mirrored and altered."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pneumocli.core.records import CLASS_NAMES
from pneumocli.reporting.figures import NORMAL_COLOUR, PNEUMONIA_COLOUR

MOST_SHOWN = 16

_COLUMNS = 4
_SIDE = 160  # of a film; enlarged without smoothing where the network sees less, so that its pixels can be counted
_TEXT = 14
_GAP = 8


def batch_picture(pixels: NDArray[np.uint8], labels: Sequence[int]) -> bytes:
    """The first films of a batch in rows of four, each under its class, as the bytes of a PNG file.

    Its ground is transparent, so that it lies on a light page as on a dark one.

    Args:
        pixels: uint8 (N,1,S,S), after augmentation; N at least 1.
        labels: 0 or 1 for each.
    """
    shown = min(len(pixels), MOST_SHOWN)
    columns, rows = min(shown, _COLUMNS), -(-shown // _COLUMNS)
    cell = _SIDE + _GAP
    canvas = Image.new("RGBA", (columns * cell + _GAP, rows * (cell + _TEXT) + _GAP))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT - 2)
    enlarge = Image.Resampling.NEAREST if pixels.shape[-1] < _SIDE else Image.Resampling.BILINEAR
    for place, (film, label) in enumerate(zip(pixels[:shown, 0], labels, strict=False)):
        left, top = _GAP + place % _COLUMNS * cell, _GAP + place // _COLUMNS * (cell + _TEXT)
        colour, ink = ((NORMAL_COLOUR, "white"), (PNEUMONIA_COLOUR, "black"))[label]  # contrasts of 5.2 and 5.5
        draw.rectangle((left - 1, top - 1, left + _SIDE, top + _TEXT + _SIDE), fill=colour)
        draw.text((left + 3, top - 1), CLASS_NAMES[label], fill=ink, font=font)
        canvas.paste(Image.fromarray(film).resize((_SIDE, _SIDE), enlarge), (left, top + _TEXT))
    out = io.BytesIO()
    canvas.save(out, "PNG", optimize=True)
    return out.getvalue()
