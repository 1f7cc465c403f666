"""The table of answers grows row by row and survives an interruption at any byte."""

from pathlib import Path

import pytest

from pneumocli.core.errors import PneumoError, RunError
from pneumocli.inference.csv_output import REFERRING_COLUMNS, AnswerTable
from pneumocli.inference.records import Prediction, ReferringPrediction

FILMS = [
    Prediction(image="a.png", probability=0.25, prediction="NORMAL", threshold=0.5),
    Prediction(image='odd "name",\nof two lines.png', probability=0.75, prediction="PNEUMONIA", threshold=0.5),
    Prediction(image="ö 🫁.png", probability=None, prediction=None, threshold=0.5, error='is "empty",\nreally'),
    Prediction(image="d.png", probability=0.5, prediction="PNEUMONIA", threshold=0.5, warnings=("is odd", "is dark")),
]


def write(file: Path, *, resume: bool, model: str = "abc", threshold: float = 0.5) -> int:
    """Adds the films that are missing; returns how many those were."""
    with AnswerTable(file, model=model, threshold=threshold, resume=resume) as table:
        missing = [film for film in FILMS if film.image not in table]
        for film in missing:
            table.add(film)
    return len(missing)


def test_rows_are_what_was_added(tmp_path: Path):
    file = tmp_path / "new" / "answers.csv"
    write(file, resume=False)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == [
        "image,probability,prediction,threshold,warnings,error,model",
        "a.png,0.25,NORMAL,0.5,,,abc",
    ]
    assert lines[-1] == "d.png,0.5,PNEUMONIA,0.5,is odd; is dark,,abc"


def test_cut_off_at_any_byte_it_can_be_continued(tmp_path: Path):
    whole = tmp_path / "whole.csv"
    write(whole, resume=False)
    content = whole.read_bytes()
    cut = tmp_path / "cut.csv"
    for size in range(len(content) + 1):
        cut.write_bytes(content[:size])
        write(cut, resume=True)
        assert cut.read_bytes() == content, f"cut after {size} bytes"


def test_rows_on_disk_are_not_scored_again(tmp_path: Path):
    file = tmp_path / "answers.csv"
    assert write(file, resume=True) == 4
    assert write(file, resume=True) == 0
    with AnswerTable(file, model="abc", threshold=0.5, resume=True) as table:
        assert table.num_films == 4
        assert table.num_errors == 1


def test_without_resume_the_table_begins_anew(tmp_path: Path):
    file = tmp_path / "answers.csv"
    write(file, resume=False, model="former")
    write(file, resume=False)
    assert "former" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("settings", [{"model": "other"}, {"threshold": 0.4}])
def test_another_models_table_is_not_continued(tmp_path: Path, settings: dict):
    file = tmp_path / "answers.csv"
    write(file, resume=False)
    before = file.read_bytes()
    with pytest.raises(RunError, match=r"was written with model abc at threshold 0\.5"):
        write(file, resume=True, **settings)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2\n", b"\xff\xfe\n", b"image,probability,prediction,threshold,warnings,error,model\nx\n"]
)
def test_a_foreign_table_is_not_continued(tmp_path: Path, content: bytes):
    file = tmp_path / "answers.csv"
    file.write_bytes(content)
    with pytest.raises(RunError, match="cannot continue"):
        write(file, resume=True)
    assert file.read_bytes() == content


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path):
    with pytest.raises(PneumoError, match="cannot write"):
        write(tmp_path, resume=False)


def test_a_model_that_refers_has_a_column_of_answers(tmp_path: Path):
    file = tmp_path / "answers.csv"
    first, second = (
        ReferringPrediction(**dict(film), answer=answer)
        for film, answer in zip(FILMS[1:3], ("REFER", None), strict=True)
    )
    with AnswerTable(file, model="abc", threshold=0.5, resume=False, columns=REFERRING_COLUMNS) as table:
        table.add(first)
    with AnswerTable(file, model="abc", threshold=0.5, resume=True, columns=REFERRING_COLUMNS) as table:
        assert first.image in table
        table.add(second)
    text = file.read_text(encoding="utf-8")
    assert text.startswith("image,probability,prediction,threshold,warnings,error,model,answer\n")
    assert ",abc,REFER\n" in text
    assert text.endswith(",abc,\n")


def test_a_table_with_answers_is_not_continued_without(tmp_path: Path):
    file = tmp_path / "answers.csv"
    with AnswerTable(file, model="abc", threshold=0.5, resume=False, columns=REFERRING_COLUMNS):
        pass
    with pytest.raises(RunError, match="written with another model"):
        AnswerTable(file, model="abc", threshold=0.5, resume=True)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0film", b"patients to call back: 17, 42", b"x"])
def test_a_file_that_is_no_table_of_answers_is_not_replaced(tmp_path: Path, content: bytes, resume: bool):
    """The shell makes `--csv a.jpg b.jpg` of `--csv *.jpg`, and films.csv holds the labels."""
    file = tmp_path / "my films.csv"
    file.write_bytes(content)
    with pytest.raises(
        RunError, match="is there already and is no table of pneumo predict: it was left as it"
    ) as error:
        write(file, resume=resume)
    assert error.value.hint == f"choose another name, or remove it first: rm '{file}'"
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"", b"image,prob", b"image,probability,prediction,threshold,warnings,error,model,answer\n"]
)
def test_an_own_table_is_replaced_whatever_is_left_of_it(tmp_path: Path, content: bytes):
    file = tmp_path / "answers.csv"
    file.write_bytes(content)
    assert write(file, resume=False) == len(FILMS)
