"""Tables of scored films on disk: ``predictions.csv`` of an evaluation, ``out-of-fold.csv`` of a group of folds."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pneumocli.core.errors import RunError
from pneumocli.core.files import read_csv, write_csv
from pneumocli.metrics.records import OutOfFoldFilm, ScoredFilm

_Film = TypeVar("_Film", bound=ScoredFilm)


def write_predictions(file: Path, films: Sequence[ScoredFilm]) -> None:
    """Writes ``predictions.csv``."""
    write_csv(file, tuple(ScoredFilm.model_fields), (film.model_dump() for film in films))


def read_predictions(file: Path) -> tuple[ScoredFilm, ...]:
    """Reads ``predictions.csv``.

    Raises:
        RunError: The file is missing or damaged.
    """
    return _read(file, ScoredFilm, "pneumo evaluate writes it anew")


def write_out_of_fold(file: Path, films: Sequence[OutOfFoldFilm]) -> None:
    """Writes ``out-of-fold.csv``."""
    write_csv(file, tuple(OutOfFoldFilm.model_fields), (film.model_dump() for film in films))


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
