"""``pneumo download``."""

from collections.abc import Iterable, Iterator

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.config import DownloadConfig
from pneumocli.records import CLASS_NAMES, DownloadResult


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "download", DownloadConfig)
    def download(config: DownloadConfig, output: Output) -> None:
        """Get the data set.

        From Kaggle unless --source or --archive is given. DIR is either whole or not there: a download that was
        stopped is continued by the same command, and a second call on a whole set does nothing.
        """
        from pneumocli.data.download import download

        output.resume_hint = "run the same command again: it continues where it stopped"
        output.show(download(config, output.listener), _table)


def _table(result: DownloadResult) -> RenderableType:
    """The counts of verify-data's quick check."""
    table = Table(title=f"{result.folder} ({result.release})", title_justify="left")
    table.add_column("split")
    for name in CLASS_NAMES:
        table.add_column(name, justify="right")
    table.add_column("films", justify="right")
    for split, by_class in result.counts.items():
        table.add_row(split, *_cells(by_class.values()))
    table.add_section()
    table.add_row(
        "all", *_cells(map(sum, zip(*(by_class.values() for by_class in result.counts.values()), strict=True)))
    )
    return Group(table, *map(Text, _lines(result)))


def _lines(result: DownloadResult) -> Iterator[str]:
    yield f"{result.num_patients:,} patients"
    if result.num_bytes_fetched:
        breaks = f", connection broken {result.num_breaks} times" if result.num_breaks else ""
        yield f"{result.num_bytes_fetched:,} bytes fetched{breaks}"
    if result.archive:
        yield f"zip kept: {result.archive}"
    yield f"next: pneumo verify-data {result.folder}"


def _cells(counts: Iterable[int]) -> list[str]:
    """Counts by class and their sum."""
    shown = list(counts)
    return [f"{count:,}" for count in (*shown, sum(shown))]
