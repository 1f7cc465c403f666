"""The films of an evaluation as arrays, and ``predictions.csv`` on disk."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pneumocli.core.errors import RunError
from pneumocli.core.files import read_csv, write_csv
from pneumocli.core.records import CLASS_NAMES, EpochRecord
from pneumocli.metrics.classification import film_losses, sigmoid
from pneumocli.metrics.records import (
    ComparedRun,
    Evaluation,
    OutOfFoldFilm,
    ScoredFilm,
)

COLUMNS = tuple(ScoredFilm.model_fields)
_OUT_OF_FOLD_COLUMNS = tuple(OutOfFoldFilm.model_fields)

_Film = TypeVar("_Film", bound=ScoredFilm)


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


def write_predictions(file: Path, films: Sequence[ScoredFilm]) -> None:
    """Writes ``predictions.csv``."""
    write_csv(file, COLUMNS, (film.model_dump() for film in films))


def read_predictions(file: Path) -> tuple[ScoredFilm, ...]:
    """Reads ``predictions.csv``.

    Raises:
        RunError: The file is missing or damaged.
    """
    return _read(file, ScoredFilm, "pneumo evaluate writes it anew")


def write_out_of_fold(file: Path, films: Sequence[OutOfFoldFilm]) -> None:
    """Writes ``out-of-fold.csv``."""
    write_csv(file, _OUT_OF_FOLD_COLUMNS, (film.model_dump() for film in films))


def read_out_of_fold(file: Path) -> tuple[OutOfFoldFilm, ...]:
    """Reads ``out-of-fold.csv`` of a group of folds.

    Raises:
        RunError: The file is missing or damaged.
    """
    return _read(file, OutOfFoldFilm, "restore it from a backup, or remove result.json beside it and train --continue")


def _read(file: Path, form: type[_Film], hint: str) -> tuple[_Film, ...]:
    try:
        return tuple(form.model_validate(row) for row in read_csv(file))
    except OSError as error:
        raise RunError(f"cannot read {file}: {error.strerror}") from error
    except (ValidationError, ValueError, csv.Error) as error:
        raise RunError(f"{file} is damaged", hint) from error


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
