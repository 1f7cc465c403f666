"""``pneumo recalibrate``."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.core.config import RecalibrateConfig
from pneumocli.core.errors import shell_word
from pneumocli.core.records import NOTICE
from pneumocli.reporting.text import percent
from pneumocli.run_folder import RunFolder

if TYPE_CHECKING:
    from pneumocli.evaluation.recalibrate import Recalibrated
    from pneumocli.model.card import GroupFigure


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "recalibrate", RecalibrateConfig, json=True)
    def recalibrate(config: RecalibrateConfig, output: Output) -> None:
        """Fit a model's probabilities and threshold to another place.

        Writes another model, fitted to labelled films, into RUN/recalibrated/NAME, which is used as a run is; RUN's own
        model stays. The figures are cross-validated, patient by patient. Films that the network does not tell apart
        are refused: recalibration cannot mend ranking.
        """
        RunFolder.open_finished(config.run)  # a wrong name fails before scikit-learn is imported
        from pneumocli.evaluation.recalibrate import recalibrate as run_recalibrate

        output.show(run_recalibrate(config, output.listener), recalibration_tables)


def recalibration_tables(done: "Recalibrated") -> RenderableType:
    """A recalibration as tables: before and after, then how exactly more films would measure."""
    record = done.recalibration
    table = Table("on these films", title=f"{done.run}: threshold {percent(done.threshold)} (rule {done.rule})")
    table.add_column("as it was", justify="right")
    table.add_column("recalibrated, cross-validated", justify="right")
    table.add_row("sensitivity", _share(record.old_sensitivity), _share(record.sensitivity))
    table.add_row("specificity", _share(record.old_specificity), _share(record.specificity))
    table.add_row("log loss", _number(record.old_log_loss), _number(record.log_loss))
    table.add_row("AUROC", _share(record.auroc), "the same")
    table.caption = (
        f"{record.num_normal} NORMAL films of {record.num_normal_patients} patients, "
        f"{record.num_pneumonia} PNEUMONIA of {record.num_pneumonia_patients}"
    )
    sizes = Table("patients of a class", title="How exactly more films would measure")
    sizes.add_column("sensitivity", justify="right")
    sizes.add_column("specificity", justify="right")
    for row in done.sample_sizes:
        sizes.add_row(f"{row.num_patients}", f"± {percent(row.sensitivity)}", f"± {percent(row.specificity)}")
    todo = f"pneumo evaluate {shell_word(Path(done.run))} --data DIR scores other films with it"
    return Group(table, sizes, todo, NOTICE)


def _share(figure: "GroupFigure") -> str:
    return _shown(figure, ".1%")


def _number(figure: "GroupFigure") -> str:
    return _shown(figure, ".3f")


def _shown(figure: "GroupFigure", form: str) -> str:
    if figure.value is None:
        return "undefined"
    if figure.low is None or figure.high is None:
        return f"{figure.value:{form}}"
    return f"{figure.value:{form}} ({figure.low:{form}} to {figure.high:{form}})"
