"""The films that pages show: mistakes, right ones beside them, the most uncertain; each with its heat map."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from pneumocli.core.records import CLASS_NAMES, ClassName
from pneumocli.data.film import UnreadableFilm
from pneumocli.data.images import read_film
from pneumocli.data.thumbnails import data_url
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.heat_map import class_activation, overlay, share_outside
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.reporting.text import percent

_SHOWN_WRONG = 12
_SHOWN_RIGHT = 4  # of each class
_SHOWN_UNCERTAIN = 8


@dataclass(frozen=True, slots=True)
class ShownFilm:
    """A film on the page.

    Attributes:
        image: Path relative to the data folder.
        label: The truth.
        prediction: At the threshold of the evaluation.
        probability: Of pneumonia, 0-1.
        source: The film under its class activation map, as a data URL; ``None`` where it can no longer be read.
        alt: Alternative text, or the reason why there is no picture.
        film: The film alone, as a data URL.
        cut: Share of the film that the network does not see, 0-1.
    """

    image: str
    label: ClassName
    prediction: ClassName
    probability: float
    source: str | None
    alt: str
    film: str | None = None
    cut: float = 0.0

    @property
    def wrong(self) -> bool:
        """Whether the prediction differs from the label."""
        return self.label != self.prediction

    @property
    def pictures(self) -> tuple[tuple[str, str], ...]:
        """What there is to see, as data URLs with their alternative texts: the film, then its map."""
        shown = ((self.film, f"Film {self.image} as it was read"), (self.source, self.alt))
        return tuple((source, alt) for source, alt in shown if source is not None)


@dataclass(frozen=True, slots=True)
class ShownFilms:
    """The films on the page.

    Attributes:
        num_wrong: All films on the wrong side of the threshold.
        worst: The wrong films of the highest loss, the highest first.
        uncertain: The films nearest to the threshold, in odds.
        right: Right films of either class whose loss is nearest to the median of its class.
        cells: Rows and columns of the heat maps; ``None`` where no film could be shown.
    """

    num_wrong: int
    worst: tuple[ShownFilm, ...]
    uncertain: tuple[ShownFilm, ...]
    right: tuple[ShownFilm, ...] = ()
    cells: tuple[int, int] | None = None

    @property
    def largest_cut(self) -> float:
        """The largest share of a wrong film that the network does not see, 0-1."""
        return max((film.cut for film in self.worst), default=0.0)


def shown_films(classifier: Classifier | None, scores: ScoreArrays, threshold: float, data: Path) -> ShownFilms:
    """Chooses the films of a page and runs the model on them once more, for their class activation maps.

    Args:
        classifier: The model that scored the films; ``None`` for films that there are only scores of.
        scores: All films of the evaluation.
        threshold: On probabilities.
        data: Folder that the films are below.
    """
    is_wrong = (scores.probabilities >= threshold) != (scores.labels == 1)
    wrong = np.flatnonzero(is_wrong)
    worst = wrong[np.argsort(-scores.losses[wrong], kind="stable")][:_SHOWN_WRONG]
    # In odds, as predict counts them: of a threshold of 90 % all that is called PNEUMONIA is near in points.
    with np.errstate(invalid="ignore"):  # both at an end: no distance
        distance = np.nan_to_num(np.abs(logit(scores.probabilities) - logit(threshold)), nan=0.0, posinf=np.inf)
    uncertain = np.argsort(distance, kind="stable")[:_SHOWN_UNCERTAIN]
    right = [index for label in (0, 1) for index in _typical(scores, ~is_wrong & (scores.labels == label))]
    cells: list[tuple[int, int]] = []

    def shown(index: int) -> ShownFilm:
        label, probability = CLASS_NAMES[scores.labels[index]], float(scores.probabilities[index])
        prediction = CLASS_NAMES[int(probability >= threshold)]
        image = scores.images[index]
        film, source, cut = None, None, 0.0
        if classifier is None:
            return ShownFilm(image, label, prediction, probability, None, "the table holds scores alone")
        try:
            pixels = read_film(data / image).pixels
            cam = class_activation(classifier, pixels)
            cells.append((cam.shape[1], cam.shape[2]))
            source = data_url(overlay(pixels, cam, classifier.card.fit, prediction))
            film, cut = data_url(pixels), share_outside(pixels, classifier.card.fit)
            alt = f"Film {image}, {label}, called {prediction} at probability {percent(probability)}"
        except UnreadableFilm as error:  # gone since it was scored
            alt = error.reason
        return ShownFilm(image, label, prediction, probability, source, alt, film, cut)

    def all_shown(chosen: Iterable[int]) -> tuple[ShownFilm, ...]:
        return tuple(map(shown, chosen))

    galleries = all_shown(worst.tolist()), all_shown(uncertain.tolist()), all_shown(right)
    return ShownFilms(len(wrong), *galleries, cells[0] if cells else None)


def beside_maps(path: Path, image: str, by: Sequence[tuple[str, Classifier, ClassName]]) -> tuple[tuple[str, str], ...]:
    """A film and, beside it, where several runs found the evidence for their answers.

    Args:
        path: Of the film.
        image: Its name.
        by: Runs by name, with their models and answers.

    Returns:
        Data URLs with their alternative texts; none where the film can no longer be read.
    """
    try:
        pixels = read_film(path).pixels
    except UnreadableFilm:
        return ()
    pictures = [(data_url(pixels), f"Film {image} as it was read")]
    for name, classifier, prediction in by:
        evidence = overlay(pixels, class_activation(classifier, pixels), classifier.card.fit, prediction)
        pictures.append((data_url(evidence), f"Evidence of {name} for {prediction} in film {image}"))
    return tuple(pictures)


def _typical(scores: ScoreArrays, chosen: NDArray[np.bool_]) -> list[int]:
    """The films among the chosen ones whose loss is nearest to their median."""
    places = np.flatnonzero(chosen)
    if not places.size:
        return []
    losses = scores.losses[places]
    nearest = np.argsort(np.abs(losses - np.median(losses)), kind="stable")[:_SHOWN_RIGHT]
    return [int(place) for place in places[nearest]]
