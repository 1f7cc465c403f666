"""How often the limits of ``train --refer`` hold: ``python -m tests.benchmarks.refer_coverage VAL.csv [OTHER.csv]``.

``VAL.csv`` is ``evaluations/val/predictions.csv`` of a run. Its patients are halved again and again: one half sets the
limits, the films of the other are answered. Printed are means over the halvings: coverage of each class over one film
of each patient, as the guarantee is, and over all films; the share referred; the error among the answered. For other
tables of the same run, any number of them, all of ``VAL.csv`` sets the limits, once.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.records import CLASS_NAMES
from pneumocli.metrics.scored_films import read_predictions
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.model.card import ReferLimits
from pneumocli.shift.conformal import one_of_each_patient, refer_limits, sets_of

HALVINGS = 200
Mask = NDArray[np.bool_]


def main(val: Path, *others: Path) -> None:
    """Prints a table."""
    scores = ScoreArrays.of(read_predictions(val), 1.0)
    single = one_each(scores)
    counts = [int((single & (scores.labels == label)).sum()) for label in (0, 1)]
    named = " and ".join(f"{count} {name}" for count, name in zip(counts, CLASS_NAMES, strict=True))
    print(f"limits from {len(scores)} films of {named} patients, {HALVINGS} halvings by patient")
    print(
        "| films | alpha | NORMAL | PNEUMONIA | NORMAL, all films | PNEUMONIA, all films | referred | wrong answers |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for alpha in (0.05, 0.1):
        rng = np.random.default_rng(0)
        halved = [of_one_halving(scores, single, alpha, rng) for _ in range(HALVINGS)]
        show("validation", alpha, np.mean(halved, axis=0))
        limits = refer_limits(scores.logits[single], scores.labels[single], alpha)
        for file in others:
            other = ScoreArrays.of(read_predictions(file), 1.0)
            show(file.parent.name, alpha, figures(limits, other, one_each(other), np.ones(len(other), bool)))


def one_each(scores: ScoreArrays) -> Mask:
    """Which films stand for their patients."""
    chosen = one_of_each_patient(scores.labels, scores.patients.tolist(), scores.images)
    return np.isin(np.arange(len(scores)), chosen)


def of_one_halving(scores: ScoreArrays, single: Mask, alpha: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """The figures of one halving of each class's patients."""
    setting = np.zeros(len(scores), bool)
    for label in (0, 1):
        patients = rng.permutation(np.unique(scores.patients[scores.labels == label]))
        setting |= np.isin(scores.patients, patients[: len(patients) // 2]) & (scores.labels == label)
    limits = refer_limits(scores.logits[setting & single], scores.labels[setting & single], alpha)
    return figures(limits, scores, single, ~setting)


def figures(limits: ReferLimits, scores: ScoreArrays, single: Mask, asked: Mask) -> NDArray[np.float64]:
    """Coverage of each class, by patient and by film, share referred and share of wrong answers of the films asked."""
    sets = sets_of(limits, scores.logits)
    covered, answered = sets[np.arange(len(scores)), scores.labels], sets.sum(axis=1) == 1
    parts = [films & asked & (scores.labels == label) for films in (single, asked) for label in (0, 1)]
    shares = [covered[part].mean() for part in parts]
    return np.array([*shares, 1 - answered[asked].mean(), 1 - covered[answered & asked].mean()])


def show(films: str, alpha: float, values: NDArray[np.float64]) -> None:
    """Prints a row."""
    print(f"| {films} | {alpha:g} | " + " | ".join(f"{value:.1%}" for value in values) + " |")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
