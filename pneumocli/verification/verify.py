"""Whether a data folder is what it should be: against the releases, against itself, and film by film.

A problem changes what a number measured on the data means; a note is worth knowing. Nothing is changed on disk.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pneumocli.core.config import VerifyDataConfig
from pneumocli.core.events import FileWritten, Listener, ignore
from pneumocli.core.files import write_text
from pneumocli.core.records import CLASS_NAMES, SPLITS, ClassName, ManifestRow, Split
from pneumocli.data.film_files import why_unopened
from pneumocli.data.layout import PHANTOM_MARK, Survey
from pneumocli.data.release_lists import counts, kaggle_films, mendeley_films
from pneumocli.verification import checks
from pneumocli.verification.checks import Verdict
from pneumocli.verification.records import (
    Cell,
    DuplicateGroup,
    EncoderCell,
    RecognisedRelease,
    ShortcutProbe,
    Verification,
)
from pneumocli.verification.release_match import TITLES, Comparison, mislabelled_by_name, recognise
from pneumocli.verification.subject import Subject, subject_of

if TYPE_CHECKING:
    from pneumocli.verification.film_properties import Examined


@dataclass(frozen=True, slots=True)
class _Contents:
    """What decoding every film shows.

    Attributes:
        examined: The films one by one.
        duplicates: Films that show the same picture.
        size: What a resized copy of a release was brought to; ``None`` for anything else.
        probe: How far a film's making predicts its class.
        encoders: The films of each encoder by split and class.
    """

    examined: "Examined"
    duplicates: Sequence[DuplicateGroup]
    size: str | None
    probe: ShortcutProbe
    encoders: Sequence[EncoderCell]


def verify_data(config: VerifyDataConfig, listener: Listener = ignore) -> Verification:
    """Checks a data folder, a table of films, or a run's manifest.

    Args:
        config: What to look at, and how closely.
        listener: Gets progress.

    Returns:
        What it is and what is wrong with it; the caller decides what problems mean.

    Raises:
        DataError: There is nothing to look at: the path does not exist, or holds no films in a known layout.
        RunError: A run's manifest or config is damaged.
    """
    subject = subject_of(config, listener)
    release, comparison = _release(subject)
    contents = None if config.quick or not subject.has_films else _contents(subject, comparison, listener)
    result = _verification(subject, release, comparison, contents)
    if config.report is not None:
        from pneumocli.verification.page import verification_page

        films = () if contents is None else contents.examined.films
        write_text(config.report, verification_page(result, subject.manifest, films))
        listener(FileWritten(config.report, "report"))
    return result


def _contents(subject: Subject, comparison: Comparison | None, listener: Listener) -> _Contents:
    from pneumocli.verification.duplicates import find_duplicates
    from pneumocli.verification.film_properties import examine
    from pneumocli.verification.provenance import encoder_cells, probe_shortcuts

    examined = examine(subject.manifest, listener)
    films = examined.films
    return _Contents(
        examined,
        find_duplicates([film.row for film in films], [film.identity for film in films]),
        None if comparison is None else checks.size_of_copy(films),
        probe_shortcuts(films),
        encoder_cells(films),
    )


def _verification(
    subject: Subject, release: RecognisedRelease, comparison: Comparison | None, contents: _Contents | None
) -> Verification:
    rows = subject.manifest.rows
    cells = _cells(rows, comparison, subject.survey)
    weights = _balancing_weights(rows)
    about_films = tuple(_about_films(subject, comparison, contents))
    verdicts = (
        *about_films,
        *(checks.prove_disjoint(rows, about_films) if subject.source == "run" else ()),
        *checks.judge_balance(rows, weights),
        *checks.judge_one_class(rows),
        *(() if subject.survey is None else checks.judge_other_files(subject.survey, cells)),
        *(checks.explain_figures() if comparison is not None and subject.source == "folder" else ()),
    )
    size = None if contents is None else contents.size
    return Verification(
        folder=str(subject.manifest.folder),
        manifest=None if subject.table is None else str(subject.table),
        quick=contents is None,
        release=release,
        complete=comparison is not None and comparison.is_whole and size is None,
        resized=None if contents is None else size is not None,
        title=_title(release, comparison, len(rows), resized=size is not None),
        num_images=len(rows),
        num_patients=subject.manifest.num_patients,
        cells=cells,
        problems=tuple(verdict.finding for verdict in verdicts if verdict.is_problem),
        notes=tuple(verdict.finding for verdict in verdicts if not verdict.is_problem),
        class_weights=weights,
        **_shown_by(contents),
    )


def _shown_by(contents: _Contents | None) -> dict[str, object]:
    """The fields of a verification that need decoded films."""
    if contents is None:
        return {}
    from pneumocli.verification.film_properties import properties_of

    return {
        "properties": tuple(properties_of(contents.examined.films)),
        "duplicates": tuple(contents.duplicates),
        "shortcut_probe": contents.probe,
        "encoders": tuple(contents.encoders),
    }


def _about_films(subject: Subject, comparison: Comparison | None, contents: _Contents | None) -> Iterator[Verdict]:
    """What is wrong with the films, and what is worth knowing of them."""
    rows = subject.manifest.rows
    if comparison is not None:
        yield from checks.judge_release(comparison, decided_by_table=subject.source != "folder")
    by_release = {} if comparison is None else comparison.mislabelled
    drawn = (subject.manifest.folder / PHANTOM_MARK).is_file()
    yield from checks.judge_labels(mislabelled_by_name(rows, drawn=drawn) | by_release)
    yield from checks.judge_patients(rows)
    if subject.survey is not None:
        yield from checks.judge_unused(subject.survey)
    if contents is None:
        yield from checks.judge_links(_dangling(subject))
        yield from checks.judge_listed_hashes(rows) if subject.source == "run" else ()
        return
    yield from checks.judge_contents(contents.examined, contents.duplicates)
    if subject.source == "run":
        yield from checks.judge_hashes(rows, contents.examined)
    if contents.size is not None:
        yield from checks.explain_resized(contents.size)
    from pneumocli.verification.provenance import judge_encoders, judge_probe

    yield from judge_probe(contents.probe)
    yield from judge_encoders(contents.encoders)


def _release(subject: Subject) -> tuple[RecognisedRelease, Comparison | None]:
    if (subject.manifest.folder / PHANTOM_MARK).is_file():
        return "phantom", None
    comparison = recognise(subject.manifest.rows)
    return ("foreign", None) if comparison is None else (comparison.release, comparison)


def _title(release: RecognisedRelease, comparison: Comparison | None, num_images: int, *, resized: bool) -> str:
    if comparison is None:
        return "synthetic films drawn by pneumo" if release == "phantom" else "films of neither release"
    title = TITLES[comparison.release]
    size = len(kaggle_films())
    if comparison.missing:
        title = f"a part of {title} ({num_images - len(comparison.extra):,} of {size:,} films)"
    changes = [
        *(["split differently"] if comparison.moved else []),
        *(["with labels changed"] if comparison.mislabelled else []),
        *(["with other films added"] if comparison.extra else []),
    ]
    return ("a resized copy of " if resized else "") + ", ".join([title, *changes])


def _dangling(subject: Subject) -> dict[str, str]:
    """Films that are links to nowhere: what a check without decoding can know of unreadable films."""
    if not subject.has_films:
        return {}
    paths = {row.image: subject.manifest.path(row) for row in subject.manifest.rows}
    return {
        image: why_unopened(path, FileNotFoundError())
        for image, path in paths.items()
        if path.is_symlink() and not path.exists()
    }


def _cells(rows: Sequence[ManifestRow], comparison: Comparison | None, found: Survey | None) -> tuple[Cell, ...]:
    expected: dict[tuple[Split, ClassName], int] = {}
    if comparison is not None:
        expected = counts(kaggle_films() if comparison.release == "kaggle" else mendeley_films())
    others = () if found is None else (*found.system, *found.others, *found.unused)
    beside_films = Counter(None if found is None else found.cell_of(path) for path in others)
    cells = []
    for split in SPLITS:
        for label, name in enumerate(CLASS_NAMES):
            mine = [row for row in rows if row.split == split and row.label == label]
            due = expected.get((split, name), 0) if comparison is not None else None
            beside = beside_films[split, label]
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
    """n / (classes * films of the class), the weights of ``train --class-weights balanced``."""
    labels = [row.label for row in rows if row.split == "train"]
    by_class = [labels.count(0), labels.count(1)]
    if 0 in by_class:
        return None
    names: tuple[ClassName, ClassName] = CLASS_NAMES
    return {name: len(labels) / (2 * count) for name, count in zip(names, by_class, strict=True)}
