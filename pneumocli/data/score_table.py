"""Anybody's scores of films as a table: image, label, and a probability or a score; perhaps patient and kind."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pneumocli.core.errors import DataError
from pneumocli.core.events import Listener, ignore
from pneumocli.core.records import CLASS_NAMES, Kind
from pneumocli.data.layout import Placed, place_in_splits
from pneumocli.data.patients import identify
from pneumocli.data.table import Cells, column_names, label_of, patient_of_cell, rows_of, separator_of

EXPECTED = "image,label,probability or score[,patient][,kind]"
_LARGEST = 1e100  # of a score: sums of their squares stay finite
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?", re.ASCII)
_KINDS: tuple[Kind, ...] = ("normal", "bacteria", "virus", "unknown")
_COLUMNS = ("image", "label", "patient", "kind", "probability", "score")


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One film of a table of scores.

    Attributes:
        image: As given.
        label: 0 for NORMAL, 1 for PNEUMONIA.
        patient: As given, else after the film's name, else the film itself.
        kind: As given, else after the film's name, else that of the label.
        value: The probability, 0-1, or the score.
    """

    image: str
    label: int
    patient: str
    kind: Kind
    value: float


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """A table of scores.

    Attributes:
        rows: One per film, in the order of the file; at least one.
        are_probabilities: Whether the values are probabilities; else scores, any real numbers, higher for PNEUMONIA.
    """

    rows: tuple[ScoreRow, ...]
    are_probabilities: bool


def read_score_table(table: Path, listener: Listener = ignore) -> ScoreTable:
    """Reads a table of scores; other columns than its own are left alone.

    Args:
        table: A text file with a header.
        listener: Gets how patients are identified.

    Raises:
        DataError: The file cannot be read, lacks a column, or lists no films; or a line has no label, no number, a
            probability beyond 0 and 1, an unknown kind, or a film of another line.
    """
    wanted = _value_column(table)
    lines: dict[str, int] = {}
    cells = list(rows_of(table, _COLUMNS, EXPECTED))
    has_decimal_commas = separator_of(table) != ","
    values, labels = [], []
    for row in cells:
        where, image = f"{table}, line {row.line}", row.values["image"]
        if not image:
            raise DataError(
                f"{where}: image is empty, expected the name of a film", "fill the cell, or remove that line"
            )
        if image in lines:
            raise DataError(
                f"{where}: {image!r} stands in line {lines[image]} already, expected each film once",
                "leave one line per film",
            )
        lines[image] = row.line
        labels.append(label_of(row.values["label"], where))
        values.append(_number(row.values[wanted], wanted, where, has_decimal_commas=has_decimal_commas))
    if not cells:
        raise DataError(f"{table} lists no films", f"expected {EXPECTED}")
    found = _people(table, cells, labels, listener)
    rows = (
        ScoreRow(row.values["image"], label, patient, kind, value)
        for row, label, value, (patient, kind) in zip(cells, labels, values, found, strict=True)
    )
    return ScoreTable(tuple(rows), are_probabilities=wanted == "probability")


def _value_column(table: Path) -> str:
    names = column_names(table)
    present = [name for name in ("probability", "score") if name in names]
    if len(present) == 1 or not names:  # without a header the reader reports what it found
        return present[0] if present else "probability"
    if present:
        raise DataError(f"{table} has the columns probability and score, expected one of them", f"expected {EXPECTED}")
    raise DataError(
        f"{table} lacks the column probability or score: found {', '.join(filter(None, names))}", f"expected {EXPECTED}"
    )


def _number(text: str, column: str, where: str, *, has_decimal_commas: bool) -> float:
    expected = "a number between 0 and 1" if column == "probability" else "a finite number, at most 1e100"
    if not has_decimal_commas and _GROUPED.fullmatch(text):
        raise DataError(
            f"{where}: {column} {text!r} is a decimal comma or sets thousands apart, expected a point or neither",
            "write 1250 or 1.25",
        )
    try:
        value = math.nan if "_" in text else float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST or (column == "probability" and not 0 <= value <= 1):
        raise DataError(f"{where}: {column} {text!r}, expected {expected}", "correct the cell in that line")
    return value


def _people(table: Path, cells: Sequence[Cells], labels: Sequence[int], listener: Listener) -> list[tuple[str, Kind]]:
    """The patient and the kind of each film: as given, else after its name."""
    films = [
        place_in_splits(row.values["image"]) or _placed(row, label) for row, label in zip(cells, labels, strict=True)
    ]
    given = [patient_of_cell(row.values["patient"], f"{table}, line {row.line}") for row in cells]
    found, remarks = identify(films, given=given)
    for remark in remarks if not all(given) else []:
        listener(remark)
    return [
        (patient, _kind(row, label, kind, f"{table}, line {row.line}"))
        for row, label, (patient, kind) in zip(cells, labels, found, strict=True)
    ]


def _placed(row: Cells, label: int) -> Placed:
    return Placed(row.values["image"], "test", 1 if label else 0)


def _kind(row: Cells, label: int, by_name: Kind, where: str) -> Kind:
    text = row.values["kind"].lower()
    if not text:
        fits = (by_name == "normal") == (label == 0)
        return by_name if fits else "normal" if label == 0 else "unknown"
    kind: Kind | None = next((kind for kind in _KINDS if kind == text), None)
    if kind is None or (kind == "normal") != (label == 0):
        raise DataError(
            f"{where}: kind {row.values['kind']!r} of a film of {CLASS_NAMES[label]}, expected "
            f"{'normal' if label == 0 else 'bacteria, virus or unknown'}",
            "correct the kind in that line, or leave the column out",
        )
    return kind
