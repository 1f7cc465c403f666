"""``pneumo tune``."""

from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.core.amounts import counted
from pneumocli.core.config import TrainConfig, TuneConfig
from pneumocli.core.records import NOTICE
from pneumocli.core.settings import flag_name

if TYPE_CHECKING:  # a command starts without the records of searches
    from pneumocli.tuning.records import TuneResult


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "tune", TuneConfig, json=True)
    def tune(config: TuneConfig, output: Output) -> None:
        """Search training settings on folds of patients, with Optuna.

        A trial trains one run per fold, in a process of its own, and is ended early where it does worse than the
        others. Test films are never looked at. Ends with the command of the best settings, and how far their scores
        lie apart over seeds.
        """
        from pneumocli.data.layout import check_folder

        check_folder(config.data)
        from pneumocli.tuning.tune import tune as run_tune

        output.resume_hint = "the same command with --continue goes on"
        output.show(run_tune(config, output.listener), tuning_summary)


def tuning_summary(result: "TuneResult") -> RenderableType:
    """The best settings, what to expect of them, and the command to train with them."""
    from pneumocli.tuning.page import worded

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for name, value in result.settings.items():
        share = result.importances.get(name)
        mattered = "" if share is None else f"{share:.0%} of the variance"
        table.add_row(flag_name(TrainConfig, name).removeprefix("--"), str(value), mattered)
    expected = "too good by chance; --seeds 3 tells what to expect"
    if (found := result.repeats) is not None:
        spread = "" if found.sd is None else f" ± {worded(result, found.sd)}"
        expected = f"to expect: {worded(result, found.mean)}{spread} over {counted(found.num_seeds, 'other seed')}"
    counts = f"{result.num_complete} complete, {result.num_pruned} pruned, {result.num_failed} failed"
    what = "balanced accuracy on hard films" if result.objective == "hard" else "log loss"
    return Group(
        Text(f"best of {counts}: trial {result.best_trial}, {what} {worded(result, result.best_value)}"),
        Text(expected, style="bold"),
        table,
        Text(f"\n{result.command}", overflow="fold"),
        Text(NOTICE, style="dim"),
    )
