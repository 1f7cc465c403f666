"""``pneumo predict`` on the screen, as JSON, as CSV."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pneumocli.cli.predict_tables import Tally, answers, on_one_line, operating_point_line, prediction_table
from pneumocli.inference.records import Prediction
from pneumocli.model.card import OperatingPoint
from pneumocli.run_folder import RunFolder


def pneumo(*argv: object, stdin: bytes = b"", cwd: Path | None = None, **environment: str):
    return subprocess.run(
        [sys.executable, "-m", "pneumocli", "predict", *map(str, argv)],
        input=stdin, capture_output=True, cwd=cwd, env={**os.environ, **environment}, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def film(phantoms: Path) -> Path:
    return next((phantoms / "test/PNEUMONIA").iterdir())


def test_one_film_fits_a_glance(trained: RunFolder, film: Path):
    done = pneumo(film, "--run", trained.path)
    lines = done.stdout.decode().replace("\n", " ")
    assert done.returncode == 0
    assert ("PNEUMONIA" in lines) or ("NORMAL" in lines)
    for part in (
        "probability of pneumonia",
        "┃",
        "threshold 50.0%",
        "sensitivity",
        "specificity",
        "model",
        "not for diagnosis",
    ):
        assert part in lines
    assert b"Traceback" not in done.stderr


def test_json_is_one_document_and_nothing_else(trained: RunFolder, film: Path, tmp_path: Path):
    done = pneumo(film, tmp_path / "no\nsuch.png", "-", "--json", "--run", trained.path, stdin=film.read_bytes())
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert [set(item) for item in found] == [
        {"image", "probability", "prediction", "threshold", "warnings", "error"}
    ] * 3
    assert found[0]["probability"] == pytest.approx(found[2]["probability"], abs=1e-6)
    assert found[1]["error"] == "cannot be opened: No such file or directory"
    assert found[2]["image"] == "-"
    stderr = done.stderr.decode()
    assert "error: 1 of 3 films could not be read" in stderr
    assert "hint:" in stderr


def test_the_run_comes_from_the_environment(trained: RunFolder, film: Path, tmp_path: Path):
    done = pneumo(film, "--json", cwd=tmp_path, PNEUMO_RUN=str(trained.path))
    assert done.returncode == 0
    assert f"model {trained.onnx_file} ($PNEUMO_RUN)" in done.stderr.decode().replace("\n", "")
    nothing = pneumo(film, "--json", cwd=tmp_path, PNEUMO_RUN="")
    assert nothing.returncode == 1
    assert b"no finished run under runs" in nothing.stderr
    assert nothing.stdout == b""


def test_a_table_and_its_continuation(trained: RunFolder, phantoms: Path, tmp_path: Path):
    table = tmp_path / "answers.csv"
    assert pneumo(phantoms / "test", "--csv", table, "--run", trained.path).returncode == 0
    whole = table.read_bytes()
    table.write_bytes(whole[:-30])
    done = pneumo(phantoms / "test", "--csv", table, "--run", trained.path, "--resume")
    assert done.returncode == 0
    assert b"holds 39 films: continuing after them" in done.stderr
    with table.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 40


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["x.png", "--run", "a", "--model", "b"], 2, "contradict"),
        (["x.png", "--resume"], 2, "--csv FILE"),
        (["x.png", "--shard", "3/2"], 2, "no part 3 of 2"),
        (["x.png", "--shard", "0/2"], 2, "--shard"),
        (["x.png", "--device", "tpu"], 2, "expected cpu, cuda"),
        (["x.png", "--threshold", "1.5"], 2, "--threshold"),
        (["x.png", "--run", "no/run"], 1, "no run folder at no/run"),
        (["x.png", "--model", "no.onnx"], 1, "no model file at no.onnx"),
    ],
)
def test_mistakes_are_told_in_a_sentence(argv: list[str], code: int, message: str, tmp_path: Path):
    from typer.testing import CliRunner

    from pneumocli.cli.app import app

    done = CliRunner().invoke(app, ["predict", *argv])
    assert done.exit_code == code
    assert message in done.stderr.replace("\n", " ")
    assert "hint:" in done.stderr


def test_nobody_is_told_of_a_prediction(trained: RunFolder, film: Path, tmp_path: Path):
    """ONNX Runtime keeps an identifier and its reports in the home folder until it sends them."""
    kept_away = {"CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "LOCALAPPDATA", "APPDATA"}
    environment = {name: value for name, value in os.environ.items() if name not in kept_away}
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    argv = [sys.executable, "-m", "pneumocli", "predict", film, "--run", trained.path]
    subprocess.run(argv, env=environment | home, capture_output=True, check=True, timeout=120)
    assert not list(tmp_path.rglob("*onnxruntime*"))


def test_no_heavy_package_is_loaded(trained: RunFolder, film: Path, tmp_path: Path):
    program = (
        "import sys, atexit; sys.argv = ['pneumo', 'predict', *sys.argv[1:]];"
        "atexit.register(lambda: print('loaded', *sorted({name.split('.')[0] for name in sys.modules})));"
        "from pneumocli.cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, film, "--run", trained.path, "--explain", tmp_path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "onnxruntime" in loaded
    assert not loaded & {
        "torch",
        "torchvision",
        "sklearn",
        "scipy",
        "matplotlib",
        "onnx",
        "pydicom",
        "kaggle",
        "pandas",
    }


def shown(renderable: object) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def answer(name: str, probability: float | None = 0.9, **fields: object) -> Prediction:
    values = {"prediction": "PNEUMONIA", "threshold": 0.5} | fields
    return Prediction.model_validate({"image": name, "probability": probability, **values})


def test_many_films_are_counted():
    films = [answer(f"{n}.png") for n in range(150)]
    films += [answer("b.png", 0.1, prediction="NORMAL", warnings=("looks odd", "has more"))]
    films += [answer("[bold]c.png", None, prediction=None, error="is empty")]
    text = " ".join(shown(prediction_table(films)).split())
    assert "152 films, 1 NORMAL, 150 PNEUMONIA, 1 could not be read, 1 unlike the training films" in text
    assert "the first 100 shown" in text
    text = shown(prediction_table(films[-2:]))
    assert "looks odd (and 1 more)" in text
    assert "[bold]c.png" in text


def test_a_name_cannot_forge_a_line(trained: RunFolder):
    from pneumocli.inference.classifier import Classifier

    tally = Tally(most=1)
    tally.add(answer("a.png\n  NORMAL  \x1b[31m"))
    lines = shown(answers(tally, Classifier.of_run(trained).card, "m")).splitlines()
    assert lines[0] == r"a.png\n  NORMAL  \x1b[31m"
    assert on_one_line("ö\t") == r"ö\t"


def test_the_threshold_says_what_it_was_worth():
    point = OperatingPoint(threshold=0.3, rule="youden", chosen_on="val", sensitivity=0.95, specificity=None)
    assert operating_point_line(point, 0.3) == (
        "threshold 30.0% (rule youden): sensitivity 95.0% on the validation films"
    )
    assert "were not measured" in operating_point_line(point, 0.4)
