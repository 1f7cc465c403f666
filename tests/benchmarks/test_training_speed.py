"""Training against the yardsticks, on films of original size: ``pytest -m benchmark -s tests/benchmarks``.

The two sides of a pair run in turn, so that a machine whose speed drifts does not favour one; the median of the pairs'
ratios counts. What each test asserts is far below the figure asked for: a busy machine must not fail it.
"""

import csv
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from pneumocli.core.config import TrainConfig
from pneumocli.core.events import EpochFinished, Event
from pneumocli.core.records import RunResult
from pneumocli.data.manifest import Manifest, scan, with_hashes
from pneumocli.run_folder import RunFolder
from pneumocli.training.augmentation import Augmentation
from pneumocli.training.distributed import Team
from pneumocli.training.film_cache import cached_films
from pneumocli.training.loader import Batching, CropSource, TrainingBatches, crop_source_side
from pneumocli.training.train import train
from tests.benchmarks.conftest import Row, python
from tests.benchmarks.memory_growth import EPOCHS

pytestmark = pytest.mark.benchmark

HERE = Path(__file__).parent
PAIRS = 5


def spread(values: list[float], form: str) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def pneumo_train(data: Path, run: Path, *flags: str) -> RunResult:
    """``pneumo train`` as a process of its own."""
    common = ["--data", data, "--run-dir", run, "--val", "official", "--device", "cpu", "--quiet", "--json"]
    return RunResult.model_validate_json(python("-m", "pneumocli", "train", *common, *flags).output)


def in_process(data: Path, run: Path, **settings: object) -> RunFolder:
    common = {"data": data, "run_dir": run, "val": "official", "device": "cpu", "compile": False}
    return train(TrainConfig.model_validate(common | settings))


def test_training_against_the_assignments_loop(films: Path, tmp_path: Path, row: Row):
    ratios, waits, memory, other_memory = [], [], [], []
    for pair in range(PAIRS):
        theirs = python(HERE / "assignment_loop.py", films / "train", 224, 32)
        ours = pneumo_train(films, tmp_path / f"run{pair}", "--epochs", "1", "--no-compile")
        ratios.append(ours.images_per_second / float(theirs.output))
        waits.append(ours.time_shares["wait"] / (ours.time_shares["wait"] + ours.time_shares["compute"]))
        memory.append((ours.peak_memory_bytes or 0) / 1e9)
        other_memory.append(theirs.peak_megabytes * 1024**2 / 1e9)
    row("training epoch / the assignment's loop, 224, without compile", spread(ratios, ".2f"), "1.38")
    row("share of the epoch spent waiting for batches", spread(waits, ".2%"), "< 3 %")
    row(
        "peak memory at batch 32, 224",
        f"{max(memory):.2f} GB (the assignment's loop: {max(other_memory):.2f} GB)",
        "< 2.6 GB",
    )
    assert statistics.median(ratios) > 1


def test_compiled_training_against_the_assignments_loop(films: Path, tmp_path: Path, row: Row):
    ratios, gains, costs = [], [], []
    for pair in range(3):
        theirs = python(HERE / "assignment_loop.py", films / "train", 224, 32)
        rates = {}
        for flag in ("--compile", "--no-compile"):
            run = tmp_path / f"run{pair}{flag}"
            pneumo_train(films, run, "--epochs", "4", flag)
            with (run / "history.csv").open() as lines:
                found = [float(line["images_per_second"]) for line in csv.DictReader(lines)]
            rates[flag] = statistics.median(found[1:])  # the first epoch compiles
            if flag == "--compile":
                costs.append(160 / found[0] - 160 / rates[flag])
        ratios.append(rates["--compile"] / float(theirs.output))
        gains.append(rates["--compile"] / rates["--no-compile"])
    row("the same, compiled, compile time left out", spread(ratios, ".2f"), "1.3")
    row("compiled / not compiled, compile time left out", spread(gains, ".3f"), "")
    row("compiling, first time", f"{max(costs):.0f} s", "")
    assert statistics.median(ratios) > 1


@pytest.fixture(scope="module")
def loader(films: Path) -> DataLoader[object]:
    """The assignment's."""
    augment = transforms.Compose(
        [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    )
    return DataLoader(ImageFolder(str(films / "train"), augment), batch_size=32, shuffle=True, num_workers=2)


@pytest.fixture(scope="module")
def train_films(films: Path) -> Manifest:
    return with_hashes(scan(films).of("train"))


@pytest.mark.parametrize(
    ("resize", "workers"), [("workers", 0), ("workers", 1), ("workers", 2), ("device", 0), ("device", 1), ("device", 2)]
)
def test_batches_from_the_cache(
    loader: DataLoader[object],
    train_films: Manifest,
    resize: Literal["workers", "device"],
    workers: int,
    row: Row,
    monkeypatch: pytest.MonkeyPatch,
):
    """What a GPU would resize is left as it is: what workers do for it is measured, not what it does itself."""
    monkeypatch.setattr("pneumocli.training.loader.resized_at_once", lambda crops, _: crops.pixels)
    decode = CropSource(224, "crop")
    cache, _ = cached_films(train_films, decode, decode.form)
    batching = Batching(
        image_size=224, batch_size=32, seed=0, device=torch.device("cpu"), workers=workers, resize=resize
    )
    batches = TrainingBatches(cache, Augmentation(), batching, Team())
    rounds = 5  # epochs of ours for one of theirs, so that both take long enough to be timed

    def ours() -> None:
        for epoch in range(1, rounds + 1):
            for _ in batches.epoch(epoch):
                pass

    def theirs() -> None:
        for _ in loader:
            pass

    ours()  # starts the workers, which live on; the loader's start anew with each epoch, as the assignment's do
    ratios, rates = [], []
    for _ in range(PAIRS):
        other, seconds = timed(theirs), timed(ours)
        ratios.append(other * rounds / seconds)
        rates.append(len(cache) * rounds / seconds)
    who = {0: "one process", 1: "1 worker"}.get(workers, f"{workers} workers")
    what = "batches" if resize == "workers" else "batches for a GPU to resize"
    row(
        f"{what} from the cache, {who} / the assignment's loader, 2 workers",
        f"{spread(ratios, '.1f')}; {statistics.median(rates):,.0f} films/s",
        "10" if resize == "workers" else "",
    )
    assert statistics.median(ratios) > 5


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def test_building_the_cache(train_films: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row):
    """On one core: what a core does is what is compared."""
    from PIL import Image

    paths = [train_films.path(film) for film in train_films.rows]
    decode = CropSource(224, "crop")
    side = crop_source_side(224)

    def plain() -> None:
        for path in paths:
            with Image.open(path) as opened:
                image = opened.convert("L")
            scale = side / min(image.size)
            if scale < 1:
                size = round(image.width * scale), round(image.height * scale)
                image.resize(size, Image.Resampling.BILINEAR).tobytes()

    cores = os.sched_getaffinity(0)
    ratios = []
    try:
        os.sched_setaffinity(0, {min(cores)})
        for number in range(PAIRS):
            monkeypatch.setenv("PNEUMO_CACHE", str(tmp_path / str(number)))
            other = timed(plain)
            ratios.append(other / timed(lambda: cached_films(train_films, decode, decode.form)))
    finally:
        os.sched_setaffinity(0, cores)
    row("building the cache / plain Pillow decode + resize, films/s of a core", spread(ratios, ".2f"), "1.0")
    assert statistics.median(ratios) > 0.7


def test_a_frozen_backbone_against_an_unfrozen_epoch(films: Path, tmp_path: Path, row: Row):
    ratios = []
    for pair in range(3):
        whole = in_process(films, tmp_path / f"whole{pair}", epochs=1).history()
        frozen = in_process(films, tmp_path / f"frozen{pair}", epochs=20, freeze="backbone").history()
        ratios.append(sum(record.seconds for record in frozen) / whole[0].seconds)
    row("20 epochs with a frozen backbone / one epoch unfrozen", spread(ratios, ".2f"), "< 3")
    assert statistics.median(ratios) < 4


def test_memory_does_not_grow(films: Path, tmp_path: Path, row: Row):
    found = [float(line) for line in python(HERE / "memory_growth.py", films, tmp_path / "run").output.split()]
    assert len(found) == EPOCHS
    settled = statistics.median(found[2:6])  # the first epochs load what only the first needs
    growth = statistics.median(found[-4:]) / settled - 1
    row("memory growth over 20 epochs, epochs 3-6 to 17-20", f"{growth:+.1%} of {settled:.0f} MB", "< 2 %")
    assert growth < 0.05


def test_the_time_left_is_right(films: Path, tmp_path: Path, row: Row):
    told: list[tuple[float, float]] = []

    def listen(event: Event) -> None:
        if isinstance(event, EpochFinished):
            told.append((time.perf_counter(), event.seconds_left))

    common = {"data": films, "val": "official", "device": "cpu", "compile": False, "epochs": 4, "image_size": 128}
    train(TrainConfig.model_validate(common | {"run_dir": tmp_path / "run"}), listen)
    (first, left), (last, _) = told[0], told[-1]
    error = left / (last - first) - 1
    row("time left told after the first of 4 epochs / time it took", f"{error:+.1%}", "within 10 %")
    assert abs(error) < 0.5
