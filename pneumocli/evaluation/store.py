"""The folder of an evaluation, ``RUN/evaluations/<split>/``: how it is written, read, and known to be stale."""

from collections.abc import Sequence
from pathlib import Path

from pneumocli.core.errors import RunError, shell_word
from pneumocli.core.files import read_record, write_bytes, write_json, write_text
from pneumocli.data.layout import PHANTOM_MARK
from pneumocli.data.manifest import Manifest
from pneumocli.inference.classifier import Classifier
from pneumocli.metrics.records import Evaluation, ScoredFilm
from pneumocli.metrics.scored_films import read_predictions, write_predictions
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.reporting.evaluation_page import EvaluationReport, evaluation_page
from pneumocli.reporting.figures import evaluation_figures, png
from pneumocli.reporting.film_pictures import shown_films
from pneumocli.reporting.html import link
from pneumocli.reporting.model_card import model_card, origin_of
from pneumocli.run_folder import RunFolder

_PICTURES = ("confusion", "roc", "pr", "calibration", "histogram", "mistakes")
"""The figures that are also PNG files."""


def write_evaluation(
    run: RunFolder, classifier: Classifier, evaluation: Evaluation, films: Sequence[ScoredFilm], data: Path
) -> None:
    """Writes tables, pictures and the page of an evaluation, and renews the card of the finished run.

    The card is the float32 file's: evaluations of the file on integers do not enter it.

    Arguments as for :func:`write_evaluation_files`.
    """
    write_evaluation_files(run, classifier, evaluation, films, data)
    if run.precision == "fp32":
        run.write_model_card(*model_card(run, classifier.card, stored_evaluations(run, evaluation.model_sha256)))


def write_evaluation_files(
    run: RunFolder, classifier: Classifier, evaluation: Evaluation, films: Sequence[ScoredFilm], data: Path
) -> None:
    """Writes tables, pictures and the page of an evaluation.

    Args:
        run: The run.
        classifier: Its model, which scored the films.
        evaluation: Its numbers.
        films: What they were made of.
        data: Folder that the films are below.
    """
    folder = run.evaluation_folder(evaluation.place)
    report = evaluation_report(run, classifier, evaluation, films, data)
    write_predictions(folder.predictions_file, films)
    for name in _PICTURES:
        write_bytes(folder.figure_file(name), png(report.figures[name]))
    write_json(folder.metrics_file, evaluation)
    write_text(folder.report_file, evaluation_page(report))


def evaluation_report(
    run: RunFolder, classifier: Classifier, evaluation: Evaluation, films: Sequence[ScoredFilm], data: Path
) -> EvaluationReport:
    """What the page of an evaluation shows; arguments as for :func:`write_evaluation`."""
    scores, history = ScoreArrays.of(films, evaluation.temperature), run.history()
    config = run.config()
    return EvaluationReport(
        evaluation=evaluation,
        scores=scores,
        figures=evaluation_figures(evaluation, scores, history, classifier.card.best_epoch, data),
        films=shown_films(classifier, scores, evaluation.threshold.value, data),
        card=classifier.card,
        history=history,
        settings=config.model_dump(mode="json"),
        environment=run.environment().model_dump(mode="json", exclude={"requirements"}),
        phantom=(data / PHANTOM_MARK).is_file(),
        origin=origin_of(config, run.manifest()),
        batch=run.batch_file.read_bytes() if run.batch_file.is_file() else None,
        places=_places(run, evaluation),
        links=_links(run, evaluation.place),
    )


def _places(run: RunFolder, latest: Evaluation) -> tuple[Evaluation, ...]:
    """Every evaluation of the model with the latest in its place, whether or not it is written yet."""
    stored = {evaluation.place: evaluation for evaluation in stored_evaluations(run, latest.model_sha256)}
    return tuple((stored | {latest.place: latest}).values())


def _links(run: RunFolder, place: str) -> tuple[tuple[str, str], ...]:
    """The other pages of a run, as an evaluation's page links to them."""
    page = run.evaluation_folder(place).report_file
    others = [
        (f"{run.name} on {folder.path.name}", folder.report_file)
        for folder in run.evaluation_folders()
        if folder.report_file.is_file() and folder.report_file != page
    ]
    pages = [("Model card", run.card_page), ("Numbers (metrics.json)", run.evaluation_folder(place).metrics_file)]
    return tuple((text, link(file, page)) for text, file in [*others, *pages])


def read_evaluation(run: RunFolder, place: str) -> tuple[Evaluation, tuple[ScoredFilm, ...]]:
    """A stored evaluation, its numbers and its films.

    Args:
        run: The run.
        place: A split, or the name of other films.

    Raises:
        RunError: There is none, it is damaged, or the films are not those that the numbers were made of.
    """
    folder = run.evaluation_folder(place)
    evaluation = read_record(folder.metrics_file, Evaluation)
    films = read_predictions(folder.predictions_file)
    if len({film.image for film in films}) != evaluation.num_images:
        raise RunError(
            f"{folder.predictions_file} holds {len(films)} films, {folder.metrics_file.name} beside it was made of "
            f"{evaluation.num_images}",
            f"pneumo evaluate {shell_word(run.path)} writes it anew",
        )
    return evaluation, films


def current_evaluation(run: RunFolder, films: Manifest, place: str) -> tuple[Evaluation, tuple[ScoredFilm, ...]] | None:
    """A stored evaluation, if it was made of these films with the run's model, at its stored operating point."""
    try:
        evaluation, scored = read_evaluation(run, place)
    except RunError:  # missing, damaged, or from another version: it is made anew
        return None
    is_current = (
        evaluation.model_sha256 == run.model_sha256
        and evaluation.data_fingerprint == films.fingerprint
        and evaluation.threshold.chosen_on != "given"
    )
    return (evaluation, scored) if is_current else None


def stored_evaluations(run: RunFolder, model_sha256: str) -> list[Evaluation]:
    """Every stored evaluation of a run's model that can be read: train, val, test, then those of other films by name.

    Args:
        run: The run.
        model_sha256: Of its model: a run that was trained on keeps the evaluations of the model that it had before.
    """
    found = (_read(file) for file in _metrics_files(run))
    return [one for one in found if isinstance(one, Evaluation) and one.model_sha256 == model_sha256]


def damaged_evaluations(run: RunFolder) -> dict[Path, RunError]:
    """The folders of the stored evaluations that cannot be read, and why."""
    return {file.parent: found for file in _metrics_files(run) if isinstance(found := _read(file), RunError)}


def _metrics_files(run: RunFolder) -> list[Path]:
    return [folder.metrics_file for folder in run.evaluation_folders() if folder.metrics_file.is_file()]


def _read(file: Path) -> Evaluation | RunError:
    try:
        return read_record(file, Evaluation)
    except RunError as error:
        return error
