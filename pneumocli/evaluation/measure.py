"""From scored films to every number of ``metrics.json``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.records import CLASS_NAMES, ClassName, Kind, OutOfFold, Split
from pneumocli.evaluation.referral import referral
from pneumocli.metrics.bootstrap import PatientBootstrap, all_drawn, percentiles, rate
from pneumocli.metrics.calibration import slope_and_intercept
from pneumocli.metrics.classification import (
    MAIN_METRICS,
    at_prevalence,
    auroc,
    average_precision,
    brier_score,
    brier_skill,
    calibration_error,
    class_metrics,
    confusion,
    from_confusion,
    log_loss,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from pneumocli.metrics.delong import auroc_metric, auroc_of_films
from pneumocli.metrics.edges import edge_metrics
from pneumocli.metrics.groups import hard_and_easy, rates
from pneumocli.metrics.label_shift import label_shift
from pneumocli.metrics.patient_level import patient_level
from pneumocli.metrics.records import DataFlow, Evaluation, Metric, ScoredFilm, Subgroup, ThresholdUsed
from pneumocli.metrics.refitted import refitted_threshold
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.metrics.square_and_add import implied_metrics
from pneumocli.model.card import ModelCard, OperatingPoint


def class_name(label: int) -> ClassName:
    """The name of the class with this label, 0 or 1."""
    return CLASS_NAMES[label]


class LabelledFilm(Protocol):
    """A row of a manifest, or of a table of scores."""

    @property
    def image(self) -> str:
        """Path relative to the data folder."""

    @property
    def patient(self) -> str:
        """Key."""

    @property
    def kind(self) -> Kind:
        """Of pneumonia, or normal."""

    @property
    def label(self) -> int:
        """0 or 1."""


def scored_film(film: LabelledFilm, logit: float, probability: float, threshold: float) -> ScoredFilm:
    """A film with its score and the prediction at a threshold on the probability."""
    return ScoredFilm(
        image=film.image,
        patient=film.patient,
        kind=film.kind,
        label=class_name(film.label),
        logit=logit,
        probability=probability,
        prediction=class_name(int(probability >= threshold)),
    )


@dataclass(frozen=True)
class Origin:
    """Where scored films come from.

    Attributes:
        run: Name of the run.
        split: Which films these are.
        name: Of other films than the run's own; empty for the run's own.
        model_sha256: Of the model file that scored them.
        data_fingerprint: Of the films and their labels.
        data_flow: What became of the films found; ``None``: all were scored.
        assumed_prevalence: That the model's probabilities assume; ``None`` where it is not known.
    """

    run: str
    split: Split | OutOfFold
    model_sha256: str = ""
    data_fingerprint: str = ""
    data_flow: DataFlow | None = None
    name: str = ""
    assumed_prevalence: float | None = None


@dataclass(frozen=True)
class Choices:
    """What the user chooses of an evaluation.

    Attributes:
        threshold: Used instead of the stored one.
        prevalence: Also give ppv and npv at this prevalence.
        seed: Of the bootstrap.
        by: What the page begins with.
    """

    threshold: float | None = None
    prevalence: float | None = None
    seed: int = 0
    by: Literal["film", "patient"] = "film"


def evaluate_predictions(
    films: Sequence[ScoredFilm],
    card: ModelCard,
    origin: Origin,
    choices: Choices = Choices(),
    hard: NDArray[np.bool_] | None = None,
) -> Evaluation:
    """Computes every number of an evaluation from scored films.

    Args:
        films: At least one.
        card: Gives the operating point and the temperature.
        origin: Where the films come from.
        choices: Threshold, prevalence and seed.
        hard: Which films are hard, (N,); ``None`` where films are neither hard nor easy.
    """
    scores = ScoreArrays.of(films, card.temperature)
    evaluation = measured(scores, card.operating_point, origin, choices, hard)
    return evaluation.model_copy(update={"refer": referral(scores, card.refer)})


def measured(
    scores: ScoreArrays,
    point: OperatingPoint,
    origin: Origin,
    choices: Choices,
    hard: NDArray[np.bool_] | None = None,
) -> Evaluation:
    """As :func:`evaluate_predictions`, of arrays and the operating point that goes with them."""
    value = point.threshold if choices.threshold is None else choices.threshold
    table = confusion(scores.labels, scores.probabilities >= value)
    metrics = _metrics(scores, value, choices.seed)
    sens, spec = metrics["sensitivity"].value, metrics["specificity"].value
    elsewhere = None
    if choices.prevalence is not None and sens is not None and spec is not None:
        ppv, npv = at_prevalence(sens, spec, choices.prevalence)
        elsewhere = {"prevalence": choices.prevalence, "ppv": ppv, "npv": npv}
    classes: dict[ClassName, object] = {class_name(CLASS_NAMES.index(n)): c for n, c in class_metrics(table).items()}
    return Evaluation.model_validate(
        {
            "run": origin.run,
            "model_sha256": origin.model_sha256,
            "data_fingerprint": origin.data_fingerprint,
            "split": origin.split,
            "name": origin.name,
            "num_images": len(scores),
            "num_patients": len(set(scores.patients)),
            "prevalence": float(scores.labels.mean()),
            "threshold": ThresholdUsed(
                value=value,
                rule=point.rule if choices.threshold is None else "given",
                chosen_on=point.chosen_on if choices.threshold is None else "given",
            ),
            "confusion": table,
            "metrics": metrics,
            "classes": classes,
            "subgroups": _subgroups(scores, value)
            | hard_and_easy(hard, scores.labels, scores.logits, scores.probabilities >= value, scores.patients),
            "at_half": None if value == 0.5 else rates(scores.labels, scores.probabilities >= 0.5, scores.patients),
            "operating_point": point,
            "temperature": scores.temperature,
            "at_prevalence": elsewhere,
            "bootstrap_seed": choices.seed,
            "data_flow": origin.data_flow or _all_scored(len(scores)),
            "at_stored_sensitivity": refitted_threshold(scores, point.sensitivity, choices.seed),
            "label_shift": label_shift(scores, origin.assumed_prevalence, value, choices.seed),
            "patients": patient_level(scores, value),
            "by": choices.by,
        }
    )


def _all_scored(number: int) -> DataFlow:
    return DataFlow(num_found=number, num_unreadable=0, unreadable=(), num_duplicates=0, num_scored=number)


def _metrics(scores: ScoreArrays, threshold: float, seed: int) -> dict[str, Metric]:
    labels, calibrated, probabilities = scores.labels, scores.calibrated, scores.probabilities
    table = confusion(labels, probabilities >= threshold)
    values = from_confusion(table) | {
        "auroc": auroc(labels, scores.logits),
        "average_precision": average_precision(labels, scores.logits),
        "brier_score": brier_score(labels, probabilities),
        "brier_skill": brier_skill(labels, probabilities),
        "log_loss": log_loss(labels, calibrated),
        "calibration_error": calibration_error(labels, probabilities),
    }
    for percent in (90, 95):
        wanted = percent / 100
        values[f"sensitivity_at_specificity_{percent}"] = sensitivity_at_specificity(labels, scores.logits, wanted)
        values[f"specificity_at_sensitivity_{percent}"] = specificity_at_sensitivity(labels, scores.logits, wanted)
    bootstrap = PatientBootstrap(scores.patients, seed)
    drawn = all_drawn(bootstrap, labels, calibrated, probabilities, threshold)
    found = rates(labels, probabilities >= threshold, scores.patients)
    metrics = {name: percentiles(value, drawn[name]) for name, value in values.items()} | found
    metrics |= implied_metrics(table, found["sensitivity"], found["specificity"])
    ranked = auroc_metric(labels, scores.logits, scores.patients)
    metrics["auroc"] = ranked.model_copy(update={"value": values["auroc"]})  # equal but for rounding
    metrics |= edge_metrics(scores, values)
    slope, intercept = slope_and_intercept(calibrated, labels, scores.patients)
    metrics |= {"calibration_slope": slope, "calibration_intercept": intercept}
    metrics["auroc_delong"] = auroc_of_films(labels, scores.logits)
    return {name: metrics[name] for name in (*MAIN_METRICS, *(name for name in metrics if name not in MAIN_METRICS))}


def _subgroups(scores: ScoreArrays, threshold: float) -> dict[str, Subgroup]:
    """Bacterial and viral pneumonias, each against all normal films."""
    groups = {}
    for kind in ("bacteria", "virus"):
        own = (scores.kinds == kind) & (scores.labels == 1)
        if not own.any():
            continue
        both = own | (scores.labels == 0)
        found = scores.probabilities[own] >= threshold
        area = auroc_metric(scores.labels[both], scores.logits[both], scores.patients[both])
        groups[kind] = Subgroup(
            num_images=int(own.sum()),
            num_patients=len(set(scores.patients[own])),
            metrics={"sensitivity": rate(found, scores.patients[own]), "auroc": area},
        )
    return groups
