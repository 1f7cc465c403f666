"""Metrics of a group of films or of patients, such as those whose label a shortcut contradicts."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.metrics.bootstrap import rate, undefined
from pneumocli.metrics.classification import confusion
from pneumocli.metrics.delong import auroc_metric
from pneumocli.metrics.records import Metric, Subgroup
from pneumocli.metrics.square_and_add import implied_metrics

LEAST_FILMS = 5
"""With fewer films of a class in a group, what depends on this class is undefined: one film would be a fifth of it."""


def rates(labels: ArrayLike, called: ArrayLike, patients: ArrayLike) -> dict[str, Metric]:
    """Accuracy, sensitivity, specificity, ppv and npv, with Wilson's interval on the effective number of films.

    Args:
        labels: 0 or 1, (n,).
        called: Whether each is called PNEUMONIA, (n,).
        patients: Patient of each, (n,).
    """
    positive, answers, whom = np.asarray(labels) == 1, np.asarray(called, dtype=bool), np.asarray(patients)
    right = answers == positive
    return {
        "accuracy": rate(right, whom),
        "sensitivity": rate(right[positive], whom[positive]),
        "specificity": rate(right[~positive], whom[~positive]),
        "ppv": rate(right[answers], whom[answers]),
        "npv": rate(right[~answers], whom[~answers]),
    }


def group_of(labels: ArrayLike, logits: ArrayLike, called: ArrayLike, patients: ArrayLike) -> Subgroup:
    """Counts and metrics of a group.

    Args:
        labels: 0 or 1 for each film of the group, (n,).
        logits: Higher for PNEUMONIA, (n,).
        called: Whether each film is called PNEUMONIA, (n,).
        patients: Patient of each film, (n,).

    Returns:
        With sensitivity, specificity, balanced accuracy and AUROC; each ``None`` where a class that it depends on has
        fewer than :data:`LEAST_FILMS` films.
    """
    ill, positive = np.asarray(labels) == 1, np.asarray(called, dtype=bool)
    whom = np.asarray(patients)
    by_class = int((~ill).sum()), int(ill.sum())
    metrics = {
        "sensitivity": _rate(positive[ill], whom[ill], "PNEUMONIA"),
        "specificity": _rate(~positive[~ill], whom[~ill], "NORMAL"),
    }
    both = undefined(f"fewer than {LEAST_FILMS} films of a class")
    metrics |= {"balanced_accuracy": both, "auroc": both}
    if min(by_class) >= LEAST_FILMS:
        implied = implied_metrics(confusion(ill, positive), metrics["sensitivity"], metrics["specificity"])
        metrics["balanced_accuracy"] = implied["balanced_accuracy"]
        metrics["auroc"] = auroc_metric(ill.astype(np.int64), np.asarray(logits), whom)
    return Subgroup(
        num_images=ill.size,
        num_patients=len(set(whom.tolist())),
        num_normal=by_class[0],
        num_pneumonia=by_class[1],
        metrics=metrics,
    )


def hard_and_easy(
    hard: NDArray[np.bool_] | None, labels: ArrayLike, logits: ArrayLike, called: ArrayLike, patients: ArrayLike
) -> dict[str, Subgroup]:
    """The groups ``hard`` and ``easy`` of films; none where films are neither.

    Args:
        hard: Which films are hard, (n,); ``None`` where there is no shortcut to contradict.
        labels: 0 or 1, (n,).
        logits: Higher for PNEUMONIA, (n,).
        called: Whether each film is called PNEUMONIA, (n,).
        patients: Patient of each film, (n,).
    """
    if hard is None:
        return {}
    columns = [np.asarray(column) for column in (labels, logits, called, patients)]
    return {
        name: group_of(*(column[chosen] for column in columns)) for name, chosen in (("hard", hard), ("easy", ~hard))
    }


def _rate(hits: NDArray[np.bool_], patients: NDArray[np.generic], name: str) -> Metric:
    if hits.size < LEAST_FILMS:
        return undefined(f"fewer than {LEAST_FILMS} films of {name}")
    return rate(hits, patients)
