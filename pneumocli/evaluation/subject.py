"""Which films an evaluation scores, and under which name it is kept in the run."""

import re
from dataclasses import dataclass
from pathlib import Path

from pneumocli.core.config import CompareConfig, EvaluateConfig
from pneumocli.core.errors import DataError, PneumoError
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.core.files import read_record
from pneumocli.core.records import SPLITS
from pneumocli.data.manifest import Manifest, prove_unchanged, scan, with_hashes
from pneumocli.metrics.records import Evaluation
from pneumocli.run_folder import RunFolder


@dataclass(frozen=True)
class Subject:
    """The films of an evaluation.

    Attributes:
        films: With their hashes.
        name: Of other films than the run's own; empty for the run's own.
    """

    films: Manifest
    name: str = ""


def subject_of(run: RunFolder, config: EvaluateConfig | CompareConfig, listener: Listener = ignore) -> Subject:
    """Finds the films to score.

    ``train`` and ``val`` are the run's own films. ``test`` are the test films of the run's data folder, of ``data``,
    or of the table ``manifest``; a run that was trained on a table keeps it when ``data`` moves its films. Films that
    are not the run's own test films get a name, so that they never replace the run's own evaluation.

    Raises:
        RunError: A training or validation film of the run is gone or has another content.
        DataError: There are no such films.
    """
    settings = run.config()
    if config.split != "test":
        recorded = run.manifest(config.data).of(config.split)
        hint = "name the folder that the run was trained on with --data DIR"
        return Subject(prove_unchanged(recorded, f"the {config.split} films of {run.path}", hint, listener))
    if config.manifest is not None:
        films = _films_of_table(config.manifest, config.data, listener)
        own = {_fingerprint_stored(run), _fingerprint_of_own(run)}
        return Subject(films, "" if films.fingerprint in own else _name_after(config.manifest.stem))
    folder = config.data if config.data is not None else settings.data
    films = scan(folder, settings.manifest, listener).of("test")
    if not films.rows:
        raise DataError(f"{folder} has no test films", "--split val scores the run's validation films")
    films = with_hashes(films, listener)
    if folder.resolve() == settings.data.resolve() or _fingerprint_stored(run) in (None, films.fingerprint):
        return Subject(films)
    return Subject(films, _name_after(folder.resolve().name))


def _films_of_table(table: Path, data: Path | None, listener: Listener) -> Manifest:
    """The test rows of a table, or all where it has none."""
    folder = data if data is not None else table.parent
    listed = scan(folder, table, listener)
    films = listed.of("test")
    if not films.rows:
        films = listed
        listener(Remark(f"{table} has no test rows: all {len(films):,} films are scored"))
    return with_hashes(films, listener)


def _fingerprint_stored(run: RunFolder) -> str | None:
    """The fingerprint of the films in ``evaluations/test``; ``None`` where there is none that can be read."""
    try:
        return read_record(run.evaluation_folder("test").metrics_file, Evaluation).data_fingerprint
    except PneumoError:
        return None


def _fingerprint_of_own(run: RunFolder) -> str | None:
    """The fingerprint of the run's own test films; ``None`` where they are no longer at their place."""
    settings = run.config()
    try:
        return with_hashes(scan(settings.data, settings.manifest).of("test")).fingerprint
    except PneumoError:
        return None


def _name_after(text: str) -> str:
    """A folder name of letters, digits, ``.``, ``_`` and ``-``; never that of a split.

    >>> _name_after("Hospital B (2024)"), _name_after("test"), _name_after("...")
    ('Hospital-B-2024', 'other-test', 'other')
    """
    name = re.sub(r"[^\w.-]+", "-", text).strip("-. ")
    if not name:
        return "other"
    return f"other-{name}" if name.lower() in SPLITS else name
