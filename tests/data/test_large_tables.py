"""A table of many films: no step takes more than its share when the table grows."""

import cProfile
import csv
import pstats
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from pneumocli.core.config import VerifyDataConfig
from pneumocli.data.manifest import scan, with_hashes
from pneumocli.data.splits import _splitter, training_pool, with_validation
from pneumocli.verification.verify import verify_data

FEW = 150


def table_of(folder: Path, number: int) -> Path:
    """A table of so many films, three to a patient; what is in the files does not matter."""
    (folder / "films").mkdir(parents=True)
    with (folder / "films.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "patient"])
        for film in range(number):
            (folder / "films" / f"{film}.png").write_bytes(str(film).encode())
            rows.writerow([f"films/{film}.png", film // 3 % 2, film // 3])
    return folder / "films.csv"


def calls(folder: Path, table: Path) -> dict[str, int]:
    """Calls of functions in each step."""
    listed = scan(folder, table)  # what is imported and built once does not count
    with_validation(training_pool(with_hashes(listed)), "patient", 0.25, 0)
    verify_data(VerifyDataConfig(data=folder, manifest=table, quick=True))
    hashed = with_hashes(listed)
    steps = {
        "list": lambda: scan(folder, table),
        "check": lambda: verify_data(VerifyDataConfig(data=folder, manifest=table, quick=True)),
        "hash": lambda: with_hashes(listed, remembered=False),
        "split": lambda: with_validation(training_pool(hashed), "patient", 0.25, 0),
    }
    found = {}
    for name, step in steps.items():
        with cProfile.Profile() as profile:
            step()
        found[name] = pstats.Stats(profile).total_calls
    return found


@pytest.mark.slow
def test_four_times_the_films_take_four_times_the_work(tmp_path: Path):
    few, many = (calls(tmp_path / str(n), table_of(tmp_path / str(n), n)) for n in (FEW, 4 * FEW))
    for step in few:
        assert many[step] <= 4.5 * few[step], (step, few, many)


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_the_splitter_chooses_as_scikit_learn_does(folds: int):
    drawn = np.random.default_rng(folds)
    patients = drawn.integers(0, 300, 900)
    kinds = np.array(["normal", "bacteria", "virus"])[(patients * 7 % 3 + (drawn.random(900) < 0.1)) % 3]
    for seed in range(3):
        theirs = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(patients, kinds, patients)
        ours = _splitter(folds, seed).split(patients, kinds, patients)
        for (_, expected), (_, found) in zip(theirs, ours, strict=True):
            np.testing.assert_array_equal(found, expected)
