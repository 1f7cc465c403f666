"""Where films lie in a data folder: which split and class its folders stand for, and what in it is not used."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal

from pneumocli.core.errors import DataError, first_few, shell_word
from pneumocli.core.records import CLASS_NAMES, SPLITS, Split
from pneumocli.data.film_files import Found, walk

LAYOUT = "train|val|test / NORMAL|PNEUMONIA"

SPLIT_WORDS: dict[str, Split] = {
    **{name: name for name in SPLITS},
    **{"training": "train", "validation": "val", "valid": "val", "testing": "test"},
}
"""What a split may be called, in lower case."""

_CLASS_WORDS: dict[str, Literal[0, 1]] = {"normal": 0, "normals": 0, "pneumonia": 1, "pneumonias": 1}

PHANTOM_MARK = "PHANTOMS.txt"
"""Marks a folder of phantoms."""

# Written by ``pneumo download``: not worth a word.
_OWN_FILES = frozenset({"SOURCE.json", PHANTOM_MARK})

_SECOND_COPY = "chest_xray"  # what unpacking the Kaggle zip by hand leaves beside the splits


@dataclass(frozen=True, slots=True)
class Placed:
    """A film in its place.

    Attributes:
        image: Path relative to the data folder, with forward slashes.
        split: The split it belongs to.
        label: 0 for NORMAL, 1 for PNEUMONIA.
        below: The folders between that of its class and the film.
    """

    image: str
    split: Split
    label: Literal[0, 1]
    below: tuple[str, ...] = ()


@dataclass(slots=True)
class Survey:
    """What a data folder holds.

    Attributes:
        folder: The data folder.
        is_flat: Whether it holds the classes without splits, a test set, or with the splits inside (``NORMAL/test``).
        films: Those in the layout.
        unused: Films that are not, and pictures in formats that are not read, each with the reason.
        system: What systems and programs keep for themselves, files and folders, each with what it is.
        others: Files that are no films, each with what it is.
        unopened: Folders that cannot be opened, each with the reason.
    """

    folder: Path
    is_flat: bool = False
    films: list[Placed] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)
    system: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    unopened: dict[str, str] = field(default_factory=dict)

    def cell_of(self, path: str) -> tuple[Split, int] | None:
        """The split and class whose folder a path lies in; ``None`` outside of them."""
        place = _in_classes_alone(path) if self.is_flat else place_in_splits(path)
        return None if place is None else (place.split, place.label)


def survey(folder: Path) -> Survey:
    """Walks a data folder and sorts what it holds.

    Splits and classes are recognised whatever the case of their folders, in the plural and by the usual longer words
    (``Training/Normals``), and with the splits inside the classes (``normal/train``).

    Raises:
        DataError: There is no such folder; two of its folders stand for the same split and class; or it is itself the
            train or val folder of a set.
    """
    check_folder(folder)
    found = Survey(folder)
    flat: list[Placed] = []
    for item in walk(str(folder)):
        _sort_in(found, flat, item)
    if flat and not found.films:
        found.is_flat, found.films = True, flat
        _refuse_single_split(folder)
    else:
        found.unused |= {film.image: "in no folder of a split" for film in flat}
    _refuse_two_folders_of_a_kind(found)
    _sort_out_second_copy(found)
    return found


def check_folder(folder: Path) -> None:
    """Refuses a data folder that is not there.

    Raises:
        DataError: There is no such folder.
    """
    if not folder.is_dir():
        raise DataError(
            f"no data folder at {folder}",
            f"pneumo download --data {shell_word(folder)} gets the set; --source phantom makes a synthetic one",
        )


def _sort_in(found: Survey, flat: list[Placed], item: Found) -> None:
    path = PurePath(os.path.relpath(item.path, found.folder)).as_posix()
    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if item.kind == "unopened":
        found.unopened[shown] = item.reason
    elif item.kind == "system":
        found.system[shown + ("/" if Path(item.path).is_dir() else "")] = item.reason
    elif item.kind == "file":
        if path not in _OWN_FILES:
            found.others[shown] = item.reason
    elif item.kind == "picture":
        found.unused[shown] = item.reason
    elif shown != path:
        found.unused[shown] = "its name is no UTF-8 text: rename it"
    elif (place := place_in_splits(path)) is not None:
        found.films.append(place)
    elif (place := _in_classes_alone(path)) is not None:
        flat.append(place)
    else:
        found.unused[path] = "in no folder of a class"


def place_in_splits(path: str) -> Placed | None:
    """The place of a film in ``SPLIT/CLASS/...``, whatever the spelling; ``None`` for a path that is none."""
    split_name, _, rest = path.partition("/")
    split, inner = SPLIT_WORDS.get(split_name.strip().lower()), _in_classes(rest)
    return None if split is None or inner is None else Placed(path, split, inner.label, inner.below)


def _in_classes(path: str) -> Placed | None:
    """The place of a film in ``CLASS/...``, which is a test set."""
    name, *below = path.split("/")
    label = _CLASS_WORDS.get(name.strip().lower())
    return None if label is None or not below else Placed(path, "test", label, tuple(below[:-1]))


def _in_classes_alone(path: str) -> Placed | None:
    """The place of a film in ``CLASS/...`` of a set whose splits, if it has any, are folders of the classes."""
    place = _in_classes(path)
    if place is None or not place.below:
        return place
    split = SPLIT_WORDS.get(place.below[0].strip().lower())
    return place if split is None else Placed(path, split, place.label, place.below[1:])


def _refuse_single_split(folder: Path) -> None:
    name = folder.resolve().name
    split = SPLIT_WORDS.get(name.lower())
    if split in ("train", "val"):
        parent = folder.resolve().parent if folder.name in ("", "..") else folder.parent
        raise DataError(
            f"{folder} is the {split} folder of a set, expected the folder that holds it ({LAYOUT})",
            f"name {shell_word(parent)} instead",
        )


def _refuse_two_folders_of_a_kind(found: Survey) -> None:
    depth = 1 if found.is_flat else 2
    names: dict[tuple[Split, int], set[str]] = {}
    for film in found.films:
        names.setdefault((film.split, film.label), set()).add("/".join(film.image.split("/")[:depth]))
    for (split, label), folders in names.items():
        if len(folders) > 1:
            raise DataError(
                f"{found.folder} holds several folders for {CLASS_NAMES[label]} in {split}: "
                f"{first_few(sorted(folders))}; expected one",
                "merge them, or move all but one out of the data folder",
            )


def _sort_out_second_copy(found: Survey) -> None:
    """Recognises the set a second time, as in the Kaggle zip: the same names in the same places, of the same sizes."""
    if not (found.folder / _SECOND_COPY).is_dir() or SPLIT_WORDS.get(_SECOND_COPY):
        return
    places = {film.image for film in found.films}
    inside = [path for path in found.unused if path.startswith(f"{_SECOND_COPY}/")]
    copies = [path for path in inside if _twin(found.folder, path, places)]
    if len(copies) == len(inside):
        for path in copies:
            del found.unused[path]
        found.others[f"{_SECOND_COPY}/"] = "the set a second time, as in the zip"


def _twin(folder: Path, path: str, places: set[str]) -> bool:
    original = path
    while original.startswith(f"{_SECOND_COPY}/"):
        original = original.removeprefix(f"{_SECOND_COPY}/")
    try:
        return original in places and (folder / path).stat().st_size == (folder / original).stat().st_size
    except OSError:
        return False


def refuse_without_films(found: Survey) -> None:
    """Refuses a folder that holds no films in the layout.

    Raises:
        DataError: There are none. The hint offers a download for an empty folder alone: any other is somebody's own.
    """
    if found.films:
        return
    folder = found.folder
    inner = {path.split("/")[0] for path in found.unused if place_in_splits(path.partition("/")[2]) is not None}
    if len(inner) == 1:
        set_folder = folder / inner.pop()
        raise DataError(f"{folder} holds no films, but {set_folder} looks like the set", f"name {set_folder} instead")
    if found.unopened:
        raise DataError(f"no films in {folder}: {first_few([f'{p}: {why}' for p, why in found.unopened.items()])}")
    if not (found.unused or found.others):
        raise DataError(
            f"no films in {folder}: expected {LAYOUT}, found an empty folder",
            f"pneumo download --data {shell_word(folder)} gets the set",
        )
    tables = [path for path in found.others if path.lower().endswith((".csv", ".tsv")) and "/" not in path]
    table = shell_word(folder / tables[0]) if tables else "FILE.csv"
    raise DataError(
        f"no films in {folder}: expected {LAYOUT}, found {_listing(folder)}{_counted(found.unused)}",
        f"move the films into that layout, or list them in a table: --manifest {table} (image,label[,patient][,split])",
    )


def _listing(folder: Path) -> str:
    return first_few(sorted(item.name for item in folder.iterdir()), most=4)


def _counted(unused: Iterable[str]) -> str:
    number = len(list(unused))
    return f" ({number:,} film{'' if number == 1 else 's'} elsewhere)" if number else ""


def by_folder(paths: Iterable[str]) -> str:
    """Counts files by the two topmost folders: ``train/COVID19 (120), extra (3)``."""
    counts = Counter("/".join(path.split("/")[:-1][:2]) or "." for path in paths)
    return first_few([f"{folder} ({count:,})" for folder, count in counts.most_common()])
