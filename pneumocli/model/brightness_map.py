"""Whether a film is bright and dark where the training films are: negatives, turned films and parts of films are not.

A thumbnail of 8 x 8 cells, standardised, so that neither brightness nor contrast matters; its Mahalanobis distance to
those of the training films. It needs no network, and so sees what a network makes look familiar.

References:
    Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4, for the shrinkage.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.errors import ModelFileError
from pneumocli.model.card import BrightnessMap
from pneumocli.model.packed_numbers import TRAINING_FILMS_DAMAGED, packed, unpacked

Floats = NDArray[np.float32]

_CELLS = 8  # a side
_LEAST_SPREAD = 1e-3  # grey values: a film of one grey has no map

# As for the distance of features: a high quantile of the validation films, raised where few films leave it uncertain.
_LIMIT_QUANTILE = 0.995


def thumbnails(pixels: NDArray[np.uint8]) -> Floats:
    """Mean grey values of 8 x 8 cells, standardised film by film, float32 (N,64).

    Args:
        pixels: uint8 (N,1,S,S), S at least 8; what is left over at the right and the bottom is not used.
    """
    count, side = len(pixels), pixels.shape[-1] // _CELLS
    part = pixels[:, 0, : side * _CELLS, : side * _CELLS]
    cells = part.reshape(count, _CELLS, side, _CELLS, side).mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
    centred = cells - cells.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    standardised: Floats = (centred / np.maximum(spread, _LEAST_SPREAD)).astype(np.float32)
    return standardised


def fit_brightness_map(train: Floats, val: Floats) -> BrightnessMap:
    """Describes where the training films are bright and dark.

    Args:
        train: :func:`thumbnails` of training films, at least 2.
        val: Of the validation films; they set the limit. The training films do where there are none.
    """
    from sklearn.covariance import LedoitWolf

    covariance = LedoitWolf().fit(train)
    variances, directions = np.linalg.eigh(covariance.covariance_)
    # The mean of a standardised thumbnail is always 0: one direction has no variance.
    least = max(float(variances[-1]) * 1e-6, 1e-12)
    whitening = directions / np.sqrt(np.maximum(variances, least))
    found = BrightnessMap(mean=packed(covariance.location_), whitening=packed(whitening), limit=0.0)
    distances = map_distances(found, val if len(val) else train)
    limit = float(np.quantile(distances, _LIMIT_QUANTILE)) * (1 + 0.5 / float(np.sqrt(len(distances))))
    return found.model_copy(update={"limit": limit})


def map_distances(model: BrightnessMap, maps: Floats) -> Floats:
    """Mahalanobis distance of :func:`thumbnails` (N,64) to those of the training films, (N,).

    Raises:
        ModelFileError: The card's numbers are damaged.
    """
    mean, whitening = _arrays(model.mean, model.whitening)
    distances: Floats = np.linalg.norm((maps - mean) @ whitening, axis=1).astype(np.float32)
    return distances


@lru_cache(maxsize=2)  # of one model, asked for at every batch
def _arrays(mean_text: str, whitening_text: str) -> tuple[Floats, Floats]:
    """Mean (64,) and whitening (64,64)."""
    mean, whitening = (unpacked(text, TRAINING_FILMS_DAMAGED) for text in (mean_text, whitening_text))
    if mean.size != _CELLS**2 or whitening.size != _CELLS**4 or not np.isfinite([mean.sum(), whitening.sum()]).all():
        raise ModelFileError(TRAINING_FILMS_DAMAGED)
    return mean, whitening.reshape(_CELLS**2, -1)
