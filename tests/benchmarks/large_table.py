"""What a table of many films costs: ``python -m tests.benchmarks.large_table FOLDER [--films 112120]``.

Writes a table of tiny files, four to a patient, and lists, checks, hashes and splits it, each step by itself. CPU
seconds of this process, so that other programs on the machine do not count.
"""

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

from pneumocli.core.config import VerifyDataConfig
from pneumocli.data.manifest import scan, with_hashes
from pneumocli.data.splits import training_pool, with_validation
from pneumocli.verification.verify import verify_data


def written(folder: Path, films: int) -> Path:
    """The table and its files, a thousand to a folder; what is there already is not written again."""
    table = folder / "films.csv"
    if table.exists():
        return table
    rows = []
    for film in range(films):
        place = folder / f"{film // 1000:03d}" / f"{film:06d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(str(film).encode())
        rows.append([place.relative_to(folder).as_posix(), film // 4 % 2, film // 4])
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "label", "patient"], *rows])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--films", type=int, default=112_120)
    given = parser.parse_args()
    folder = given.folder / str(given.films)
    table = written(folder, given.films)
    listed = scan(folder, table)
    hashed = with_hashes(listed)
    steps: dict[str, Callable[[], object]] = {
        "list": lambda: scan(folder, table),
        "check, listing included": lambda: verify_data(VerifyDataConfig(data=folder, manifest=table, quick=True)),
        "hash, each film read": lambda: with_hashes(listed, remembered=False),
        "hash, remembered": lambda: with_hashes(listed),
        "split by patient": lambda: with_validation(training_pool(hashed), "patient", 0.1, 0),
    }
    print(f"{given.films:,} films\n| step | CPU seconds |\n| --- | ---: |")
    for name, step in steps.items():
        began = time.process_time()
        step()
        print(f"| {name} | {time.process_time() - began:.1f} |", flush=True)


if __name__ == "__main__":
    main()
