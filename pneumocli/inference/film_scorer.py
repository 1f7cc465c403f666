"""A model as something that other engines send to their workers and call there: films in, rows out."""

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from pneumocli.core.errors import ModelFileError, SettingError
from pneumocli.data.film import UnreadableFilm
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.csv_output import columns_of, row_of
from pneumocli.inference.inputs import shown
from pneumocli.inference.predict import answer_for
from pneumocli.inference.scoring import Source, score_films
from pneumocli.run_folder import RunFolder

Row = dict[str, str | float | None]
"""One film's answer by column of ``predict --csv``; ``None`` where the table has an empty cell."""


class FilmScorer:
    """Scores films with a finished model on the CPU, in whatever process it is called, without torch.

    It can be pickled: what is sent is the model's place and hash, a few hundred bytes. Each process opens the model
    once, at its first call. Rows are those of ``pneumo predict --csv``.

    Args:
        model: A finished run, or a ``model.onnx``; every process must find the same file there.
        threshold: Used instead of the stored operating point, 0-1.
        threads: Of one process, for decoding and for the network; one per usable core unless given. An engine that
            starts a process per core gives 1.
        batch_size: Films per forward pass.

    Raises:
        RunError: The run has not finished.
        ModelFileError: The model file is missing, foreign, damaged, or needs torch.
        SettingError: The threshold is outside 0-1.

    Attributes:
        threshold: A film is positive if its probability is at or above it.
        columns: Of the rows, in order.
    """

    threshold: float
    columns: tuple[str, ...]

    def __init__(
        self, model: Path | str, *, threshold: float | None = None, threads: int | None = None, batch_size: int = 16
    ) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise SettingError(f"threshold: expected a number from 0 to 1 (found {threshold})")
        self._model = Path(model).absolute()
        self._threads = threads
        self._batch_size = batch_size
        classifier = _opened(self._model, threads, os.getpid(), _state(self._model))
        self._sha256 = classifier.sha256
        self.threshold = classifier.card.operating_point.threshold if threshold is None else threshold
        self.columns = columns_of(classifier.card)

    def __call__(self, films: Iterable[bytes | Path | str], images: Sequence[str] | None = None) -> list[Row]:
        """Answers for films.

        Args:
            films: Contents of files, or paths; read lazily.
            images: What each film's row is filed under; its path unless given, and nothing for a content.

        Returns:
            A row per film, in order. A film that cannot be read has an ``error``; no film raises one.

        Raises:
            ModelFileError: The model is not the one that the scorer was made with, or its file is damaged.
            SettingError: There are more or fewer ``images`` than films.
        """
        classifier = _opened(self._model, self._threads, os.getpid(), _state(self._model))
        if classifier.sha256 != self._sha256:
            raise ModelFileError(
                f"{classifier.file} is another model here: its SHA-256 begins {classifier.sha256[:12]}, that of the "
                f"scorer's {self._sha256[:12]}"
            )
        given = list(films)
        names = [_name(film) for film in given] if images is None else list(images)
        if len(names) != len(given):
            raise SettingError(f"images: expected a name for each of {len(given)} films (found {len(names)})")
        scores = score_films(classifier, map(_source, given), batch_size=self._batch_size, threads=self._threads)
        return [
            row_of(answer_for(name, scored, self.threshold, classifier.card.refer), self._sha256)
            for name, scored in zip(names, scores, strict=True)
        ]


def _state(model: Path) -> tuple[int, ...]:
    """Changes with the model's file; that of a run is renewed with its ``result.json``."""
    try:
        state = (RunFolder(model).result_file if model.is_dir() else model).stat()
    except OSError:
        return ()  # opening it reports what is wrong
    return state.st_mtime_ns, state.st_size, state.st_ino


@lru_cache(maxsize=4)
def _opened(
    model: Path,
    threads: int | None,
    process: int,  # noqa: ARG001 - a fork opens its own
    state: tuple[int, ...],  # noqa: ARG001 - a changed file is opened again
) -> Classifier:
    if model.is_dir():
        return Classifier.of_run(RunFolder.open_finished(model), throughput=True, threads=threads)
    if model.suffix == ".pt":
        raise ModelFileError(f"{model} needs torch, expected a run or its model.onnx")
    return Classifier.load(model, throughput=True, threads=threads)


def _source(film: object) -> Source:
    if isinstance(film, str | Path):
        return Path(film)
    if isinstance(film, bytes | bytearray | memoryview):
        return bytes(film)
    return UnreadableFilm(f"is no film: expected bytes or a path (found {type(film).__name__})")


def _name(film: object) -> str:
    return shown(str(film)) if isinstance(film, str | Path) else ""
