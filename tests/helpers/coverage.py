"""Coverage of intervals and type I errors by simulation: ``python -m tests.helpers.coverage`` prints the tables."""

import sys

import numpy as np
from scipy.stats import norm

from pneumocli.metrics.bootstrap import PatientBootstrap, drawn_counts, rate
from pneumocli.metrics.classification import confusion, from_counts
from pneumocli.metrics.delong import auroc_difference, auroc_metric, auroc_of_films
from pneumocli.metrics.paired_tests import bootstrap_p
from pneumocli.metrics.square_and_add import implied_metrics

# AUROC, pneumonias, healthy, films a patient.
SETTINGS = [
    (area, positives, negatives, films)
    for positives, negatives, areas in ((60, 40, (0.98, 0.99)), (263, 151, (0.97, 0.99)), (390, 234, (0.97, 0.99)))
    for area in areas
    for films in (1, 2)
]
_CORRELATION = 0.5  # of the scores of a patient's films within a class
RATES = [(60, 40, 0.97, 0.9), (60, 40, 0.99, 0.97), (20, 20, 0.95, 0.95), (390, 234, 0.98, 0.85)]


def films_of_patients(positives: int, negatives: int, films: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and patients, each patient with films of one class."""
    labels = np.r_[np.ones(positives, int), np.zeros(negatives, int)]
    patients = np.r_[np.arange(positives) // films, positives + np.arange(negatives) // films]
    return labels, np.unique(patients, return_inverse=True)[1]


def noise(rng: np.random.Generator, patients: np.ndarray) -> np.ndarray:
    """Standard normal, correlated within a patient."""
    shared = rng.normal(size=patients.max() + 1)[patients]
    return np.sqrt(_CORRELATION) * shared + np.sqrt(1 - _CORRELATION) * rng.normal(size=patients.size)


def auroc_coverage(area: float, positives: int, negatives: int, films: int, *, studies: int) -> dict[str, float]:
    """The share of simulated studies whose interval holds the true AUROC, scores normal in both classes."""
    rng = np.random.default_rng(0)
    labels, patients = films_of_patients(positives, negatives, films)
    covered = dict.fromkeys(("cluster", "delong", "perfect"), 0)
    for _ in range(studies):
        scores = np.sqrt(2) * norm.ppf(area) * labels + noise(rng, patients)
        found, plain = auroc_metric(labels, scores, patients), auroc_of_films(labels, scores)
        covered["cluster"] += found.low <= area <= found.high
        covered["delong"] += plain.low is not None and plain.low <= area <= plain.high
        covered["perfect"] += found.value == 1
    return {name: count / studies for name, count in covered.items()}


def rate_coverage(positives: int, negatives: int, sens: float, spec: float, *, studies: int) -> dict[str, float]:
    """The same of balanced accuracy, F1 and MCC, independent films; ``... bootstrap`` with its percentiles."""
    rng = np.random.default_rng(0)
    labels, patients = films_of_patients(positives, negatives, 1)
    share = positives / (positives + negatives)
    truth = from_counts(share * sens, (1 - share) * (1 - spec), share * (1 - sens), (1 - share) * spec)
    covered: dict[str, int] = {}
    for study in range(studies):
        right = rng.random(labels.size) < np.where(labels == 1, sens, spec)
        ours, theirs = (rate(right[labels == label], patients[labels == label]) for label in (1, 0))
        predicted = np.where(right, labels, 1 - labels) == 1
        metrics = implied_metrics(confusion(labels, predicted), ours, theirs)
        drawn = drawn_counts(PatientBootstrap(patients, study, 500), labels, predicted)
        for name in ("balanced_accuracy", "f1", "mcc"):
            low, high = np.nanquantile(drawn[name], (0.025, 0.975))
            held = {name: metrics[name].low <= truth[name] <= metrics[name].high}
            for key, value in (held | {f"{name} bootstrap": low <= truth[name] <= high}).items():
                covered[key] = covered.get(key, 0) + bool(value)
    return {name: count / studies for name, count in covered.items()}


def type_one_error(area: float, positives: int, negatives: int, films: int, *, studies: int) -> dict[str, float]:
    """The share of studies in which two classifiers of the same AUROC, correlated by half, differ at 0.05."""
    rng = np.random.default_rng(0)
    labels, patients = films_of_patients(positives, negatives, films)
    found = dict.fromkeys(("cluster", "bootstrap"), 0)
    for study in range(studies):
        common, centre = noise(rng, patients), np.sqrt(2) * norm.ppf(area) * labels
        a, b = (centre + np.sqrt(0.5) * (common + noise(rng, patients)) for _ in range(2))
        test = auroc_difference(labels, a, b, patients)
        found["cluster"] += test is not None and test.p_value is not None and test.p_value < 0.05
        bootstrap = PatientBootstrap(patients, study, 500)
        drawn = bootstrap.rankings(labels, b)["auroc"] - bootstrap.rankings(labels, a)["auroc"]
        p_value = bootstrap_p(drawn)
        found["bootstrap"] += p_value is not None and p_value < 0.05
    return {name: count / studies for name, count in found.items()}


def row(*cells: object) -> None:
    """Prints a row of a Markdown table."""
    sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")


def header(*names: str) -> None:
    """Prints the header of a Markdown table."""
    sys.stdout.write("\n")
    row(*names)
    row(*["---:"] * len(names))


def main() -> None:
    """Prints three tables as Markdown."""
    header("AUROC", "PNEUMONIA / NORMAL", "films a patient", "perfect separation", "cluster DeLong", "DeLong")
    for setting in SETTINGS:
        found = auroc_coverage(*setting, studies=4000)
        area, positives, negatives, films = setting
        cells = (f"{found[name] * 100:.1f} %" for name in ("perfect", "cluster", "delong"))
        row(area, f"{positives} / {negatives}", films, *cells)
    header("PNEUMONIA / NORMAL", "sensitivity, specificity", "balanced accuracy", "F1", "MCC")
    for positives, negatives, sens, spec in RATES:
        found = rate_coverage(positives, negatives, sens, spec, studies=1000)
        cells = (
            f"{found[name] * 100:.1f} % ({found[name + ' bootstrap'] * 100:.1f} %)"
            for name in ("balanced_accuracy", "f1", "mcc")
        )
        row(f"{positives} / {negatives}", f"{sens}, {spec}", *cells)
    header("AUROC of both", "PNEUMONIA / NORMAL", "films a patient", "cluster DeLong", "bootstrap")
    for setting in ((0.9, 60, 40, 1), (0.95, 60, 40, 1), (0.95, 60, 40, 2), (0.97, 263, 151, 1)):
        found = type_one_error(*setting, studies=1000)
        area, positives, negatives, films = setting
        row(
            area,
            f"{positives} / {negatives}",
            films,
            *(f"{found[name] * 100:.1f} %" for name in ("cluster", "bootstrap")),
        )


if __name__ == "__main__":
    main()
