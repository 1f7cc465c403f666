"""From differences and facts to problems and notes, each one sentence with every film it concerns."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pneumocli.core.amounts import counted
from pneumocli.core.records import CLASS_NAMES, SPLITS, ClassName, ManifestRow, Split
from pneumocli.data.layout import LAYOUT, Survey, by_folder
from pneumocli.data.patients import FOLDER_KEY
from pneumocli.data.release_lists import KNOWN_FIGURES, KNOWN_FIGURES_IN_SHORT
from pneumocli.verification.records import Cell, DuplicateGroup, Finding
from pneumocli.verification.release_match import TITLES, Comparison

if TYPE_CHECKING:
    from pneumocli.verification.film_properties import Examined, FilmFacts

_BALANCED = 0.05  # by which the share of a class may lie off one half

# Below this many films a validation figure is a coin toss: with 16 one film is 6 points of accuracy.
_FEW_VALIDATION_FILMS = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding, and whether it is a problem rather than a note."""

    finding: Finding
    is_problem: bool


_Images = Iterable[str] | Mapping[str, str]


def problem(code: str, text: str, images: _Images = ()) -> Verdict:
    """A problem; ``images`` are the films it concerns, perhaps each with a detail."""
    return Verdict(_finding(code, text, images), is_problem=True)


def note(code: str, text: str, images: _Images = ()) -> Verdict:
    """A note; ``images`` are the films it concerns, perhaps each with a detail."""
    return Verdict(_finding(code, text, images), is_problem=False)


def _finding(code: str, text: str, images: _Images) -> Finding:
    detail = dict(sorted(images.items())) if isinstance(images, Mapping) else {}
    return Finding(code=code, text=text, images=tuple(sorted(images)), detail=detail)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def judge_release(comparison: Comparison, *, decided_by_table: bool) -> Iterator[Verdict]:
    """Differences to the release: problems, but for a table, which is free to choose films and splits."""
    title = TITLES[comparison.release]
    verdict = note if decided_by_table else problem
    if comparison.missing:
        number = len(comparison.missing)
        yield verdict("missing", f"{counted(number, 'film')} of {title} {_are(number)} missing", comparison.missing)
    if comparison.moved:
        number = len(comparison.moved)
        stand = "stands" if number == 1 else "stand"
        yield verdict("moved", f"{counted(number, 'film')} {stand} in another split than in {title}", comparison.moved)
    if comparison.extra:
        number = len(comparison.extra)
        yield verdict("extra", f"{counted(number, 'film')} {_are(number)} not in {title}", comparison.extra)


def judge_labels(by_name: Mapping[str, str]) -> Iterator[Verdict]:
    """Labels that contradict the release or the file's name."""
    if by_name:
        number = len(by_name)
        verb = "contradicts its" if number == 1 else "contradict their"
        yield problem("mislabelled", f"the label of {counted(number, 'film')} {verb} file name", by_name)


def judge_patients(rows: Sequence[ManifestRow]) -> Iterator[Verdict]:
    """Patients in several splits or classes, and films whose patient is unknown."""
    by_patient: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in rows:
        by_patient[row.patient].append(row)
    for code, what, key in (
        ("patient-across-splits", "splits", lambda row: row.split),
        ("patient-across-classes", "classes", lambda row: CLASS_NAMES[row.label]),
    ):
        shared = {patient: mine for patient, mine in by_patient.items() if len({key(row) for row in mine}) > 1}
        if shared:
            number = len(shared)
            have = "1 patient has" if number == 1 else f"{number:,} patients have"
            detail = {row.image: patient for patient, mine in shared.items() for row in mine}
            yield problem(code, f"{have} films in several {what} ({counted(len(detail), 'film')})", detail)
    yield from _judge_patients_by_folder(rows)
    unknown = [row.image for row in rows if row.patient == f"film:{row.image}"]
    if unknown:
        subject = "name does" if len(unknown) == 1 else "names do"
        yield note(
            "unknown-patients",
            f"{len(unknown):,} file {subject} not identify the patient: each such film counts as a patient of its own, "
            "and whether splits share patients cannot be checked for them",
            unknown,
        )


def _judge_patients_by_folder(rows: Sequence[ManifestRow]) -> Iterator[Verdict]:
    by_folder = {row.image: row.patient for row in rows if row.patient.startswith(FOLDER_KEY)}
    if not by_folder:
        return
    keys = set(by_folder.values())
    yield note(
        "patients-by-folder",
        f"folders below the classes count as patients: {len(keys):,} of {counted(len(by_folder), 'film')}",
    )
    one, other = ({key.removeprefix(f"{FOLDER_KEY}{name}/") for key in keys} - keys for name in CLASS_NAMES)
    if shared := one & other:
        yield note(
            "patients-numbered-anew",
            f"{len(shared):,} names of patients' folders stand in both classes and count as different patients: if "
            "they are the same, give them in a table (--manifest, column patient)",
        )


def judge_balance(rows: Sequence[ManifestRow], weights: Mapping[ClassName, float] | None) -> Iterator[Verdict]:
    """The class imbalance of the training films, and validation sets too small to choose by."""
    training = [row.label for row in rows if row.split == "train"]
    share = sum(training) / len(training) if training else 0.5
    if weights is not None and abs(share - 0.5) > _BALANCED:
        named = ", ".join(f"{name} {weight:.3f}" for name, weight in weights.items())
        yield note(
            "imbalance",
            f"{share:.0%} of the training films show pneumonia; class weights that balance them: {named} "
            "(train --class-weights balanced)",
        )
    validation = sum(row.split == "val" for row in rows)
    if 0 < validation < _FEW_VALIDATION_FILMS:
        yield note(
            "small-val",
            f"val holds {counted(validation, 'film')}, too few to choose a model by: train holds out patients of train "
            "besides (--val patient)",
        )


def judge_one_class(rows: Sequence[ManifestRow]) -> Iterator[Verdict]:
    """Splits whose films are all of one class."""
    for split in SPLITS:
        labels = [row.label for row in rows if row.split == split]
        if len(set(labels)) != 1:
            continue
        lost = "nothing can be learnt from it" if split == "train" else "AUROC is undefined there"
        yield note(
            "one-class", f"{split} holds {CLASS_NAMES[labels[0]]} alone ({counted(len(labels), 'film')}): {lost}"
        )


def judge_unused(found: Survey) -> Iterator[Verdict]:
    """Films that no command uses, wherever they lie, and folders that may hold some."""
    if found.unused:
        number = len(found.unused)
        yield problem(
            "unused-films",
            f"{counted(number, 'film')} {_are(number)} not used, being in no folder of {LAYOUT} or in a format that is "
            f"not read: {by_folder(found.unused)}",
            found.unused,
        )
    if found.unopened:
        number = len(found.unopened)
        yield problem("unopened", f"{number:,} folder{'' if number == 1 else 's'} cannot be opened", found.unopened)


def judge_links(dangling: Mapping[str, str]) -> Iterator[Verdict]:
    """Films that are links to nowhere."""
    if dangling:
        yield problem("unreadable", f"{counted(len(dangling), 'film')} cannot be read", dangling)


def judge_other_files(found: Survey, cells: Sequence[Cell]) -> Iterator[Verdict]:
    """Files that are no films, hidden and system files and folders, and the counts that come of counting them."""
    others = found.system | found.others
    if not others:
        return
    counted = [
        f"{cell.split}/{cell.label} holds {cell.num_files:,} files, {cell.num_images:,} of them films"
        for cell in cells
        if cell.num_files != cell.num_images
    ]
    more = f" and {len(counted) - 2} more" if len(counted) > 2 else ""
    where = f": {'; '.join(counted[:2])}{more}" if counted else ""
    number = len(others)
    yield note(
        "other-files",
        f"{number:,} file{' is no film and is' if number == 1 else 's are no films and are'} ignored{where}",
        others,
    )


def explain_figures() -> Iterator[Verdict]:
    """Counts that can be read elsewhere."""
    yield Verdict(Finding(code="known-figures", text=KNOWN_FIGURES_IN_SHORT, detail=KNOWN_FIGURES), is_problem=False)


def judge_contents(examined: "Examined", groups: Sequence[DuplicateGroup]) -> Iterator[Verdict]:
    """What decoding every film has shown."""
    if examined.unreadable:
        number = len(examined.unreadable)
        yield problem("unreadable", f"{counted(number, 'film')} cannot be read", examined.unreadable)
    yield from _judge_identical(groups)
    misnamed = {
        film.row.image: f"is {film.made.format}, named as {film.format_of_name}"
        for film in examined.films
        if film.made.format != film.format_of_name
    }
    if misnamed:
        number = len(misnamed)
        yield note(
            "misnamed",
            f"{counted(number, 'film')} {_are(number)} not what the ending promises, but can be read",
            misnamed,
        )
    blank = [film.row.image for film in examined.films if film.made.contrast == 0]
    if blank:
        yield note("blank", f"{counted(len(blank), 'film')} {_are(len(blank))} of one grey value throughout", blank)
    coloured = [film.row.image for film in examined.films if film.coloured]
    if coloured:
        hold = "holds" if len(coloured) == 1 else "hold"
        yield note("coloured", f"{counted(len(coloured), 'film')} {hold} true colour, unlike a radiograph", coloured)
    yield from _judge_warnings(examined)


def _judge_warnings(examined: "Examined") -> Iterator[Verdict]:
    """What is odd about films that can be read: a note for each oddity, with every film that has it."""
    by_code: dict[str, dict[str, str]] = defaultdict(dict)
    for film in examined.films:
        for warning in film.warnings:
            by_code[warning.code][film.row.image] = warning.text
    for code, detail in by_code.items():
        texts = sorted(set(detail.values()))
        what = texts[0] if len(texts) == 1 else f"{texts[0]}, and {len(texts) - 1} more kinds"
        yield note(code, f"{counted(len(detail), 'film')}: {what}", detail)


def _judge_identical(groups: Sequence[DuplicateGroup]) -> Iterator[Verdict]:
    identical = [group for group in groups if group.kind != "near"]
    near = [group for group in groups if group.kind == "near"]
    for code, what, chosen in (
        ("identical-across-splits", "splits", [group for group in identical if group.across_splits]),
        ("identical-across-classes", "classes", [group for group in identical if group.across_classes]),
    ):
        if chosen:
            yield problem(code, f"{_groups(len(chosen), 'identical')} across {what}", _members(chosen))
    within = [group for group in identical if not (group.across_splits or group.across_classes)]
    if within:
        yield note("duplicates", f"{_groups(len(within), 'identical')} within a split and class", _members(within))
    across = [group for group in near if group.across_splits or group.across_classes]
    if across:
        yield note(
            "near-across",
            f"{_groups(len(across), 'nearly identical')} across splits or classes: look at them",
            _members(across),
        )
    if len(near) > len(across):
        inside = [group for group in near if group not in across]
        yield note("near", f"{_groups(len(inside), 'nearly identical')} within a split and class", _members(inside))


def _groups(number: int, what: str) -> str:
    return f"{number:,} group{'' if number == 1 else 's'} of {what} pictures"


def _members(groups: Sequence[DuplicateGroup]) -> dict[str, str]:
    return {image: f"like {_other(group, image)}" for group in groups for image in group.images}


def _other(group: DuplicateGroup, image: str) -> str:
    return next(other for other in group.images if other != image)


def judge_hashes(rows: Sequence[ManifestRow], examined: "Examined") -> Iterator[Verdict]:
    """Films of a run that have other bytes now than when the run saw them."""
    now = {film.row.image: film.identity.bytes_sha256.hex() for film in examined.films}
    changed = [row.image for row in rows if row.sha256 and row.image in now and now[row.image] != row.sha256]
    if changed:
        verb = "has" if len(changed) == 1 else "have"
        yield problem("changed", f"{counted(len(changed), 'film')} {verb} changed since the run saw them", changed)


def judge_listed_hashes(rows: Sequence[ManifestRow]) -> Iterator[Verdict]:
    """Proof from a manifest alone: no identical film in two splits."""
    splits: dict[str, set[Split]] = defaultdict(set)
    for row in rows:
        if row.sha256:
            splits[row.sha256].add(row.split)
    shared = [row.image for row in rows if len(splits.get(row.sha256, ())) > 1]
    if shared:
        yield problem(
            "identical-across-splits", f"{counted(len(shared), 'film')} have an identical film in another split", shared
        )


def prove_disjoint(rows: Sequence[ManifestRow], verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """States that a run's splits are disjoint, where no verdict contradicts it."""
    codes = {verdict.finding.code for verdict in verdicts if verdict.is_problem}
    if codes & {"patient-across-splits", "identical-across-splits"}:
        return
    parts = []
    for split in SPLITS:
        mine = [row for row in rows if row.split == split]
        if mine:
            parts.append(f"{split} {counted(len(mine), 'film')} of {len({row.patient for row in mine}):,} patients")
    yield note("disjoint", f"the splits are disjoint, no patient and no identical film in two: {'; '.join(parts)}")


def size_of_copy(films_: Sequence["FilmFacts"]) -> str | None:
    """The size that a resized copy of a release was brought to; ``None`` for the sizes of the release.

    The release's films differ in width, in height and in both sides' shorter and longer one.
    """
    if len(films_) < 8:
        return None
    widths, heights = {film.made.width for film in films_}, {film.made.height for film in films_}
    if len(widths) == len(heights) == 1:
        return f"{films_[0].made.width} x {films_[0].made.height} pixels"
    short = {min(film.made.width, film.made.height) for film in films_}
    long = {max(film.made.width, film.made.height) for film in films_}
    for sides, name in ((short, "short"), (long, "long"), (widths, "horizontal"), (heights, "vertical")):
        if len(sides) == 1:
            return f"a {name} side of {sides.pop()} pixels"
    return None


def explain_resized(size: str) -> Iterator[Verdict]:
    """States what a resized copy is good for."""
    yield note(
        "resized",
        f"the films are a resized copy, not as released: all have {size}; numbers do not compare with those on "
        "the released films",
    )
