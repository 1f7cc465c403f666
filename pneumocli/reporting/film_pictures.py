"""The films that a page of an evaluation shows: the worst mistakes and the most uncertain, with heat maps."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pneumocli.core.records import CLASS_NAMES, ClassName
from pneumocli.data.film import UnreadableFilm
from pneumocli.data.images import fit_film, read_film
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.heat_map import overlay
from pneumocli.metrics.scores import ScoreArrays

_SHOWN_WRONG = 12
_SHOWN_UNCERTAIN = 8
_FILM_SIDE = 320  # pixels of a film on the page: the page stays below some megabytes


@dataclass(frozen=True, slots=True)
class ShownFilm:
    """A film on the page.

    Attributes:
        image: Path relative to the data folder.
        label: The truth.
        prediction: At the threshold of the evaluation.
        probability: Of pneumonia, 0-1.
        loss: Cross-entropy at the temperature, in nats.
        source: The film with its class activation map, as a data URL; ``None`` where it can no longer be read.
        alt: Alternative text, or the reason why there is no picture.
    """

    image: str
    label: ClassName
    prediction: ClassName
    probability: float
    loss: float
    source: str | None
    alt: str

    @property
    def wrong(self) -> bool:
        """Whether the prediction differs from the label."""
        return self.label != self.prediction


@dataclass(frozen=True, slots=True)
class ShownFilms:
    """The films on the page.

    Attributes:
        num_wrong: All films on the wrong side of the threshold.
        worst: The wrong films of the highest loss, the highest first.
        uncertain: The films nearest to the threshold.
    """

    num_wrong: int
    worst: tuple[ShownFilm, ...]
    uncertain: tuple[ShownFilm, ...]


def shown_films(classifier: Classifier, scores: ScoreArrays, threshold: float, data: Path) -> ShownFilms:
    """Chooses the films of a page and runs the model on them once more, for their class activation maps.

    Args:
        classifier: The model that scored the films.
        scores: All films of the evaluation.
        threshold: On probabilities.
        data: Folder that the films are below.
    """
    wrong = np.flatnonzero((scores.probabilities >= threshold) != (scores.labels == 1))
    worst = wrong[np.argsort(-scores.losses[wrong], kind="stable")][:_SHOWN_WRONG]
    uncertain = np.argsort(np.abs(scores.probabilities - threshold), kind="stable")[:_SHOWN_UNCERTAIN]

    def shown(index: int) -> ShownFilm:
        label, probability = CLASS_NAMES[scores.labels[index]], float(scores.probabilities[index])
        prediction = CLASS_NAMES[int(probability >= threshold)]
        image = scores.images[index]
        try:
            source = _picture(classifier, data / image, prediction)
            alt = f"Film {image}, {label}, called {prediction} at probability {probability:.3f}"
        except UnreadableFilm as error:  # gone since it was scored
            source, alt = None, error.reason
        return ShownFilm(image, label, prediction, probability, float(scores.losses[index]), source, alt)

    return ShownFilms(len(wrong), tuple(map(shown, worst.tolist())), tuple(map(shown, uncertain.tolist())))


def _picture(classifier: Classifier, path: Path, prediction: ClassName) -> str:
    """A film under its class activation map, as a data URL."""
    pixels, card = read_film(path).pixels, classifier.card
    cam = classifier.run(fit_film(pixels, card.image_size, card.fit)[None, None]).cam[0]
    picture = Image.fromarray(overlay(pixels, cam, card.fit, prediction))
    picture.thumbnail((_FILM_SIDE, _FILM_SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
