"""Searches on phantoms with real processes: killed and continued, and by two workers on a PostgreSQL."""

import csv
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pneumocli.cli.app import app
from pneumocli.core.config import TuneConfig
from pneumocli.core.errors import DataError, PneumoError, RunError
from pneumocli.core.events import Event
from pneumocli.core.settings_file import read_settings
from pneumocli.data.phantom import write_phantoms
from pneumocli.tuning.space import suggest
from pneumocli.tuning.tune import _Search, tune

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "films"
    write_phantoms(folder, num_train=24, num_val=0, num_test=4, short_sides=(64, 70))
    return folder


def fixed(folder: Path) -> Path:
    file = folder / "fixed.toml"
    file.write_text("epochs = 1\nimage-size = 32\nbatch-size = 8\n")
    return file


def argv(films: Path, folder: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "pneumocli", "tune", "--data", str(films), "--output", str(folder / "search"),
        "--trials", "2", "--folds", "2", "--seeds", "1", "--objective", "log-loss", "--config", str(fixed(folder)),
        "--device", "cpu", *more,
    ]  # fmt: skip


def trials(folder: Path) -> list[dict[str, str]]:
    with (folder / "search" / "trials.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the trial's process in /proc")
def test_a_search_that_is_killed_and_continued(films: Path, tmp_path: Path):
    process = subprocess.Popen(argv(films, tmp_path), cwd=ROOT, stderr=subprocess.DEVNULL)
    begun = tmp_path / "search" / "trials" / "0000" / "1" / "config.json"
    while not begun.exists():
        assert process.poll() is None, "the search has ended before its first trial"
        time.sleep(0.05)
    children = _children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "the trial's process outlives the search"
        time.sleep(0.05)

    refused = subprocess.run(argv(films, tmp_path), cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "hint: --continue goes on with it" in refused.stderr

    done = subprocess.run([*argv(films, tmp_path), "--continue", "--json"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    rows = trials(tmp_path)
    assert [row["state"] for row in rows] == ["interrupted", "complete", "complete"]
    assert rows[1]["learning_rate"] == rows[0]["learning_rate"]
    assert rows[2]["learning_rate"] != rows[1]["learning_rate"]
    assert (result["num_complete"], result["repeats"]) == (2, None)  # one seed: what to expect is not known
    assert result["best_value"] == min(float(row["value"]) for row in rows[1:])
    assert result["command"].startswith(f"pneumo train --data {films} --epochs 1")
    assert not list((tmp_path / "search" / "trials").iterdir())
    page = (tmp_path / "search" / "tuning.html").read_text(encoding="utf-8")
    assert result["command"] in html.unescape(re.sub(r"<[^>]+>", "", page))
    other = TuneConfig(
        data=films, output=tmp_path / "search", folds=2, objective="log-loss", fixed=fixed(tmp_path), device="cpu",
        until_done=True, seed=1,
    )  # fmt: skip
    with pytest.raises(RunError, match="it has other seed"):
        tune(other)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[str]:
    """A server of its own in a folder of the test, on a socket there."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    programs = found[-1].parent
    folder = Path("/tmp") / f"pneumo-{os.getpid()}"
    folder.mkdir()
    root = os.geteuid() == 0  # the server refuses to run as root
    if root:
        shutil.chown(folder, "postgres", "postgres")

    def run(*words: str | Path) -> None:
        before = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if root else []
        subprocess.run([*before, *words], check=True, capture_output=True, cwd=folder)

    run(programs / "initdb", "-D", folder / "data", "-U", "pneumo", "-A", "trust", "--no-sync")
    options = f"-k {folder} -c listen_addresses= -c fsync=off"
    run(programs / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")
    yield f"postgresql+psycopg://pneumo:secret@/postgres?host={folder}"
    run(programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.mark.slow
def test_two_workers_on_a_postgresql(films: Path, tmp_path: Path, postgresql: str):
    workers = [
        subprocess.Popen(
            [*argv(films, tmp_path), "--storage", postgresql, "--continue"], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    output = [worker.communicate(timeout=500)[1] for worker in workers]
    assert [worker.returncode for worker in workers] in ([0, 0], [0, 1], [1, 0]), output
    again = subprocess.run(
        [*argv(films, tmp_path), "--storage", postgresql, "--continue"], cwd=ROOT, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    rows = [row for row in trials(tmp_path) if row["state"] != "interrupted"]
    assert [row["state"] for row in rows] == ["complete", "complete"]
    assert rows[0]["learning_rate"] != rows[1]["learning_rate"]
    assert not any("secret" in text for text in [*output, again.stderr])


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--timeout", "soon"], 2, "--timeout: expected a number with s, m, h or d behind it"),
        (["--trials", "0"], 2, "--trials"),
        (["--data", "none"], 1, "none"),
        (["--objective", "auroc"], 2, "--objective"),
    ],
)
def test_mistakes(argv: list[str], code: int, message: str):
    done = CliRunner().invoke(app, ["tune", *argv])
    assert done.exit_code == code
    assert message in done.stderr.replace("\n", " ")


def test_what_the_search_decides_is_not_fixed(films: Path, tmp_path: Path):
    file = tmp_path / "fixed.toml"
    file.write_text("seed = 1\n")
    assert read_settings(file) == {"seed": 1}
    done = CliRunner().invoke(
        app, ["tune", "--data", str(films), "--config", str(file), "--output", str(tmp_path / "x")]
    )
    assert done.exit_code == 2
    assert "seed is decided by pneumo tune itself" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_trial_that_contradicts_what_is_fixed_fails_alone(films: Path, tmp_path: Path):
    file = tmp_path / "fixed.toml"
    file.write_text("accumulate = 32\n")  # the search tries batches of 16, too
    config = TuneConfig(data=films, fixed=file, output=tmp_path / "x", trials=1, folds=2)
    for seed in range(20):
        events: list[Event] = []
        search = _Search(config.model_copy(update={"output": tmp_path / f"x{seed}", "seed": seed}), None, events.append)
        trial = search._study.take(1)
        assert trial is not None
        if suggest(trial, search._fixed)["batch_size"] == 16:
            break
    search._run(trial)
    assert search._study.take(1) is None
    with pytest.raises(PneumoError, match="--accumulate 32 splits a batch of 16"):
        search.outcome()


def test_too_few_patients_leave_nothing_behind(films: Path, tmp_path: Path):
    with pytest.raises(DataError, match="too few"):
        tune(TuneConfig(data=films, folds=50, output=tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_without_optuna_there_is_one_sentence(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pneumocli.tuning.tune.find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["tune", "--data", str(films), "--output", str(tmp_path / "x")])
    assert done.exit_code == 1
    assert "pneumo tune needs Optuna" in done.stderr
    assert "hint: pip install 'pneumocli[tune]'" in done.stderr
