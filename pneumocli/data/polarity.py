"""Whether a chest film looks like a negative of itself."""

import numpy as np
from PIL import Image

from pneumocli.data.film import Film, FilmWarning, Pixels

__all__ = ["LOOKS_INVERTED", "looks_inverted", "warnings_of"]

LOOKS_INVERTED = FilmWarning(
    "looks-inverted", "looks inverted: the lungs are brighter than the spine and the heart between them"
)

_SIDE = 64
# Pixels of the short side that a thumbnail is made of at least: the means of its areas need no more, and the whole of
# an original film takes as long as a fifth of its decoding.
_ENOUGH = 256
# Far below all films measured, see docs/inference.md: 5,792 right way up, the lowest at 0.49.
_LIMIT = -0.75


def looks_inverted(pixels: Pixels) -> bool:
    """Whether a frontal chest film shows what absorbs as dark, on clear evidence only.

    On a thumbnail, in standard deviations of its grey values: how much brighter the middle is than the lungs left and
    right of it, how much brighter the belly is than the lungs, and how much brighter the film is than its upper
    corners (air beside the neck) and than its left and right edge. The sum is far above zero for films, and so far
    below zero for negatives.

    Args:
        pixels: uint8 (H,W).
    """
    step = max(1, min(pixels.shape) // _ENOUGH)
    some = Image.fromarray(np.ascontiguousarray(pixels[::step, ::step]))
    thumbnail = some.resize((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    film = np.asarray(thumbnail, np.float32)
    spread = float(film.std())
    if spread == 0:
        return False
    lungs = (film[16:44, 12:24].mean() + film[16:44, 40:52].mean()) / 2
    corners = (film[:8, :10].mean() + film[:8, -10:].mean()) / 2
    edges = (film[:, :2].mean() + film[:, -2:].mean()) / 2
    middle, belly = film[16:44, 29:35].mean(), film[54:, 20:44].mean()
    evidence = (middle - lungs) + (belly - lungs) + (film.mean() - corners) + (film.mean() - edges)
    return float(evidence) / spread < _LIMIT


def warnings_of(film: Film) -> tuple[FilmWarning, ...]:
    """What a reader of an answer should know of a film: how it was read, and whether it looks like a negative."""
    return (*film.warnings, LOOKS_INVERTED) if looks_inverted(film.pixels) else film.warnings
