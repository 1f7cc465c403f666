"""Which films an evaluation scores, and under which name it is kept in the run."""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from pneumocli.core.config import CompareConfig, EvaluateConfig
from pneumocli.core.errors import DataError, PneumoError, RunError
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.core.files import read_record
from pneumocli.core.records import OUT_OF_FOLD, SPLITS
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
    or of the table ``manifest``; a run that was trained on a table keeps it when ``data`` moves its films, and scores
    another place by the layout of its folders. Films that
    are not the run's own test films get a name, so that they never replace the run's own evaluation, nor that of a
    third place.

    Raises:
        RunError: A training or validation film of the run is gone or has another content; or ``name`` is given to the
            run's own test films, or was given to other films before.
        DataError: There are no such films.
    """
    settings = run.config()
    if config.split == "val" and run.is_group:
        raise RunError(
            f"the group {run.path} has no validation films of its own: each run held others out",
            f"{run.evaluation_folder(OUT_OF_FOLD).report_file} evaluates all of them, each film by the run that held "
            "it out",
        )
    if config.split != "test":
        recorded = run.manifest(config.data).of(config.split)
        hint = "name the folder that the run was trained on with --data DIR"
        return Subject(prove_unchanged(recorded, f"the {config.split} films of {run.path}", hint, listener))
    if config.manifest is not None:
        films, place = _films_of_table(config.manifest, config.data, listener), config.manifest.stem
        is_own = films.fingerprint in (_fingerprint_stored(run, "test"), _fingerprint_of_own(run))
    else:
        folder = config.data if config.data is not None else settings.data
        if config.data is None and not folder.is_dir():
            raise DataError(
                f"no data folder at {folder}, where {run.path} was trained",
                "name the folder that holds its films now with --data DIR",
            )
        table = settings.manifest if config.data is None else _table_there(run, folder, listener)
        films, place = _test_films(folder, table, listener), folder.resolve().name
        is_own = folder.resolve() == settings.data.resolve() or _are_own(run, films, folder)
    if not is_own:
        return Subject(films, _place_for(run, films, place, config.name))
    if config.name is not None:
        raise RunError(
            f"--name {config.name}: these are the run's own test films, and their evaluation is kept in "
            f"{run.evaluation_folder('test').path}",
            "leave --name out, or name films of another place with --data DIR or --manifest FILE.csv",
        )
    return Subject(films)


def _table_there(run: RunFolder, folder: Path, listener: Listener) -> Path | None:
    """The table that a run was trained on, where any of its films lie below ``folder``; else its folders count."""
    table = run.config().manifest
    if table is None:
        return None
    listed = run.manifest(folder)
    if any(listed.path(row).is_file() for row in listed.rows):
        return table
    listener(Remark(f"{folder} holds no film of the run's table: its folders give the labels"))
    return None


def _test_films(folder: Path, table: Path | None, listener: Listener) -> Manifest:
    films = scan(folder, table, listener).of("test")
    if not films.rows:
        raise DataError(
            f"{folder if table is None else table} has no test films",
            "--split val scores the run's validation films, --manifest FILE.csv or --data DIR others",
        )
    return with_hashes(films, listener)


def _are_own(run: RunFolder, films: Manifest, folder: Path) -> bool:
    """Whether test films at another place are the run's own.

    They are those of its evaluation; where it has none yet, those that lie beside its training films, or are equal to
    the test films of its data folder.
    """
    stored = _fingerprint_stored(run, "test")
    if stored is not None:
        return films.fingerprint == stored
    seen = run.manifest(folder)
    return all(seen.path(row).is_file() for row in seen.rows) or films.fingerprint == _fingerprint_of_own(run)


def _place_for(run: RunFolder, films: Manifest, place: str, name: str | None) -> str:
    """The name that other films are kept under: one that holds no evaluation of a third place's films."""
    if name is not None:
        if _fingerprint_stored(run, name) in (None, films.fingerprint):
            return name
        raise RunError(
            f"{run.evaluation_folder(name).path} holds the evaluation of other films: expected the same films or a new "
            "name",
            f"--name {_free_name(run, films, name)}, or remove that folder first",
        )
    return _free_name(run, films, name_after(place))


def _free_name(run: RunFolder, films: Manifest, name: str) -> str:
    """``name``, or ``name-2``, ``name-3`` ...: the first without an evaluation, or with one of these films."""
    numbered = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    return next(free for free in numbered if _fingerprint_stored(run, free) in (None, films.fingerprint))


def _films_of_table(table: Path, data: Path | None, listener: Listener) -> Manifest:
    """The test rows of a table, or all where it has none."""
    folder = data if data is not None else table.parent
    listed = scan(folder, table, listener)
    films = listed.of("test")
    if not films.rows:
        films = listed
        listener(Remark(f"{table} has no test rows: all {len(films):,} films are scored"))
    return with_hashes(films, listener)


def _fingerprint_stored(run: RunFolder, place: str) -> str | None:
    """The fingerprint of the films in ``evaluations/PLACE``; ``None`` where there is none that can be read."""
    try:
        return read_record(run.evaluation_folder(place).metrics_file, Evaluation).data_fingerprint
    except PneumoError:
        return None


def _fingerprint_of_own(run: RunFolder) -> str | None:
    """The fingerprint of the run's own test films; ``None`` where they are no longer at their place."""
    settings = run.config()
    try:
        return with_hashes(scan(settings.data, settings.manifest).of("test")).fingerprint
    except PneumoError:
        return None


def name_after(text: str) -> str:
    """A folder name of letters, digits, ``.``, ``_`` and ``-``; never that of a split.

    >>> name_after("Hospital B (2024)"), name_after("test"), name_after("...")
    ('Hospital-B-2024', 'other-test', 'other')
    """
    name = re.sub(r"[^\w.-]+", "-", text).strip("-. ")
    if not name:
        return "other"
    return f"other-{name}" if name.lower() in SPLITS else name
