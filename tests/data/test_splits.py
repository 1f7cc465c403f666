"""Validation films: never a patient on two sides, whatever the table."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pneumocli.core.errors import DataError
from pneumocli.core.records import CLASS_NAMES, ManifestRow
from pneumocli.data.manifest import Manifest, scan
from pneumocli.data.release_lists import kaggle_films
from pneumocli.data.splits import Method, in_folds, training_pool, with_fold, with_validation
from tests.helpers.released import kaggle_rows


def film(patient: str, kind: str, split: str, number: int) -> ManifestRow:
    return ManifestRow(
        image=f"{split}/{kind}/{patient.replace(':', '-')}-{number}.jpeg",
        label=int(kind != "normal"),
        kind=kind,
        patient=patient,
        split=split,
        sha256="",
    )


@st.composite
def tables(draw: st.DrawFn) -> Manifest:
    """Patients with one to six films each, some given as val, some as test; enough of each kind for five folds."""
    rows = []
    for kind in ("normal", "bacteria", "virus"):
        for number in range(draw(st.integers(5, 14))):
            split = (
                draw(st.sampled_from(["train", "train", "train", "train", "val", "test"])) if number >= 5 else "train"
            )
            patient = f"{kind}:{draw(st.integers(0, 3))}-{number:04d}"
            rows += [film(patient, kind, split, count) for count in range(draw(st.integers(1, 6)))]
    return Manifest(Path("data"), tuple(sorted(rows, key=lambda row: row.image)))


def patients(manifest: Manifest, split: str) -> set[str]:
    return {row.patient for row in manifest.of(split).rows}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), st.sampled_from(["patient", "block"]), st.sampled_from([0.2, 0.25, 0.34, 0.5]), st.integers(0, 99))
def test_no_patient_stands_on_two_sides(table: Manifest, method: Method, fraction: float, seed: int):
    try:
        decided, share = with_validation(table, method, fraction, seed)
    except DataError as error:
        # Blocks need patients in every series; a table may have a series of one.
        assert method == "block"
        assert "too short" in error.message
        return
    assert not patients(decided, "train") & patients(decided, "val")
    assert decided.of("test") == table.of("test")
    assert [row.image for row in decided.rows] == [row.image for row in table.rows]
    assert patients(table, "val") <= patients(decided, "val")
    learnt_on = len(decided.of("train")) + len(decided.of("val"))
    assert share == pytest.approx(len(decided.of("val")) / learnt_on)
    assert with_validation(table, method, fraction, seed) == (decided, share)


@pytest.fixture(scope="module")
def release() -> Manifest:
    return Manifest(Path("data"), kaggle_rows())


@pytest.mark.parametrize("method", ["patient", "block"])
def test_the_release_is_split_by_patient_in_about_the_wanted_share(release: Manifest, method: Method):
    decided, share = with_validation(release, method, 0.1, seed=0)
    assert 0.08 < share < 0.13
    assert not patients(decided, "train") & patients(decided, "val")
    kinds = {
        split: [sum(row.kind == kind for row in decided.of(split).rows) for kind in ("normal", "bacteria", "virus")]
        for split in ("train", "val")
    }
    for train, val in zip(kinds["train"], kinds["val"], strict=True):
        assert 0.06 < val / (train + val) < 0.17
    assert len(decided.of("test")) == 624


def test_the_seed_decides_which_patients(release: Manifest):
    chosen = [patients(with_validation(release, "patient", 0.5, seed)[0], "val") for seed in (0, 1)]
    assert chosen[0] != chosen[1]


def test_blocks_are_contiguous_numbers_and_move_with_the_seed(release: Manifest):
    given = patients(release, "val")
    seen = []
    for seed in range(3):
        held = patients(with_validation(release, "block", 0.1, seed)[0], "val") - given
        numbers = sorted(int(patient.removeprefix("virus:")) for patient in held if patient.startswith("virus:"))
        others = {
            int(row.patient.removeprefix("virus:"))
            for row in release.of("train").rows
            if row.kind == "virus" and row.patient not in held
        }
        assert not any(numbers[0] < other < numbers[-1] for other in others)
        seen.append(numbers[0])
    assert seen == sorted(set(seen))


def test_official_takes_val_as_it_is(release: Manifest):
    decided, share = with_validation(release, "official", 0.1, seed=5)
    assert decided == release
    assert share == pytest.approx(16 / 5232)


def test_official_takes_a_val_patients_training_films_away_from_training():
    rows = [film(f"{kind}:{number}", kind, "train", 0) for kind in ("normal", "virus") for number in range(3)]
    rows += [film("normal:0", "normal", "val", 1), film("virus:0", "virus", "val", 1)]
    decided, _ = with_validation(Manifest(Path("data"), tuple(rows)), "official", 0.1, seed=0)
    assert patients(decided, "val") == {"normal:0", "virus:0"}
    assert len(decided.of("val")) == 4


def test_official_needs_val_films():
    rows = tuple(film(f"{kind}:{number}", kind, "train", 0) for kind in ("normal", "virus") for number in range(3))
    with pytest.raises(DataError, match="has no val films") as caught:
        with_validation(Manifest(Path("data"), rows), "official", 0.1, seed=0)
    assert caught.value.hint == "--val patient holds some out"


@pytest.mark.parametrize(
    ("method", "message", "hint"),
    [
        ("patient", "one kind has 3 patients: too few to hold out 1/10", "--val-fraction 0.33, or --val official"),
        ("block", "too short for 10 blocks", "raise --val-fraction"),
    ],
)
def test_too_few_patients(method: Method, message: str, hint: str):
    rows = tuple(film(f"{kind}:{number}", kind, "train", 0) for kind in ("normal", "virus") for number in range(3))
    with pytest.raises(DataError, match=message) as caught:
        with_validation(Manifest(Path("data"), rows), method, 0.1, seed=0)
    assert hint in (caught.value.hint or "")
    with_validation(Manifest(Path("data"), rows), method, 0.33, seed=0)


def test_a_single_patient_of_a_kind_cannot_be_held_out_at_all():
    rows = tuple(film(f"{kind}:0", kind, "train", 0) for kind in ("normal", "virus"))
    with pytest.raises(DataError, match="one kind has 1 patient: too few to hold out 1/2") as caught:
        with_validation(Manifest(Path("data"), rows), "patient", 0.5, seed=0)
    assert caught.value.hint == "add films of other patients"


def test_one_class_cannot_be_split():
    rows = tuple(film(f"virus:{number}", "virus", "train", 0) for number in range(30))
    with pytest.raises(DataError, match="films of one class only, expected NORMAL and PNEUMONIA"):
        with_validation(Manifest(Path("data"), rows), "patient", 0.1, seed=0)


def test_unknown_kinds_are_stratified_by_label(tmp_path: Path):
    for name in CLASS_NAMES:
        for number in range(12):
            file = tmp_path / "train" / name / f"film{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    decided, _ = with_validation(scan(tmp_path), "patient", 0.25, seed=0)
    assert [row.label for row in decided.of("val").rows].count(1) == 3
    assert len(decided.of("val")) == 6


def test_the_release_itself_shares_no_patient():
    sides = {}
    for row in kaggle_rows():
        sides.setdefault(row.patient, set()).add(row.split)
    assert len(kaggle_films()) == 5856
    assert all(len(found) == 1 for found in sides.values())


@pytest.mark.parametrize("method", ["patient", "block"])
def test_a_film_that_lies_there_under_two_names_stands_on_one_side(method: Method):
    """Copies whose names know no patient would be learnt and then validated on."""
    rows = [
        film(f"{kind}:{number + 100 * copy}", kind, "train", copy).model_copy(update={"sha256": f"{kind}{number}"})
        for kind in ("normal", "bacteria") for number in range(12) for copy in (0, 1)
    ]  # fmt: skip
    table = Manifest(Path("films"), tuple(sorted(rows, key=lambda row: row.image)))
    decided, share = with_validation(table, method, 0.25, 0)
    contents = [{row.sha256 for row in decided.of(split).rows} for split in ("train", "val")]
    assert not contents[0] & contents[1]
    assert share == 0.25
    assert {row.patient for row in decided.rows} == {row.patient for row in rows}, "the record keeps the names"
    numbers = in_folds(table, method, 4, 0)
    assert len({(row.sha256, fold) for row, fold in zip(table.rows, numbers, strict=True)}) == 24


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), st.sampled_from(["patient", "block"]), st.integers(2, 5), st.integers(0, 99))
def test_each_film_is_in_one_fold_and_each_patient_too(table: Manifest, method: Method, folds: int, seed: int):
    pool = training_pool(table)
    try:
        numbers = in_folds(pool, method, folds, seed)
    except DataError as error:
        assert method == "block"
        assert "holds no" in error.message
        return
    assert set(numbers) == set(range(1, folds + 1))
    assert len({(row.patient, fold) for row, fold in zip(pool.rows, numbers, strict=True)}) == pool.num_patients
    held = [with_fold(pool, method, folds, fold, seed) for fold in range(1, folds + 1)]
    assert sorted(row.image for manifest, _ in held for row in manifest.of("val").rows) == [r.image for r in pool.rows]
    assert sum(share for _, share in held) == pytest.approx(1)
    assert in_folds(pool, method, folds, seed) == numbers


def test_the_release_is_cut_into_folds_of_about_the_same_size(release: Manifest):
    pool = training_pool(release)
    for method in ("patient", "block"):
        numbers = in_folds(pool, method, 5, 0)
        shares = [numbers.count(fold) / len(numbers) for fold in range(1, 6)]
        assert shares == pytest.approx([0.2] * 5, abs=0.01)
    assert in_folds(pool, "patient", 5, 1) != in_folds(pool, "patient", 5, 0)
    assert in_folds(pool, "block", 5, 1) == in_folds(pool, "block", 5, 0)


def test_too_few_patients_for_the_folds():
    rows = tuple(film(f"{kind}:{number}", kind, "train", 0) for kind in ("normal", "bacteria") for number in range(3))
    with pytest.raises(DataError, match="one kind has 3 patients: too few for 4 folds") as refusal:
        in_folds(Manifest(Path("data"), rows), "patient", 4, 0)
    assert refusal.value.hint == "--folds 3"
    with pytest.raises(DataError, match="fold 1 of 4 by block holds no NORMAL film") as refusal:
        in_folds(
            Manifest(Path("data"), (*rows[1:2], *rows[3:], film("bacteria:9", "bacteria", "train", 0))), "block", 4, 0
        )
    assert refusal.value.hint == "--folds 2 makes larger ones, or --val patient"
