"""Real films, the real commands: what phantoms cannot show."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real_data


def pneumo(*argv: object) -> str:
    """Runs a command to its end; gives its standard output."""
    command = [sys.executable, "-m", "pneumocli", *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_transfer_from_films_to_an_answer(shared: Path, tmp_path: Path):
    """Films as released, 160 to learn from: a frozen backbone is enough to classify most of 80 others."""
    data, run = shared / "data" / "chest_xray_mini", tmp_path / "transfer"
    weights = shared / "weights" / "resnet18_imagenet_approx.pth"
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
