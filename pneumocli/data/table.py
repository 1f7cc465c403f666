"""A table of films as spreadsheets and data frames write it: read in one pass where it is unambiguous.

What is taken without a remark: commas, semicolons or tabs; UTF-8 with or without a byte order mark, UTF-16, and the
8-bit encodings of Excel on Windows and on the Mac; titles above the header; column names in any case; empty rows;
absolute paths into the data folder; names in another Unicode form than on the disk; labels as 0 and 1, 0.0 and 1.0,
true and false, NORMAL and PNEUMONIA; blank splits; repeated rows that agree. What remains is refused by its line.
"""

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

from pneumocli.core.errors import DataError, shell_word
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.core.records import CLASS_NAMES, Split
from pneumocli.data.film_files import walk
from pneumocli.data.layout import SPLIT_WORDS
from pneumocli.data.patients import like_patients

_EXPECTED = "image,label[,patient][,split]"
_COLUMNS = ("image", "label", "patient", "split")
_LABELS: dict[str, Literal[0, 1]] = {
    **{CLASS_NAMES[0].lower(): 0, "0": 0, "0.0": 0, "0,0": 0, "false": 0},
    **{CLASS_NAMES[1].lower(): 1, "1": 1, "1.0": 1, "1,0": 1, "true": 1},
}
# As data frames, databases and spreadsheets write it.
_NOTHING = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "none", "null"})
# In whatever language: #REF!, #BEZUG!, #NOME?, #DIV/0!, and the crosses of a column that is too narrow.
_SPREADSHEET_ERROR = re.compile(r"#(#+|[^\W\d_][\w/]*[!?]|REF|VALUE|NAME|NUM|NULL|DIV/0|SPILL|CALC)", re.IGNORECASE)

# Columns that are meant, by other names: what they hold would be missed without a word.
_LOOK_ALIKES = {
    "patient": re.compile(r".*(patient|subject).*|pid|mrn|case([ _-]?id)?"),
    "split": re.compile(r"(sub|data)?[ _-]?set|fold|partition|phase|.*split.*"),
}

_MOST_TITLES = 20  # lines above the header
_MOST_LINES = 3  # of a cell that names something: more are a quote that nobody closed

# A number with a comma, and longer than Excel shows: 1.23E+12 stands for many patients.
_SHORTENED = re.compile(r"\d([.,]\d+)?e\+\d+", re.IGNORECASE)

_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_WORKBOOKS = ((b"PK\x03\x04", "an Excel or Numbers workbook"), (b"\xd0\xcf\x11\xe0", "an old Excel workbook"))


@dataclass(frozen=True, slots=True)
class TableRow:
    """One film of a table.

    Attributes:
        line: Where it stands in the file, 1-based.
        image: Path relative to the data folder, with forward slashes, spelled as on the disk.
        label: 0 for NORMAL, 1 for PNEUMONIA.
        patient: As given; empty where the table gives none.
        split: As given; ``train`` where the table gives none.
    """

    line: int
    image: str
    label: Literal[0, 1]
    patient: str
    split: Split


@dataclass(frozen=True, slots=True)
class Cells:
    """One line of a table.

    Attributes:
        line: Where it stands in the file, 1-based.
        values: By column, without blanks around; empty where the line or the table has none.
    """

    line: int
    values: dict[str, str]


def column_names(table: Path) -> tuple[str, ...]:
    """The names in the header of a table, in lower case; empty where there is no header.

    Raises:
        DataError: The file cannot be read, or is no table.
    """
    return _header_names(table, _decoded(table, _content(table), None))


def separator_of(table: Path) -> str:
    """What separates the cells of a table.

    Raises:
        DataError: The file cannot be read, or is no text.
    """
    return _delimiter(_decoded(table, _content(table), None))[0]


def rows_of(table: Path, columns: Sequence[str], expected: str) -> Iterator[Cells]:
    """The lines of any table with the columns image and label.

    Args:
        table: A text file with a header.
        columns: What to read beside other columns, which are left alone.
        expected: The columns as a message names them.

    Raises:
        DataError: The file cannot be read, is no table, or lacks image or label.
    """
    return _films(table, _decoded(table, _content(table), None), columns, expected)


def label_of(text: str, where: str) -> Literal[0, 1]:
    """The label in a cell, 0 or 1.

    Raises:
        DataError: It is none.
    """
    label = _LABELS.get(text.lower())
    if label is None:
        raise DataError(
            f"{where}: label {text!r}, expected NORMAL or PNEUMONIA (or 0 or 1)", "correct the label in that line"
        )
    return label


def read_table(table: Path, folder: Path, listener: Listener = ignore) -> list[TableRow]:
    """Reads a table of films.

    Args:
        table: A text file with a header that names image and label, and perhaps patient and split.
        folder: Data folder that the images lie in.
        listener: Gets a note on repeated rows.

    Returns:
        One row per film, in the order of their first lines.

    Raises:
        DataError: The file cannot be read or lists no films; or a line is ambiguous, contradicts another one, or
            names no film below ``folder``.
    """
    text = _decoded(table, _content(table), folder)
    _remark_on_look_alikes(table, text, listener)
    places = _Places(folder, table.parent)
    rows: dict[str, TableRow] = {}
    repeated = 0
    for cells in _films(table, text):
        row = _row(table, cells, places)
        before = rows.setdefault(places.one_name(row.image), row)
        _refuse_contradiction(table, before, row)
        repeated += before is not row
    if not rows:
        raise DataError(f"{table} lists no films", f"expected {_EXPECTED}")
    if repeated:
        listener(Remark(f"{table} repeats {repeated:,} rows with the same content: each film counts once"))
    _remark_on_like_patients(table, rows.values(), listener)
    return list(rows.values())


def _remark_on_like_patients(table: Path, rows: Iterable[TableRow], listener: Listener) -> None:
    """Warns of keys that a spreadsheet or a hand may have changed: one patient as two may stand on two sides."""
    remark = like_patients(row.patient for row in rows if row.patient)
    if remark is not None:
        listener(replace(remark, text=f"{table}: {remark.text}"))


def _remark_on_look_alikes(table: Path, text: str, listener: Listener) -> None:
    names = _header_names(table, text)
    for meant, pattern in _LOOK_ALIKES.items():
        similar = [name for name in names if pattern.fullmatch(name)]
        if similar and meant not in names:
            listener(Remark(f"{table}: the column {similar[0]} is not read, expected the name {meant}", "warning"))


def _content(table: Path) -> bytes:
    if table.exists() and not table.is_file() and not table.is_dir():
        raise DataError(f"cannot read {table}: it is a pipe or a device, expected a file", "save its content to a file")
    try:
        content = table.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {table}: {error.strerror}", f"ls -l {shell_word(table.parent)} shows what is there"
        ) from error
    for signature, what in _WORKBOOKS:
        if content.startswith(signature):
            raise DataError(
                f"cannot read {table}: it is {what}, expected a table as text",
                "save it as CSV UTF-8 (comma delimited) and name that file",
            )
    return content


def _decoded(table: Path, content: bytes, folder: Path | None) -> str:
    """The text of a table; of the 8-bit encodings the one in which the films that it names are there."""
    marked = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if content.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8",):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            if marked:
                raise DataError(
                    f"{table} is no table of films: it is no text in {marked.upper()}", "save it as CSV UTF-8"
                ) from error
        else:
            return _refuse_binary(table, text)
    texts = []
    for encoding in ("cp1252", "mac_roman"):
        try:
            texts.append(_refuse_binary(table, content.decode(encoding)))
        except UnicodeDecodeError:
            continue
    if folder is None:
        return texts[0]
    return min(texts, key=lambda text: _num_missing(table, text, folder))


def _refuse_binary(table: Path, text: str) -> str:
    if "\0" in text:
        raise DataError(f"{table} is no table of films: it is no text", f"expected {_EXPECTED}")
    return text


def _num_missing(table: Path, text: str, folder: Path) -> int:
    """Names beyond ASCII that lead to no film: in the right encoding there are none."""
    places = _Places(folder, table.parent)
    names = (cells.values["image"] for cells in _films(table, text))
    return sum(not name.isascii() and places.find(name) is None for name in names)


def _lines(table: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that has any, with the number in the file of the line that they begin in.

    Raises:
        DataError: It cannot be parsed, or a quote that nobody closed takes further rows, or the rest of the file, in.
    """
    delimiter, skip = _delimiter(text)
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for each in io.StringIO(text, newline=""):
            taken.append(each)
            yield each

    reader = csv.reader(lines(), delimiter=delimiter, strict=False)
    line, position, width = 1, None, 0
    try:
        for cells in reader:
            if reader.line_num > skip and any(cell.strip() for cell in cells):
                if position is None and _is_header(cells):
                    names = [cell.strip().lower() for cell in cells]
                    position, width = names.index("label"), len(names)
                if position is not None and len(taken) > 1:
                    _refuse_rows_within_quotes(table, line, taken, (delimiter, position, width))
                yield line, cells
            line = reader.line_num + 1
            taken.clear()
    except csv.Error as error:
        raise DataError(
            f"cannot read {table}, line {line}: {error}", "open the table at that line, or save it anew as CSV UTF-8"
        ) from error


def _refuse_rows_within_quotes(table: Path, line: int, lines: Sequence[str], form: tuple[str, int, int]) -> None:
    """Refuses a row of several lines of which one is a row itself, or whose last quote is not closed.

    Args:
        table: For the message.
        line: Number of the first of the lines.
        lines: All of the row.
        form: What separates cells, the place of the label, and the number of cells.
    """
    delimiter, position, width = form
    for number, each in enumerate(lines[1:], line + 1):
        cells = next(csv.reader([each], delimiter=delimiter), [])
        if len(cells) >= width and cells[0].strip() and cells[position].strip().lower() in _LABELS:
            raise DataError(
                f"{table}, line {line}: a double quote that is not closed takes line {number} in, which is a row of "
                "its own",
                f"close the quote in line {line}, or write it twice where it is part of the text",
            )
    try:
        list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise DataError(
                f"{table}, line {line}: a double quote is not closed before the end of the file",
                f"close the quote in line {line}, or write it twice where it is part of the text",
            ) from error


def _delimiter(text: str) -> tuple[str, int]:
    """What separates the cells, and how many lines at the top are for Excel alone (``sep=;``)."""
    first = text.partition("\n")[0].strip()
    if match := re.fullmatch(r'"?sep=(.)"?', first, re.IGNORECASE):
        return match[1], 1
    for line in text.splitlines()[:_MOST_TITLES]:
        for delimiter in ",;\t|":
            cells = next(csv.reader([line], delimiter=delimiter), [])
            if len(cells) > 1 and {cell.strip().lower() for cell in cells} & {"image", "label"}:
                return delimiter, 0
    return ",", 0


def _header(table: Path, text: str) -> tuple[list[str], int]:
    """The names of the columns and their line: below titles, which may hold separators, too."""
    first: tuple[list[str], int] | None = None
    for line, cells in islice(_lines(table, text), _MOST_TITLES):
        names = [cell.strip().lower() for cell in cells]
        if _is_header(names):
            return names, line
        if first is None or sum(map(bool, first[0])) < 2 <= sum(map(bool, names)):  # a single cell is a title
            first = names, line
    return first or ([], 0)


def _header_names(table: Path, text: str) -> tuple[str, ...]:
    names, _ = _header(table, text)
    return tuple(names) if _is_header(names) else ()


def _is_header(cells: Sequence[str]) -> bool:
    return {"image", "label"} <= {cell.strip().lower() for cell in cells}


def _films(table: Path, text: str, columns: Sequence[str] = _COLUMNS, expected: str = _EXPECTED) -> Iterator[Cells]:
    """The lines below the header, by column."""
    header, line_of_header = _header(table, text)
    _check_header(table, header, columns, expected)
    lines = ((line, cells) for line, cells in _lines(table, text) if line > line_of_header)
    for line, cells in lines:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise DataError(
                f"{table}, line {line}: {len(cells)} cells, expected {len(header)}",
                "put a name that contains the separator in double quotes",
            )
        values = dict(zip(header, cells, strict=False))
        read = {name: values.get(name, "") for name in columns}
        _refuse_open_quote(table, line, read)
        yield Cells(line, {name: value.strip() for name, value in read.items()})


def _refuse_open_quote(table: Path, line: int, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        num_lines = value.count("\n") + 1
        if num_lines > _MOST_LINES:
            raise DataError(
                f"{table}, line {line}: the {name} that begins with {value[:20]!r} runs over {num_lines:,} lines, "
                "expected one",
                "close its double quote",
            )


def _check_header(table: Path, header: list[str], columns: Sequence[str], expected: str) -> None:
    missing = [name for name in ("image", "label") if name not in header]
    if missing:
        found = ", ".join(name for name in header if name) or "nothing"
        raise DataError(f"{table} lacks the column {' and '.join(missing)}: found {found}", f"expected {expected}")
    twice = next((name for name in columns if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{table} has the column {twice} twice", f"expected {expected}")


def _row(table: Path, cells: Cells, places: "_Places") -> TableRow:
    where, values = f"{table}, line {cells.line}", cells.values
    image = places.required(values["image"], where)
    label = label_of(values["label"], where)
    split = values["split"].lower()
    if split not in SPLIT_WORDS and split not in _NOTHING:
        raise DataError(
            f"{where}: split {values['split']!r}, expected train, val or test",
            "correct the split in that line; an empty cell counts as train",
        )
    return TableRow(
        cells.line, image, label, patient_of_cell(values["patient"], where), SPLIT_WORDS.get(split, "train")
    )


def patient_of_cell(text: str, where: str) -> str:
    """The patient in a cell; empty where it holds none.

    Raises:
        DataError: A spreadsheet has shortened it.
    """
    if text.lower() in _NOTHING:
        return ""
    if _SHORTENED.fullmatch(text):
        raise DataError(
            f"{where}: patient {text!r} was shortened by a spreadsheet, expected the whole number",
            "format the column as text, fill it again and save the table anew",
        )
    if _SPREADSHEET_ERROR.fullmatch(text):
        raise DataError(
            f"{where}: patient {text!r} is a spreadsheet's error, expected a key of the patient",
            "mend the formula, or leave the cell empty, and save the table anew",
        )
    # A column of numbers with gaps becomes 17.0 in a data frame.
    return unicodedata.normalize("NFC", text.removesuffix(".0") if re.fullmatch(r"\d+\.0", text) else text)


def _refuse_contradiction(table: Path, before: TableRow, row: TableRow) -> None:
    for name in ("label", "patient", "split"):
        one, other = getattr(before, name), getattr(row, name)
        if one != other:
            if name == "label":
                one, other = CLASS_NAMES[one], CLASS_NAMES[other]
            raise DataError(
                f"{table} lists {row.image} more than once: line {before.line} gives the {name} {one or 'none'}, "
                f"line {row.line} {other or 'none'}",
                "leave one of the lines",
            )


# Names that mean the same on every system and are normalised already, as long as no part of them is empty or dots.
_PLAIN = re.compile(r"[\w./ ()-]+")


class _Places:
    """The films below a data folder, by the names that a table gives them."""

    def __init__(self, folder: Path, beside: Path) -> None:
        self._folder = folder
        self._prefix = os.path.join(folder, "")  # noqa: PTH118
        self._beside = beside  # the table's own folder
        self._roots = tuple(dict.fromkeys((Path(os.path.abspath(folder)), folder.resolve())))  # noqa: PTH100 - of the links' own names, too
        self._listed: dict[str, set[str]] | None = None
        self._first_named: dict[str, str] = {}

    def one_name(self, image: str) -> str:
        """The name under which a film came first: on a disk that knows no case, ``A.png`` and ``a.png`` are one."""
        first = self._first_named.setdefault(image.casefold(), image)
        return first if first == image or (self._folder / first).samefile(self._folder / image) else image

    def required(self, name: str, where: str) -> str:
        """The path of a film below the data folder.

        Raises:
            DataError: The name is no path below it, leads to no file, or fits several.
        """
        direct = self._relative(name)
        if direct is not None and (found := self._spellings(direct)) == {direct}:
            return direct  # as in almost every table, and without the other readings of the name
        images = self._below(name)
        if not images:
            raise DataError(
                f"{where}: image {name.replace(chr(92), '/')!r} is no path below {self._folder}",
                "give paths relative to the data folder, or name the folder that holds all films with --data DIR",
            )
        found = self._first(images)
        if not found:
            near = self._other_case(images[0])
            hint = f"is {near} meant?" if near else "paths are relative to the data folder, see --data"
            raise DataError(f"{where}: no file at {self._folder / images[0]}", hint)
        if len(found) > 1:
            raise DataError(
                f"{where}: {name!r} fits several files in {self._folder}: {', '.join(sorted(found))}",
                "write the path below the data folder, with its ending",
            )
        return found.pop()

    def find(self, name: str) -> str | None:
        """The film of that name, if there is exactly one."""
        found = self._first(self._below(name))
        return found.pop() if len(found) == 1 else None

    def _below(self, name: str) -> list[str]:
        """The paths below the data folder that a name may mean: relative to it, else to the table's own folder."""
        images = [self._relative(name)]
        if name and not Path(name).is_absolute():
            images.append(self._relative(os.path.abspath(self._beside / name.replace("\\", "/"))))  # noqa: PTH100 - as written, links and all
        return [image for image in images if image is not None]

    def _first(self, images: list[str]) -> set[str]:
        return next((found for image in images if (found := self._spellings(image))), set())

    def _relative(self, name: str) -> str | None:
        """The path below the data folder, normalised; ``None`` for one that is empty or leads elsewhere."""
        if _PLAIN.fullmatch(name) and not {"", ".", ".."} & set(name.split("/")):
            return name
        path = PurePosixPath(name.replace("\\", "/"))
        if os.name == "posix" and name.startswith("/") and "\\" in name:  # a backslash may be part of a name here
            path = PurePosixPath(name)
        absolute = Path(name)
        if absolute.is_absolute():
            candidates = (absolute, absolute.parent.resolve() / absolute.name)
            below = next(
                (c.relative_to(root) for c in candidates for root in self._roots if c.is_relative_to(root)), None
            )
            path = PurePosixPath("") if below is None else PurePosixPath(below.as_posix())
        if not path.parts or path.is_absolute() or PureWindowsPath(path).drive or ".." in path.parts:
            return None
        return str(path)

    def _spellings(self, image: str) -> set[str]:
        """The files of that name: the one that is spelled alike, else those in another Unicode form."""
        path = f"{self._prefix}{image}"
        if os.path.lexists(path):
            return set() if os.path.isdir(path) else {image}  # noqa: PTH112 - of 100,000 films, paths as texts
        return set() if image.isascii() else set(self._index().get(_folded(image), ()))

    def _other_case(self, image: str) -> str | None:
        wanted = image.casefold()
        return next((path for paths in self._index().values() for path in paths if path.casefold() == wanted), None)

    def _index(self) -> dict[str, set[str]]:
        if self._listed is None:
            self._listed = {}
            for found in walk(str(self._folder), look=False):
                path = Path(found.path).relative_to(self._folder).as_posix()
                self._listed.setdefault(_folded(path), set()).add(path)
        return self._listed


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name)
