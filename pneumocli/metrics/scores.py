"""The films of an evaluation as arrays, and beside them the run that they were scored with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.records import CLASS_NAMES, EpochRecord
from pneumocli.metrics.classification import film_losses, sigmoid
from pneumocli.metrics.records import ComparedRun, Evaluation, ScoredFilm


@dataclass(frozen=True)
class ScoreArrays:
    """Scored films, one entry per film in each array.

    Attributes:
        images: Paths relative to the data folder.
        patients: Keys, str (N,).
        kinds: normal, bacteria, virus or unknown, str (N,).
        labels: 0 or 1, int64 (N,).
        logits: As the network gives them, float64 (N,).
        temperature: Divides the logits.
        given: Probabilities, where they are not to be computed from the logits, float64 (N,).
    """

    images: tuple[str, ...]
    patients: NDArray[np.str_]
    kinds: NDArray[np.str_]
    labels: NDArray[np.int64]
    logits: NDArray[np.float64]
    temperature: float
    given: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, films: Sequence[ScoredFilm], temperature: float, *, as_given: bool = False) -> "ScoreArrays":
        """The arrays of scored films; ``as_given`` takes their probabilities as they are, to the last digit."""
        return cls(
            images=tuple(film.image for film in films),
            patients=np.array([film.patient for film in films], dtype=np.str_),
            kinds=np.array([film.kind for film in films], dtype=np.str_),
            labels=np.array([CLASS_NAMES.index(film.label) for film in films], dtype=np.int64),
            logits=np.array([film.logit for film in films], dtype=np.float64),
            temperature=temperature,
            given=np.array([film.probability for film in films], dtype=np.float64) if as_given else None,
        )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def calibrated(self) -> NDArray[np.float64]:
        """Logits divided by the temperature, (N,)."""
        return self.logits / self.temperature

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of pneumonia, 0-1, (N,)."""
        return self.given if self.given is not None else sigmoid(self.calibrated)

    @property
    def losses(self) -> NDArray[np.float64]:
        """Cross-entropy of each film at the temperature, (N,): how wrong the answer was."""
        return film_losses(self.labels, self.calibrated)


@dataclass(frozen=True)
class Compared:
    """A run with its evaluation, as the comparison works with it.

    Attributes:
        described: The run as the comparison records it.
        history: Its epochs.
        evaluation: Of the split compared on.
        films: Sorted by image.
        scores: The films as arrays.
        folder: Data folder that the films are below.
        evaluations: Every stored evaluation of the run; empty for a table of scores.
    """

    described: ComparedRun
    history: tuple[EpochRecord, ...]
    evaluation: Evaluation
    films: tuple[ScoredFilm, ...]
    scores: ScoreArrays
    folder: Path
    evaluations: tuple[Evaluation, ...] = ()

    @property
    def name(self) -> str:
        """Unique among the runs compared."""
        return self.described.name

    @property
    def threshold(self) -> float:
        """The stored operating point."""
        return self.evaluation.threshold.value
