"""The Kaggle release's list of films, and what else is known of the releases.

The list holds the names of all 5,856 films of "Chest X-Ray Images (Pneumonia)" on Kaggle, a re-split of Kermany et
al. 2018, version 2, doi:10.17632/rscbjbr9sj, CC BY 4.0.
"""

import csv
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import PurePosixPath

from pneumocli.core.records import ClassName, Split


@cache
def kaggle_films() -> frozenset[tuple[Split, ClassName, str]]:
    """Split, class and file name of every film of the Kaggle release."""
    text = resources.files("pneumocli.data").joinpath("kaggle_release.csv").read_text(encoding="utf-8")
    return frozenset((row["split"], row["class"], row["filename"]) for row in csv.DictReader(text.splitlines()))  # type: ignore[misc]


@cache
def mendeley_films() -> frozenset[tuple[Split, ClassName, str]]:
    """The same films as Mendeley's version 2 has them: the 16 of ``val`` stand in ``train``."""
    return frozenset(("train" if split == "val" else split, name, file) for split, name, file in kaggle_films())


LEAST_SHARE = 0.5
"""Of the films, so many must have names of the release for it to be one.

A hospital that uses the release's naming scheme for its own films meets some of its 5,856 names by chance.
"""


@cache
def _stems() -> frozenset[str]:
    return frozenset(stem_of(file) for _, _, file in kaggle_films())


def stem_of(file: str) -> str:
    """A film's name without its folders, ending and case: the same for a copy that was converted to PNG."""
    return PurePosixPath(file).stem.casefold()


def released_stems(films: Iterable[tuple[str, int]]) -> set[str]:
    """The films of the release among some, each once, by their stems.

    Args:
        films: File names with the label, 0 or 1. A name like ``IM-0115-0001`` counts for a normal film alone: OsiriX
            and Horos give it to any patient's.
    """
    found = ((stem_of(file), label) for file, label in films)
    return {stem for stem, label in found if stem in _stems() and (label == 0 or not stem.startswith("im-"))}


def counts(films: frozenset[tuple[Split, ClassName, str]]) -> dict[tuple[Split, ClassName], int]:
    """Films by split and class."""
    return dict(Counter((split, name) for split, name, _ in films))


KNOWN_FIGURES = {
    "5,863": "Kaggle's page gives 5,863 films: wrong by 7",
    "5,857": "the assignment's 5,857 films are 5,856 and one .DS_Store counted as a film",
    "5,217": "the assignment's 5,217 training films are 5,216 and one .DS_Store counted as a film",
    "1,342": "1,342 in train/NORMAL is 1,341 and one .DS_Store",
    "3,876": "3,876 in train/PNEUMONIA is 3,875 and one .DS_Store",
    "1,349": "1,349 in train/NORMAL is the Mendeley release; the Kaggle release has 1,341 there and 8 in val",
}
"""Counts that can be read elsewhere, and where each comes from. The Kaggle release has 5,216 + 16 + 624 = 5,856."""

KNOWN_FIGURES_IN_SHORT = (
    "the Kaggle release has 5,216 + 16 + 624 = 5,856 films. Of other counts, 5,857 and 5,217 (the assignment), 1,342 "
    "and 3,876 include a .DS_Store; 1,349 in train/NORMAL is Mendeley's; 5,863 (Kaggle's page) is wrong by 7"
)
"""The same in one sentence."""
