"""The scripts of docs/deploy, run by bash under what Slurm would set, with stand-ins for srun and scontrol."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pneumocli.data.phantom import write_phantoms
from pneumocli.run_folder import RunFolder
from tests.training.test_train import assert_same_run

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
SCRIPTS = sorted(DEPLOY.glob("*.sbatch"))

# Each node of a job is a process of this machine.
STAND_INS = {
    "srun": 'for node in $(seq 0 $((${SLURM_NNODES:-1} - 1))); do SLURM_NODEID=$node "$@" & jobs="${jobs:-} $!"; done\n'
    "for job in $jobs; do wait $job || exit; done\n",
    "scontrol": "echo 127.0.0.1; echo 127.0.0.1\n",
    "pneumo": f'exec {sys.executable} -m pneumocli "$@"\n',
    "torchrun": f'exec {sys.executable} -m torch.distributed.run "$@"\n',
}
TINY = ["--image-size", "32", "--epochs", "1", "--batch-size", "8", "--val-fraction", "0.5", "--device", "cpu"]


Job = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Starts a script as a job, in a session of its own: all its processes can be stopped at once."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/bash\nset -e\n{text}")
        (folder / name).chmod(0o755)

    def start(script: str, *flags: str, **variables: str | Path) -> subprocess.Popen[str]:
        environment = {
            **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
            "SLURM_JOB_ID": "7", **{name: str(value) for name, value in variables.items()},
        }  # fmt: skip
        return subprocess.Popen(
            ["bash", DEPLOY / script, *flags],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.fixture
def slurm(job: Job):
    """Runs a script as a job: its output, when it has ended as expected."""

    def run(script: str, *flags: str, code: int = 0, **variables: str | Path) -> str:
        process = job(script, *flags, **variables)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == code, output
        return output

    return run


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "films"
    write_phantoms(folder, num_train=24, num_val=0, num_test=6, short_sides=(64, 70))
    return folder


def array(task: int, count: int) -> Mapping[str, str]:
    return {
        f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in {"ID": task, "COUNT": count, "MAX": count}.items()
    }


@pytest.mark.slow
def test_several_nodes_make_one_run_and_the_same_job_again_finds_it_finished(films: Path, tmp_path: Path, slurm):
    nodes = {"SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "a,b", "SLURM_GPUS_ON_NODE": "1", "PORT": "29571"}
    run = RunFolder(tmp_path / "run")
    slurm("train-nodes.sbatch", *TINY, DATA=films, RUN=run.path, **nodes)
    assert run.finished
    assert run.environment().world_size == 2
    again = slurm("train.sbatch", *TINY, DATA=films, RUN=run.path, SLURM_GPUS_ON_NODE="1")
    assert "is finished: nothing is left to do" in again


def queued_until_done(start: Callable[[], subprocess.Popen[str]], stops: list[tuple[float, signal.Signals]]) -> int:
    """A job that is put into the queue again after each stop: how often it was stopped."""
    for stopped, (seconds, number) in enumerate(stops):
        process = start()
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, number)
            output, _ = process.communicate(timeout=60)
        if process.returncode == 0:
            return stopped
        assert process.returncode in (-number, 128 + number), output
        assert "Traceback" not in output
    output, _ = (process := start()).communicate(timeout=300)
    assert process.returncode == 0, output
    return len(stops)


@pytest.mark.long
@pytest.mark.slow
def test_an_array_of_folds_stopped_by_time_limits_ends_as_one_command_does(films: Path, tmp_path: Path, job: Job):
    """Both jobs begin at once and are stopped again and again, with and without a warning."""
    settings = ["--image-size", "32", "--epochs", "2", "--batch-size", "4", "--device", "cpu", "--ensemble"]
    group, whole = tmp_path / "runs" / "group", tmp_path / "whole"
    stops = [[(4, signal.SIGKILL), (7, signal.SIGTERM)], [(5, signal.SIGTERM), (6, signal.SIGKILL)]]

    def member(task: int) -> int:
        given = {"DATA": films, "RUN": group, **array(task, 2)}
        return queued_until_done(lambda: job("folds.sbatch", *settings, **given), stops[task - 1])

    with ThreadPoolExecutor(2) as pool:
        stopped = list(pool.map(member, (1, 2)))
    assert min(stopped) > 0
    if not RunFolder(group).finished:  # whoever was completing it was stopped: any job of the array, again
        assert member(1) >= 0
    argv = [sys.executable, "-m", "pneumocli", "train", "--data", str(films), "--folds", "2", *settings]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # as the jobs: sums of more threads have other last bits
    subprocess.run([*argv, "--run-dir", str(whole)], env=alone, check=True, capture_output=True, timeout=300)
    for fold in ("fold-1", "fold-2"):
        assert_same_run(whole / fold, group / fold)
    for name in ("manifest.csv", "out-of-fold.csv", "card.json", "model.onnx"):
        assert (whole / name).read_bytes() == (group / name).read_bytes(), name
    assert not list(group.parent.rglob("*.part"))


@pytest.mark.slow
def test_shards_become_one_table(films: Path, trained: RunFolder, tmp_path: Path, slurm):
    films = Path(shutil.copytree(films, tmp_path / "films"))
    (films / "test" / "NORMAL" / "broken.jpeg").write_bytes(b"no film")
    out = tmp_path / "answers"
    given = {"FILMS": films / "test", "RUN": trained.path, "OUT": out}
    codes = [1, 0]  # the first shard has the film that cannot be read
    names = sorted((films / "test").rglob("*.jpeg"))
    if names.index(films / "test" / "NORMAL" / "broken.jpeg") % 2:
        codes.reverse()
    slurm("predict.sbatch", code=codes[0], **given, **array(1, 2))
    assert "unfinished" in slurm("merge.sbatch", code=1, OUT=_with_a_lost_shard(out, tmp_path))
    slurm("predict.sbatch", code=codes[1], **given, **array(2, 2))
    assert "7 films of 2 shards" in slurm("merge.sbatch", OUT=out)
    with (out / "answers.csv").open(newline="") as file:
        assert [Path(row["image"]) for row in csv.DictReader(file)] == names


def _with_a_lost_shard(out: Path, tmp_path: Path) -> Path:
    """A copy of the shards in which another one was stopped half-way."""
    copy = tmp_path / "stopped"
    shutil.copytree(out, copy)
    shutil.copy(copy / "part-1.csv", copy / "part-2.csv")
    return copy


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_sound(script: Path):
    """Bash parses them, every variable comes from Slurm or the first lines, every flag is pneumo's."""
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text()
    known = {
        "SLURM_GPUS_ON_NODE",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_ARRAY_TASK_COUNT",
        "SLURM_ARRAY_TASK_MAX",
        "SLURM_NNODES",
        "SLURM_JOB_ID",
    }
    known |= {"SLURM_JOB_NODELIST", "head", "PORT", "job"}
    head = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    used = set(re.findall(r"\$\{?([A-Za-z_]+)", text))
    explained = {name for name in used - known if f"{name}=" in head or name == "OUT"}
    assert used <= known | explained
    flags = (ROOT / "tests" / "flags.txt").read_text()
    for command, rest in re.findall(r"(?:pneumo|pneumocli) (train|predict|tune) ([^\n]*(?:\\\n[^\n]*)*)", text):
        for flag in re.findall(r"(?<![\w-])--[a-z-]+", rest.split("sbatch")[0]):
            assert re.search(rf"^{command} .*{flag}\b", flags, re.MULTILINE), f"{script.name}: {flag}"


def test_what_the_images_copy_is_there():
    for name in re.findall(r"^COPY (.*) /src", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE):
        assert all((ROOT / word).exists() for word in name.split())
