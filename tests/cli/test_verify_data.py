"""``pneumo verify-data``: exit codes, streams, tables."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pneumocli.cli.app import app
from tests.helpers.released import empty_films, kaggle_rows, some_of, write_films
from tests.test_architecture import loaded_after

runner = CliRunner()


@pytest.mark.slow
def test_the_perfect_release_ends_with_0(tmp_path: Path):
    empty_films(tmp_path, (row.image for row in kaggle_rows()))
    done = runner.invoke(app, ["verify-data", str(tmp_path), "--quick"])
    assert done.exit_code == 0, done.stderr
    assert "no problems (names and counts only: films were not decoded)" in done.stdout
    assert "1,341" in done.stdout
    assert "wrong by 7" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_problems_end_with_3_and_stand_first(tmp_path: Path):
    images = [*some_of("train", "NORMAL", 6), *some_of("train", "PNEUMONIA", 6)]
    write_films(tmp_path, images)
    (tmp_path / images[0]).write_bytes(b"")
    done = runner.invoke(app, ["verify-data", str(tmp_path)])
    assert done.exit_code == 3
    lines = done.stdout.splitlines()
    assert any("2 problems" in line for line in lines[:4])
    assert "5,844 films of the Kaggle release are missing" in done.stdout
    assert "is empty (0 bytes)" in done.stdout
    assert done.stdout.index("problems") < done.stdout.index("notes")
    assert max(map(len, lines)) <= 80


def test_json_names_every_film_and_is_all_there_is(tmp_path: Path):
    write_films(tmp_path, some_of("train", "NORMAL", 6) + some_of("train", "PNEUMONIA", 6))
    done = runner.invoke(app, ["verify-data", str(tmp_path), "--json", "--quiet"])
    assert done.exit_code == 3
    document = json.loads(done.stdout)
    assert len(document["problems"][0]["images"]) == 5844
    assert document["schema_version"] == 1
    assert done.stderr == ""


def test_a_missing_folder_ends_with_1(tmp_path: Path):
    done = runner.invoke(app, ["verify-data", str(tmp_path / "gone")])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: no data folder at {tmp_path / 'gone'}\nhint: pneumo download --data")
    assert done.stdout == ""


def test_a_report_that_cannot_be_written_ends_with_1(tmp_path: Path):
    write_films(tmp_path / "data", some_of("train", "NORMAL", 2))
    (tmp_path / "file").touch()
    page = tmp_path / "file" / "page.html"
    done = runner.invoke(app, ["verify-data", str(tmp_path / "data"), "--quick", "--report", str(page)])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: cannot write {page}")


def test_names_with_markup_are_printed_as_they_are(tmp_path: Path):
    name = some_of("train", "NORMAL", 6)
    empty_films(tmp_path, [*name, "train/NORMAL/[red]x[/].jpeg"])
    done = runner.invoke(app, ["verify-data", str(tmp_path), "--quick"])
    assert "[red]x[/].jpeg" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "heavy"),
    [(["--quick"], {"sklearn", "scipy", "torch", "pydicom"}), ([], {"torch", "torchvision", "matplotlib"})],
)
def test_what_is_loaded(tmp_path: Path, extra: list[str], heavy: set[str]):
    write_films(tmp_path, some_of("train", "NORMAL", 6) + some_of("train", "PNEUMONIA", 6))
    assert not loaded_after("verify-data", str(tmp_path), "--quiet", *extra, code=3) & heavy
