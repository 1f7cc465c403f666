"""Properties of films as files and as pictures, and whether these alone predict the label."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pneumocli.core.events import Listener, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import CLASS_NAMES, SPLITS, ManifestRow, Split
from pneumocli.data.film_files import why_unopened
from pneumocli.data.formats import HEAD_BYTES, format_of, format_of_name
from pneumocli.data.images import UnreadableFilm, read_film
from pneumocli.data.manifest import Manifest
from pneumocli.verification.duplicates import Fingerprint, fingerprint
from pneumocli.verification.records import Properties, ShortcutProbe, Spread

_FOLDS = 5


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """What is kept of a film once it was decoded; about a kilobyte, so that memory stays flat.

    Attributes:
        row: The film.
        format: What the file is, by its first bytes.
        mode: How it stores its pixels, in Pillow's words.
        num_bytes: File size.
        width: Pixels, right way up.
        height: Pixels, right way up.
        brightness: Mean grey value, 0-255.
        contrast: Standard deviation of the grey values.
        coloured: Whether it holds true colour.
        identity: What distinguishes it from other films.
    """

    row: ManifestRow
    format: str
    mode: str
    num_bytes: int
    width: int
    height: int
    brightness: float
    contrast: float
    coloured: bool
    identity: Fingerprint

    @property
    def aspect(self) -> float:
        """Width / height."""
        return self.width / self.height

    @property
    def format_of_name(self) -> str:
        """The format that the ending of the file's name promises; that of the content where the ending is none."""
        return format_of_name(self.row.image) or self.format


FEATURES: dict[str, Callable[[FilmFacts], float]] = {
    "width": lambda film: film.width,
    "height": lambda film: film.height,
    "aspect": lambda film: film.aspect,
    "brightness": lambda film: film.brightness,
    "contrast": lambda film: film.contrast,
    "num_bytes": lambda film: film.num_bytes,
}
"""What the shortcut probe sees of a film: nothing of the lungs."""


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
        content = path.read_bytes()
    except OSError as error:
        return why_unopened(path, error)
    try:
        return _facts(content, row)
    except UnreadableFilm as error:
        return error.reason


def _facts(content: bytes, row: ManifestRow) -> FilmFacts:
    film = read_film(content)
    height, width = film.pixels.shape
    # Pillow counts without holding the interpreter, which numpy's mean and std of a whole film would.
    counts = np.array(Image.fromarray(film.pixels).histogram(), np.float64) / film.pixels.size
    levels = np.arange(256)
    brightness = float(counts @ levels)
    return FilmFacts(
        row=row,
        format=format_of(content[:HEAD_BYTES]) or "DICOM",
        mode=film.mode,
        num_bytes=len(content),
        width=width,
        height=height,
        brightness=brightness,
        contrast=float(np.sqrt(counts @ (levels - brightness) ** 2)),
        coloured=film.coloured,
        identity=fingerprint(hashlib.sha256(content).digest(), film.pixels),
    )


def properties_of(films: Sequence[FilmFacts]) -> Iterator[Properties]:
    """Statistics of each split and class that has films."""
    for split in SPLITS:
        for label, name in enumerate(CLASS_NAMES):
            chosen = [film for film in films if film.row.split == split and film.row.label == label]
            if not chosen:
                continue
            spreads = {key: _spread(map(value, chosen)) for key, value in FEATURES.items()}
            yield Properties(
                split=split,
                label=name,
                num_images=len(chosen),
                **spreads,
                modes=dict(Counter(film.mode for film in chosen)),
                formats=dict(Counter(film.format for film in chosen)),
                num_coloured=sum(film.coloured for film in chosen),
            )


def _spread(values: Iterable[float]) -> Spread:
    numbers = np.fromiter(values, np.float64)
    return Spread(
        least=float(numbers.min()),
        median=float(np.median(numbers)),
        mean=float(numbers.mean()),
        most=float(numbers.max()),
    )


def probe_shortcuts(films: Sequence[FilmFacts], split: Split = "train") -> ShortcutProbe:
    """Measures how well a logistic regression predicts the label from size, brightness and file size alone.

    Cross-validated in folds that keep a patient's films together and the classes in proportion; the films' held-out
    scores are pooled. 0.5 is chance: what is above it, a classifier can learn without looking at the lungs.

    Args:
        films: Of all splits.
        split: Which of them to use.
    """
    from pneumocli.metrics.classification import auroc

    chosen = [film for film in films if film.row.split == split]
    labels = np.array([film.row.label for film in chosen], np.int64)
    patients = [film.row.patient for film in chosen]
    table = np.array([[value(film) for value in FEATURES.values()] for film in chosen], np.float64)
    by_class = [len({film.row.patient for film in chosen if film.row.label == label}) for label in (0, 1)]
    folds = min(_FOLDS, *by_class)
    scores = _held_out_scores(table, labels, patients, folds) if folds >= 2 else None
    singles = {
        name: None if folds < 2 else _either_way(auroc(labels, table[:, column]))
        for column, name in enumerate(FEATURES)
    }
    return ShortcutProbe(
        auroc=None if scores is None else auroc(labels, scores),
        folds=folds if scores is not None else 0,
        split=split,
        num_images=len(chosen),
        num_patients=len(set(patients)),
        features=singles,
    )


def _either_way(value: float | None) -> float | None:
    return None if value is None else max(value, 1 - value)


def _held_out_scores(
    table: "np.typing.NDArray[np.float64]", labels: "np.typing.NDArray[np.int64]", patients: list[str], folds: int
) -> "np.typing.NDArray[np.float64]":
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    scores: np.typing.NDArray[np.float64] = cross_val_predict(
        model, table, labels, groups=patients, cv=splitter, method="decision_function"
    )
    return scores
