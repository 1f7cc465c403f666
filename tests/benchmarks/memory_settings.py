"""What keeping freed memory costs and gains: ``python -m tests.benchmarks.memory_settings DATA``.

Trains on the films of DATA with ``--low-memory`` and without, in turn, each in a process of its own; where less than
4 GB are free both are frugal, and the table says the same twice. The first round does not count.
"""

import argparse
import statistics
from pathlib import Path

from tests.benchmarks.processes import trained

SETTINGS = {"--low-memory": ["--low-memory"], "as it comes": []}


def peak_and_rate(data: Path, flags: list[str], epochs: int) -> tuple[float, float]:
    """Peak memory of the process in GB, and films per second of the epoch in the middle."""
    found, _ = trained(data, "--val", "official", "--no-compile", "--epochs", epochs, *flags)
    return found["peak_memory_bytes"] / 1e9, found["images_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rounds = [
        {name: peak_and_rate(given.data, flags, given.epochs) for name, flags in SETTINGS.items()}
        for _ in range(given.rounds + 1)
    ][1:]
    print("| freed memory | peak, GB, median | films/s, median |\n| --- | ---: | ---: |")
    for name in SETTINGS:
        peak, rate = (statistics.median(round_[name][which] for round_ in rounds) for which in (0, 1))
        print(f"| {name} | {peak:.2f} | {rate:.1f} |")


if __name__ == "__main__":
    main()
