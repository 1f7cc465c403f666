"""``evaluate --predictions``: the whole evaluation for anybody's scores, and the folder that holds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pneumocli.core.config import PredictionsConfig
from pneumocli.core.errors import DataError, RunError
from pneumocli.core.events import FileWritten, Listener, Remark, ignore
from pneumocli.core.files import read_record, sha256_of, write_bytes, write_json, write_text
from pneumocli.core.records import CLASS_NAMES, ManifestRow
from pneumocli.data.manifest import Manifest
from pneumocli.data.score_table import ScoreTable, read_score_table
from pneumocli.evaluation.measure import Choices, Origin, measured, scored_film
from pneumocli.evaluation.subject import name_after
from pneumocli.metrics.bootstrap import undefined
from pneumocli.metrics.classification import sigmoid
from pneumocli.metrics.records import CALIBRATION_METRICS, Evaluation, ScoredFilm
from pneumocli.metrics.scored_films import read_predictions, write_predictions
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.model.card import OperatingPoint
from pneumocli.reporting.evaluation_page import EvaluationReport, evaluation_page
from pneumocli.reporting.figures import png, table_figures
from pneumocli.reporting.film_pictures import shown_films
from pneumocli.run_folder import EvaluationFolder, RunFolder, default_table_evaluation

_HALF = OperatingPoint(threshold=0.5, rule="0.5", chosen_on="fixed", sensitivity=None, specificity=None)

# A probability of exactly 0 or 1 has no finite logit: it gets one beyond that of every other probability.
_BEYOND = 36.8

_CALIBRATION_FIGURES = frozenset(("calibration", "decision"))


@dataclass(frozen=True)
class TableEvaluation:
    """A stored evaluation of a table of scores.

    Attributes:
        path: Its folder.
        evaluation: The numbers.
        films: What they were made of.
    """

    path: Path
    evaluation: Evaluation
    films: tuple[ScoredFilm, ...]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name


def evaluate_table(config: PredictionsConfig, listener: Listener = ignore) -> Evaluation:
    """Evaluates a table of scores and writes the folder of its evaluation.

    Args:
        config: The table, and where to.
        listener: Gets remarks.

    Raises:
        DataError: The table is at fault, or holds scores and no threshold is given.
        RunError: The folder holds something else than an evaluation.
    """
    table = read_score_table(config.predictions, listener)
    if not table.are_probabilities and config.threshold is None:
        raise DataError(
            f"{config.predictions} holds scores, which have no threshold of their own",
            "name one with --threshold X: films at or above it are called PNEUMONIA",
        )
    if table.are_probabilities and config.threshold is not None and not 0 <= config.threshold <= 1:
        raise DataError(
            f"--threshold {config.threshold:g}: the table holds probabilities, expected 0 to 1",
            "give a share, such as --threshold 0.5; a table with the column score takes any number",
        )
    name = config.name or name_after(config.predictions.stem)
    folder = EvaluationFolder(config.output or default_table_evaluation(name))
    _refuse_other_folder(folder)
    films, scores = _films(table, config.threshold)
    origin = Origin(name, "test", "", _fingerprint(films), name=name)
    choices = Choices(config.threshold if table.are_probabilities else None, config.prevalence, config.seed, config.by)
    evaluation = measured(scores, _HALF, origin, choices).model_copy(
        update={"table_sha256": sha256_of(config.predictions)}
    )
    if not table.are_probabilities:
        evaluation = _without_calibration(evaluation, config.threshold)
    _remark(evaluation, table, listener)
    _write(folder, evaluation, films, scores)
    listener(FileWritten(folder.report_file, "report"))
    return evaluation


def _refuse_other_folder(folder: EvaluationFolder) -> None:
    path = folder.path
    if RunFolder(path.resolve().parent.parent).is_there:
        raise RunError(f"{path} is the place of a run's own evaluations", "choose another --output")
    if RunFolder(path).config_file.is_file() or (path.exists() and not _is_replaced(folder)):
        raise RunError(f"{path} holds something else than the evaluation of a table", "choose another --output")


def _is_replaced(folder: EvaluationFolder) -> bool:
    """Whether a folder is empty, or holds an evaluation of a table or what is left of one."""
    if not folder.path.is_dir():
        return False
    if not folder.metrics_file.is_file():
        return not any(folder.path.iterdir())
    try:
        return read_record(folder.metrics_file, Evaluation).table_sha256 is not None
    except RunError:  # damaged: it is made anew
        return True


def _films(table: ScoreTable, threshold: float | None) -> tuple[tuple[ScoredFilm, ...], ScoreArrays]:
    """The films as an evaluation stores them: of scores, the logit is the distance to the threshold."""
    values = np.array([row.value for row in table.rows])
    if table.are_probabilities:
        cut, probabilities, logits = 0.5 if threshold is None else threshold, values, _logits(values)
    else:
        logits = values - (threshold or 0.0)
        cut, probabilities = 0.5, sigmoid(logits)
        below = logits < 0  # also where a float as near to 0.5 is 0.5 itself
        probabilities[below] = np.minimum(probabilities[below], np.nextafter(0.5, 0))
    films = tuple(
        scored_film(row, float(logit), float(probability), cut)
        for row, logit, probability in zip(table.rows, logits, probabilities, strict=True)
    )
    return films, ScoreArrays.of(films, 1.0, as_given=True)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    inside = np.clip(probabilities, np.nextafter(0, 1), np.nextafter(1, 0))
    logits = np.log(inside) - np.log1p(-inside)
    lowest = min(-_BEYOND, float(logits[probabilities > 0].min(initial=0.0)) - 1)
    found: np.ndarray = np.select([probabilities == 0, probabilities == 1], [lowest, _BEYOND], logits)
    return found


def _fingerprint(films: Sequence[ScoredFilm]) -> str:
    """Of names and labels: a table holds no films, so their contents do not count."""
    rows = (
        ManifestRow(
            image=film.image, label=1 if film.label == CLASS_NAMES[1] else 0, kind=film.kind, patient=film.patient,
            split="test", sha256="",
        )
        for film in films
    )  # fmt: skip
    return Manifest(Path(), tuple(rows)).fingerprint


def _without_calibration(evaluation: Evaluation, threshold: float | None) -> Evaluation:
    """The evaluation of scores: what asks for probabilities is undefined."""
    nothing = undefined("the table holds scores, no probabilities")
    metrics = {name: nothing if name in CALIBRATION_METRICS else found for name, found in evaluation.metrics.items()}
    given = evaluation.threshold.model_copy(update={"rule": "given", "chosen_on": "given"})
    return evaluation.model_copy(update={"metrics": metrics, "threshold": given, "score_threshold": threshold})


def _remark(evaluation: Evaluation, table: ScoreTable, listener: Listener) -> None:
    if evaluation.prevalence in (0.0, 1.0):
        only = CLASS_NAMES[int(evaluation.prevalence)]
        text = f"all {evaluation.num_images:,} films are {only}: AUROC and whatever needs both classes are undefined"
        listener(Remark(text, "warning"))
    if evaluation.by == "patient" and evaluation.patients is None:
        listener(Remark("no patient is known to have several films here: the figures are those of films", "warning"))
    extreme = sum(row.value in (0.0, 1.0) for row in table.rows) if table.are_probabilities else 0
    if extreme:
        listener(
            Remark(f"{extreme:,} probabilities are exactly 0 or 1: the log loss takes them for 1e-16 less extreme ones")
        )


def _write(
    folder: EvaluationFolder, evaluation: Evaluation, films: tuple[ScoredFilm, ...], scores: ScoreArrays
) -> None:
    figures = table_figures(evaluation, scores)
    if evaluation.score_threshold is not None:
        figures = {name: figure for name, figure in figures.items() if name not in _CALIBRATION_FIGURES}
    shown = shown_films(None, scores, evaluation.threshold.value, Path())
    report = EvaluationReport(evaluation, scores, figures, shown, None, (), {}, {}, phantom=False)
    write_predictions(folder.predictions_file, films)
    for name in _CALIBRATION_FIGURES - figures.keys():  # of probabilities that stood here before
        folder.figure_file(name).unlink(missing_ok=True)
    for name, figure in figures.items():
        if name != "decision":
            write_bytes(folder.figure_file(name), png(figure))
    write_json(folder.metrics_file, evaluation)
    write_text(folder.report_file, evaluation_page(report))


def read_table_evaluation(path: Path) -> TableEvaluation:
    """The evaluation that :func:`evaluate_table` wrote.

    Raises:
        RunError: It is damaged, or the films are not those that the numbers were made of.
    """
    folder = EvaluationFolder(path)
    evaluation = read_record(folder.metrics_file, Evaluation)
    films = read_predictions(folder.predictions_file)
    if evaluation.table_sha256 is None or len(films) != evaluation.num_images:
        raise RunError(f"{path} is no whole evaluation of a table", "pneumo evaluate --predictions writes one")
    return TableEvaluation(path, evaluation, films)
