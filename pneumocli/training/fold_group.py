"""From the finished runs of a group of folds to one model: out-of-fold scores, threshold, temperature, card, file.

Each film is scored by the one run that held it out; from these scores come the temperature, the operating point and an
evaluation. New films get the mean of the runs' logits, maps and features. The mean of features is described by a
reference of its own. Every film of it was seen by all runs but one, so that distances to it are too small; they are
raised by as much as each run's own distances rise from films it was trained on to films it held out. For the same
reason the films that later folders are compared with are described as if no run had seen them.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.config import TrainConfig
from pneumocli.core.events import FileWritten, Listener, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.core.files import sha256_of, utc_now, write_json
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import OUT_OF_FOLD, FoldOutcome, ManifestRow, RunResult
from pneumocli.core.version import __version__
from pneumocli.data.acquisition_cache import acquisitions
from pneumocli.data.film import Pixels, still_there
from pneumocli.data.manifest import Manifest, readable_films
from pneumocli.evaluation.measure import Origin, evaluate_predictions, scored_film
from pneumocli.evaluation.store import stored_evaluations, write_evaluation_files
from pneumocli.inference.classifier import Classifier, logit_of
from pneumocli.inference.scoring import score_films
from pneumocli.metrics.calibration import fit_temperature
from pneumocli.metrics.classification import auroc, log_loss, sigmoid, spread
from pneumocli.metrics.records import OutOfFoldFilm, ScoredFilm
from pneumocli.metrics.scored_films import write_out_of_fold
from pneumocli.metrics.thresholds import choose_operating_point
from pneumocli.model.brightness_map import fit_brightness_map, thumbnails
from pneumocli.model.card import FeatureModel, InputRange, ModelCard, ValidationSummary
from pneumocli.model.out_of_distribution import Appearance, Familiarity, fit
from pneumocli.model.reference import Reference
from pneumocli.reporting.model_card import model_card
from pneumocli.reporting.suspect_page import PAGE_NAME, write_suspect_labels
from pneumocli.run_folder import RunFolder
from pneumocli.shift.reference import reference_of
from pneumocli.shift.shortcut import fit_shortcuts, hard_films
from pneumocli.training.dataset import EvaluationForm
from pneumocli.training.ensemble import write_ensemble
from pneumocli.training.finish import evenly_spaced, validation_intervals
from pneumocli.training.hard_films import HardFilms
from pneumocli.training.referral import limits_of
from pneumocli.training.unseen import as_if_unseen

_FAMILIAR_FILMS = 1536  # more than for a single run: each fold's own films among them set its share of the limit
_PARITY_FILMS = 64
_BATCH = 32

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Held:
    """All films of a group, each as the run that held it out sees it; (N,) each.

    Attributes:
        folds: Which run, from 1.
        labels: 0 or 1.
        logits: Of that run.
        hard: Which films contradict that run's shortcuts; ``None`` where no run has any.
    """

    folds: NDArray[np.int64]
    labels: NDArray[np.int64]
    logits: NDArray[np.float64]
    hard: NDArray[np.bool_] | None


def complete(group: RunFolder, numbers: Sequence[int], listener: Listener) -> None:
    """Write all that a group has beside its finished runs; ``result.json``, the mark of a finished group, last.

    Args:
        group: Its runs are finished and belong to it.
        numbers: The fold of each row of its manifest, from 1.
        listener: Gets progress.

    Raises:
        DataError: A film cannot be read any more.
        ModelFileError: A model file of a run is missing or another than its training wrote.
        CheckFailed: The graph of the ensemble gives other logits than its members.
    """
    config, films = group.config(), group.manifest()
    members = [Classifier.of_run(fold, throughput=True) for fold in group.folds]
    held = _held_out(members, films, np.asarray(numbers), listener)
    pixels, aspects, chosen = _sample(films, members[0].card, listener)
    card = _card(group, config, films, members, held)
    features, logits = _outputs(members, pixels)
    input_range, feature_model = _described(features, held.folds[chosen], Appearance.of(pixels, aspects))
    small, first = thumbnails(pixels), held.folds[chosen] == 1  # of pixels alone: no network has seen them or not
    brightness_map = fit_brightness_map(small[~first], small[first])
    described = {"input_range": input_range, "feature_model": feature_model, "brightness_map": brightness_map}
    card = card.model_copy(update=described)
    scored = _scored(films.rows, held, card)
    out_of_fold = [
        OutOfFoldFilm(**film.model_dump(), fold=int(fold)) for film, fold in zip(scored, held.folds, strict=True)
    ]
    write_out_of_fold(group.out_of_fold_file, out_of_fold)
    write_suspect_labels(group.path, out_of_fold, films)
    listener(FileWritten(group.path / PAGE_NAME, "suspect labels"))
    some = Manifest(films.folder, tuple(films.rows[index] for index in chosen))
    reference = _reference(card, some, held.folds[chosen], pixels, (features, logits))
    write_json(group.group_card_file, card)
    files = [group.group_card_file]
    if reference is not None:
        write_json(group.group_reference_file, reference)
        files.insert(0, group.group_reference_file)
    group.write_environment(group.folds[0].environment())
    if config.ensemble:
        write_ensemble(
            [fold.onnx_file for fold in group.folds], group.onnx_file, card, pixels[:_PARITY_FILMS], reference
        )
        files.append(group.onnx_file)
    sha256 = {file.name: sha256_of(file) for file in files}
    result = _result(group, card, sha256, validation_intervals(films.rows, held.logits))
    origin = Origin(group.name, OUT_OF_FOLD, sha256[files[-1].name], films.fingerprint)
    evaluation = evaluate_predictions(scored, card, origin, hard=held.hard)
    mean = Classifier.of_folds(group.group_card_file, card, group.folds)
    write_evaluation_files(group, mean, evaluation, scored, films.folder)
    group.write_model_card(*model_card(group, card, stored_evaluations(group, origin.model_sha256), result))
    group.write_result(result)


def _held_out(members: Sequence[Classifier], films: Manifest, folds: NDArray[np.int64], listener: Listener) -> _Held:
    labels = np.array([row.label for row in films.rows], np.int64)
    made = acquisitions(films, listener)
    logits, hard, all_marked = np.zeros(len(films)), np.zeros(len(films), bool), True
    for number, member in enumerate(members, start=1):
        own = np.flatnonzero(folds == number)
        rows = [films.rows[index] for index in own]
        results = list(score_films(member, [films.path(row) for row in rows], batch_size=_BATCH, listener=listener))
        unreadable = {row.image: one.error for row, one in zip(rows, results, strict=True) if one.error}
        readable_films(Manifest(films.folder, tuple(rows)), unreadable, skip=False)
        logits[own] = [one.logit for one in results]
        marked = hard_films(member.card.shortcut_model, [made[index] for index in own], labels[own])
        if marked is None:
            all_marked = False  # what no shortcut of its training films judges is neither hard nor easy
        else:
            hard[own] = marked
    return _Held(folds, labels, logits, hard if all_marked else None)


def _card(
    group: RunFolder, config: TrainConfig, films: Manifest, members: Sequence[Classifier], held: _Held
) -> ModelCard:
    temperature = fit_temperature(held.logits, held.labels)
    point = choose_operating_point(
        held.logits, held.labels, config.operating_point, temperature, hard=held.hard, chosen_on=OUT_OF_FOLD
    )
    patients = [row.patient for row in films.rows]
    shortcuts = fit_shortcuts(acquisitions(films), held.labels, patients)
    marked = HardFilms(shortcuts, held.labels, np.array(patients, np.str_), held.hard)
    return ModelCard(
        package_version=__version__,
        image_size=members[0].card.image_size,
        fit=members[0].card.fit,
        initial_weights=members[0].card.initial_weights,
        operating_point=point,
        temperature=temperature,
        data_fingerprint=films.fingerprint,
        num_train_images=len(films),
        best_epoch=statistics.median_low(fold.result().best_epoch for fold in group.folds),
        validation=ValidationSummary(
            method=config.val,
            num_images=len(films),
            num_patients=films.num_patients,
            fraction=1 / len(members),
            loss=log_loss(held.labels, held.logits),
            accuracy=float(np.mean((held.logits >= 0) == (held.labels == 1))),
            auroc=auroc(held.labels, held.logits),
            **marked.summaries(held.logits, sigmoid(held.logits / temperature) >= point.threshold),
        ),
        shortcut_model=shortcuts,
        assumed_prevalence=_mean_assumed_prevalence(members),
        members=tuple(fold.model_sha256 for fold in group.folds),
        views=members[0].card.views,
        refer=limits_of(config, films.rows, held.logits),
    )


def _mean_assumed_prevalence(members: Sequence[Classifier]) -> float | None:
    """Of the folds; ``None`` where one is of an older version."""
    known = [one for member in members if (one := member.card.assumed_prevalence) is not None]
    return statistics.fmean(known) if len(known) == len(members) else None


def _scored(rows: Sequence[ManifestRow], held: _Held, card: ModelCard) -> list[ScoredFilm]:
    probabilities = sigmoid(held.logits / card.temperature)
    return [
        scored_film(row, float(logit), float(probability), card.operating_point.threshold)
        for row, logit, probability in zip(rows, held.logits, probabilities, strict=True)
    ]


def _sample(
    films: Manifest, card: ModelCard, listener: Listener
) -> tuple[NDArray[np.uint8], Floats, NDArray[np.int64]]:
    """Some films as the networks take them, uint8 (n,1,S,S), their aspects, and their numbers in the manifest."""
    chosen = evenly_spaced(len(films), _FAMILIAR_FILMS)
    form = EvaluationForm(card.image_size, card.fit)

    def look(index: int) -> tuple[Pixels, float]:
        path = films.path(films.rows[index])
        with still_there(path):
            return form.with_aspect(path)

    task, seen = "reading films", []
    listener(TaskStarted(task, len(chosen)))
    for done, one in enumerate(ordered_map(look, chosen), start=1):
        seen.append(one)
        listener(TaskAdvanced(task, done))
    listener(TaskFinished(task))
    pixels, aspects = zip(*seen, strict=True)
    return np.stack(pixels)[:, None], np.asarray(aspects, np.float32), np.asarray(chosen)


def _outputs(members: Sequence[Classifier], pixels: NDArray[np.uint8]) -> tuple[Floats, NDArray[np.float64]]:
    """Of each member the pooled activations, float32 (K,n,512), and the logits of pneumonia, (K,n)."""
    parts = [pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)]
    outputs = [[member.run(part) for part in parts] for member in members]
    features = np.stack([np.concatenate([one.features for one in of_member]) for of_member in outputs])
    logits = np.stack([np.concatenate([logit_of(one.logits) for one in of_member]) for of_member in outputs])
    return features, logits


def _reference(
    card: ModelCard,
    films: Manifest,
    folds: NDArray[np.int64],
    pixels: NDArray[np.uint8],
    outputs: tuple[Floats, NDArray[np.float64]],
) -> Reference | None:
    """What the group keeps to compare a folder of films with: its own, as if no member had been trained on them.

    Args:
        card: Of the group, with its description of features.
        films: Those that are looked at, n of them.
        folds: The member that held each out, from 1, (n,).
        pixels: uint8 (n,1,S,S).
        outputs: See :func:`_outputs`.
    """
    labels = np.array([row.label for row in films.rows], np.int64)
    features, logits = outputs
    # Activations are skewed, their roots less so, see model/out_of_distribution.py.
    roots = as_if_unseen(np.sqrt(np.maximum(features, 0)), folds, labels)
    mean = (np.maximum(roots, 0) ** 2).mean(axis=0).astype(np.float32)
    return reference_of(
        films.rows,
        acquisitions(films),
        list(pixels[:, 0]),
        Familiarity(None, card.feature_model).coordinates(mean),
        as_if_unseen(logits[..., None], folds, labels).mean(axis=0)[:, 0],
    )


def _described(features: Floats, folds: NDArray[np.int64], appearance: Appearance) -> tuple[InputRange, FeatureModel]:
    """Describes the films by the mean features; the limit is that of films that no member was trained on."""
    mean = features.mean(axis=0)
    input_range, model = fit(mean, mean, appearance)
    rises: list[float] = []
    for number, own in enumerate(features, start=1):
        seen, held = own[folds != number], own[folds == number]
        if len(held) and len(seen) > 1:
            limits = [fit(seen, films, appearance)[1].limit for films in (seen, held)]
            rises.append(limits[1] / limits[0] if limits[0] > 0 else 1.0)
    rise = max(1.0, statistics.fmean(rises)) if rises else 1.0
    return input_range, model.model_copy(update={"limit": model.limit * rise})


def _result(
    group: RunFolder, card: ModelCard, sha256: dict[str, str], intervals: dict[str, tuple[float, float]]
) -> RunResult:
    results = [fold.result() for fold in group.folds]
    validated = [len(fold.manifest().of("val")) for fold in group.folds]
    seconds = sum(one.seconds for one in results)
    spreads = {
        "val_auroc": spread([one.val_auroc for one in results]),
        "val_accuracy": spread([one.val_accuracy for one in results]),
    }
    peaks = [one.peak_memory_bytes for one in results if one.peak_memory_bytes is not None]
    return RunResult(
        finished_utc=utc_now(),
        num_epochs=max(one.num_epochs for one in results),
        stopped_early=any(one.stopped_early for one in results),
        best_epoch=card.best_epoch,
        val_auroc=card.validation.auroc,
        val_accuracy=card.validation.accuracy,
        val_intervals=intervals,
        seconds=seconds,
        images_per_second=statistics.median(one.images_per_second for one in results),
        peak_memory_bytes=max(peaks, default=None),
        time_shares={
            name: sum(one.time_shares.get(name, 0.0) * one.seconds for one in results) / seconds
            for name in results[0].time_shares
        },
        num_unreadable=max(one.num_unreadable for one in results),
        unreadable=max((one.unreadable for one in results), key=len),
        sha256=sha256,
        folds=tuple(
            FoldOutcome(
                fold=number,
                best_epoch=one.best_epoch,
                num_val_images=count,
                val_auroc=one.val_auroc,
                val_accuracy=one.val_accuracy,
                model_sha256=fold.model_sha256,
            )
            for number, (fold, one, count) in enumerate(zip(group.folds, results, validated, strict=True), start=1)
        ),
        spread={name: value for name, value in spreads.items() if value is not None},
    )
