"""Real films, the real commands: what phantoms cannot show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real_data


def pneumo(*argv: object, processes: int = 1) -> str:
    """Runs a command to its end; gives its standard output."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "pneumocli", *map(str, argv)]
    # Half the threads for each of two processes, as they would take themselves.
    env = {**os.environ, "OMP_NUM_THREADS": str(max(1, 2 // processes))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    return shared / "weights" / "resnet18_imagenet_approx.pth"


def test_transfer_from_films_to_an_answer(shared: Path, weights: Path, tmp_path: Path):
    """Films as released, 160 to learn from: a frozen backbone is enough to tell most of 80 others."""
    data, run = shared / "data" / "chest_xray_mini", tmp_path / "transfer"
    pneumo(
        "train", "--data", data, "--run-dir", run, "--weights", weights, "--freeze", "backbone", "--epochs", 12,
        "--lr", 0.01, "--image-size", 160, "--val-fraction", 0.2, "--device", "cpu",
    )  # fmt: skip
    evaluation = json.loads(pneumo("evaluate", run, "--json"))
    assert evaluation["num_images"] == 80
    assert evaluation["metrics"]["auroc"]["value"] > 0.85
    assert evaluation["metrics"]["auroc"]["low"] > 0.6
    film = sorted((data / "test" / "PNEUMONIA").iterdir())[0]
    (answer,) = json.loads(pneumo("predict", film, "--run", run, "--json"))
    scored = (run / "evaluations" / "test" / "predictions.csv").read_text().splitlines()
    (row,) = [line.split(",") for line in scored if line.startswith(f"test/PNEUMONIA/{film.name}")]
    assert answer["probability"] == pytest.approx(float(row[5]), abs=1e-4)


def test_two_processes_train_as_well_as_one(shared: Path, weights: Path, tmp_path: Path):
    """BatchNorm sees each process's own films, so the weights differ; what they are worth does not."""
    data = shared / "data" / "chest_xray_224"
    auroc = {}
    for processes in (1, 2):
        run = tmp_path / str(processes)
        pneumo(
            "train", "--data", data, "--run-dir", run, "--weights", weights, "--epochs", 3, "--image-size", 64,
            "--device", "cpu", processes=processes,
        )  # fmt: skip
        auroc[processes] = json.loads((run / "result.json").read_text())["val_auroc"]
    assert auroc[1] > 0.95
    assert abs(auroc[1] - auroc[2]) < 0.01, auroc
