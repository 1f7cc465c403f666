"""What a data folder holds: which set, whether it is whole, and whether anything else lies in it."""

from dataclasses import dataclass
from pathlib import Path

from pneumocli.core.config import VerifyDataConfig
from pneumocli.core.errors import DataError, PneumoError
from pneumocli.core.files import read_record
from pneumocli.core.records import ClassName, Split
from pneumocli.release.records import DataSource
from pneumocli.verification.records import Verification

SOURCE_FILE = "SOURCE.json"
"""In a downloaded data folder: where it came from."""

_PARTS = frozenset(
    {"train", "val", "test", "second-copy", SOURCE_FILE, "PHANTOMS.txt", "__MACOSX", ".DS_Store", "chest_xray"}
)


@dataclass(frozen=True, slots=True)
class Holding:
    """A whole set in a folder.

    Attributes:
        source: What ``--source`` it came from, or the name of the zip that was given; empty where nobody noted it.
        check: The quick check of its names and counts.
        archive_sha256: Of the zip that it came from; ``None`` where none is known.
        seed: That phantoms were drawn from; ``None`` where it is not known.
    """

    source: str
    check: Verification
    archive_sha256: str | None = None
    seed: int | None = None

    def answers(self, source: str, seed: int) -> bool:
        """Whether this is what ``--source`` would give, for phantoms with this ``--seed``; 0 takes any."""
        if source == "phantom" and seed and self.seed not in (None, seed):
            return False
        return source == self.source or (self.check.complete and source == self.check.release)


def checked(folder: Path) -> Verification:
    """The quick check of ``verify-data``: names and counts.

    Raises:
        DataError: There is no folder, or it holds no films in the layout.
    """
    from pneumocli.verification.verify import verify_data

    return verify_data(VerifyDataConfig(data=folder, quick=True))


def holding_at(folder: Path) -> Holding | None:
    """The whole set in a folder.

    Returns:
        ``None`` where there is no set, or only a part: neither the films that :data:`SOURCE_FILE` counts nor those of
        a release.
    """
    try:
        check = checked(folder)
    except DataError:
        return None
    try:
        source = read_record(folder / SOURCE_FILE, DataSource)
    except PneumoError:
        return Holding("", check) if check.complete else None
    if source.counts != counts_of(check):
        return None
    return Holding(source.source, check, source.archive_sha256, source.seed)


def counts_of(check: Verification) -> dict[Split, dict[ClassName, int]]:
    """Films by split and class; a split without films is left out."""
    counts: dict[Split, dict[ClassName, int]] = {}
    for cell in check.cells:
        counts.setdefault(cell.split, {})[cell.label] = cell.num_images
    return {split: by_class for split, by_class in counts.items() if any(by_class.values())}


def surplus_in(folder: Path) -> str:
    """The name of something in a folder that is no part of a set; empty if there is nothing."""
    return next((item.name for item in sorted(folder.iterdir()) if item.name not in _PARTS), "")
