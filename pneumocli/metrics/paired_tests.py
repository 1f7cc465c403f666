"""Tests of the difference between two classifiers on the same films.

References:
    Exact McNemar test: McNemar 1947, doi:10.1007/BF02295996; Fagerland et al. 2013, doi:10.1186/1471-2288-13-91.
    Bootstrap p-value as the smallest level whose interval excludes 0: Efron and Tibshirani 1993, chapter 15.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.metrics.bootstrap import RESAMPLES, PatientBootstrap, all_drawn, interval
from pneumocli.metrics.classification import (
    MAIN_METRICS,
    auroc,
    average_precision,
    brier_score,
    calibration_error,
    confusion,
    from_confusion,
    log_loss,
)
from pneumocli.metrics.delong import auroc_difference
from pneumocli.metrics.records import Difference
from pneumocli.metrics.scores import ScoreArrays

BOOTSTRAP = f"paired patient bootstrap, {RESAMPLES} resamples"
Floats = NDArray[np.float64]


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided McNemar p: films that only a, or only b, has right, against a fair coin.

    >>> round(mcnemar(1, 9), 4), mcnemar(0, 0)
    (0.0215, 1.0)
    """
    from scipy.stats import binomtest

    discordant = only_a + only_b
    return float(binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0


def bootstrap_p(drawn: Floats) -> float | None:
    """Two-sided p of a difference from its bootstrap distribution; ``None`` where it is undefined too often.

    The smallest possible value is 2 / (resamples + 1), the resolution of a bootstrap.
    """
    known = drawn[np.isfinite(drawn)]
    if known.size < drawn.size / 2:
        return None
    tail = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (known.size + 1))


def values_of(scores: ScoreArrays, threshold: float) -> dict[str, float | None]:
    """The compared metrics of one run."""
    return from_confusion(confusion(scores.labels, scores.probabilities >= threshold)) | {
        "auroc": auroc(scores.labels, scores.logits),
        "average_precision": average_precision(scores.labels, scores.logits),
        "brier_score": brier_score(scores.labels, scores.probabilities),
        "log_loss": log_loss(scores.labels, scores.calibrated),
        "calibration_error": calibration_error(scores.labels, scores.probabilities),
    }


def joined_patients(runs: Sequence[NDArray[np.str_]]) -> NDArray[np.str_]:
    """One key of the patient for each film: films that any run knows to be of one patient are of one.

    A table of scores may know no patients, and then each film stands for itself: drawn so beside a run, two equal sets
    of scores would differ in every resample.

    Args:
        runs: Keys by each run of the same films in the same order, (N,) each. Where all agree they come back as
            they are.

    >>> joined_patients([np.array(["a", "a", "b"]), np.array(["1", "2", "3"])]).tolist()
    ['a', 'a', 'b']
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = runs[0]
    if all(np.array_equal(first, other) for other in runs[1:]):
        return first
    keys = [np.unique(patients, return_inverse=True)[1] for patients in runs]
    starts = first.size + np.cumsum([0, *(int(key.max()) + 1 for key in keys)])  # films first, then each run's keys
    films = np.tile(np.arange(first.size), len(runs))
    owners = np.concatenate([start + key for start, key in zip(starts, keys, strict=False)])
    graph = coo_array((np.ones(films.size), (films, owners)), shape=(starts[-1], starts[-1]))
    components = connected_components(graph, directed=False)[1][: first.size]
    _, places, inverse = np.unique(components, return_index=True, return_inverse=True)
    joined: NDArray[np.str_] = first[places][inverse]
    return joined


def drawn_values(scores: ScoreArrays, threshold: float, seed: int) -> dict[str, Floats]:
    """The compared metrics in each resample; the same patients and seed pair two runs."""
    bootstrap = PatientBootstrap(scores.patients, seed)
    return all_drawn(bootstrap, scores.labels, scores.calibrated, scores.probabilities, threshold)


def bootstrap_differences(
    names: tuple[str, str],
    values: tuple[dict[str, float | None], dict[str, float | None]],
    drawn: tuple[dict[str, Floats], dict[str, Floats]],
) -> list[Difference]:
    """One row per metric, b - a, with the interval and p of the paired patient bootstrap.

    Args:
        names: The two runs.
        values: Of :func:`values_of`.
        drawn: Of :func:`drawn_values`, with the same patients and seed.
    """
    rows = []
    for metric in MAIN_METRICS:
        a, b = values[0][metric], values[1][metric]
        differences = drawn[1][metric] - drawn[0][metric]
        p_value = bootstrap_p(differences)
        known = differences[np.isfinite(differences)]
        defined = a is not None and b is not None and p_value is not None
        found = interval(known) if defined else None
        low, high = found or (None, None)
        method = f"{BOOTSTRAP}{'' if found else '; no interval: the resamples do not differ'}"
        rows.append(
            Difference(
                run_a=names[0],
                run_b=names[1],
                metric=metric,
                a=a,
                b=b,
                difference=b - a if a is not None and b is not None else None,
                low=low,
                high=high,
                p_value=p_value if defined else None,
                method=method if defined else "undefined on these films",
            )
        )
    return rows


def mcnemar_differences(
    names: tuple[str, str], labels: ArrayLike, right_a: ArrayLike, right_b: ArrayLike
) -> list[Difference]:
    """Exact McNemar over all films, and among the pneumonias and the healthy.

    Args:
        names: The two runs.
        labels: 0 or 1, (N,).
        right_a: Whether run a was right, bool (N,).
        right_b: Whether run b was right, bool (N,).
    """
    truth, a, b = np.asarray(labels), np.asarray(right_a, bool), np.asarray(right_b, bool)
    rows = []
    for metric, chosen in (
        ("accuracy", np.ones(truth.shape, bool)),
        ("sensitivity", truth == 1),
        ("specificity", truth == 0),
    ):
        if not chosen.any():
            continue
        only_a, only_b = int((a & ~b & chosen).sum()), int((b & ~a & chosen).sum())
        share_a, share_b = float(a[chosen].mean()), float(b[chosen].mean())
        rows.append(
            Difference(
                run_a=names[0],
                run_b=names[1],
                metric=metric,
                a=share_a,
                b=share_b,
                difference=share_b - share_a,
                low=None,
                high=None,
                p_value=mcnemar(only_a, only_b),
                method=f"exact McNemar, only {names[0]} is right on {only_a}, only {names[1]} on {only_b}; assumes "
                "independent films",
            )
        )
    return rows


def delong_difference(names: tuple[str, str], a: ScoreArrays, b: ScoreArrays) -> list[Difference]:
    """The cluster DeLong test of the AUROCs; no row where a class has fewer than two patients."""
    found = auroc_difference(a.labels, a.logits, b.logits, a.patients)
    if found is None:
        return []
    return [
        Difference(
            run_a=names[0],
            run_b=names[1],
            metric="auroc",
            a=found.areas[0],
            b=found.areas[1],
            difference=found.areas[1] - found.areas[0],
            low=found.low,
            high=found.high,
            p_value=found.p_value,
            method=found.method,
        )
    ]
