"""``pneumo predict`` on the screen, as JSON, as CSV."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pneumocli.cli.predict_tables import answers, on_one_line, operating_point_line, short_name
from pneumocli.inference.records import Prediction, ReferringPrediction
from pneumocli.inference.tally import AnswerTally
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


@pytest.mark.slow
def test_the_run_comes_from_the_environment(trained: RunFolder, film: Path, tmp_path: Path):
    done = pneumo(film, "--json", cwd=tmp_path, PNEUMO_RUN=str(trained.path))
    assert done.returncode == 0
    assert f"model {trained.onnx_file} ($PNEUMO_RUN)" in done.stderr.decode().replace("\n", "")
    nothing = pneumo(film, "--json", cwd=tmp_path, PNEUMO_RUN="")
    assert nothing.returncode == 1
    assert b"no finished run under runs" in nothing.stderr
    assert nothing.stdout == b""


@pytest.mark.slow
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


@pytest.mark.slow
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
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def answer(name: str, probability: float | None = 0.9, **fields: object) -> Prediction:
    values = {"prediction": "PNEUMONIA", "threshold": 0.5} | fields
    return Prediction.model_validate({"image": name, "probability": probability, **values})


def card_of(run: RunFolder):
    from pneumocli.inference.classifier import Classifier

    return Classifier.of_run(run).card


def summed_up(films: list[Prediction], run: RunFolder, *, most: int | None = 12) -> str:
    tally = AnswerTally(most=most)
    for film in films:
        tally.add(film)
    return shown(answers(tally, card_of(run), every=most is None))


def test_many_films_are_summed_up(trained: RunFolder):
    wide = "has an aspect (width / height) of {}, far outside the training films' 1.00 to 1.00"
    films = [answer(f"{n}.png", warnings=(wide.format(1.4 + n / 1000),)) for n in range(76)]
    films += [answer("close.png", 0.45, prediction="NORMAL"), answer("closest.png", 0.51), answer("far.png", 0.1)]
    films += [answer("[bold]c.png", None, prediction=None, error="is empty")]
    text = summed_up(films, trained)
    assert "uncertain: 2 films close to the threshold (40.0% to 60.0%)" in text
    assert re.search(r"closest\.png +pneumonia 51\.0%, called PNEUMONIA", text)
    assert "more" not in text
    assert text.index("closest.png") < text.index("close.png")
    assert "far.png" not in text
    assert "unlike the training films: 76 of 80" in text
    assert " ".join(text.split()).count("76 of 80 have an aspect (width / height) far outside the training films") == 1
    assert "[bold]c.png" in text
    assert "is empty" in text
    assert len(text.splitlines()) < 25
    assert max(map(len, text.splitlines())) <= 80


def test_at_a_high_threshold_not_every_positive_is_uncertain(trained: RunFolder):
    films = [answer(f"{n}.png", 0.9 + n / 1000).model_copy(update={"threshold": 0.9}) for n in range(100)]
    text = summed_up(films, trained)
    assert "uncertain: 32 films close to the threshold (85.7% to 93.1%)" in text
    assert "and 27 more" in text


def test_every_film_is_listed_when_asked_for_and_few_are_anyway(trained: RunFolder):
    films = [answer(f"{n:03}.png") for n in range(150)]
    assert "149.png" not in summed_up(films, trained)
    assert "149.png" in summed_up(films, trained, most=None)
    few = [answer("b.png", 0.1, prediction="NORMAL", warnings=("looks odd", "has more")), answer("c.png")]
    text = summed_up(few, trained)
    assert "2 films, 1 NORMAL, 1 PNEUMONIA, 1 unlike the training films" in text
    assert "looks odd (and 1 more)" in " ".join(text.split())


def test_referred_films_are_shown_and_counted(trained: RunFolder):
    films = [
        ReferringPrediction(**dict(answer(f"{number}.png", 0.6)), answer="REFER" if number else "PNEUMONIA")
        for number in range(14)
    ]
    assert "answer REFER: the class is not clear, a person should look" in summed_up([films[1]], trained)
    assert "answer PNEUMONIA" in summed_up([films[0]], trained)
    table = summed_up(films[:3], trained)
    assert "answer" in table
    assert "1 PNEUMONIA, 2 REFER" in table
    assert "REFER, for a person" in summed_up(films, trained)
    assert "REFER" not in summed_up([answer("a.png")] * 14, trained)


def test_a_summary_takes_no_more_memory_the_more_films_there_are():
    tally = AnswerTally(most=12)
    for number in range(5000):
        tally.add(answer(f"{number}.png", 0.5, warnings=(f"oddity {number}",)))
    assert len(tally.kept) == 12
    assert len(tally.uncertain) == len(tally.warned) == 5
    assert len(tally.remarks) <= 1001


def test_a_long_path_is_shown_from_here_and_shortened_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert short_name(str(tmp_path / "films" / "a.jpeg")) == "films/a.jpeg"
    long = short_name("/somewhere/else/" + "x" * 50 + "/IM-0001-0001.jpeg", 40)
    assert len(long) <= 40
    assert long.endswith("/IM-0001-0001.jpeg")
    assert "…" in long


def test_one_film_that_is_not_there_is_one_error(trained: RunFolder, tmp_path: Path):
    done = pneumo("nope.jpeg", "--run", trained.path, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == b""
    error, hint = done.stderr.decode().splitlines()[-2:]
    assert error == "error: nope.jpeg cannot be opened: No such file or directory"
    assert hint.startswith("hint: name films, folders")


def test_written_files_are_named_last(trained: RunFolder, film: Path, tmp_path: Path):
    done = pneumo(film, "--run", trained.path, "--csv", "answers.csv", "--explain", "maps", cwd=tmp_path)
    assert done.stderr.decode().splitlines()[-2:] == ["table: answers.csv", "heat maps: maps"]


def test_a_name_cannot_forge_a_line(trained: RunFolder):
    lines = summed_up([answer("a.png\n  NORMAL  \x1b[31m")], trained).splitlines()
    assert lines[0] == r"a.png\n  NORMAL  \x1b[31m"
    assert on_one_line("ö\t") == r"ö\t"


def test_the_threshold_says_what_it_was_worth():
    point = OperatingPoint(threshold=0.3, rule="youden", chosen_on="val", sensitivity=0.95, specificity=None)
    assert operating_point_line(point, 0.3, "validation films") == (
        "threshold 30.0% (rule youden): sensitivity 95.0% on the validation films"
    )
    assert operating_point_line(point, 0.3, "out-of-fold films").endswith("95.0% on the out-of-fold films")
    elsewhere = point.model_copy(update={"chosen_on": "recalibrated"})
    assert operating_point_line(elsewhere, 0.3, "validation films").endswith(
        "95.0% on the films of the place it was recalibrated on"
    )
    assert "were not measured" in operating_point_line(point, 0.4, "validation films")
