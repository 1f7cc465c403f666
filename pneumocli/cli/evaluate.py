"""``pneumo evaluate``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pneumocli.cli.options import parameters_of, register_command
from pneumocli.cli.output import Output
from pneumocli.cli.render import hard_tables, metric_text
from pneumocli.core.amounts import counted
from pneumocli.core.config import EvaluateConfig, PredictionsConfig
from pneumocli.core.errors import SettingError
from pneumocli.core.records import NOTICE
from pneumocli.core.settings import flag_name, validated
from pneumocli.reporting.text import at_prevalence_sentence, percent, ranking_doubt, verdict, verdict_of
from pneumocli.run_folder import RunFolder

if TYPE_CHECKING:  # a prediction starts without these records
    from pneumocli.metrics.records import Evaluation

_SHOWN = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "ppv",
    "npv": "npv",
    "f1": "F1 (PNEUMONIA)",
    "auroc": "AUROC",
    "average_precision": "average precision",
}


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""
    of_run = {parameter.name: parameter for parameter in parameters_of(EvaluateConfig)}
    run = of_run["run"]
    of_run["run"] = run.replace(annotation=Annotated[Path | None, *run.annotation.__metadata__])
    of_table = [item for item in parameters_of(PredictionsConfig) if item.name not in of_run]
    register_command(app, "evaluate", [*of_run.values(), *of_table], _evaluate, json=True)


def _evaluate(output: Output, given: dict[str, object]) -> None:
    """Score films with a finished run, with 95 % intervals.

    Writes predictions, metrics, figures and a report into RUN/evaluations/SPLIT and renews the model card; films
    that are not the run's own go into RUN/evaluations/NAME. The threshold is the one stored with the model; nothing is
    tuned on the films that are scored. With --predictions and without RUN, anybody's scores get the same evaluation.
    """
    config = _config(given)
    if isinstance(config, EvaluateConfig):
        RunFolder.open_finished(config.run)  # a wrong name fails before scikit-learn is imported
    from pneumocli.evaluation.evaluate import evaluate

    evaluation = evaluate(config, output.listener)
    by_patient = config.by == "patient" and evaluation.patients is not None
    output.show(evaluation, patient_tables if by_patient else evaluation_tables)


def _config(given: dict[str, object]) -> EvaluateConfig | PredictionsConfig:
    if "predictions" in given:
        surplus = [flag_name(EvaluateConfig, name) for name in given if name not in PredictionsConfig.model_fields]
        if surplus:
            raise SettingError(
                f"{', '.join(surplus)} cannot stand beside --predictions: a table needs no run and no films"
            )
        return validated(PredictionsConfig, given)
    if "output" in given:
        raise SettingError("--output is for --predictions: the evaluation of a run is kept in the run")
    return validated(EvaluateConfig, given)


def evaluation_tables(evaluation: "Evaluation") -> RenderableType:
    """An evaluation as tables: the verdict, the metrics, the classes."""
    films = f"{counted(evaluation.num_images, 'film')} of {counted(evaluation.num_patients, 'patient')}"
    where = evaluation.run if evaluation.table_sha256 else f"{evaluation.run} on {evaluation.place}"
    title = Text(f"{where}: {films}, {_threshold(evaluation)}")
    table = Table()
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, shown in _SHOWN.items():
        value, interval = metric_text(evaluation.metrics[name])
        table.add_row(shown, value, interval)
    return Group(
        title,
        Text(f"It {verdict(evaluation)}.", "bold"),
        *filter(None, [ranking_doubt(evaluation)]),
        table,
        _class_table(evaluation),
        *hard_tables("films", evaluation.subgroups),
        *filter(None, [at_prevalence_sentence(evaluation)]),
        *_refer(evaluation),
        *_carry_over(evaluation),
        NOTICE,
    )


def patient_tables(evaluation: "Evaluation") -> RenderableType:
    """An evaluation with one answer per patient, where patients have several films."""
    from pneumocli.reporting.carry_over import PATIENTS_COLUMNS, patients_rows, patients_sentence

    found = evaluation.patients
    if found is None:
        raise ValueError("no patient has several films")
    title = Text(f"{evaluation.run} on {evaluation.place}, by patient, {_threshold(evaluation)}")
    table = _table(PATIENTS_COLUMNS, patients_rows(found))
    answer = f"By the mean of a patient's logits it {verdict_of(found.mean_logit.metrics)}."
    of_films = [*filter(None, [at_prevalence_sentence(evaluation)]), *_carry_over(evaluation)]
    shown = ["Film by film:", *of_films] if of_films else []
    return Group(title, answer, table, patients_sentence(found), *shown, NOTICE)


def _threshold(evaluation: "Evaluation") -> str:
    """``threshold 50.0%``, or with the rule that chose it."""
    point = evaluation.threshold
    return f"threshold {percent(point.value)}" + ("" if point.chosen_on == "fixed" else f" ({point.rule})")


def _refer(evaluation: "Evaluation") -> list[RenderableType]:
    """Of a model that refers films to a person: how many, and how it does on the others."""
    if evaluation.refer is None:
        return []
    from pneumocli.reporting.refer_text import refer_sentence

    return [refer_sentence(evaluation) or ""]


def _carry_over(evaluation: "Evaluation") -> list[RenderableType]:
    """Of films of another place: what the stored sensitivity costs there, and what the answers suggest of them."""
    from pneumocli.reporting.carry_over import label_shift_sentence, refitted_sentence

    refitted, shifted = evaluation.at_stored_sensitivity, evaluation.label_shift
    if not evaluation.name:
        return []
    parts: list[RenderableType] = [] if refitted is None else [refitted_sentence(refitted)]
    return parts if shifted is None else [*parts, label_shift_sentence(shifted)]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table()
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _class_table(evaluation: "Evaluation") -> Table:
    """Precision, recall, F1 and support per class, beside the counts they come from."""
    table = Table()
    table.add_column("class")
    for name in ("precision", "recall", "F1", "support"):
        table.add_column(name, justify="right")
    for name, row in evaluation.classes.items():
        table.add_row(name, *map(percent, (row.precision, row.recall, row.f1)), f"{row.support:,}")
    counts = evaluation.confusion
    table.caption = f"right {counts.tp + counts.tn:,} · missed {counts.fn:,} · false alarms {counts.fp:,}"
    return table
