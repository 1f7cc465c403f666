"""What is known of the releases."""

import csv
from pathlib import Path

import pytest

from pneumocli.data.release_lists import (
    KNOWN_FIGURES,
    KNOWN_FIGURES_IN_SHORT,
    counts,
    kaggle_films,
    mendeley_films,
)


def test_counts_of_the_kaggle_release():
    assert counts(kaggle_films()) == {
        ("train", "NORMAL"): 1341,
        ("train", "PNEUMONIA"): 3875,
        ("val", "NORMAL"): 8,
        ("val", "PNEUMONIA"): 8,
        ("test", "NORMAL"): 234,
        ("test", "PNEUMONIA"): 390,
    }


def test_counts_of_the_mendeley_release():
    assert counts(mendeley_films()) == {
        ("train", "NORMAL"): 1349,
        ("train", "PNEUMONIA"): 3883,
        ("test", "NORMAL"): 234,
        ("test", "PNEUMONIA"): 390,
    }


def test_names_are_unique_without_their_ending():
    assert len({Path(file).stem.casefold() for _, _, file in kaggle_films()}) == 5856


@pytest.mark.parametrize("figure", KNOWN_FIGURES)
def test_every_figure_is_explained(figure: str):
    assert figure in KNOWN_FIGURES[figure]
    assert figure in KNOWN_FIGURES_IN_SHORT


@pytest.mark.real_data
def test_the_packaged_list_is_the_shared_one(shared: Path):
    with (shared / "data" / "kaggle_manifest.csv").open() as lines:
        listed = {(row["split"], row["class"], row["filename"]) for row in csv.DictReader(lines)}
    assert listed == kaggle_films()
