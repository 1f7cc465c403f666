"""Whether a data folder is what it should be: against the releases, against itself, and film by film.

A problem changes what a number measured on the data means; a note is worth knowing. Nothing is changed on disk.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pneumocli.core.config import VerifyDataConfig
from pneumocli.core.errors import DataError, shell_word
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.core.files import write_text
from pneumocli.core.records import CLASS_NAMES, SPLITS, ClassName, ManifestRow, Split
from pneumocli.data.manifest import COLUMNS, Manifest, scan
from pneumocli.data.phantom import README_NAME
from pneumocli.run_folder import RunFolder
from pneumocli.verification import checks
from pneumocli.verification.records import Cell, RecognisedRelease, Verification
from pneumocli.verification.release_lists import counts, kaggle_films, mendeley_films
from pneumocli.verification.release_match import TITLES, Comparison, mislabelled_by_name, recognise

if TYPE_CHECKING:
    from pneumocli.verification.film_properties import FilmFacts


# What unpacking the Kaggle zip by hand leaves beside the splits.
_SURPLUS_FOLDERS = {"__MACOSX": "macOS's attributes", "chest_xray": "the set a second time, as in the zip"}


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is looked at.

    Attributes:
        manifest: The films.
        source: Where they were listed from.
        table: The file that lists them, if any.
        has_films: Whether they are there to be decoded.
    """

    manifest: Manifest
    source: Literal["folder", "table", "run"]
    table: Path | None = None
    has_films: bool = True


def verify_data(config: VerifyDataConfig, listener: Listener = ignore) -> Verification:
    """Looks at a data folder, a table of films, or a run's manifest.

    Args:
        config: What to look at, and how closely.
        listener: Gets progress.

    Returns:
        What it is and what is wrong with it; the caller decides what problems mean.

    Raises:
        DataError: There is nothing to look at: the path does not exist, or holds no films in a known layout.
        RunError: A run's manifest or config is damaged.
    """
    subject = _subject(config, listener)
    rows = subject.manifest.rows
    others = _other_files(subject.manifest.folder) if subject.source == "folder" else {}
    release, comparison = _release(subject)
    cells = _cells(rows, comparison, others)
    weights = _balancing_weights(rows)
    found = checks.Findings()
    if comparison is not None:
        checks.judge_release(found, comparison, decided_by_table=subject.source != "folder")
    by_release = {} if comparison is None else comparison.mislabelled
    checks.judge_labels(found, mislabelled_by_name(rows) | by_release)
    checks.judge_patients(found, rows)
    result = Verification(
        folder=str(subject.manifest.folder),
        manifest=None if subject.table is None else str(subject.table),
        quick=config.quick or not subject.has_films,
        release=release,
        complete=comparison is not None and comparison.is_whole,
        resized=None,
        title=_title(release, comparison, len(rows)),
        num_images=len(rows),
        num_patients=subject.manifest.num_patients,
        cells=cells,
        problems=(),
        notes=(),
        class_weights=weights,
    )
    films: Sequence[FilmFacts] = ()
    if not result.quick:
        result, films = _with_contents(result, subject, found, comparison, listener)
    elif subject.source == "run":
        checks.judge_listed_hashes(found, rows)
    if subject.source == "run":
        checks.prove_disjoint(found, rows)
    checks.judge_balance(found, rows, weights)
    checks.judge_other_files(found, others, cells)
    if comparison is not None and subject.source == "folder":
        checks.explain_figures(found)
    result = result.model_copy(update={"problems": tuple(found.problems), "notes": tuple(found.notes)})
    if config.report is not None:
        from pneumocli.verification.page import verification_page

        write_text(config.report, verification_page(result, subject.manifest, films))
    return result


def _with_contents(
    result: Verification,
    subject: _Subject,
    found: checks.Findings,
    comparison: Comparison | None,
    listener: Listener,
) -> tuple[Verification, Sequence["FilmFacts"]]:
    """Adds what decoding every film shows, and returns it film by film."""
    from pneumocli.verification.duplicates import find_duplicates
    from pneumocli.verification.film_properties import examine, probe_shortcuts, properties_of

    examined = examine(subject.manifest, listener)
    films = examined.films
    groups = find_duplicates([film.row for film in films], [film.identity for film in films])
    checks.judge_contents(found, examined, groups)
    if subject.source == "run":
        checks.judge_hashes(found, subject.manifest.rows, examined)
    size = checks.size_of_copy(films) if comparison is not None else None
    if size is not None:
        checks.explain_resized(found, size)
    probe = probe_shortcuts(films)
    checks.judge_probe(found, probe)
    result = result.model_copy(
        update={
            "resized": size is not None,
            "complete": result.complete and size is None,
            "title": result.title if size is None else f"a resized copy of {result.title}",
            "properties": tuple(properties_of(films)),
            "duplicates": tuple(groups),
            "shortcut_probe": probe,
        }
    )
    return result, films


def _subject(config: VerifyDataConfig, listener: Listener) -> _Subject:
    if RunFolder(config.data).config_file.is_file():  # a run: its manifest is meant
        table = RunFolder(config.data).manifest_file
    elif config.data.suffix.lower() == ".csv":
        table = config.data
    else:
        source: Literal["folder", "table"] = "folder" if config.manifest is None else "table"
        return _Subject(scan(config.data, config.manifest, listener), source, config.manifest)
    if config.manifest is not None:
        raise DataError(
            f"{table} and --manifest {config.manifest} are both tables, expected one",
            f"pneumo verify-data FOLDER --manifest {shell_word(config.manifest)}",
        )
    if not _is_run_manifest(table):
        return _Subject(scan(table.parent, table, listener), "table", table)
    run = RunFolder(table.parent)
    if not run.config_file.is_file():
        listener(
            Remark(
                f"no {run.config_file.name} beside {table} names the folder of its films: they are not decoded",
                "warning",
            )
        )
        return _Subject(Manifest.read(table, table.parent), "run", table, has_films=False)
    settings = run.config()
    manifest = Manifest.read(table, settings.data)
    if not manifest.folder.is_dir():
        if not config.quick:
            listener(Remark(f"the run's data folder {manifest.folder} is gone: its films are not decoded", "warning"))
        return _Subject(manifest, "run", table, has_films=False)
    return _Subject(_with_test_films(manifest, settings.manifest), "run", table)


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
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            columns = next(csv.reader(lines), [])
    except OSError as error:
        raise DataError(f"cannot read {table}: {error.strerror}", "ls runs shows which runs there are") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is no table of films", "expected image,label[,patient][,split]") from error
    return set(columns) >= set(COLUMNS)


def _release(subject: _Subject) -> tuple[RecognisedRelease, Comparison | None]:
    if (subject.manifest.folder / README_NAME).is_file():
        return "phantom", None
    comparison = recognise(subject.manifest.rows)
    return ("foreign", None) if comparison is None else (comparison.release, comparison)


def _title(release: RecognisedRelease, comparison: Comparison | None, num_images: int) -> str:
    if comparison is None:
        return "synthetic films drawn by pneumo" if release == "phantom" else "films of neither release"
    title = TITLES[comparison.release]
    if comparison.is_whole:
        return title
    size = len(kaggle_films())
    if comparison.missing:
        title = f"a part of {title} ({num_images - len(comparison.extra):,} of {size:,} films)"
    changes = [
        *(["split differently"] if comparison.moved else []),
        *(["with labels changed"] if comparison.mislabelled else []),
        *(["with other films added"] if comparison.extra else []),
    ]
    return ", ".join([title, *changes])


def _other_files(folder: Path) -> dict[str, str]:
    """Files in the data folder that are no films, and what they are, by their path in it."""
    from pneumocli.data.images import is_film_name

    found = {}
    for split in SPLITS:
        for name in CLASS_NAMES:
            for file in sorted((folder / split / name).rglob("*")):
                if file.is_file() and not is_film_name(file.name):
                    found[file.relative_to(folder).as_posix()] = _what_it_is(file.name)
    for surplus, what in _SURPLUS_FOLDERS.items():
        if (folder / surplus).is_dir():
            found[f"{surplus}/"] = what
    return found


def _what_it_is(name: str) -> str:
    if name.startswith("._"):
        return "macOS's attributes of another file"
    return {".DS_Store": "macOS's view of the folder", "Thumbs.db": "Windows' thumbnails"}.get(name, "no film's ending")


def _cells(rows: Sequence[ManifestRow], comparison: Comparison | None, others: dict[str, str]) -> tuple[Cell, ...]:
    expected: dict[tuple[Split, ClassName], int] = {}
    if comparison is not None:
        expected = counts(kaggle_films() if comparison.release == "kaggle" else mendeley_films())
    cells = []
    for split in SPLITS:
        for label, name in enumerate(CLASS_NAMES):
            mine = [row for row in rows if row.split == split and row.label == label]
            due = expected.get((split, name), 0) if comparison is not None else None
            beside = sum(path.startswith(f"{split}/{name}/") for path in others)
            if mine or due or beside:
                cells.append(
                    Cell(
                        split=split,
                        label=name,
                        num_images=len(mine),
                        num_patients=len({row.patient for row in mine}),
                        kinds=dict(sorted(Counter(row.kind for row in mine).items())),
                        expected=due,
                        num_files=len(mine) + beside,
                    )
                )
    return tuple(cells)


def _balancing_weights(rows: Sequence[ManifestRow]) -> dict[ClassName, float] | None:
    """n / (classes * films of the class), as ``train --class-weights balanced`` has it."""
    labels = [row.label for row in rows if row.split == "train"]
    by_class = [labels.count(0), labels.count(1)]
    if 0 in by_class:
        return None
    names: tuple[ClassName, ClassName] = CLASS_NAMES
    return {name: len(labels) / (2 * count) for name, count in zip(names, by_class, strict=True)}
