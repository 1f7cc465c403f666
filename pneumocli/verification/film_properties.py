"""Properties of films as files and as pictures, film by film and by split and class."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pneumocli.core.events import Listener, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import CLASS_NAMES, SPLITS, ManifestRow
from pneumocli.data.acquisition import Acquisition, read_acquisition
from pneumocli.data.film import FilmWarning
from pneumocli.data.film_files import film_content
from pneumocli.data.formats import format_of_name
from pneumocli.data.images import UnreadableFilm, read_film
from pneumocli.data.manifest import Manifest
from pneumocli.data.polarity import warnings_of
from pneumocli.shift.shortcut import PROPERTIES
from pneumocli.verification.duplicates import Fingerprint, fingerprint
from pneumocli.verification.records import Properties, Spread

SPREAD = ("width", "height", "aspect", "brightness", "contrast", "sharpness", "num_bytes")
"""The properties whose distribution is shown."""


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """What is kept of a film once it was decoded; about a kilobyte, so that memory stays flat.

    Attributes:
        row: The film.
        made: How it was made.
        coloured: Whether it holds true colour.
        warnings: What is odd about it.
        identity: What distinguishes it from other films.
    """

    row: ManifestRow
    made: Acquisition
    coloured: bool
    warnings: tuple[FilmWarning, ...]
    identity: Fingerprint

    @property
    def format_of_name(self) -> str:
        """The format that the ending of the file's name promises; that of the content where the ending is none."""
        return format_of_name(self.row.image) or self.made.format


@dataclass(frozen=True, slots=True)
class Examined:
    """All films of a manifest, decoded.

    Attributes:
        films: Those that could be read, in the manifest's order.
        unreadable: Why the others could not, by image.
    """

    films: tuple[FilmFacts, ...]
    unreadable: dict[str, str]


def examine(manifest: Manifest, listener: Listener) -> Examined:
    """Decodes every film once, on all cores."""
    task = "decoding films"
    listener(TaskStarted(task, len(manifest)))
    films: list[FilmFacts] = []
    unreadable: dict[str, str] = {}
    facts = ordered_map(lambda row: _facts_or_reason(manifest.path(row), row), manifest.rows)
    for done, (row, found) in enumerate(zip(manifest.rows, facts, strict=True), start=1):
        if isinstance(found, str):
            unreadable[row.image] = found
        else:
            films.append(found)
        listener(TaskAdvanced(task, done))
    listener(TaskFinished(task))
    return Examined(tuple(films), unreadable)


def _facts_or_reason(path: Path, row: ManifestRow) -> FilmFacts | str:
    try:
        return _facts(film_content(path), row)
    except UnreadableFilm as error:
        return error.reason


def _facts(content: bytes, row: ManifestRow) -> FilmFacts:
    film = read_film(content)
    identity = fingerprint(hashlib.sha256(content).digest(), film.pixels)
    return FilmFacts(row, read_acquisition(content, film), film.coloured, warnings_of(film), identity)


def properties_of(films: Sequence[FilmFacts]) -> Iterator[Properties]:
    """Statistics of each split and class that has films."""
    for split in SPLITS:
        for label, name in enumerate(CLASS_NAMES):
            chosen = [film for film in films if film.row.split == split and film.row.label == label]
            if not chosen:
                continue
            made = [film.made for film in chosen]
            spreads = {key: _spread(map(PROPERTIES[key], made)) for key in SPREAD}
            yield Properties(
                split=split,
                label=name,
                num_images=len(chosen),
                **spreads,
                modes=dict(Counter(film.mode for film in made)),
                formats=dict(Counter(film.format for film in made)),
                num_coloured=sum(film.coloured for film in chosen),
                num_sides_of_eight=sum(film.sides_of_eight for film in made),
            )


def _spread(values: Iterable[float]) -> Spread:
    numbers = np.fromiter(values, np.float64)
    return Spread(
        least=float(numbers.min()),
        median=float(np.median(numbers)),
        mean=float(numbers.mean()),
        most=float(numbers.max()),
    )
