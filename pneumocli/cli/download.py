"""``pneumo download``."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.core.config import DownloadConfig
from pneumocli.core.errors import shell_word

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pneumocli.release.download import DownloadResult


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "download", DownloadConfig)
    def download(config: DownloadConfig, output: Output) -> None:
        """Get the data set.

        From Kaggle unless --source or --archive is given. DIR is either whole or not there: a download that was
        stopped is continued by the same command, and a second call on a whole set does nothing.
        """
        from pneumocli.release.download import download

        output.resume_hint = "run the same command again: it continues where it stopped"
        output.show(download(config, output.listener), _summary)


def _summary(result: "DownloadResult") -> "RenderableType":
    """The counts of verify-data's quick check, and what it took to get there."""
    from rich.console import Group
    from rich.text import Text

    from pneumocli.cli.verify_data_tables import counts_table

    return Group(Text(f"{result.folder}: {result.check.title}"), counts_table(result.check), *map(Text, _lines(result)))


def _lines(result: "DownloadResult") -> Iterator[str]:
    if result.num_bytes_fetched:
        times = "once" if result.num_breaks == 1 else f"{result.num_breaks} times"
        breaks = f", connection broken {times}" if result.num_breaks else ""
        yield f"{result.num_bytes_fetched:,} bytes fetched{breaks}"
    if result.archive:
        yield f"zip kept: {result.archive}"
    yield f"next: pneumo verify-data {shell_word(Path(result.folder))}"
