"""What a CPU does to feed a GPU, in CPU time, on one thread: ``python -m tests.benchmarks.fed_gpu FOLDER``.

Batches of 32 from a cache in FOLDER, cut out for a GPU or only placed in films that it keeps; and the network's input
of 32 squares of 224 pixels, normalised and cast or looked up. The two sides of each pair take turns.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pneumocli.model.network import DeployableNet, build_network, looked_up
from pneumocli.training import loader
from pneumocli.training.augmentation import Augmentation
from pneumocli.training.device_films import moved
from pneumocli.training.distributed import Team
from pneumocli.training.film_cache import FilmCache, write_films
from pneumocli.training.loader import Batching, TrainingBatches

FILMS, PAIRS = 640, 7
CPU = torch.device("cpu")


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(unit: str, amount: Callable[[float], float], sides: dict[str, Callable[[], object]]) -> None:
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(PAIRS):
        for name, work in sides.items():
            found[name].append(amount(cpu_seconds(work)))
    for name, figures in found.items():
        print(f"{name}: {statistics.median(figures):,.1f} {unit} ({min(figures):,.1f} to {max(figures):,.1f})")


def batches(folder: Path) -> None:
    rng = np.random.default_rng(0)
    write_films(folder / "x.films", (rng.integers(0, 256, (384, 450 + n % 100), np.uint8) for n in range(FILMS)))
    films = FilmCache(folder / "x.films")
    kept = moved(films, films.sizes, CPU)
    seconds = cpu_seconds(lambda: moved(films, films.sizes, CPU))
    print(f"moving: {seconds / len(kept.pixels) * 1e9:.2f} s of CPU time per GB")
    loader.resized_at_once = lambda crops, _: crops.sizes  # a GPU's work is left out
    batching = Batching(image_size=224, batch_size=32, seed=0, device=CPU, resize="device")
    cut = TrainingBatches(films, Augmentation(), batching, Team())
    placed = TrainingBatches(kept, Augmentation(), batching, Team())
    sides: dict[str, Callable[[], object]] = {
        "cut out for a GPU": lambda: list(cut.epoch(1)),
        "placed in films that it keeps": lambda: list(placed.epoch(1)),
    }
    compare("films per second of CPU time", lambda seconds: FILMS / seconds, sides)


def inputs(dtype: torch.dtype) -> None:
    net = DeployableNet(build_network(0))
    pixels, levels = torch.randint(0, 256, (32, 1, 224, 224), dtype=torch.uint8), net.levels(dtype)
    sides: dict[str, Callable[[], object]] = {
        f"normalised and cast to {dtype}": lambda: [
            net.normalise(pixels).contiguous(memory_format=torch.channels_last).to(dtype) for _ in range(10)
        ],
        f"looked up in {dtype}": lambda: [looked_up(pixels, levels) for _ in range(10)],
    }
    compare("ms of CPU time", lambda seconds: seconds * 100, sides)


if __name__ == "__main__":
    torch.set_num_threads(1)
    batches(Path(sys.argv[1]))
    inputs(torch.float32)
    inputs(torch.bfloat16)
