"""Whether a film looks like the training films: a prediction for any other picture means nothing.

Three looks. The first is plain: colour, aspect, brightness and contrast against the range of the training films. The
second: whether the film is bright and dark where they are, see :mod:`pneumocli.model.brightness_map`. The third asks
the network: the Mahalanobis distance of its features to those of the training films. All are fitted at the end of
training and travel in the card; a check needs numpy alone.

The distance is taken between square roots of features. Pooled activations are non-negative and skewed: a Gaussian of
the plain values gives clear-cut films the largest distances and phantoms, which excite little, small ones. Of a run
with the assignment's recipe the root raised the share of phantoms, photographs and noise with a warning from 40 to
99 % (docs/inference.md).

References:
    Lee et al. 2018, A simple unified framework for detecting out-of-distribution samples, arXiv:1807.03888.
    Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4, for the shrinkage.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.errors import ModelFileError
from pneumocli.model.brightness_map import map_distances, thumbnails
from pneumocli.model.card import BrightnessMap, FeatureModel, InputRange
from pneumocli.model.packed_numbers import TRAINING_FILMS_DAMAGED, packed, unpacked

Floats = NDArray[np.float32]

NUM_FEATURES = 512

# Directions in which the training films vary most; beyond them the shrunk covariance is close to a multiple of the
# identity, so that one variance stands for the rest and the card stays small.
_NUM_DIRECTIONS = 64

_QUANTILES = (0.001, 0.999)

# How far beyond the training films' quantiles a picture must lie, in multiples of the distance between them.
_RANGE_MARGIN = 0.25

# ... and at least so far, for films that were all made alike: width / height, grey values, grey values.
_LEAST_MARGINS = {"aspect": 0.1, "brightness": 10.0, "contrast": 5.0}

# The limit is a high quantile of the validation films' distances. Few films leave it uncertain: it is raised by half
# their number's inverse root, 2 % for 500 films and 12 % for 16.
_LIMIT_QUANTILE = 0.995


@dataclass(frozen=True)
class Appearance:
    """What films look like before any network sees them.

    Attributes:
        aspect: Width / height of the files, (N,).
        brightness: Mean grey value after preprocessing, 0-255, (N,).
        contrast: Standard deviation of the grey values after preprocessing, (N,).
        maps: :func:`pneumocli.model.brightness_map.thumbnails`, (N,64); ``None`` where they are not looked at.
    """

    aspect: Floats
    brightness: Floats
    contrast: Floats
    maps: Floats | None = None

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], aspects: NDArray[np.floating]) -> "Appearance":
        """The appearance of preprocessed films.

        Args:
            pixels: uint8 (N,1,S,S).
            aspects: Width / height of the films before that, (N,).
        """
        flat = pixels.reshape(len(pixels), -1)
        return cls(
            aspect=np.asarray(aspects, np.float32),
            brightness=flat.mean(axis=1, dtype=np.float32),
            contrast=flat.std(axis=1, dtype=np.float32),
            maps=thumbnails(pixels),
        )


def fit(features_train: Floats, features_val: Floats, appearance: Appearance) -> tuple[InputRange, FeatureModel]:
    """Describes the training films.

    Args:
        features_train: Of training films, float32 (N,512), N at least 2.
        features_val: Of films that the network was not fitted to, float32 (M,512); they set the limit.
        appearance: Of the training films.

    Returns:
        What the card keeps.
    """
    from sklearn.covariance import LedoitWolf

    covariance = LedoitWolf().fit(_rooted(features_train))
    variances, directions = np.linalg.eigh(covariance.covariance_)
    leading = slice(None, -_NUM_DIRECTIONS - 1, -1)
    residual = float(variances[:-_NUM_DIRECTIONS].mean())
    # Features of a network that never fires are all alike; a variance of 0 would make every distance undefined.
    least = max(float(variances[-1]) * 1e-9, 1e-12)
    model = FeatureModel(
        mean=packed(covariance.location_),
        directions=packed(directions.T[leading]),
        variances=packed(np.maximum(variances[leading], least)),
        residual_variance=max(residual, least),
        limit=0.0,
    )
    distances = Familiarity(None, model).distances(features_val if len(features_val) else features_train)
    limit = float(np.quantile(distances, _LIMIT_QUANTILE)) * (1 + 0.5 / math.sqrt(len(distances)))
    return _range_of(appearance), model.model_copy(update={"limit": limit})


def _range_of(appearance: Appearance) -> InputRange:
    def ends(values: Floats) -> tuple[float, float]:
        low, high = np.quantile(values, _QUANTILES)
        return float(low), float(high)

    return InputRange(
        aspect=ends(appearance.aspect), brightness=ends(appearance.brightness), contrast=ends(appearance.contrast)
    )


class Familiarity:
    """Detects films that are unlike the training films.

    Args:
        input_range: Of the card; ``None`` leaves out the check of aspect, brightness and contrast.
        feature_model: Of the card; ``None`` leaves out the check of features.
        brightness_map: Of the card; ``None``, as in models of version 0.1.0, leaves out that check.

    Raises:
        ModelFileError: The card's numbers are damaged.
    """

    def __init__(
        self,
        input_range: InputRange | None,
        feature_model: FeatureModel | None,
        brightness_map: BrightnessMap | None = None,
    ) -> None:
        self._range = input_range
        self._map = brightness_map
        self._model = feature_model
        if feature_model is not None:
            self._arrays  # noqa: B018 - a damaged card shows now, not at the first film

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats, Floats]:
        """Mean (512,), directions (k,512), variances (k,)."""
        model = self._model
        assert model is not None  # noqa: S101 - callers have looked
        mean, directions, variances = (
            unpacked(text, TRAINING_FILMS_DAMAGED) for text in (model.mean, model.directions, model.variances)
        )
        sound = (
            mean.shape == (NUM_FEATURES,)
            and directions.size == variances.size * NUM_FEATURES
            and variances.size <= NUM_FEATURES
            and all(bool(np.isfinite(array).all()) for array in (mean, directions, variances))
            and bool((variances > 0).all())
            and model.residual_variance > 0
        )
        if not sound:
            raise ModelFileError(TRAINING_FILMS_DAMAGED)
        return mean, directions.reshape(-1, NUM_FEATURES), variances

    def distances(self, features: Floats) -> Floats:
        """Mahalanobis distance of features (N,512) to the training films, (N,), 0 or more."""
        distances: Floats = np.sqrt((self._standardised(features) ** 2).sum(axis=1)).astype(np.float32)
        return distances

    def coordinates(self, features: Floats) -> Floats:
        """Where films lie among the training films, float32 (N,k+1); ``(N,0)`` where features are not described.

        Args:
            features: float32 (N,512).

        Returns:
            Along the directions in which the training films vary most, and the distance from all of them, each in
            standard deviations of the training films: the length of a row is its :meth:`distances`.
        """
        if self._model is None:
            return np.zeros((len(features), 0), np.float32)
        return self._standardised(features).astype(np.float32)

    def _standardised(self, features: Floats) -> NDArray[np.float64]:
        mean, directions, variances = self._arrays
        assert self._model is not None  # noqa: S101 - as in _arrays
        centred = _rooted(features) - mean
        along = centred @ directions.T.astype(np.float64)
        rest = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return np.hstack([along / np.sqrt(variances), np.sqrt(rest / self._model.residual_variance)[:, None]])

    def warnings(self, features: Floats, appearance: Appearance, coloured: NDArray[np.bool_]) -> list[tuple[str, ...]]:
        """What is unusual about each film, as warnings for people.

        Args:
            features: float32 (N,512).
            appearance: Of the same films.
            coloured: Whether the file holds colour, bool (N,).

        Returns:
            For each film its warnings; an empty tuple for a film like the training films.
        """
        found: list[list[str]] = [["is a colour picture, not a radiograph"] if colour else [] for colour in coloured]
        if self._range is not None:
            _warn_outside(found, appearance.aspect, self._range.aspect, "an aspect (width / height)", ".2f")
            _warn_outside(found, appearance.brightness, self._range.brightness, "a brightness", ".0f")
            _warn_outside(found, appearance.contrast, self._range.contrast, "a contrast", ".0f")
        if self._map is not None and appearance.maps is not None:
            for film, distance in zip(found, map_distances(self._map, appearance.maps), strict=True):
                if not distance <= self._map.limit:
                    film.append(
                        "is bright and dark in other places than the training films "
                        f"(distance {distance:.0f}, limit {self._map.limit:.0f})"
                    )
        if self._model is not None and len(features):
            for film, distance in zip(found, self.distances(features), strict=True):
                if not distance <= self._model.limit:
                    film.append(
                        "looks unlike the training films to the network "
                        f"(distance {distance:.0f}, limit {self._model.limit:.0f})"
                    )
        return [tuple(film) for film in found]


def _rooted(features: Floats) -> NDArray[np.float64]:
    rooted: NDArray[np.float64] = np.sqrt(np.maximum(features, 0, dtype=np.float64))
    return rooted


def _warn_outside(found: list[list[str]], values: Floats, ends: tuple[float, float], what: str, form: str) -> None:
    low, high = ends
    margin = max(_RANGE_MARGIN * (high - low), _LEAST_MARGINS[what.split()[1]])
    for film, value in zip(found, values, strict=True):
        if not low - margin <= value <= high + margin:
            film.append(f"has {what} of {value:{form}}, far outside the training films' {low:{form}} to {high:{form}}")
