"""How fast batches come from a cache as large as ChestX-ray14's: ``python -m tests.benchmarks.large_cache FOLDER``.

Writes a cache of generated films (112,120 of 384 x 480 pixels are 20.7 GB) and reads one epoch of training batches
from it, first from the disk, then again from what the system kept in memory, with several numbers of workers.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pneumocli.core.memory import peak_memory_bytes
from pneumocli.training.augmentation import Augmentation
from pneumocli.training.distributed import Team
from pneumocli.training.film_cache import FilmCache, Pixels, write_films
from pneumocli.training.loader import Batching, TrainingBatches

_PATTERNS = 64  # noise is made once and shifted: making it anew would take longer than writing it


def generated(count: int, height: int, width: int) -> Iterator[Pixels]:
    """``count`` different films of noise, uint8 (height,width)."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 256, (_PATTERNS, height, width), np.uint8)
    for number in range(count):
        yield np.roll(patterns[number % _PATTERNS], number // _PATTERNS, axis=1)


def forget(path: Path) -> None:
    """Asks the system to drop the file from its memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def epoch(films: FilmCache, workers: int, batches: int) -> float:
    """Films per second over so many batches of 32; the start of the workers does not count."""
    batching = Batching(image_size=224, batch_size=32, seed=0, device=torch.device("cpu"), workers=workers)
    source = TrainingBatches(films, Augmentation(), batching, Team())
    parts = source.epoch(1)
    next(parts)
    began = time.perf_counter()
    count = sum(len(part.films) for part, _ in zip(parts, range(batches), strict=False))
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--films", type=int, default=112_120)
    parser.add_argument("--height", type=int, default=384)
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--batches", type=int, default=1_000, help="of 32 films, read each time")
    given = parser.parse_args()
    torch.set_num_threads(1)
    path = given.folder / "generated.films"
    began = time.perf_counter()
    write_films(path, generated(given.films, given.height, given.width))
    seconds = time.perf_counter() - began
    size = path.stat().st_size
    print(f"wrote {given.films:,} films, {size / 1e9:.1f} GB, in {seconds:.0f} s: {size / seconds / 1e6:.0f} MB/s")
    began = time.perf_counter()
    films = FilmCache(path)
    print(f"opened in {time.perf_counter() - began:.2f} s")
    print("| workers | from the disk, films/s | MB/s | from memory, films/s |\n| ---: | ---: | ---: | ---: |")
    bytes_a_film = given.height * given.width
    for workers in given.workers:
        forget(path)
        cold = epoch(films, workers, given.batches)
        warm = epoch(films, workers, given.batches)
        print(f"| {workers} | {cold:,.0f} | {cold * bytes_a_film / 1e6:,.0f} | {warm:,.0f} |", flush=True)
    print(f"peak memory of this process {(peak_memory_bytes() or 0) / 1e9:.2f} GB")
    path.unlink()


if __name__ == "__main__":
    main()
