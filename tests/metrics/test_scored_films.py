"""scores.py: tables of scored films on disk."""

from pathlib import Path

import pytest

from pneumocli.core.errors import RunError
from pneumocli.metrics.records import OutOfFoldFilm
from pneumocli.metrics.scored_films import read_out_of_fold, write_out_of_fold
from tests.conftest import scored_film


def test_out_of_fold_scores_come_back_as_they_were(tmp_path: Path):
    films = [
        OutOfFoldFilm(**scored_film(f"{label}, {fold}.png", label, fold - 1.5).model_dump(), fold=fold)
        for fold, label in enumerate(("NORMAL", "PNEUMONIA"), start=1)
    ]
    file = tmp_path / "out-of-fold.csv"
    write_out_of_fold(file, films)
    assert file.read_text().splitlines()[0] == "image,patient,kind,label,logit,probability,prediction,fold"
    assert read_out_of_fold(file) == tuple(films)


def test_a_damaged_table_is_refused(tmp_path: Path):
    file = tmp_path / "out-of-fold.csv"
    with pytest.raises(RunError, match="cannot read"):
        read_out_of_fold(file)
    file.write_text("image,patient,kind,label,logit,probability,prediction,fold\na,p,virus,NORMAL,1,0.5,NORMAL,0\n")
    with pytest.raises(RunError, match=r"out-of-fold.csv is damaged"):
        read_out_of_fold(file)
