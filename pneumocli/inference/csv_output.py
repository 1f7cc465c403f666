"""The answers of ``predict`` as a CSV file that grows row by row and can be continued after an interruption."""

import csv
import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pneumocli.core.errors import RunError, shell_word
from pneumocli.core.files import RowWriter, write_failure
from pneumocli.inference.inputs import Named
from pneumocli.inference.records import Prediction
from pneumocli.model.card import ModelCard

COLUMNS = ("image", "probability", "prediction", "threshold", "warnings", "error", "model")
REFERRING_COLUMNS = (*COLUMNS, "answer")
"""Of a model that refers films to a person."""

_HEADER = ",".join(COLUMNS).encode()
_BLOCK_BYTES = 1 << 20
_MODEL_DIGITS = 12


def columns_of(card: ModelCard) -> tuple[str, ...]:
    """The columns of a model's answers."""
    return COLUMNS if card.refer is None else REFERRING_COLUMNS


def row_of(prediction: Prediction, model: str) -> dict[str, str | float | None]:
    """An answer by column.

    Args:
        prediction: The answer.
        model: SHA-256 of the model file, of which the first digits are kept.
    """
    return {**prediction.model_dump(), "warnings": "; ".join(prediction.warnings), "model": model[:_MODEL_DIGITS]}


def refuse_to_replace(file: Path) -> None:
    """Refuses to write a table over a file that is none: ``--csv *.jpg`` names a film, as the shell spells it out.

    Raises:
        RunError: The file is there, holds something, and no header of a table of answers.
    """
    try:
        with file.open("rb") as opened:
            beginning = opened.read(len(_HEADER)) if file.is_file() else b""
    except OSError:
        return  # it is not there, or writing it will report what is wrong
    if beginning and not _HEADER.startswith(beginning.removeprefix(b"\xef\xbb\xbf")):
        raise RunError(
            f"{file} is there already and is no table of pneumo predict: it was left as it is",
            f"choose another name, or remove it first: rm {shell_word(file)}",
        )


class AnswerTable:
    """A CSV file with one row per film, flushed after each: a stop from outside costs at most the row being written.

    Nothing is written before the block of a ``with`` begins.

    Args:
        file: Replaced unless ``resume`` is given.
        model: SHA-256 of the model file, whose first digits are kept with each row.
        columns: As the model has them.
        resume: Keep what stands in the file, but for a half-written last row; a missing file is begun.

    Raises:
        RunError: The file to continue or to replace is no such table, or another model or threshold wrote the one to
            continue.
        PneumoError: The file cannot be written (when the block begins).

    Attributes:
        path: The file.
        num_errors: Films that stood in the file before without an answer.
        num_met: Films that stood in the file before and were asked for again.
    """

    _file: IO[str]
    _writer: RowWriter

    def __init__(
        self, file: Path, *, model: str, threshold: float, resume: bool, columns: tuple[str, ...] = COLUMNS
    ) -> None:
        self.path = file
        self._columns = columns
        self._model = model[:_MODEL_DIGITS]
        self._done = array("Q")
        self.num_errors = 0
        self.num_met = 0
        self._whole = self._read_whole_rows(threshold) if resume and file.is_file() else 0
        if not self._whole:
            refuse_to_replace(file)

    def __enter__(self) -> Self:
        """Opens the file for what is to come; a half-written row goes now."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a" if self._whole else "w", encoding="utf-8", newline="")
            if self._whole:
                self._file.truncate(self._whole)
        except OSError as error:
            raise write_failure(self.path, error) from error
        self._writer = RowWriter(self._file)
        if not self._whole:
            self._write(self._columns)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def num_films(self) -> int:
        """Films that stood in the file before."""
        return len(self._done)

    def __contains__(self, image: str) -> bool:
        """Whether a film stood in the file before."""
        key = _key(image)
        place = bisect_left(self._done, key)
        return place < len(self._done) and self._done[place] == key

    def missing(self, films: Iterable[Named]) -> Iterator[Named]:
        """The films that did not stand in the file before."""
        for film in films:
            if film.image in self:
                self.num_met += 1
            else:
                yield film

    def add(self, prediction: Prediction) -> None:
        """Appends a film's row and hands it to the system.

        Raises:
            PneumoError: The disk is full, or the file cannot be written.
        """
        row = row_of(prediction, self._model)
        self._write([row[column] for column in self._columns])

    def _write(self, cells: Sequence[object]) -> None:
        try:
            self._writer.write(cells)
            self._file.flush()
        except OSError as error:
            raise write_failure(self.path, error) from error

    def _read_whole_rows(self, threshold: float) -> int:
        """Remembers the films of the file; returns the number of bytes up to the end of its last whole row."""
        whole = _end_of_last_row(self.path)
        if not whole:
            return 0
        try:
            with self.path.open("rb") as file:
                rows = csv.DictReader(_lines(file, whole))
                found = tuple(rows.fieldnames or ())
                if found not in (COLUMNS, REFERRING_COLUMNS):
                    raise self._refused("it is no table of pneumo predict")
                for row in rows:
                    if row["model"] != self._model or float(row["threshold"]) != threshold:
                        raise self._refused(
                            f"it was written with model {row['model']} at threshold {row['threshold']}, "
                            f"now it is {self._model} at {threshold}"
                        )
                    self._done.append(_key(row["image"]))
                    self.num_errors += bool(row["error"])
                if found != self._columns:
                    raise self._refused("it was written with another model")
        except (ValueError, TypeError, csv.Error) as error:
            raise self._refused("it is damaged") from error
        self._done = array("Q", sorted(self._done))
        return whole

    def _refused(self, reason: str) -> RunError:
        return RunError(f"cannot continue {self.path}: {reason}", "choose another --csv, or leave --resume out")


def _key(image: str) -> int:
    """Eight bytes for a film's name: a million names stay small, and two alike are as good as impossible."""
    return int.from_bytes(hashlib.blake2b(image.encode(), digest_size=8).digest(), "big")


def _end_of_last_row(path: Path) -> int:
    """The byte after the last line feed that stands outside of quotes: where a half-written row begins."""
    position, end, quoted = 0, 0, False
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            # A quote inside a quoted field is doubled, so that each quote may be taken for a change of state.
            for number, piece in enumerate(block.split(b'"')):
                if number:
                    quoted = not quoted
                    position += 1
                if not quoted and (feed := piece.rfind(b"\n")) >= 0:
                    end = position + feed + 1
                position += len(piece)
    return end


def _lines(file: IO[bytes], size: int) -> Iterator[str]:
    """The lines of the first ``size`` bytes, with their line feeds: names may hold some."""
    left = size
    while left > 0 and (line := file.readline(left)):
        left -= len(line)
        yield line.decode()
