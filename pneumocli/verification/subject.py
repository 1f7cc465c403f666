"""What ``verify-data`` looks at: a data folder, a table of films, or the films of a run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pneumocli.core.config import VerifyDataConfig
from pneumocli.core.errors import DataError, shell_word
from pneumocli.core.events import Listener, Remark
from pneumocli.data.layout import Survey, survey
from pneumocli.data.manifest import COLUMNS, Manifest, listed, scan
from pneumocli.data.table import column_names
from pneumocli.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at.

    Attributes:
        manifest: The films.
        source: Where they were listed from.
        table: The file that lists them, if any.
        has_films: Whether they are there to be decoded.
        survey: What else the folder holds, where films were listed from one.
    """

    manifest: Manifest
    source: Literal["folder", "table", "run"]
    table: Path | None = None
    has_films: bool = True
    survey: Survey | None = None


def subject_of(config: VerifyDataConfig, listener: Listener) -> Subject:
    """The films that the settings name.

    Raises:
        DataError: The path does not exist, or holds no films in a known layout; or two tables are named.
        RunError: A run's manifest or config is damaged.
    """
    if RunFolder(config.data).config_file.is_file():  # a run: its manifest is meant
        table = RunFolder(config.data).manifest_file
    elif config.data.suffix.lower() == ".csv" or config.data.is_file():
        table = config.data
    else:
        if config.manifest is not None:
            return Subject(scan(config.data, config.manifest, listener), "table", config.manifest)
        found = survey(config.data)
        return Subject(listed(found, listener), "folder", survey=found)
    if config.manifest is not None:
        raise DataError(
            f"{table} and --manifest {config.manifest} are both tables, expected one",
            f"pneumo verify-data FOLDER --manifest {shell_word(config.manifest)}",
        )
    if not _is_run_manifest(table):
        return Subject(scan(table.parent, table, listener), "table", table)
    run = RunFolder(table.parent)
    if not run.config_file.is_file():
        text = f"no {run.config_file.name} beside {table} names the folder of its films: they are not decoded"
        listener(Remark(text, "warning"))
        return Subject(Manifest.read(table, table.parent), "run", table, has_films=False)
    settings = run.config()
    manifest = Manifest.read(table, settings.data)
    if not manifest.folder.is_dir():
        if not config.quick:
            listener(Remark(f"the run's data folder {manifest.folder} is gone: its films are not decoded", "warning"))
        return Subject(manifest, "run", table, has_films=False)
    return Subject(_with_test_films(manifest, settings.manifest), "run", table)


def _with_test_films(manifest: Manifest, table: Path | None) -> Manifest:
    """A run's films and the test films of its data folder, which it must not have seen."""
    try:
        beside = scan(manifest.folder, table).of("test").rows
    except DataError:  # the folder's layout is gone; the run's own films are looked at one by one
        beside = ()
    seen = {row.image for row in manifest.rows}
    return replace(manifest, rows=(*manifest.rows, *(row for row in beside if row.image not in seen)))


def _is_run_manifest(table: Path) -> bool:
    """Whether a table has a run's columns rather than image, label and perhaps patient and split."""
    return set(column_names(table)) >= set(COLUMNS)
