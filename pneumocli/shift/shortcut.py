"""Shortcuts from how a film was made to its class, and the films that contradict them.

Two logistic regressions are fitted on the training films. ``file`` sees everything that is known of a film's making,
``picture`` only what is left of it in the decoded pixels: where nearly every encoder is of one class, the first hardly
contradicts a label and the second still does. One whose held-out AUROC is below :data:`LEAST_AUROC` predicts nothing
and marks nothing.

A film is *hard* if any of them gives its label a probability below 0.5 (classes weighted equally), else *easy*. A
network that has learnt the shortcut errs on the hard films, as it does where films are made in another way.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.data.acquisition import Acquisition
from pneumocli.model.card import Shortcut, ShortcutModel

Numbers = NDArray[np.float64]

PROPERTIES: Mapping[str, Callable[[Acquisition], float]] = {
    "width": lambda made: made.width,
    "height": lambda made: made.height,
    "aspect": lambda made: made.aspect,
    "brightness": lambda made: made.brightness,
    "contrast": lambda made: made.contrast,
    "sharpness": lambda made: made.sharpness,
    "num_bytes": lambda made: made.num_bytes,
    "sides_of_eight": lambda made: made.sides_of_eight,
}
"""What is known of a film as numbers; its encoder comes besides."""

ENCODER = "encoder"

PICTURE = ("aspect", "brightness", "contrast", "sharpness")
"""Properties that resizing and saving anew leave in a film."""

LEAST_AUROC = 0.6
"""A shortcut with a lower held-out AUROC is no better than chance on a few dozen films: it marks none."""

_LOGARITHMIC = frozenset({"width", "height", "aspect", "num_bytes"})  # ratios, over orders of magnitude
_FARTHEST = 3.0  # standard deviations: beyond, a film of another kind would decide by one number
_LEAST_FILMS = 5  # of an encoder, to get a weight of its own
_PENALTY = 1.0  # scikit-learn's C
_FOLDS = 5
_DIGITS = 6  # of stored numbers: the last bits of a fit depend on threads and processor


def fit_shortcuts(made: Sequence[Acquisition], labels: ArrayLike, patients: Sequence[str]) -> ShortcutModel:
    """Fits the shortcuts on training films.

    Args:
        made: How each film was made.
        labels: 0 or 1 for each, (N,).
        patients: The patient of each; none stands on both sides when a shortcut is judged.

    Returns:
        The shortcuts that predict the class: both, one, or none; none also where a class has fewer than two patients.
    """
    truth = np.asarray(labels, np.int64)
    found = (
        _fit("file", tuple(PROPERTIES), made, truth, patients, use_encoder=True),
        _fit("picture", PICTURE, made, truth, patients, use_encoder=False),
    )
    return ShortcutModel(shortcuts=tuple(shortcut for shortcut in found if shortcut is not None))


def hard_films(model: ShortcutModel | None, made: Sequence[Acquisition], labels: ArrayLike) -> NDArray[np.bool_] | None:
    """Marks the films whose label a shortcut contradicts.

    Args:
        model: The shortcuts.
        made: How each film was made.
        labels: 0 or 1 for each, (N,).

    Returns:
        bool (N,); ``None`` where there are no shortcuts, so that films are neither hard nor easy.
    """
    if model is None or not model.shortcuts:
        return None
    sign = np.where(np.asarray(labels) == 1, 1.0, -1.0)
    hard = np.zeros(len(made), bool)
    for shortcut in model.shortcuts:
        hard |= shortcut_logits(shortcut, made) * sign < 0
    return hard


def shortcut_logits(shortcut: Shortcut, made: Sequence[Acquisition]) -> Numbers:
    """The logit of PNEUMONIA that a shortcut gives to each film, float64 (N,)."""
    table = _numbers(shortcut.properties, made)
    standard = ((table - np.array(shortcut.means)) / np.array(shortcut.scales)).clip(-_FARTHEST, _FARTHEST)
    by_encoder = np.array([shortcut.encoders.get(film.encoder, 0.0) for film in made], np.float64)
    logits: Numbers = shortcut.intercept + standard @ np.array(shortcut.weights) + by_encoder
    return logits


def held_out_auroc(
    made: Sequence[Acquisition], labels: ArrayLike, patients: Sequence[str], properties: Sequence[str] | None = None
) -> tuple[float | None, int]:
    """How well properties predict the class of films of other patients.

    Args:
        made: How each film was made.
        labels: 0 or 1 for each, (N,).
        patients: The patient of each; a patient's films stay in one fold, the classes in proportion.
        properties: Keys of :data:`PROPERTIES` and :data:`ENCODER`; all of them unless given.

    Returns:
        The AUROC of the pooled held-out scores, ``None`` where a class has fewer than two patients or no film with a
        score; and the folds.
    """
    from sklearn.metrics import roc_auc_score

    truth = np.asarray(labels, np.int64)
    names = (*PROPERTIES, ENCODER) if properties is None else tuple(properties)
    numbers = tuple(name for name in names if name != ENCODER)
    folds = min(_FOLDS, *(len({p for p, y in zip(patients, truth, strict=True) if y == label}) for label in (0, 1)))
    if folds < 2:
        return None, 0
    scores = np.full(len(made), np.nan)  # a fold whose other films are of one class scores none of its own
    for train, test in _folds(truth, patients, folds):
        shortcut = _regression("file", numbers, [made[i] for i in train], truth[train], use_encoder=ENCODER in names)
        scores[test] = shortcut_logits(shortcut, [made[i] for i in test])
    scored = ~np.isnan(scores)
    if len(set(truth[scored].tolist())) < 2:
        return None, folds
    return float(roc_auc_score(truth[scored], scores[scored])), folds


def _folds(labels: NDArray[np.int64], patients: Sequence[str], folds: int) -> list[tuple[NDArray[np.int64], ...]]:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    return [
        (train, test)
        for train, test in splitter.split(labels, labels, groups=patients)
        if len(set(labels[train].tolist())) == 2
    ]


def _fit(  # noqa: PLR0913 - the films in three columns, and what a shortcut sees of them
    name: str,
    properties: tuple[str, ...],
    made: Sequence[Acquisition],
    labels: NDArray[np.int64],
    patients: Sequence[str],
    *,
    use_encoder: bool,
) -> Shortcut | None:
    seen = (*properties, ENCODER) if use_encoder else properties
    area, _ = held_out_auroc(made, labels, patients, seen)
    if area is None or area < LEAST_AUROC:
        return None
    fitted = _regression(name, properties, made, labels, use_encoder=use_encoder)
    return fitted.model_copy(update={"auroc": _rounded(area)})


def _regression(
    name: str, properties: tuple[str, ...], made: Sequence[Acquisition], labels: NDArray[np.int64], *, use_encoder: bool
) -> Shortcut:
    from sklearn.linear_model import LogisticRegression

    table = _numbers(properties, made)
    means, scales = table.mean(axis=0), table.std(axis=0)
    scales[scales < 1e-9] = 1.0  # a property that all films share
    columns = [((table - means) / scales).clip(-_FARTHEST, _FARTHEST)]
    counts = Counter(film.encoder for film in made) if use_encoder else Counter()
    encoders = sorted(key for key, count in counts.items() if count >= _LEAST_FILMS)
    columns += [np.array([[film.encoder == key] for film in made], np.float64) for key in encoders]
    seen = np.hstack(columns)
    weights, intercept = [], 0.0  # of encoders alone, each of so few films that none has a weight: chance
    if seen.shape[1]:
        model = LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=1000)
        model.fit(seen, labels)
        weights, intercept = [_rounded(weight) for weight in model.coef_[0]], _rounded(model.intercept_[0])
    return Shortcut.model_validate(
        {
            "name": name,
            "properties": properties,
            "means": tuple(map(_rounded, means)),
            "scales": tuple(map(_rounded, scales)),
            "weights": tuple(weights[: len(properties)]),
            "encoders": dict(zip(encoders, weights[len(properties) :], strict=True)),
            "intercept": intercept,
            "auroc": 0.5,  # judged by the caller, on other films
        }
    )


def _numbers(properties: Sequence[str], made: Sequence[Acquisition]) -> Numbers:
    """The properties as a regression sees them, (N,K)."""
    table = np.array([[PROPERTIES[name](film) for name in properties] for film in made], np.float64)
    table = table.reshape(len(made), len(properties))
    for column, name in enumerate(properties):
        if name in _LOGARITHMIC:
            table[:, column] = np.log(table[:, column])
    return table


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
