"""Whether films as a whole are like a model's validation films, and how they differ."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.multiple_tests import holm
from pneumocli.core.shift_records import PropertyShift, Shift
from pneumocli.model.card import ModelCard
from pneumocli.model.reference import NUMBERS, FilmRows, Reference
from pneumocli.shift.sample import FilmSample
from pneumocli.shift.two_sample import NUM_PERMUTATIONS, PERMUTATIONS_OF_MORE, Tested, TwoSamples

LEAST_FILMS = 20
"""Films, here and in the reference, below which nothing is compared."""

ERROR_RATE = 0.01
"""Share of folders that do not differ for which a shift is detected: over all tests together."""

STRONG_AUROC = 0.9

_LEAST_YOUDEN = 0.2  # sensitivity + specificity - 1 on the reference; below, answers say nothing about the prevalence
_USUAL = 0.95  # of the reference films lie within the distance that makes a film unlike them

_WORDS = {
    "size": ("smaller", "larger"),
    "aspect": ("narrower", "wider"),
    "brightness": ("darker", "brighter"),
    "contrast": ("lower in contrast", "higher in contrast"),
    "sharpness": ("blurrier", "sharper"),
    "logit": ("scored lower", "scored higher"),
    "age": ("of younger patients", "of older patients"),
}
_SQUARE = 0.02  # of 1, within which a median aspect is called square


def detect_shift(sample: FilmSample, reference: Reference | None, card: ModelCard) -> Shift | None:
    """Compares films with the validation films that a model keeps.

    The share of the classes alone is no shift: of each class as many reference films are taken as the answers suggest
    that there are here, so that a folder of healthy children is compared with the healthy.

    Args:
        sample: The films.
        reference: Of the model file; ``None`` where it keeps none.
        card: Of the model file: its operating point decides what counts as called PNEUMONIA.

    Returns:
        ``None`` with fewer than 20 films in either, or without a reference.

    Raises:
        ModelFileError: The reference is damaged.
    """
    if reference is None or len(sample) < LEAST_FILMS or len(reference.labels) < LEAST_FILMS:
        return None
    there, here = reference.films.rows(), sample.rows()
    if there.features.shape[1] != here.features.shape[1]:
        return None  # the network's description was renewed without its reference
    labels, threshold = np.array(reference.labels), _logit_threshold(card)
    prevalence = prevalence_here(there.logits >= threshold, labels, here.logits >= threshold)
    there = there.take(matched(labels, prevalence))
    tests = _tests(there, here)
    adjusted = dict(zip(tests, holm([test.p_value for test in tests.values()]), strict=True))
    properties = tuple(
        _property(name, test.statistic, adjusted[name], there, here)
        for name, test in tests.items()
        if name != "features"
    )
    # A group's own films have been seen by all networks but one. Their features are moved to where those of unseen
    # films should lie, which leaves enough for the classifier to find (docs/training.md): it decides nothing there.
    deciding = [p for name, p in adjusted.items() if name != "features" or not card.members]
    detected = min(deciding) < ERROR_RATE
    auroc = tests["features"].statistic
    strength = "none" if not detected else "strong" if auroc >= STRONG_AUROC else "some"
    found = Shift(
        detected=detected,
        sentence="",
        strength=strength,
        num_films=sample.num_films,
        num_compared=len(here),
        num_reference=len(there),
        error_rate=ERROR_RATE,
        auroc=auroc,
        p_value=adjusted["features"],
        unlike_share=_unlike_share(there, here),
        prevalence_estimate=prevalence,
        properties=properties,
        compared_with=card.held_out,
        age_here=_median_age(here),
        age_reference=_median_age(there),
        views_here=_view_shares(here),
        views_reference=_view_shares(there),
    )
    return found.model_copy(update={"sentence": _sentence(found, of_group=bool(card.members))})


def _logit_threshold(card: ModelCard) -> float:
    """The logit at or above which a film is called PNEUMONIA."""
    point = card.operating_point.threshold
    if not 0 < point < 1:
        return -math.inf if point == 0 else math.inf
    return math.log(point / (1 - point)) * card.temperature


def prevalence_here(called_there: NDArray[np.bool_], labels: NDArray[np.int_], called_here: NDArray[np.bool_]) -> float:
    """The share of PNEUMONIA here if only the share of the classes differs from there: the adjusted count.

    The share called PNEUMONIA, less the false alarms that the reference leads one to expect, 0-1. Where answers
    hardly depend on the class, or a class is missing there, the share there.

    Args:
        called_there: Whether each reference film is called PNEUMONIA, (N,).
        labels: 0 or 1 for each of them, (N,).
        called_here: Whether each film here is, (M,).

    References:
        Forman 2008, doi:10.1007/s10618-008-0097-y; Lipton et al. 2018, arXiv:1802.03916.

    >>> called, labels = np.array([True, True, False, False]), np.array([1, 1, 0, 0])
    >>> prevalence_here(called, labels, np.array([True, False, False, False]))
    0.25
    """
    share = float(labels.mean())
    if share in (0.0, 1.0):
        return share
    found, alarms = float(called_there[labels == 1].mean()), float(called_there[labels == 0].mean())
    if found - alarms < _LEAST_YOUDEN:
        return share
    return float(np.clip((called_here.mean() - alarms) / (found - alarms), 0, 1))


def matched(labels: NDArray[np.int_], prevalence: float) -> NDArray[np.intp]:
    """As many reference films as can be had with this share of PNEUMONIA; all where they would be fewer than 20.

    Args:
        labels: 0 or 1 for each film, (N,), in random order.
        prevalence: 0-1.
    """
    ill, well = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    limits = [len(part) / share for part, share in ((ill, prevalence), (well, 1 - prevalence)) if share > 0]
    total = min(limits)
    num_ill = round(total * prevalence)
    rows = np.sort(np.concatenate([ill[:num_ill], well[: round(total) - num_ill]]))
    return rows if len(rows) >= LEAST_FILMS else np.arange(len(labels))


def _tests(there: FilmRows, here: FilmRows) -> dict[str, Tested]:
    """Every test, by what it looks at: ``features`` first."""
    ages, views = [_known(rows.ages) for rows in (there, here)], [_known(rows.views) for rows in (there, here)]
    more = {name: parts for name, parts in (("age", ages), ("view", views)) if min(map(len, parts)) >= LEAST_FILMS}
    permutations = PERMUTATIONS_OF_MORE if more else NUM_PERMUTATIONS
    samples = TwoSamples(len(there), len(here), permutations)
    numbers = np.vstack([there.numbers, here.numbers])
    return {
        "features": samples.classifier(np.vstack([there.features, here.features])),
        **{name: samples.kolmogorov_smirnov(numbers[:, place]) for place, name in enumerate(NUMBERS)},
        "encoder": samples.total_variation(there.encoders + here.encoders),
        "logit": samples.kolmogorov_smirnov(np.concatenate([there.logits, here.logits])),
        **{name: _test_of_known(name, parts, permutations) for name, parts in more.items()},
    }


def _known(values: Sequence[object]) -> list[object]:
    """Of films whose files say it."""
    return [value for value in values if value not in (None, "")]


def _test_of_known(name: str, parts: Sequence[list[object]], permutations: int) -> Tested:
    """The test of what some files say and others do not, there and here, over the films whose files say it."""
    samples, pooled = TwoSamples(len(parts[0]), len(parts[1]), permutations), [*parts[0], *parts[1]]
    if name == "age":
        return samples.kolmogorov_smirnov(np.array(pooled, np.float64))
    return samples.total_variation([str(view) for view in pooled])


def _median_age(rows: FilmRows) -> float | None:
    ages = np.array(_known(rows.ages), np.float64)
    return _quantile(ages, 0.5) if ages.size else None


def _view_shares(rows: FilmRows) -> dict[str, float]:
    """The share of each view among the films whose files name one."""
    named = [str(view) for view in _known(rows.views)]
    return {view: count / len(named) for view, count in sorted(Counter(named).items())}


def _property(name: str, distance: float, p_value: float, there: FilmRows, here: FilmRows) -> PropertyShift:
    moved = p_value < ERROR_RATE
    if name in ("encoder", "view"):
        word = _other_kind(name, there, here) if moved else ""
        return PropertyShift(
            name=name, here=None, reference=None, distance=distance, p_value=p_value, moved=moved, word=word
        )
    ours, theirs = (_median(name, rows) for rows in (here, there))
    word = _word(name, ours, theirs) if moved else ""
    return PropertyShift(
        name=name, here=ours, reference=theirs, distance=distance, p_value=p_value, moved=moved, word=word
    )


def _median(name: str, rows: FilmRows) -> float:
    if name == "age":
        return _median_age(rows) or 0.0
    return _quantile(rows.logits if name == "logit" else rows.numbers[:, NUMBERS.index(name)], 0.5)


def _quantile(values: NDArray[np.floating], share: float) -> float:
    """The quantile of numbers, (N,), N at least 1; numpy's own would import masked arrays, a tenth of a start.

    >>> _quantile(np.array([3.0, 1.0, 2.0]), 0.5), _quantile(np.array([4.0, 1.0, 2.0, 3.0]), 0.5)
    (2.0, 2.5)
    """
    return float(np.interp(share * (len(values) - 1), np.arange(len(values)), np.sort(values)))


def _other_kind(name: str, there: FilmRows, here: FilmRows) -> str:
    if name == "encoder":
        return "made by other software"
    before, now = _view_shares(there), _view_shares(here)
    return f"more {max(now, key=lambda view: now[view] - before.get(view, 0.0))} views"


def _word(name: str, here: float, there: float) -> str:
    if name == "aspect" and abs(here - 1) <= _SQUARE < abs(there - 1):
        return "square"
    if here == there:
        return f"of another spread of {name}"
    return _WORDS[name][here > there]


def _unlike_share(there: FilmRows, here: FilmRows) -> float:
    limit = _quantile(_distances(there), _USUAL)
    return float((_distances(here) > limit).mean())


def _distances(rows: FilmRows) -> NDArray[np.float32]:
    distances: NDArray[np.float32] = np.linalg.norm(rows.features, axis=1)
    return distances


def _measured(found: Shift, *, of_group: bool) -> str:
    if of_group:
        return "of a group of folds, how films look and are scored is compared"
    if found.auroc <= 0.5:
        return "a classifier tells them apart no better than chance"
    return f"a classifier tells them apart with AUROC {found.auroc:.0%}"


def _sentence(found: Shift, *, of_group: bool) -> str:
    measured = _measured(found, of_group=of_group)
    films = f"These {found.num_films:,} films"
    if not found.detected:
        return f"{films} do not differ from the training films more than chance explains ({measured})."
    # The words for pictures first: what a reader can check by looking.
    order = ("brightness", "aspect", "sharpness", "contrast", "size", "encoder", "age", "view", "logit")
    words = {item.name: item.word for item in found.properties if item.word}
    how = "; ".join([measured, *filter(None, [", ".join(words[name] for name in order if name in words)])])
    if found.strength == "strong":
        return (
            f"{films} differ from the training films ({how}): the sensitivity and specificity stored with this model "
            "do not hold here."
        )
    return (
        f"{films} differ somewhat from the training films ({how}): the sensitivity and specificity stored with this "
        "model may not hold here."
    )
