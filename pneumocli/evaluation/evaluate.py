"""``evaluate()``: scores a split through the model file and reports every metric with its interval."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.amounts import counted
from pneumocli.core.config import EvaluateConfig, PredictionsConfig
from pneumocli.core.events import FileWritten, Listener, Remark, ignore
from pneumocli.core.records import HARD_BALANCED, ManifestRow, Split
from pneumocli.data.acquisition_cache import acquisitions
from pneumocli.data.manifest import Manifest, readable_films
from pneumocli.evaluation.measure import Choices, Origin, evaluate_predictions, scored_film
from pneumocli.evaluation.recalibrate import refuse_adapted
from pneumocli.evaluation.store import damaged_evaluations, write_evaluation
from pneumocli.evaluation.subject import Subject, subject_of
from pneumocli.evaluation.table import evaluate_table
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.folder_shift import shift_of
from pneumocli.inference.scoring import ScoringResult, score_films
from pneumocli.metrics.records import DataFlow, Evaluation, ScoredFilm
from pneumocli.metrics.thresholds import doubts
from pneumocli.model.card import ModelCard
from pneumocli.run_folder import RunFolder
from pneumocli.shift.sample import FilmSample
from pneumocli.shift.shortcut import hard_films


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


def evaluate(config: EvaluateConfig | PredictionsConfig, listener: Listener = ignore) -> Evaluation:
    """Scores the films of a split and writes ``RUN/evaluations/<split>/``; other films go under a name of their own.

    The threshold is the one stored with the model, chosen on validation films or fixed beforehand; nothing is tuned on
    the films that are scored.

    Args:
        config: The run, the split, and how; or a table of scores, see :func:`.evaluate_table`.
        listener: Gets progress and warnings.

    Raises:
        RunError: The run has not finished, or its validation films have changed.
        DataError: There are no films in the split, or some are unreadable and ``skip_unreadable`` was not asked for.
        ModelFileError: The model file is missing or another than the training wrote.
        DeviceError: The device is not there.
    """
    if isinstance(config, PredictionsConfig):
        return evaluate_table(config, listener)
    run = RunFolder.open_finished(config.run).in_precision(config.precision)
    return evaluate_films(run, subject_of(run, config, listener), config, listener).evaluation


def evaluate_films(run: RunFolder, subject: Subject, config: EvaluateConfig, listener: Listener) -> Evaluated:
    """Scores these films with a finished run and writes the folder of the evaluation, see :func:`evaluate`.

    Args:
        run: The run.
        subject: The films, and the name that their evaluation is kept under.
        config: How to score.
        listener: Gets progress and warnings.
    """
    classifier = Classifier.of_run(run, config.device, throughput=True)
    films = subject.films
    refuse_adapted(classifier.card, films)
    _warn_about_overlap(run, subject, config.split, listener)
    sample = FilmSample(_patients(films))
    scored, flow = _score(classifier, films, config, sample, listener)
    origin = Origin(
        run.name if run.precision == "fp32" else f"{run.name} ({run.precision})",
        config.split,
        run.model_sha256,
        films.fingerprint,
        flow,
        subject.name,
        _assumed_prevalence(run, classifier.card),
    )
    chosen = Choices(config.threshold, config.prevalence, config.seed, config.by)
    hard = _hard(classifier.card, films, scored, listener)
    evaluation = evaluate_predictions(scored, classifier.card, origin, chosen, hard)
    # Films that the network was fitted to have features of their own, and the validation films are what it compares
    # with: either comparison would mean nothing.
    compared = bool(subject.name) or config.split == "test"
    shift = shift_of(sample, classifier, listener) if compared else None
    evaluation = evaluation.model_copy(update={"shift": shift, "precision": run.precision})
    _warn_about_threshold(run, classifier.card, evaluation, listener)
    write_evaluation(run, classifier, evaluation, scored, films.folder)
    for folder, error in damaged_evaluations(run).items():
        listener(Remark(f"{error.message}: {folder.name} is left out of the model card and the pages", "warning"))
    if config.by == "patient" and evaluation.patients is None:
        listener(Remark("no patient is known to have several films here: the figures are those of films", "warning"))
    if subject.name:
        place = run.evaluation_folder(evaluation.place).path
        listener(Remark(f"these are not the run's own test films: their evaluation is kept in {place}"))
    listener(FileWritten(run.evaluation_folder(evaluation.place).report_file, "report"))
    return Evaluated(evaluation, scored, classifier.card)


def _assumed_prevalence(run: RunFolder, card: ModelCard) -> float | None:
    """The prevalence that a run's probabilities assume; ``None`` where it is not known."""
    if (fitted := card.recalibrated) is not None:
        return fitted.num_pneumonia / (fitted.num_normal + fitted.num_pneumonia)
    if card.assumed_prevalence is not None:
        return card.assumed_prevalence
    config = run.config()
    if config.hard_weight != 1:  # an older run: which films its loss weighed more is not recorded
        return None
    if config.class_weights == "balanced":
        return 0.5
    labels = [row.label for row in run.manifest().of("train").rows]
    return sum(labels) / len(labels) if labels else None


def _hard(
    card: ModelCard, films: Manifest, scored: Sequence[ScoredFilm], listener: Listener
) -> NDArray[np.bool_] | None:
    """Which of the scored films contradict the shortcuts of the model's training films."""
    if card.shortcut_model is None or not card.shortcut_model.shortcuts:
        return None
    rows = {row.image: row for row in films.rows}
    readable = replace(films, rows=tuple(rows[film.image] for film in scored))
    return hard_films(card.shortcut_model, acquisitions(readable, listener), [row.label for row in readable.rows])


def _warn_about_overlap(run: RunFolder, subject: Subject, split: Split, listener: Listener) -> None:
    """Warns about test films that the run has trained on: they make every number too good."""
    films = subject.films
    if split != "test":
        return
    seen = run.manifest()
    hashes = {row.sha256 for row in seen.rows}
    patients = {row.patient for row in seen.rows if not row.patient.startswith("film:")}
    same_film = sum(row.sha256 in hashes for row in films.rows)
    # Another place numbers its patients itself: the same key there is another person.
    same_patient = 0 if subject.name else len({row.patient for row in films.rows} & patients)
    known = [
        counted(number, f"test {what}") for number, what in ((same_film, "film"), (same_patient, "patient")) if number
    ]
    if known:
        seen_before = f"the run was trained or validated on {' and '.join(known)}: the numbers are too good"
        listener(Remark(seen_before, "warning"))


def _patients(films: Manifest) -> Callable[[object], str]:
    """The patient of a film by its path; empty where the manifest knows none."""
    known = {films.path(row): row.patient for row in films.rows if not row.patient.startswith("film:")}
    return lambda source: known.get(source, "") if isinstance(source, Path) else ""


def _score(
    classifier: Classifier, films: Manifest, config: EvaluateConfig, sample: FilmSample, listener: Listener
) -> tuple[tuple[ScoredFilm, ...], DataFlow]:
    threshold = classifier.card.operating_point.threshold if config.threshold is None else config.threshold
    paths = [films.path(row) for row in films.rows]
    results = list(score_films(classifier, paths, batch_size=config.batch_size, sample=sample, listener=listener))
    answers = {row.image: result for row, result in zip(films.rows, results, strict=True)}
    unreadable = {image: result.error for image, result in answers.items() if result.error}
    readable = readable_films(films, unreadable, skip=config.skip_unreadable, listener=listener)
    scored = tuple(_scored_film(row, answers[row.image], threshold) for row in readable.rows)
    copies = sum(count - 1 for count in Counter(row.sha256 for row in films.rows).values())
    return scored, DataFlow(
        num_found=len(films),
        num_unreadable=len(unreadable),
        unreadable=tuple(f"{image}: {reason}" for image, reason in unreadable.items()),
        num_duplicates=copies,
        num_scored=len(scored),
    )


def _scored_film(row: ManifestRow, result: ScoringResult, threshold: float) -> ScoredFilm:
    assert result.logit is not None  # noqa: S101 - the caller passes readable films only
    assert result.probability is not None  # noqa: S101
    return scored_film(row, result.logit, result.probability, threshold)


def _warn_about_threshold(run: RunFolder, card: ModelCard, evaluation: Evaluation, listener: Listener) -> None:
    if evaluation.threshold.chosen_on not in ("val", "out-of-fold"):
        return
    manifest = run.manifest()
    chosen_on = manifest.of("val") if evaluation.threshold.chosen_on == "val" else manifest
    positive: int = sum(row.label for row in chosen_on.rows)
    negative, area = len(chosen_on) - positive, run.result().val_auroc
    if evaluation.threshold.rule == HARD_BALANCED and card.validation.hard is not None:  # the films that decided
        hard = card.validation.hard
        positive, negative, area = hard.num_pneumonia, hard.num_normal, hard.auroc.value
    text = doubts(positive, negative, area, evaluation.threshold.rule)
    if text is not None:
        listener(Remark(text, "warning"))
