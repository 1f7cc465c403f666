"""``recalibrate()``: a run's model with probabilities and threshold fitted to labelled films of another place."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.config import RecalibrateConfig
from pneumocli.core.errors import DataError, RunError, SettingError, shell_word
from pneumocli.core.events import FileWritten, Listener, ignore
from pneumocli.core.files import sha256_of, write_bytes
from pneumocli.core.locks import locked
from pneumocli.core.records import Finite, Fraction, Record
from pneumocli.data.manifest import Manifest, readable_films, scan, with_hashes
from pneumocli.evaluation.subject import name_after
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.scoring import score_films
from pneumocli.metrics.recalibration import FOLDS, Refitted, SampleSize, refit, sample_sizes
from pneumocli.metrics.records import Metric
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.model.card import GroupFigure, ModelCard, Recalibration
from pneumocli.model.onnx_file import CARD_KEY, with_metadata
from pneumocli.reporting.model_card import model_card
from pneumocli.run_folder import RunFolder

LEAST_PATIENTS = 10
"""Of each class."""

_KEPT_DIGITS = 16


class Recalibrated(Record):
    """A recalibrated model and how it was made."""

    run: str
    """Folder of the recalibrated model, which is used as a run is."""
    rule: str
    threshold: Fraction
    temperature: Finite
    offset: Finite
    recalibration: Recalibration
    sample_sizes: tuple[SampleSize, ...]


def recalibrate(config: RecalibrateConfig, listener: Listener = ignore) -> Recalibrated:
    """Fits scale and offset of the logit and the threshold to labelled films, and writes another model beside the old.

    ``RUN/recalibrated/NAME`` is used as a run is: it holds the same network with another card. Nothing else in the
    run changes.

    Args:
        config: The run, the films, the rule.
        listener: Gets progress and warnings.

    Raises:
        RunError: The run has not finished, is a group, or has a recalibrated model of this name. What a recalibration
            of this name left that was stopped is replaced.
        DataError: The films are unreadable, too few, known to the network, or not told apart by it.
        SettingError: The stored rule cannot be applied to these films.
    """
    run = RunFolder.open_finished(config.run)
    if run.is_group:
        raise RunError(f"the group {run.path} cannot be recalibrated: expected a single run", "name one of its folds")
    films = _films(config, listener)
    place = config.name or name_after((config.manifest or config.folder).resolve().stem)
    target = run.recalibrated(place)
    _refuse_taken(target)
    _check_unknown(run, films)
    _check_enough(films)
    classifier = Classifier.of_run(run, throughput=True)
    rule = _rule(config, classifier.card)
    scores = _scores(classifier, films, listener)
    found = refit(scores, rule, classifier.card.operating_point.threshold, config.seed)
    _check_ranking(found, run)
    card = _recalibrated_card(classifier.card, found, _record(place, classifier.card, found, films))
    _write(run, target, card, listener)
    return _described(target, card)


def refuse_adapted(card: ModelCard, films: Manifest) -> None:
    """Refuses to evaluate a model on films that it was recalibrated on.

    Raises:
        DataError: Some of the films are among them.
    """
    if card.recalibrated is None:
        return
    used = set(card.recalibrated.films)
    number = sum(row.sha256[:_KEPT_DIGITS] in used for row in films.rows)
    if number:
        raise DataError(
            f"{number} of {len(films)} films were used to recalibrate this model on {card.recalibrated.name}: "
            "expected films that were not",
            "the model card holds the cross-validated figures of those films; name others with --data or --manifest",
        )


def _films(config: RecalibrateConfig, listener: Listener) -> Manifest:
    """All labelled films of the folder or table, whatever their split."""
    return with_hashes(scan(config.folder, config.manifest, listener), listener)


def _check_unknown(run: RunFolder, films: Manifest) -> None:
    known = {row.sha256 for row in run.manifest().rows}
    number = sum(row.sha256 in known for row in films.rows)
    if number:
        raise DataError(
            f"{number} of {len(films)} films are training or validation films of {run.path}: expected films of "
            "another place",
            "name a folder of other films with --data",
        )


def _check_enough(films: Manifest) -> None:
    fewest, name = min(zip(_patients_of_classes(films), ("NORMAL", "PNEUMONIA"), strict=True))
    if fewest < LEAST_PATIENTS:
        raise DataError(
            f"the films hold {fewest} patients of {name}: expected at least {LEAST_PATIENTS} of each class",
            "label more films of this place; about 100 patients of each class measure a rate to 6 points",
        )


def _patients_of_classes(films: Manifest) -> tuple[int, int]:
    normal, pneumonia = (len({row.patient for row in films.rows if row.label == label}) for label in (0, 1))
    return normal, pneumonia


def _rule(config: RecalibrateConfig, card: ModelCard) -> str:
    rule = config.operating_point or card.operating_point.rule
    if rule not in ("0.5", "youden") and not re.fullmatch(r"\w+=\S+", rule):
        raise SettingError(
            f"the rule {rule} needs hard films, which other places do not have", "--operating-point youden"
        )
    return rule


def _scores(classifier: Classifier, films: Manifest, listener: Listener) -> ScoreArrays:
    results = list(score_films(classifier, [films.path(row) for row in films.rows], listener=listener))
    unreadable = {row.image: item.error for row, item in zip(films.rows, results, strict=True) if item.error}
    readable_films(films, unreadable, skip=False, listener=listener)
    return ScoreArrays(
        images=tuple(row.image for row in films.rows),
        patients=np.array([row.patient for row in films.rows], dtype=np.str_),
        kinds=np.array([row.kind for row in films.rows], dtype=np.str_),
        labels=np.array([row.label for row in films.rows], dtype=np.int64),
        logits=_finite([item.logit for item in results]),
        temperature=classifier.card.temperature,
    )


def _finite(logits: list[float | None]) -> NDArray[np.float64]:
    return np.array([logit for logit in logits if logit is not None], dtype=np.float64)


def _check_ranking(found: Refitted, run: RunFolder) -> None:
    area = found.auroc
    if area.low is not None and area.low > 0.5 and found.map.scale > 0:
        return
    shown = "" if area.low is None or area.high is None else f" ({area.low:.1%} to {area.high:.1%})"
    raise DataError(
        f"the model does not tell these films apart: AUROC {area.value:.1%}{shown}, expected an interval above 50%; "
        "recalibration cannot mend ranking",
        f"train on films of this place: pneumo train --data DIR --weights {shell_word(run.best_file)}",
    )


def _record(place: str, card: ModelCard, found: Refitted, films: Manifest) -> Recalibration:
    pneumonia: int = sum(row.label for row in films.rows)
    normal_patients, pneumonia_patients = _patients_of_classes(films)
    return Recalibration(
        name=place,
        num_normal=len(films) - pneumonia,
        num_pneumonia=pneumonia,
        num_normal_patients=normal_patients,
        num_pneumonia_patients=pneumonia_patients,
        folds=FOLDS,
        old_temperature=card.temperature,
        old_offset=card.offset,
        old_threshold=card.operating_point.threshold,
        old_sensitivity=_figure(found.before.sensitivity),
        old_specificity=_figure(found.before.specificity),
        old_log_loss=_figure(found.before.log_loss),
        sensitivity=_figure(found.after.sensitivity),
        specificity=_figure(found.after.specificity),
        log_loss=_figure(found.after.log_loss),
        auroc=_figure(found.auroc),
        data_fingerprint=films.fingerprint,
        films=tuple(sorted(row.sha256[:_KEPT_DIGITS] for row in films.rows)),
    )


def _figure(metric: Metric) -> GroupFigure:
    return GroupFigure(value=metric.value, low=metric.low, high=metric.high)


def _recalibrated_card(card: ModelCard, found: Refitted, record: Recalibration) -> ModelCard:
    """The card with the new calibration; limits of ``--refer`` held for the old one's validation films only."""
    return card.model_copy(
        update={
            "temperature": 1 / found.map.scale,
            "offset": card.offset + found.map.offset / found.map.scale,
            "operating_point": found.point,
            "refer": None,
            "recalibrated": record,
        }
    )


def _refuse_taken(target: RunFolder) -> None:
    """Refuses a folder that is there, unless it holds nothing but what a stopped recalibration leaves."""
    if not os.path.lexists(target.path):
        return
    left = target.path.is_dir() and not target.path.is_symlink() and not target.finished
    if left and all(_is_written_here(target, item.name) for item in target.path.iterdir()):
        return
    raise RunError(f"{target.path} exists already", "choose another --name, or remove that folder first")


def _is_written_here(target: RunFolder, name: str) -> bool:
    files = (*_copied(target), target.onnx_file, target.card_file, target.result_file)
    return any(name == file.name or (name.startswith(f".{file.name}.") and name.endswith(".part")) for file in files)


def _copied(run: RunFolder) -> tuple[Path, ...]:
    return run.manifest_file, run.config_file, run.environment_file, run.history_file


def _write(run: RunFolder, target: RunFolder, card: ModelCard, listener: Listener) -> None:
    """Writes the folder; as in any run ``result.json`` comes last."""
    content = with_metadata(run.model_file().read_bytes(), {CARD_KEY: card.model_dump_json()})
    try:
        target.path.mkdir(parents=True, exist_ok=True)
        with locked(target.manifest_file, f"another process is writing {target.path}", "wait for it, or stop it"):
            _refuse_taken(target)  # another process may have finished it meanwhile
            target.remove_leftovers()
            for mine, its in zip(_copied(target), _copied(run), strict=True):
                shutil.copyfile(its, mine)
            write_bytes(target.onnx_file, content)
            result = run.result().model_copy(update={"sha256": {target.onnx_file.name: sha256_of(target.onnx_file)}})
            target.write_model_card(*model_card(target, card, result=result))
            target.write_result(result)
    except OSError as error:
        raise RunError(
            f"cannot write {target.path}: {error.strerror}", f"ls -ld {shell_word(target.path.parent)} shows its folder"
        ) from error
    listener(FileWritten(target.onnx_file, "recalibrated model"))


def _described(target: RunFolder, card: ModelCard) -> Recalibrated:
    record = card.recalibrated
    assert record is not None  # noqa: S101 - just made
    rates = record.sensitivity.value or 0.0, record.specificity.value or 0.0
    return Recalibrated(
        run=target.path.as_posix(),
        rule=card.operating_point.rule,
        threshold=card.operating_point.threshold,
        temperature=card.temperature,
        offset=card.offset,
        recalibration=record,
        sample_sizes=sample_sizes(*rates),
    )
