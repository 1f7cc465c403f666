"""Films whose label the folds doubt, as a page to look at and a table to correct and train on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pneumocli.core.errors import shell_word
from pneumocli.core.files import write_csv, write_text
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import CLASS_NAMES, ClassName
from pneumocli.data.film import UnreadableFilm
from pneumocli.data.images import read_film
from pneumocli.data.manifest import Manifest
from pneumocli.data.thumbnails import plain_picture
from pneumocli.metrics.records import OutOfFoldFilm
from pneumocli.metrics.suspect_labels import suspects
from pneumocli.reporting.html import render
from pneumocli.verification.duplicates import Fingerprint, find_duplicates, fingerprint

PAGE_NAME, TABLE_NAME = "suspect-labels.html", "suspect-labels.csv"

_COLUMNS = ("image", "label", "patient", "suggestion", "probability", "rank", "reason")
_SHOWN = 60

_BY_DUPLICATE = "the same picture, or nearly, is labelled {other}, too: {images}"
_MOST_NAMED = 3  # copies: a film of a few grey values looks like many
_BY_FOLDS = "labelled {label}; the fold that held it out gives probability of pneumonia {probability:.1%}"


@dataclass(frozen=True, slots=True)
class SuspectLabel:
    """A film whose label is doubted.

    Attributes:
        film: With its out-of-fold score.
        rank: From 1, the most doubtful first.
        suggestion: The class to look for; empty where nothing but a duplicate with the other label speaks for one.
        reason: Why the label is doubted.
    """

    film: OutOfFoldFilm
    rank: int
    suggestion: ClassName | None
    reason: str


def write_suspect_labels(folder: Path, films: Sequence[OutOfFoldFilm], manifest: Manifest) -> tuple[SuspectLabel, ...]:
    """Writes ``suspect-labels.html`` and ``suspect-labels.csv``.

    The table begins with the doubted films and goes on with all others, so that it serves as ``--manifest`` once labels
    in it are corrected.

    Args:
        folder: Where to.
        films: Every training film with its out-of-fold score.
        manifest: The same films; a file that can no longer be read has no duplicates and no picture.

    Returns:
        The doubted films: duplicates with two labels first, then by rising probability of the given label.
    """
    twins = _contradicting_duplicates(films, manifest)
    found = _ranked(films, twins)
    write_csv(folder / TABLE_NAME, _COLUMNS, [*map(_row, found), *_other_rows(films, found)])
    shown = [item.film.image for item in found[:_SHOWN]]
    names = {*shown, *(twins[image][0] for image in shown if image in twins)}
    sources = dict(ordered_map(lambda name: (name, plain_picture(manifest.folder / name)), sorted(names)))
    page = render(
        "suspect_labels.html.j2",
        title="Suspect labels",
        num_films=len(films),
        counts=[sum(item.film.label == name for item in found) for name in CLASS_NAMES],
        class_names=CLASS_NAMES,
        suspects=found,
        shown=_SHOWN,
        sources=sources,
        twins=twins,
        table=TABLE_NAME,
        given=f"--data {shell_word(manifest.folder)} --manifest {shell_word(folder / TABLE_NAME)}",
    )
    write_text(folder / PAGE_NAME, page)
    return found


def _ranked(films: Sequence[OutOfFoldFilm], duplicates: dict[str, list[str]]) -> tuple[SuspectLabel, ...]:
    """Suspects in order.

    Args:
        films: All films.
        duplicates: By image: films of the other label that show the same picture.
    """
    labels = np.array([CLASS_NAMES.index(film.label) for film in films], np.int64)
    probabilities = np.array([film.probability for film in films])
    doubted = suspects(labels, probabilities).tolist()
    own = np.where(labels == 1, probabilities, 1 - probabilities)
    twice = [place for place in np.argsort(own, kind="stable").tolist() if films[place].image in duplicates]
    order = [*twice, *(place for place in doubted if films[place].image not in duplicates)]
    found = []
    for rank, place in enumerate(order, 1):
        film = films[place]
        other: ClassName = CLASS_NAMES[1 - CLASS_NAMES.index(film.label)]
        reasons = []
        if film.image in duplicates:
            reasons.append(_BY_DUPLICATE.format(other=other, images=_some(duplicates[film.image])))
        if place in doubted:
            reasons.append(_BY_FOLDS.format(label=film.label, probability=film.probability))
        found.append(SuspectLabel(film, rank, other if place in doubted else None, "; ".join(reasons)))
    return tuple(found)


def _some(images: Sequence[str]) -> str:
    left = len(images) - _MOST_NAMED
    return ", ".join(images[:_MOST_NAMED]) + (f" and {left} more" if left > 0 else "")


def _contradicting_duplicates(films: Sequence[OutOfFoldFilm], manifest: Manifest) -> dict[str, list[str]]:
    scored = {film.image for film in films}
    rows = [row for row in manifest.rows if row.image in scored]
    prints = list(ordered_map(lambda row: _fingerprint(manifest.path(row)), rows))
    readable = [(row, found) for row, found in zip(rows, prints, strict=True) if found is not None]
    labels = {row.image: row.label for row in rows}
    groups = find_duplicates([row for row, _ in readable], [found for _, found in readable])
    others: dict[str, list[str]] = {}
    for group in groups:
        if group.across_classes:
            for image in group.images:
                against = [name for name in group.images if labels[name] != labels[image]]
                others[image] = sorted({*others.get(image, []), *against})
    return others


def _fingerprint(path: Path) -> Fingerprint | None:
    try:
        content = path.read_bytes()
        return fingerprint(hashlib.sha256(content).digest(), read_film(content).pixels)
    except (OSError, UnreadableFilm):
        return None


def _row(item: SuspectLabel) -> dict[str, object]:
    return _plain_row(item.film) | {"suggestion": item.suggestion, "rank": item.rank, "reason": item.reason}


def _other_rows(films: Sequence[OutOfFoldFilm], found: Sequence[SuspectLabel]) -> list[dict[str, object]]:
    named = {item.film.image for item in found}
    return [_plain_row(film) for film in films if film.image not in named]


def _plain_row(film: OutOfFoldFilm) -> dict[str, object]:
    return {"image": film.image, "label": film.label, "patient": film.patient, "probability": film.probability}
