"""What a data folder holds: which release, whether it is whole, and whether anything else lies in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pneumocli.errors import DataError, PneumoError
from pneumocli.files import read_record
from pneumocli.records import ClassName, DataSource, Release, Split

SOURCE_FILE = "SOURCE.json"
"""In a downloaded data folder: where it came from."""

Counts = dict[Split, dict[ClassName, int]]

_PARTS = frozenset(
    {"train", "val", "test", "second-copy", SOURCE_FILE, "PHANTOMS.txt", "__MACOSX", ".DS_Store", "chest_xray"}
)


@dataclass(frozen=True, slots=True)
class Holding:
    """A whole set in a folder.

    Attributes:
        source: What ``--source`` it came from, or the name of the zip that was given; empty where nobody noted it.
        release: What the film names tell.
        counts: Films on disk by split and class.
        num_patients: Different patients.
    """

    source: str
    release: Release
    counts: Counts
    num_patients: int

    @property
    def words(self) -> str:
        """For people: ``the Kaggle release, 5,856 films``."""
        num_films = sum(count for by_class in self.counts.values() for count in by_class.values())
        names: dict[Release, str] = {
            "kaggle": "the Kaggle release",
            "mendeley": "the Mendeley release",
            "subset": "a part of the release",
            "phantom": "phantoms",
            "unrecognised": "an unrecognised set",
        }
        return f"{names[self.release]}, {num_films:,} films"

    def answers(self, source: str) -> bool:
        """Whether this is what ``--source`` would give."""
        return source in (self.source, self.release)


def holding_at(folder: Path) -> Holding | None:
    """The whole set in a folder.

    Returns:
        ``None`` where there is no set, or only a part: neither the films that :data:`SOURCE_FILE` counts nor those of
        a release.
    """
    from pneumocli.data.manifest import scan

    try:
        manifest = scan(folder)
    except DataError:
        return None
    counts = _counts(row.image for row in manifest.rows)
    try:
        source = read_record(folder / SOURCE_FILE, DataSource)
    except PneumoError:
        release = recognise(row.image for row in manifest.rows).release
        if release not in ("kaggle", "mendeley"):
            return None
        return Holding("", release, counts, manifest.num_patients)
    if counts != source.counts:
        return None
    return Holding(source.source, source.release, counts, manifest.num_patients)


def counts_of(folder: Path) -> Counts:
    """Films on disk by split and class; empty where there are none."""
    from pneumocli.data.manifest import scan

    try:
        return _counts(row.image for row in scan(folder).rows)
    except DataError:
        return {}


def _counts(images: Iterable[str]) -> Counts:
    counts: Counts = {}
    for split, name, _ in map(_parts_of, images):
        counts.setdefault(split, {"NORMAL": 0, "PNEUMONIA": 0})[name] += 1
    order: tuple[Split, ...] = ("train", "val", "test")
    return {split: counts[split] for split in order if split in counts}


def _parts_of(image: str) -> tuple[Split, ClassName, str]:
    split, name, file = image.split("/", 2)
    return split, name, file  # type: ignore[return-value] # the layout's folders, see manifest.scan


@dataclass(frozen=True, slots=True)
class Recognised:
    """What the names of films tell.

    Attributes:
        release: Which release they are.
        num_missing: Films of the release that are not among them.
        num_moved: Films that stand in another split than in the release.
        num_unknown: Films whose names no release has.
    """

    release: Release
    num_missing: int = 0
    num_moved: int = 0
    num_unknown: int = 0


def recognise(images: Iterable[str]) -> Recognised:
    """Which release films are, by their names; both releases have the same films.

    Args:
        images: Paths relative to the data folder.
    """
    from pneumocli.data.official import kaggle_films, mendeley_films

    films = frozenset(_parts_of(image) for image in images)
    if films == kaggle_films():
        return Recognised("kaggle")
    if films == mendeley_films():
        return Recognised("mendeley")
    known = {(name, file) for _, name, file in kaggle_films()}
    found = {(name, file) for _, name, file in films}
    moved = min(len(films - kaggle_films()), len(films - mendeley_films()))
    unknown = len(found - known)
    release: Release = "unrecognised" if unknown else "subset"
    return Recognised(release, len(known - found), moved - unknown, unknown)


def surplus_in(folder: Path) -> str:
    """The name of something in a folder that is no part of a set; empty if there is nothing."""
    return next((item.name for item in sorted(folder.iterdir()) if item.name not in _PARTS), "")
