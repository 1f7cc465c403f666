"""Training against the assignment's loop on original-size films: ``pytest -m benchmark -s tests/benchmarks``.

Each pair is run in turn, so that a machine whose speed drifts does not favour one; the ratio of each pair counts.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pneumocli.data.loading import CropSource, TrainingBatches
from pneumocli.distributed import Team
from tests.conftest import tiny

pytestmark = [pytest.mark.benchmark, pytest.mark.real_data]

PAIRS = 3


def assignment(folder: Path) -> float:
    """Images/s of the assignment's loop."""
    script = Path(__file__).with_name("assignment_loop.py")
    argv = [sys.executable, str(script), str(folder / "train"), "224", "32"]
    return float(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def ours(folder: Path, run: Path) -> tuple[float, float, float]:
    """Images/s of an epoch, share of the epochs spent waiting for batches, and peak memory in GB."""
    flags = ["--data", str(folder), "--run-dir", str(run), "--epochs", "1", "--no-compile", "--val", "official"]
    argv = [sys.executable, "-m", "pneumocli", "train", *flags, "-q", "--json", "--device", "cpu"]
    import json

    result = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    shares = result["time_shares"]
    return (
        result["images_per_second"],
        shares["wait"] / (shares["wait"] + shares["compute"]),
        result["peak_memory_bytes"] / 1e9,
    )


def test_training_against_the_assignments_loop(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = shared / "data" / "chest_xray_mini"
    rows = []
    for pair in range(PAIRS):
        theirs = assignment(folder)
        mine, wait, memory = ours(folder, tmp_path / f"run{pair}")
        rows.append((theirs, mine, mine / theirs, wait, memory))
    with capsys.disabled():
        print("\n| pair | assignment, images/s | pneumo, images/s | ratio | waiting for batches | peak memory, GB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for number, (theirs, mine, ratio, wait, memory) in enumerate(rows, start=1):
            print(f"| {number} | {theirs:.1f} | {mine:.1f} | {ratio:.2f} | {wait:.1%} | {memory:.2f} |")
    assert statistics.median(row[2] for row in rows) >= 1.0


def test_batches_from_the_cache_against_the_loader(shared: Path, capsys: pytest.CaptureFixture[str]):
    import torch
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    from pneumocli.data.cache import cached_films
    from pneumocli.data.manifest import scan, with_hashes

    folder = shared / "data" / "chest_xray_mini"
    augment = transforms.Compose(
        [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    )
    films = ImageFolder(str(folder / "train"), augment)
    loader = DataLoader(films, batch_size=32, shuffle=True, num_workers=2)
    decode = CropSource(224, "crop")
    cache, _ = cached_films(with_hashes(scan(folder).of("train")), decode, decode.form)
    batches = TrainingBatches(
        cache, image_size=224, batch_size=32, accumulate=1, seed=0, workers=0, device=torch.device("cpu"), team=Team()
    )  # fmt: skip
    ratios = []
    for epoch in range(1, PAIRS + 1):
        began = time.perf_counter()
        for _ in loader:
            pass
        middle = time.perf_counter()
        for _ in batches.epoch(epoch):
            pass
        ended = time.perf_counter()
        ratios.append((middle - began) / (ended - middle))
        with capsys.disabled():
            rate = len(films) / (ended - middle)
            print(f"\nbatches from the cache {rate:.0f} images/s, {ratios[-1]:.1f} x the assignment's loader", end="")
    assert statistics.median(ratios) >= 5


def test_a_frozen_backbone_against_an_unfrozen_epoch(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from pneumocli.training import train

    folder = shared / "data" / "chest_xray_mini"
    common = {"image_size": 224, "batch_size": 32, "val": "official", "val_fraction": 0.1}
    whole = train(tiny(folder, tmp_path / "whole", epochs=1, **common)).history()
    frozen = train(tiny(folder, tmp_path / "frozen", epochs=20, freeze="backbone", **common)).history()
    ratio = sum(record.seconds for record in frozen) / whole[0].seconds
    with capsys.disabled():
        print(f"\n20 epochs with a frozen backbone take {ratio:.2f} x one unfrozen epoch", end="")
    assert ratio < 3
