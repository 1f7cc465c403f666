"""What finishing a run takes, by its views: ``python -m tests.benchmarks.finish_time DATA [--manifest TABLE]``.

For each number of views in turn an epoch on the films of DATA, or on those of TABLE; its JSON says which share of the
time was spent after that epoch: export, proof, and what films look like. The first round does not count, since it may
fill the cache of films.
"""

import argparse
import os
import statistics
from pathlib import Path

from tests.benchmarks.processes import trained

VIEWS = (1, 2, 4)


def finishing(data: Path, manifest: Path | None, views: int, image_size: int) -> tuple[float, float]:
    """Seconds that a run spends on finishing, and the CPU seconds of its whole process."""
    table = ["--manifest", manifest] if manifest else []
    found, cpu_seconds = trained(data, *table, "--epochs", 1, "--image-size", image_size, "--views", views)
    shares = found["time_shares"]
    # Shares are of the time with the decoding before the first epoch, seconds without it.
    return shares["finish"] * found["seconds"] / (1 - shares.get("decode", 0.0)), cpu_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rounds = [
        {views: finishing(given.data, given.manifest, views, given.image_size) for views in VIEWS}
        for _ in range(given.rounds + 1)
    ][1:]
    print(f"{len(os.sched_getaffinity(0))} cores")
    print("| views | finishing, s: median, least, most | CPU seconds of the run |")
    print("| ---: | ---: | ---: |")
    for views in VIEWS:
        seconds = sorted(round_[views][0] for round_ in rounds)
        cpu = statistics.median(round_[views][1] for round_ in rounds)
        print(f"| {views} | {statistics.median(seconds):.1f} ({seconds[0]:.1f} to {seconds[-1]:.1f}) | {cpu:.0f} |")


if __name__ == "__main__":
    main()
