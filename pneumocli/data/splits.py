"""Validation films: held out by patient, by block of patient numbers, or the release's sixteen.

No method ever puts a patient on both sides, nor two films of the same bytes, whatever their names say. The release's 16
validation films join the validation films of the first two methods, and what other films their patients have leave the
training films.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.amounts import counted
from pneumocli.core.errors import DataError
from pneumocli.core.records import CLASS_NAMES, ManifestRow, Split
from pneumocli.data.manifest import Manifest

if TYPE_CHECKING:
    from sklearn.model_selection import StratifiedGroupKFold

Method = Literal["patient", "block", "official"]


def with_validation(manifest: Manifest, method: Method, fraction: float, seed: int) -> tuple[Manifest, float]:
    """Decides which films a run validates on.

    Args:
        manifest: Films of the splits train and val; test films stay as they are.
        method: ``patient``: whole patients at random, stratified by kind. ``block``: one contiguous block of patient
            numbers in each series, in the manner of the official test split, so that validation is shifted against
            training as the test is. ``official``: the films of the val folder and all others of their patients.
        fraction: Share to hold out, above 0 and at most 0.5; rounded to 1/k for a k-fold.
        seed: Decides which patients, or which block.

    Returns:
        The manifest with its splits decided, and the share of films that is validated on.

    Raises:
        DataError: There are too few patients, no val films where they are needed, or a class is missing on one side.
    """
    rows = _as_one([row for row in manifest.rows if row.split != "test"])
    given = {row.patient for row in rows if row.split == "val"}
    if method == "official":
        held = given
        if not held:
            raise DataError(
                f"{manifest.folder} has no val films, which --val official validates on", "--val patient holds some out"
            )
    else:
        # Patients of the given validation films are held out whatever the method draws.
        pool = [row for row in rows if row.patient not in given]
        folds = round(1 / fraction)
        drawn = _by_patient(pool, folds, seed) if method == "patient" else _by_block(pool, folds, seed)
        held = given | drawn
    decided = {row.image: _split_of(row, held) for row in rows}
    kept = tuple(
        row if row.split == decided.get(row.image, row.split) else row.model_copy(update={"split": decided[row.image]})
        for row in manifest.rows
    )
    result = replace(manifest, rows=kept)
    _check_both_classes(result)
    return result, len(result.of("val")) / len(rows)


def in_folds(manifest: Manifest, method: Method, folds: int, seed: int) -> tuple[int, ...]:
    """Decides which fold each film belongs to; all films of a patient belong to one.

    Args:
        manifest: Films of the splits train and val, which are folded together.
        method: ``patient``: whole patients at random, the kinds in proportion. ``block``: fold k is the k-th contiguous
            block of patient numbers in each series, whatever the seed.
        folds: How many, at least 2.
        seed: Decides which patients.

    Returns:
        The fold of each row, from 1: a function of the arguments alone.

    Raises:
        DataError: There are too few patients, or a fold lacks a class.
    """
    rows = _as_one(manifest.rows)
    by_patient = _fold_by_block(rows, folds) if method == "block" else _fold_by_draw(rows, folds, seed)
    numbers = tuple(by_patient[row.patient] for row in rows)
    for fold in range(1, folds + 1):
        found = {row.label for row, number in zip(rows, numbers, strict=True) if number == fold}
        if len(found) < len(CLASS_NAMES):
            lacking = " and ".join(name for label, name in enumerate(CLASS_NAMES) if label not in found)
            raise DataError(
                f"fold {fold} of {folds} by {method} holds no {lacking} film of {manifest.folder}: every fold needs "
                "both classes",
                f"--folds {max(2, folds // 2)} makes larger ones" + (", or --val patient" if method == "block" else ""),
            )
    return numbers


def with_fold(manifest: Manifest, method: Method, folds: int, fold: int, seed: int) -> tuple[Manifest, float]:
    """Holds one of :func:`in_folds` out: its films are validated on, all others are trained on.

    Returns:
        The manifest with its splits decided, and the share of films that is validated on.

    Raises:
        DataError: As :func:`in_folds`.
    """
    numbers = in_folds(manifest, method, folds, seed)
    rows = tuple(
        row.model_copy(update={"split": "val" if number == fold else "train"})
        for row, number in zip(manifest.rows, numbers, strict=True)
    )
    return replace(manifest, rows=rows), numbers.count(fold) / len(numbers)


def joined_by_content(rows: Iterable[ManifestRow]) -> dict[str, str]:
    """Patients that share a film's bytes with another one, each with the patient in whose place it is held out.

    >>> def film(patient, sha256):
    ...     return ManifestRow(
    ...         image=f"{patient}-{sha256}", label=0, kind="normal", patient=patient, split="train", sha256=sha256
    ...     )
    >>> joined_by_content(
    ...     [film("a", "1"), film("b", "1"), film("b", "2"), film("c", "2"), film("d", "3"), film("e", "")]
    ... )
    {'b': 'a', 'c': 'a'}
    """
    before: dict[str, str] = {}
    first_with: dict[str, str] = {}

    def first(patient: str) -> str:
        while patient in before:
            patient = before[patient]
        return patient

    for row in rows:
        if row.sha256:
            one, other = sorted((first(first_with.setdefault(row.sha256, row.patient)), first(row.patient)))
            if one != other:
                before[other] = one
    return {patient: first(patient) for patient in sorted(before)}


def _as_one(rows: Sequence[ManifestRow]) -> Sequence[ManifestRow]:
    """The films, those of patients that share one as of one patient."""
    joined = joined_by_content(rows)
    return (
        [row.model_copy(update={"patient": joined[row.patient]}) if row.patient in joined else row for row in rows]
        if joined
        else rows
    )


def _fold_by_draw(rows: Sequence[ManifestRow], folds: int, seed: int) -> dict[str, int]:
    fewest = min(_patients_by_kind(rows).values(), default=0)
    if fewest < folds:
        raise DataError(
            f"one kind has {counted(fewest, 'patient')}: too few for {folds} folds, each of which holds some out",
            f"--folds {fewest}" if fewest > 1 else "add films of other patients, or train without --folds",
        )
    found: dict[str, int] = {}
    for number, held in enumerate(_drawn(rows, folds, seed), start=1):
        found |= dict.fromkeys(held, number)
    return found


def _fold_by_block(rows: Sequence[ManifestRow], folds: int) -> dict[str, int]:
    found = {}
    for patients in _series(rows).values():
        for patient, place in _places(patients, folds).items():
            found[patient] = 1 + min(int(place), folds - 1)
    return found


def training_pool(manifest: Manifest) -> Manifest:
    """The films that a training may use: all but those of test.

    Raises:
        DataError: There are test films alone, such as in a folder that holds the classes without splits.
    """
    rows = tuple(row for row in manifest.rows if row.split != "test")
    if not rows:
        folder = manifest.folder
        raise DataError(
            f"{folder} holds {len(manifest):,} test films and none to train on: classes without a folder train are a "
            "test set",
            f"move the classes into {folder / 'train'} (train holds validation films out of it), or list the films "
            "with their splits in a table: --manifest FILE.csv",
        )
    return replace(manifest, rows=rows)


def _split_of(row: ManifestRow, held: set[str]) -> Split:
    return "val" if row.patient in held else "train"


def _by_patient(rows: Sequence[ManifestRow], folds: int, seed: int) -> set[str]:
    """Patients of one fold of a k-fold that keeps patients together and the kinds in proportion."""
    fewest = min(_patients_by_kind(rows).values(), default=0)
    if fewest < folds:
        raise DataError(
            f"one kind has {counted(fewest, 'patient')}: too few to hold out 1/{folds}",
            f"--val-fraction {1 / fewest:.2g}, or --val official" if fewest > 1 else "add films of other patients",
        )
    return next(_drawn(rows, folds, seed))


def _drawn(rows: Sequence[ManifestRow], folds: int, seed: int) -> Iterator[set[str]]:
    """Patients of each fold."""
    kinds = [row.kind if row.kind != "unknown" else str(row.label) for row in rows]
    patients = [row.patient for row in rows]
    for _, held in _splitter(folds, seed).split(np.zeros(len(rows)), kinds, patients):
        yield {patients[number] for number in held}


def _splitter(folds: int, seed: int) -> "StratifiedGroupKFold":
    """scikit-learn's splitter, which chooses a fold for each patient by looking at all folds at once.

    Its own loop over the folds takes .4 ms a patient, 12 s for the 30,000 of ChestX-ray14. The choices are the same; a
    release of scikit-learn that names this method otherwise is only slower.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    class Quick(StratifiedGroupKFold):  # type: ignore[misc]
        def _find_best_fold(
            self, y_counts_per_fold: NDArray[np.float64], y_cnt: NDArray[np.int64], group_y_counts: NDArray[np.float64]
        ) -> int:
            # With the patient in each fold in turn: (folds, folds, kinds).
            with_patient = y_counts_per_fold[None] + np.eye(folds)[:, :, None] * group_y_counts
            spread = (with_patient / y_cnt.reshape(1, 1, -1)).std(axis=1).mean(axis=1).tolist()
            films = y_counts_per_fold.sum(axis=1).tolist()
            best = 0
            for fold in range(1, folds):
                # numpy.isclose, whose call takes longer than all else here
                alike = abs(spread[fold] - spread[best]) <= 1e-8 + 1e-5 * abs(spread[best])
                if spread[fold] < spread[best] or (alike and films[fold] < films[best]):
                    best = fold
            return best

    return Quick(folds, shuffle=True, random_state=seed)


def _patients_by_kind(rows: Sequence[ManifestRow]) -> dict[str, int]:
    patients = defaultdict(set)
    for row in rows:
        patients[row.kind if row.kind != "unknown" else str(row.label)].add(row.patient)
    return {kind: len(keys) for kind, keys in patients.items()}


def _by_block(rows: Sequence[ManifestRow], folds: int, seed: int) -> set[str]:
    """Patients of one contiguous block of numbers in each series; the seed decides which of the ``folds`` blocks."""
    series = _series(rows)
    shortest = min((len(patients) for patients in series.values()), default=0)
    if shortest < folds:
        raise DataError(
            f"a series of {shortest} patients is too short for {folds} blocks",
            "raise --val-fraction, or use --val patient",
        )
    # The block moves with the seed; seed 0 takes the lowest numbers, as the official test split does for most series.
    held: set[str] = set()
    for patients in series.values():
        held |= _block_of(patients, seed % folds, folds)
    return held


def _series(rows: Sequence[ManifestRow]) -> dict[str, Counter[tuple[int, str]]]:
    """By series: films by number and patient."""
    series: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
    for row in rows:
        name, number = _series_and_number(row.patient)
        series[name][number, row.patient] += 1
    return series


def _block_of(patients: Mapping[tuple[int, str], int], block: int, folds: int) -> set[str]:
    """Patients of a block that holds 1/folds of the series' films, not of its patients: low numbers have more films.

    Args:
        patients: Films by number and patient.
        block: Which block, from 0.
        folds: Into how many the series is cut.
    """
    places = _places(patients, folds)
    inside = {patient for patient, place in places.items() if int(place) == block}
    # A patient with more films than a block leaves a block empty; its neighbour stands in.
    return inside or {min(places, key=lambda patient: abs(places[patient] - block - 0.5))}


def _places(patients: Mapping[tuple[int, str], int], folds: int) -> dict[str, float]:
    """Where each patient's films have their middle among the series' films: 0 at its start, ``folds`` at its end."""
    total, before = sum(patients.values()), 0
    places: dict[str, float] = {}
    for (_, patient), count in sorted(patients.items()):
        places[patient] = (before + count / 2) * folds / total
        before += count
    return places


def _series_and_number(patient: str) -> tuple[str, int]:
    """A patient's series and number: ``virus:12`` is 12 in ``virus``, ``normal:IM-0001`` is 1 in ``normal:IM-``."""
    match = re.search(r"(\d+)\D*$", patient)
    if match is None:
        return "", 0
    return patient[: match.start()], int(match[1])


def _check_both_classes(manifest: Manifest) -> None:
    for split in ("train", "val"):
        labels = {row.label for row in manifest.of(split).rows}
        if len(labels) < 2:
            found = "no films" if not labels else "films of one class only"
            raise DataError(
                f"the {split} films of {manifest.folder} hold {found}, expected NORMAL and PNEUMONIA",
                "pneumo verify-data shows the counts",
            )
