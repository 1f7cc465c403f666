"""``evaluate()``: scores a split through the model file, and says how sure the numbers are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pneumocli.core.config import EvaluateConfig
from pneumocli.core.errors import DataError, first_few
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.core.records import CLASS_NAMES, ClassName, ManifestRow, Split
from pneumocli.data.manifest import Manifest, prove_unchanged, scan, with_hashes
from pneumocli.evaluation.store import write_evaluation
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.scoring import ScoringResult, score_films
from pneumocli.metrics.bootstrap import PatientBootstrap, all_drawn, percentiles, rate, undefined
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
from pneumocli.metrics.delong import auroc_interval
from pneumocli.metrics.records import DataFlow, Evaluation, Metric, ScoredFilm, Subgroup, ThresholdUsed
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.metrics.thresholds import doubts
from pneumocli.model.card import ModelCard
from pneumocli.run_folder import RunFolder

_RATES = ("accuracy", "sensitivity", "specificity", "ppv", "npv")


@dataclass(frozen=True)
class Evaluated:
    """An evaluation with what it was made of.

    Attributes:
        evaluation: The numbers.
        films: The films, as scored.
        card: Of the model that scored them.
    """

    evaluation: Evaluation
    films: tuple[ScoredFilm, ...]
    card: ModelCard


def evaluate(config: EvaluateConfig, listener: Listener = ignore) -> Evaluation:
    """Scores the films of a split and writes ``RUN/evaluations/<split>/``.

    The threshold is the one stored with the model, chosen on validation films or fixed beforehand; nothing is tuned on
    the films that are scored.

    Args:
        config: The run, the split, and how.
        listener: Gets progress and warnings.

    Raises:
        RunError: The run has not finished, or its validation films have changed.
        DataError: There are no films in the split, or some are unreadable and ``skip_unreadable`` was not asked for.
        ModelFileError: The model file is missing or another than the training wrote.
        DeviceError: The device is not there.
    """
    run = RunFolder.open_finished(config.run)
    return evaluate_films(run, films_of(run, config.split, config.data, listener), config, listener).evaluation


def evaluate_films(run: RunFolder, films: Manifest, config: EvaluateConfig, listener: Listener) -> Evaluated:
    """Scores these films with a finished run and writes the folder of the evaluation, see :func:`evaluate`.

    Args:
        run: The run.
        films: Of :func:`films_of`.
        config: How to score.
        listener: Gets progress and warnings.
    """
    classifier = Classifier.of_run(run, config.device, throughput=True)
    _warn_about_overlap(run, films, config.split, listener)
    scored, flow = _score(classifier, films, config, listener)
    evaluation = evaluate_predictions(
        scored,
        card=classifier.card,
        split=config.split,
        run=run.name,
        threshold=config.threshold,
        prevalence=config.prevalence,
        seed=config.seed,
        model_sha256=run.model_sha256,
        data_fingerprint=films.fingerprint,
        data_flow=flow,
    )
    _warn_about_threshold(run, evaluation, listener)
    write_evaluation(run, classifier, evaluation, scored, films.folder)
    return Evaluated(evaluation, scored, classifier.card)


def films_of(run: RunFolder, split: Split, data: Path | None, listener: Listener = ignore) -> Manifest:
    """The films of a split, with their hashes: the run's own for train and val, the data folder's for test.

    Raises:
        RunError: A training or validation film of the run is gone or has another content.
        DataError: The data folder has no such films.
    """
    settings = run.config()
    if split != "test":
        recorded = run.manifest(data).of(split)
        hint = "name the folder that the run was trained on with --data DIR"
        return prove_unchanged(recorded, f"the {split} films of {run.path}", hint, listener)
    folder = data if data is not None else settings.data
    films = scan(folder, settings.manifest if data is None else None, listener).of("test")
    if not films.rows:
        raise DataError(f"{folder} has no test films", "--split val scores the run's validation films")
    return with_hashes(films, listener)


def _warn_about_overlap(run: RunFolder, films: Manifest, split: Split, listener: Listener) -> None:
    """Test films that the run has trained on make every number worthless."""
    if split != "test":
        return
    seen = run.manifest()
    hashes = {row.sha256 for row in seen.rows}
    patients = {row.patient for row in seen.rows if not row.patient.startswith("film:")}
    same_film = sum(row.sha256 in hashes for row in films.rows)
    same_patient = len({row.patient for row in films.rows} & patients)
    if same_film or same_patient:
        listener(
            Remark(
                f"{same_film} test films and {same_patient} test patients were among the run's training or validation "
                "films: the numbers are too good",
                "warning",
            )
        )


def _score(
    classifier: Classifier, films: Manifest, config: EvaluateConfig, listener: Listener
) -> tuple[tuple[ScoredFilm, ...], DataFlow]:
    threshold = classifier.card.operating_point.threshold if config.threshold is None else config.threshold
    paths = [films.path(row) for row in films.rows]
    results = list(score_films(classifier, paths, batch_size=config.batch_size, listener=listener))
    unreadable = tuple(
        f"{row.image}: {result.error}" for row, result in zip(films.rows, results, strict=True) if result.error
    )
    if unreadable:
        named = first_few(unreadable, "; ")
        if not config.skip_unreadable:
            raise DataError(
                f"{len(unreadable)} of {len(films)} films in {films.folder} cannot be read: {named}",
                "remove or replace them, or leave them out and count them: --skip-unreadable",
            )
        listener(Remark(f"{len(unreadable)} unreadable films left out: {named}", "warning"))
    scored = tuple(
        _scored_film(row, result, threshold)
        for row, result in zip(films.rows, results, strict=True)
        if not result.error
    )
    if not scored:
        raise DataError(f"none of the {len(films)} films in {films.folder} can be read")
    copies = sum(count - 1 for count in Counter(row.sha256 for row in films.rows).values())
    return scored, DataFlow(
        num_found=len(films),
        num_unreadable=len(unreadable),
        unreadable=unreadable,
        num_duplicates=copies,
        num_scored=len(scored),
    )


def _scored_film(row: ManifestRow, result: ScoringResult, threshold: float) -> ScoredFilm:
    assert result.logit is not None  # noqa: S101 - told apart by error, which the caller has looked at
    assert result.probability is not None  # noqa: S101
    return ScoredFilm(
        image=row.image,
        patient=row.patient,
        kind=row.kind,
        label=_name(row.label),
        logit=result.logit,
        probability=result.probability,
        prediction=_name(int(result.probability >= threshold)),
    )


def _name(label: int) -> ClassName:
    return "PNEUMONIA" if label else "NORMAL"


def evaluate_predictions(  # noqa: PLR0913 - the fields of metrics.json that do not follow from the films
    films: Sequence[ScoredFilm],
    *,
    card: ModelCard,
    split: Split,
    run: str,
    threshold: float | None = None,
    prevalence: float | None = None,
    seed: int = 0,
    model_sha256: str = "",
    data_fingerprint: str = "",
    data_flow: DataFlow | None = None,
) -> Evaluation:
    """Everything that follows from scored films.

    Args:
        films: At least one.
        card: Gives the operating point and the temperature.
        split: Which films these are.
        run: Name of the run.
        threshold: Used instead of the stored one.
        prevalence: Also give ppv and npv at this prevalence.
        seed: Of the bootstrap.
        model_sha256: Of the model file.
        data_fingerprint: Of the films.
        data_flow: What became of the films found; all were scored unless given.
    """
    scores = ScoreArrays.of(films, card.temperature)
    point = card.operating_point
    value = point.threshold if threshold is None else threshold
    table = confusion(scores.labels, scores.probabilities >= value)
    metrics = _metrics(scores, value, seed)
    sens, spec = metrics["sensitivity"].value, metrics["specificity"].value
    elsewhere = None
    if prevalence is not None and sens is not None and spec is not None:
        ppv, npv = at_prevalence(sens, spec, prevalence)
        elsewhere = {"prevalence": prevalence, "ppv": ppv, "npv": npv}
    classes: dict[ClassName, object] = {_name(CLASS_NAMES.index(n)): c for n, c in class_metrics(table).items()}
    return Evaluation.model_validate(
        {
            "run": run,
            "model_sha256": model_sha256,
            "data_fingerprint": data_fingerprint,
            "split": split,
            "num_images": len(scores),
            "num_patients": len(set(scores.patients)),
            "prevalence": float(scores.labels.mean()),
            "threshold": ThresholdUsed(
                value=value,
                rule=point.rule if threshold is None else "given",
                chosen_on=point.chosen_on if threshold is None else "given",
            ),
            "confusion": table,
            "metrics": metrics,
            "classes": classes,
            "subgroups": _subgroups(scores, value, seed),
            "at_half": None if value == 0.5 else _rates(scores, 0.5),
            "operating_point": point,
            "temperature": card.temperature,
            "at_prevalence": elsewhere,
            "bootstrap_seed": seed,
            "data_flow": data_flow
            or DataFlow(
                num_found=len(scores), num_unreadable=0, unreadable=(), num_duplicates=0, num_scored=len(scores)
            ),
        }
    )


def _rates(scores: ScoreArrays, threshold: float) -> dict[str, Metric]:
    """The rates at a threshold, with Wilson's interval on the effective number of films."""
    positive, called = scores.labels == 1, scores.probabilities >= threshold
    right, patients = called == positive, scores.patients
    return {
        "accuracy": rate(right, patients),
        "sensitivity": rate(right[positive], patients[positive]),
        "specificity": rate(right[~positive], patients[~positive]),
        "ppv": rate(right[called], patients[called]),
        "npv": rate(right[~called], patients[~called]),
    }


def _metrics(scores: ScoreArrays, threshold: float, seed: int) -> dict[str, Metric]:
    labels, calibrated, probabilities = scores.labels, scores.calibrated, scores.probabilities
    values = from_confusion(confusion(labels, probabilities >= threshold)) | {
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
    metrics = {name: percentiles(value, drawn[name]) for name, value in values.items()} | _rates(scores, threshold)
    slope, intercept = slope_and_intercept(calibrated, labels, scores.patients)
    metrics |= {"calibration_slope": slope, "calibration_intercept": intercept, "auroc_delong": _delong(scores)}
    return {name: metrics[name] for name in (*MAIN_METRICS, *(name for name in metrics if name not in MAIN_METRICS))}


def _delong(scores: ScoreArrays) -> Metric:
    """The AUROC with DeLong's interval, a check of the bootstrap's."""
    positives = int(scores.labels.sum())
    if min(positives, len(scores) - positives) < 2:
        return undefined("fewer than two films of a class")
    low, high = auroc_interval(scores.labels, scores.logits)
    value = auroc(scores.labels, scores.logits)
    return Metric(value=value, low=low, high=high, method="DeLong, assumes independent films")


def _subgroups(scores: ScoreArrays, threshold: float, seed: int) -> dict[str, Subgroup]:
    """Bacterial and viral pneumonias, each against all normal films."""
    groups = {}
    for kind in ("bacteria", "virus"):
        own = (scores.kinds == kind) & (scores.labels == 1)
        if not own.any():
            continue
        both = own | (scores.labels == 0)
        found = scores.probabilities[own] >= threshold
        area = auroc(scores.labels[both], scores.logits[both])
        bootstrap = PatientBootstrap(scores.patients[both], seed)
        drawn = bootstrap.rankings(scores.labels[both], scores.logits[both])["auroc"]
        groups[kind] = Subgroup(
            num_images=int(own.sum()),
            num_patients=len(set(scores.patients[own])),
            metrics={"sensitivity": rate(found, scores.patients[own]), "auroc": percentiles(area, drawn)},
        )
    return groups


def _warn_about_threshold(run: RunFolder, evaluation: Evaluation, listener: Listener) -> None:
    if evaluation.threshold.chosen_on != "val":
        return
    labels = [row.label for row in run.manifest().of("val").rows]
    text = doubts(sum(labels), len(labels) - sum(labels), run.result().val_auroc, evaluation.threshold.rule)
    if text is not None:
        listener(Remark(text, "warning"))
