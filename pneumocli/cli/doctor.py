"""``pneumo doctor``."""

from typing import TYPE_CHECKING

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.core.config import DoctorConfig
from pneumocli.core.errors import CheckFailed

if TYPE_CHECKING:
    from pneumocli.diagnosis import Diagnosis

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "doctor", DoctorConfig, json=True)
    def doctor(config: DoctorConfig, output: Output) -> None:  # noqa: ARG001 - it has no settings
        """Check this machine: Python, torch, GPU, disk, Kaggle.

        Nothing is changed or sent, and credentials are never shown. Ends with exit code 1 where something will fail.
        """
        from pneumocli.diagnosis import doctor as diagnose

        found = diagnose()
        output.show(found, diagnosis_table)
        if found.problems:
            names = ", ".join(check.name for check in found.problems)
            raise CheckFailed(f"not all is well with this machine: {names}", found.problems[0].hint)


def diagnosis_table(found: "Diagnosis") -> RenderableType:
    """A line per check, with what to do below it."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for check in found.checks:
        text = Text(check.text)
        if check.hint:
            text.append(f"\n{check.hint}", "dim")
        table.add_row(check.name, Text(check.state, _STYLES[check.state]), text)
    return table
