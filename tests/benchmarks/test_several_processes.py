"""What training in two processes is worth on real films: ``pytest -m benchmark -s tests/benchmarks``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.conftest import Row

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1200)]


def test_two_processes_train_as_well_as_one(shared: Path, tmp_path: Path, row: Row):
    """BatchNorm sees each process's own films, so the weights differ; what they are worth does not."""
    weights = shared / "weights" / "resnet18_imagenet_approx.pth"
    auroc = {}
    for processes in (1, 2):
        run = tmp_path / str(processes)
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
        argv = [
            "-m", "pneumocli", "train", "--data", str(shared / "data" / "chest_xray_224"), "--run-dir", str(run),
            "--weights", str(weights), "--epochs", "3", "--image-size", "64", "--device", "cpu",
        ]  # fmt: skip
        env = {**os.environ, "OMP_NUM_THREADS": str(2 // processes)}
        subprocess.run(
            [sys.executable, *(launcher if processes > 1 else []), *argv], check=True, capture_output=True, env=env
        )
        auroc[processes] = json.loads((run / "result.json").read_text())["val_auroc"]
    difference = auroc[2] - auroc[1]
    row(
        "validation AUROC, 2 processes - 1 process, same batch", f"{difference:+.4f} (of {auroc[1]:.4f})", "within 0.01"
    )
    assert auroc[1] > 0.95
    assert abs(difference) < 0.01
