"""Validation films: held out by patient, by block of patient numbers, or the release's sixteen.

No method ever puts a patient on both sides. The release's 16 validation films join the validation films of the first
two methods, and what other films their patients have leave the training films.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from pneumocli.core.errors import DataError
from pneumocli.core.records import ManifestRow, Split
from pneumocli.data.manifest import Manifest

Method = Literal["patient", "block", "official"]


def with_validation(manifest: Manifest, method: Method, fraction: float, seed: int) -> tuple[Manifest, float]:
    """Decides which films a run validates on.

    Args:
        manifest: Films of the splits train and val; test films stay as they are.
        method: ``patient``: whole patients at random, stratified by kind. ``block``: one contiguous block of patient
            numbers in each series, in the manner of the official test split, so that validation is shifted against
            training as the test is. ``official``: the val folder as it is.
        fraction: Share to hold out, above 0 and at most 0.5; rounded to 1/k for a k-fold.
        seed: Decides which patients, or which block.

    Returns:
        The manifest with its splits decided, and the share of films that is validated on.

    Raises:
        DataError: There are too few patients, no val films where they are needed, or a class is missing on one side.
    """
    rows = [row for row in manifest.rows if row.split != "test"]
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
    from sklearn.model_selection import StratifiedGroupKFold

    kinds = [row.kind if row.kind != "unknown" else str(row.label) for row in rows]
    patients = [row.patient for row in rows]
    fewest = min(_patients_by_kind(rows).values(), default=0)
    if fewest < folds:
        raise DataError(
            f"{fewest} patients of one kind are too few to hold out 1/{folds} of them",
            "raise --val-fraction (0.5 needs two patients of each kind), or use --val official",
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    _, held = next(splitter.split(np.zeros(len(rows)), kinds, patients))
    return {patients[number] for number in held}


def _patients_by_kind(rows: Sequence[ManifestRow]) -> dict[str, int]:
    patients = defaultdict(set)
    for row in rows:
        patients[row.kind if row.kind != "unknown" else str(row.label)].add(row.patient)
    return {kind: len(keys) for kind, keys in patients.items()}


def _by_block(rows: Sequence[ManifestRow], folds: int, seed: int) -> set[str]:
    """Patients of one contiguous block of numbers in each series; the seed decides which of the ``folds`` blocks."""
    series: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
    for row in rows:
        name, number = _series_and_number(row.patient)
        series[name][number, row.patient] += 1
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


def _block_of(patients: Mapping[tuple[int, str], int], block: int, folds: int) -> set[str]:
    """Patients of a block that holds 1/folds of the series' films, not of its patients: low numbers have more films.

    Args:
        patients: Films by number and patient.
        block: Which block, from 0.
        folds: Into how many the series is cut.
    """
    total, before = sum(patients.values()), 0
    places: dict[str, float] = {}
    for (_, patient), count in sorted(patients.items()):
        places[patient] = (before + count / 2) * folds / total
        before += count
    inside = {patient for patient, place in places.items() if int(place) == block}
    # A patient with more films than a block leaves a block empty; its neighbour stands in.
    return inside or {min(places, key=lambda patient: abs(places[patient] - block - 0.5))}


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
