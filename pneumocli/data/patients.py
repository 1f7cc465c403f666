"""Patients: who is shown in a film."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from pneumocli.core.events import Remark
from pneumocli.core.records import CLASS_NAMES, Kind
from pneumocli.data.layout import Placed
from pneumocli.data.release_lists import LEAST_SHARE, released_stems

FOLDER_KEY = "folder:"
"""What the key of a patient begins with whose films lie in a folder of their own."""

_LEAST_SHARE_VERSION_3 = 0.9

_LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")

_MOST_FILMS = 50
"""Films in a folder, above which it is no patient's: the release's most-filmed child has 30."""

_FEWEST_FOLDERS = 3

_MOST_IN_BOTH_CLASSES = 0.5
"""Share of the folders' names in both classes, above which patients are numbered anew in each class."""

_KINDS: dict[str, Kind] = {"normal": "normal", "bacteria": "bacteria", "virus": "virus"}

# The release's names. ``person<N>`` is numbered separately for bacteria and viruses: person1_bacteria and
# person1_virus are two children. person447_virus_921_1.jpeg has a number too many.
_PNEUMONIA_NAME = re.compile(r"person(\d+)_(bacteria|virus)_\d+(_\d+)?\.", re.IGNORECASE)
_NORMAL_NAME = re.compile(r"((?:NORMAL2-)?IM-\d+)-\d+(-\d+)?\.", re.IGNORECASE)

# Version 3 on Mendeley Data has the same films under other names, NORMAL-1049278-0001.jpeg.
_VERSION_3_NAME = re.compile(r"(normal|bacteria|virus)-(\d+)-\d+\.", re.IGNORECASE)


def patient_of(name: str) -> tuple[str, Kind] | None:
    """The patient's key and the kind in a file name of the release; ``None`` for other names.

    >>> patient_of("person12_virus_34.jpeg")
    ('virus:12', 'virus')
    >>> patient_of("NORMAL2-IM-0246-0001-0002.jpeg")
    ('normal:NORMAL2-IM-0246', 'normal')
    """
    if match := _PNEUMONIA_NAME.match(name):
        kind: Kind = "bacteria" if match[2].lower() == "bacteria" else "virus"
        return f"{kind}:{int(match[1])}", kind
    if match := _NORMAL_NAME.match(name):
        return f"normal:{match[1].upper()}", "normal"
    if match := _VERSION_3_NAME.match(name):
        kind = _KINDS[match[1].lower()]
        return f"{kind}:{match[1].upper()}-{match[2]}", kind
    return None


def names_identify(films: Iterable[tuple[str, int]], *, drawn: bool = False) -> bool:
    """Whether file names follow the release's scheme, so that :func:`patient_of` may be believed.

    OsiriX and Horos number every patient's films anew, ``IM-0001-0001``, as the release numbers its normal patients:
    the pattern proves nothing. So half of the films must have names that the release has, each a different one, or
    nearly all those of its version 3.

    Args:
        films: File names with the label, 0 or 1.
        drawn: Whether the films are phantoms, which are named so.
    """
    listed = list(films)
    if drawn or not listed:
        return drawn
    if len(released_stems(listed)) >= LEAST_SHARE * len(listed):
        return True
    third = sum(_is_version_3(name, label) for name, label in listed)
    return third >= _LEAST_SHARE_VERSION_3 * len(listed)


def _is_version_3(name: str, label: int) -> bool:
    match = _VERSION_3_NAME.match(name)
    return match is not None and len(match[2]) >= 5 and (match[1].lower() != "normal") == bool(label)


def identify(
    films: Sequence[Placed], *, drawn: bool = False, given: Sequence[str] = ()
) -> tuple[list[tuple[str, Kind]], list[Remark]]:
    """Finds out whom films show: by the release's names, else by folders per patient, else each by itself.

    Args:
        films: The films of a data folder.
        drawn: Whether they are phantoms.
        given: The patient of each film where a table knows him, empty where it does not; nothing for no table.

    Returns:
        For each film the patient's key and the kind; and what the user should know of it.
    """
    names = [(PurePosixPath(film.image).name, film.label) for film in films]
    remarks: list[Remark] = []
    if names_identify(names, drawn=drawn):
        found = [patient_of(name) or _unknown(film) for film, (name, _) in zip(films, names, strict=True)]
    else:
        folders, remarks = _by_folder(films)
        found = [
            (folder, _unknown(film)[1]) if folder else _unknown(film)
            for film, folder in zip(films, folders, strict=True)
        ]
    if given:
        found = [(own or patient, kind) for own, (patient, kind) in zip(given, found, strict=True)]
    return found, remarks + _unidentified(films, found)


def _unknown(film: Placed) -> tuple[str, Kind]:
    return f"film:{film.image}", "normal" if film.label == 0 else "unknown"


def _unidentified(films: Sequence[Placed], found: Sequence[tuple[str, Kind]]) -> list[Remark]:
    number = sum(patient == f"film:{film.image}" for film, (patient, _) in zip(films, found, strict=True))
    return [unidentified(number, len(films))] if number else []


def unidentified(number: int, total: int) -> Remark:
    """The warning of films whose patient is not known."""
    text = (
        f"{number:,} of {total:,} file names do not identify the patient: each such film counts as a patient of its "
        "own; where a patient has several, both sides of a split may show the same one, and intervals are too narrow"
    )
    return Remark(text, "warning")


def like_patients(patients: Iterable[str]) -> Remark | None:
    """The warning of patients whose names differ in leading zeros or in case alone: they may be one."""
    spellings: dict[str, set[str]] = {}
    for patient in set(patients):
        spellings.setdefault(_LEADING_ZEROS.sub("", patient).casefold(), set()).add(patient)
    alike = sorted(sorted(keys) for keys in spellings.values() if len(keys) > 1)
    if not alike:
        return None
    more = f", and so do those of {len(alike) - 1:,} more" if len(alike) > 1 else ""
    text = f"the patients {' and '.join(map(repr, alike[0]))} differ in leading zeros or in case alone{more}"
    return Remark(f"{text}: they count as different ones, write each in one way", "warning")


def _by_folder(films: Sequence[Placed]) -> tuple[list[str], list[Remark]]:
    """Keys by folders per patient, empty for films that lie in none."""
    depth = _patient_depth(films)
    if depth is None:
        return [""] * len(films), []
    names = [
        unicodedata.normalize("NFC", "/".join(film.below[:depth])) if len(film.below) >= depth else "" for film in films
    ]
    per_class = [{name for name, film in zip(names, films, strict=True) if name and film.label == k} for k in (0, 1)]
    shared = per_class[0] & per_class[1]
    anew = len(shared) > _MOST_IN_BOTH_CLASSES * min(map(len, per_class))
    keys = [
        (f"{FOLDER_KEY}{CLASS_NAMES[film.label]}/{name}" if anew else f"{FOLDER_KEY}{name}") if name else ""
        for name, film in zip(names, films, strict=True)
    ]
    number = len(set(keys) - {""})
    example = next(film for film, name in zip(films, names, strict=True) if name)
    place = "/".join(example.image.split("/")[: depth - len(example.below) - 1])
    remarks = [Remark(f"each folder below a class counts as a patient, such as {place}: {number:,} patients")]
    like = like_patients(filter(None, names))
    if like is not None:
        remarks.append(like)
    if anew:
        remarks.append(
            Remark(
                f"{len(shared):,} names of patients' folders stand in both classes and count as different patients: if "
                "they are the same, give them in a table (--manifest, column patient)",
                "warning",
            )
        )
    return keys, remarks


def _patient_depth(films: Sequence[Placed]) -> int | None:
    """How deep below the class the patients' folders lie; ``None`` where there are none.

    The first level with several folders of which none holds more films than a patient has: one level too high holds
    a patient together all the same, one too deep would not. Folders of a single film each hold nothing together.
    """
    for depth in range(1, max((len(film.below) for film in films), default=0) + 1):
        inside = [film for film in films if len(film.below) >= depth]
        sizes = Counter((film.label, film.split, film.below[:depth]) for film in inside)
        together = Counter((film.label, film.below[:depth]) for film in inside)
        if len(sizes) >= _FEWEST_FOLDERS and max(sizes.values()) <= _MOST_FILMS and max(together.values()) > 1:
            return depth
    return None
