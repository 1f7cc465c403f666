"""A scorer that other engines send to their workers: rows of predict --csv, whatever the films are."""

import csv
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pneumocli import FilmScorer
from pneumocli.core.config import PredictConfig
from pneumocli.core.errors import ModelFileError, RunError, SettingError
from pneumocli.data.phantom import write_phantoms
from pneumocli.inference.predict import predict
from pneumocli.model.card import ReferLimits
from pneumocli.run_folder import RunFolder
from tests.conftest import change_card, copy_of

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "deploy" / "ray_predict.py"


def table_of(films: Path, run: RunFolder, table: Path) -> dict[str, dict[str, str]]:
    """The rows of predict --csv by film."""
    for _ in predict(PredictConfig(inputs=(str(films),), run=run.path, csv=table)):
        pass
    return by_image(table)


def by_image(*tables: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for table in tables:
        with table.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                assert row["image"] not in found, f"{row['image']} stands there twice"
                found[row["image"]] = rounded(row)
    return found


def rounded(row: dict[str, object]) -> dict[str, str]:
    """A row as a table holds it; batches of other films change the last bits of a probability."""
    number = row["probability"]
    texts = {name: "" if value is None else str(value) for name, value in row.items()}
    return texts | {"probability": f"{float(number):.4f}" if number not in (None, "") else ""}


@pytest.fixture(scope="module")
def films(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    (folder / "broken.png").write_bytes(b"no film")
    for number, film in enumerate(sorted((phantoms / "test").rglob("*.jpeg"))[::6]):
        (folder / f"{number}.jpeg").write_bytes(film.read_bytes())
    return sorted(folder.iterdir())


@pytest.mark.parametrize("refers", [False, True])
def test_rows_are_those_of_predict(films: list[Path], trained: RunFolder, tmp_path: Path, refers: bool):
    run = trained
    if refers:
        run = copy_of(trained, tmp_path / "run")
        limits = ReferLimits(alpha=0.1, normal_up_to=0.5, pneumonia_from=-0.5, num_normal=9, num_pneumonia=9)
        change_card(run, refer=limits)
    expected = table_of(films[0].parent, run, tmp_path / "answers.csv")
    scorer = pickle.loads(pickle.dumps(FilmScorer(run.path)))
    names = [str(film) for film in films]
    by_path = scorer(films)
    by_content = scorer((film.read_bytes() for film in films), names)
    assert {row["image"]: rounded(row) for row in by_path} == expected
    assert by_content == by_path
    assert set(scorer.columns) == set(by_path[0])
    assert ("answer" in scorer.columns) == refers


def test_no_film_raises(trained: RunFolder, tmp_path: Path):
    scorer = FilmScorer(trained.onnx_file, threads=1)
    rows = scorer([b"", b"no film", tmp_path, tmp_path / "gone.png", "gone.png", None, 7])
    assert [row["probability"] for row in rows] == [None] * 7
    assert [bool(row["error"]) for row in rows] == [True] * 7
    assert rows[0]["error"] == "is empty (0 bytes)"
    assert rows[5]["error"] == "is no film: expected bytes or a path (found NoneType)"
    assert rows[4]["image"] == "gone.png"
    assert scorer([]) == []


def test_what_is_sent_is_small_and_the_model_is_opened_once(trained: RunFolder, films: list[Path]):
    from pneumocli.inference import film_scorer

    scorer = FilmScorer(trained.path)
    assert len(pickle.dumps(scorer)) < 1000
    before = film_scorer._opened.cache_info().misses
    for _ in range(3):
        pickle.loads(pickle.dumps(scorer))(films[:1])
    assert film_scorer._opened.cache_info().misses == before


@pytest.mark.slow
def test_a_worker_that_finds_another_model_refuses(trained: RunFolder, tmp_path: Path, films: list[Path]):
    run = copy_of(trained, tmp_path / "run")
    sent = pickle.dumps(FilmScorer(run.path))
    change_card(run, temperature=3.0)
    program = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())([])"
    done = subprocess.run([sys.executable, "-c", program], input=sent, capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert b"is another model here: its SHA-256 begins" in done.stderr


def test_a_model_that_takes_the_place_of_another_is_opened_anew(trained: RunFolder, tmp_path: Path, films: list[Path]):
    run = copy_of(trained, tmp_path / "run")
    before = FilmScorer(run.path)
    (old,) = before(films[:1])
    change_card(run, temperature=3.0)
    (new,) = FilmScorer(run.path)(films[:1])
    assert new["probability"] != old["probability"]
    assert new["model"] == run.model_sha256[:12]
    with pytest.raises(ModelFileError, match="is another model here"):
        before(films[:1])


def test_as_many_names_as_films(trained: RunFolder, films: list[Path]):
    with pytest.raises(SettingError, match="expected a name for each of 2 films \\(found 1\\)"):
        FilmScorer(trained.path)(films[:2], images=["a"])


def test_wrong_models_and_settings(trained: RunFolder, tmp_path: Path):
    with pytest.raises(ModelFileError, match="needs torch"):
        FilmScorer(trained.best_file)
    with pytest.raises(ModelFileError, match="no model file"):
        FilmScorer(tmp_path / "model.onnx")
    with pytest.raises(RunError):
        FilmScorer(tmp_path)
    with pytest.raises(SettingError, match="from 0 to 1"):
        FilmScorer(trained.path, threshold=1.5)
    assert FilmScorer(trained.path, threshold=0.25).threshold == 0.25


@pytest.mark.slow
def test_torch_is_not_loaded(trained: RunFolder, films: list[Path]):
    program = (
        "import sys; from pneumocli import FilmScorer; FilmScorer(sys.argv[1])(sys.argv[2:]);"
        "assert not {'torch', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, trained.path, films[0]], check=True, cwd=ROOT)


@pytest.mark.long
@pytest.mark.slow
def test_the_example_on_a_local_ray_with_a_worker_killed(trained: RunFolder, tmp_path: Path):
    """2,000 films; a process that scores is killed in the middle: no row is lost, none is there twice."""
    pytest.importorskip("ray")
    phantoms = tmp_path / "phantoms"
    write_phantoms(phantoms, num_train=0, num_val=0, num_test=40, short_sides=(64, 80))
    films = tmp_path / "films"
    films.mkdir()
    contents = [film.read_bytes() for film in sorted(phantoms.rglob("*.jpeg"))]
    for number in range(1999):
        (films / f"{number:04}.jpeg").write_bytes(contents[number % len(contents)])
    (films / "broken.jpeg").write_bytes(b"no film")

    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    process = subprocess.Popen(
        [sys.executable, EXAMPLE, trained.path, films, tmp_path / "out"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    killed: list[int] = []
    threading.Thread(target=_kill_a_worker, args=(process, killed), daemon=True).start()
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output.decode()
    assert killed, "no worker was found in time"
    assert by_image(*(tmp_path / "out").glob("*.csv")) == table_of(films, trained, tmp_path / "answers.csv")


def _kill_a_worker(process: "subprocess.Popen[bytes]", killed: list[int]) -> None:
    """Sends SIGKILL to a Ray worker of the process's session that is mapping batches."""
    while process.poll() is None:
        for entry in Path("/proc").iterdir():
            try:
                title = (entry / "cmdline").read_bytes()
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            except (OSError, ValueError, IndexError):
                continue
            if b"ray::" in title and b"MapBatches" in title and session == process.pid:
                os.kill(int(entry.name), signal.SIGKILL)
                killed.append(int(entry.name))
                return
        time.sleep(0.02)
