"""Recognises a release by the names of films, and lists every difference to it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from pneumocli.core.records import CLASS_NAMES, ClassName, ManifestRow, Split
from pneumocli.data.patients import names_identify, patient_of
from pneumocli.data.release_lists import LEAST_SHARE, kaggle_films, mendeley_films, released_stems, stem_of

ReleaseName = Literal["kaggle", "mendeley"]
_Place = tuple[Split, ClassName, str]

TITLES: dict[ReleaseName, str] = {"kaggle": "the Kaggle release", "mendeley": "the Mendeley release (version 2)"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Films against a release.

    Attributes:
        release: The one that they resemble most.
        known: Different films of the release among them, wherever they stand.
        missing: Places in the release of films that are not there.
        extra: Images that the release does not have, second copies included.
        moved: Images that the release has in another split, with their place there.
        mislabelled: Images that the release has in the other class, with their place there.
    """

    release: ReleaseName
    known: int
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    moved: dict[str, str] = field(default_factory=dict)
    mislabelled: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether the films are the release, no more and no less."""
        return not (self.missing or self.extra or self.moved or self.mislabelled)

    @property
    def _surprises(self) -> int:
        return len(self.extra) + len(self.moved) + len(self.mislabelled)


def recognise(rows: Iterable[ManifestRow]) -> Comparison | None:
    """Compares films with the releases and takes the one with the fewest differences.

    Names are compared without their ending and case, so that a copy converted to PNG is recognised.

    Returns:
        ``None`` if fewer than half of the films have names of the release.
    """
    listed = tuple(rows)
    against: tuple[tuple[ReleaseName, frozenset[_Place]], ...] = (
        ("kaggle", kaggle_films()),
        ("mendeley", mendeley_films()),
    )
    found = min(
        (_compare(name, films, listed) for name, films in against),
        key=lambda comparison: (comparison._surprises, len(comparison.missing)),
    )
    return found if found.known >= LEAST_SHARE * len(listed) else None


def _compare(release: ReleaseName, films: frozenset[_Place], rows: tuple[ManifestRow, ...]) -> Comparison:
    places = {stem_of(file): (split, name, file) for split, name, file in films}
    homeless: list[tuple[ManifestRow, _Place]] = []
    taken: set[str] = set()
    extra: list[str] = []
    known = len(released_stems((row.image, row.label) for row in rows))
    for row in rows:
        stem = stem_of(row.image)
        place = places.get(stem)
        if place is None:
            extra.append(row.image)
            continue
        if (row.split, CLASS_NAMES[row.label]) == place[:2] and stem not in taken:
            taken.add(stem)
        else:
            homeless.append((row, place))
    moved: dict[str, str] = {}
    mislabelled: dict[str, str] = {}
    for row, place in homeless:
        stem = stem_of(row.image)
        if stem in taken:  # the film stands in its place: this is a second one
            extra.append(row.image)
            continue
        taken.add(stem)
        (moved if CLASS_NAMES[row.label] == place[1] else mislabelled)[row.image] = "/".join(place)
    missing = sorted("/".join(place) for stem, place in places.items() if stem not in taken)
    return Comparison(release, known, tuple(missing), tuple(sorted(extra)), moved, mislabelled)


def mislabelled_by_name(rows: Iterable[ManifestRow], *, drawn: bool = False) -> dict[str, str]:
    """Finds films whose name stands for another class than their label.

    Args:
        rows: The films; names stand for nothing where they are not those of a release.
        drawn: Whether they are phantoms, which are named as the release is.

    Returns:
        The class of the name, by image.
    """
    listed = tuple(rows)
    found: dict[str, str] = {}
    if not names_identify(((PurePosixPath(row.image).name, row.label) for row in listed), drawn=drawn):
        return found
    for row in listed:
        named = patient_of(PurePosixPath(row.image).name)
        if named is not None and (named[1] != "normal") != bool(row.label):
            found[row.image] = CLASS_NAMES[named[1] != "normal"]
    return found
