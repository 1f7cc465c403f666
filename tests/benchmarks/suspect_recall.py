"""How many of the labels that were made wrong on purpose are found: precision and recall of the suspect labels.

    python -m tests.benchmarks.suspect_recall DATA WEIGHTS FOLDER [--films 1500] [--flipped 60] [--seed 0]
        [--folds 2] [--epochs 3] [--image-size 64] [--recipe assignment]

Draws patients of the training films, gives some films the other label, trains a group of folds on the table, and looks
where the flipped films stand in the group's ``suspect-labels.csv``. Hard films weigh no more than others: a wrong
label is what makes many of them hard. A group that is in FOLDER already is not trained again.
"""

import argparse
import csv
import random
import subprocess
import sys
from pathlib import Path

from pneumocli.core.records import CLASS_NAMES, ManifestRow
from pneumocli.data.manifest import scan

SETTINGS = ["--device", "cpu", "--hard-weight", "1"]


def drawn(rows: list[ManifestRow], films: int, seed: int) -> list[ManifestRow]:
    """All films of randomly drawn patients, until there are at least so many."""
    by_patient: dict[str, list[ManifestRow]] = {}
    for row in rows:
        by_patient.setdefault(row.patient, []).append(row)
    patients = sorted(by_patient)
    found: list[ManifestRow] = []
    random.Random(seed).shuffle(patients)
    for patient in patients:
        if len(found) >= films:
            break
        found.extend(by_patient[patient])
    return found


def write_table(rows: list[ManifestRow], flipped: set[str], target: Path) -> None:
    """Write the manifest, with the other label for the flipped films."""
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "patient", "split"])
        for row in rows:
            label = row.label ^ (row.image in flipped)
            writer.writerow([row.image, CLASS_NAMES[label], row.patient, "train"])


def main() -> None:
    """Train unless it has been done, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "weights", "folder"):
        parser.add_argument(name, type=Path)
    for name, default in (("--films", 1500), ("--flipped", 60), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    for name, usual in (("--folds", "2"), ("--epochs", "3"), ("--image-size", "64"), ("--recipe", "assignment")):
        parser.add_argument(name, default=usual)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rows = drawn([row for row in scan(given.data).rows if row.split == "train"], given.films, given.seed)
    flipped = set(random.Random(given.seed).sample([row.image for row in rows], given.flipped))
    table, group = given.folder / "flipped.csv", given.folder / "group"
    write_table(rows, flipped, table)
    if not (group / "result.json").is_file():
        place = ["--data", given.data, "--manifest", table, "--weights", given.weights, "--run-dir", group]
        chosen = ["--folds", given.folds, "--epochs", given.epochs, "--image-size", given.image_size]
        chosen += ["--recipe", given.recipe]
        command = [sys.executable, "-m", "pneumocli", "train", *SETTINGS, *chosen, "--continue", *map(str, place)]
        subprocess.run(command, check=True)
    with (group / "suspect-labels.csv").open(encoding="utf-8", newline="") as file:
        ranked = list(csv.DictReader(file))
    doubted = sum(bool(row["rank"]) for row in ranked)
    hits = [row["image"] in flipped for row in ranked]
    given_to = sum(row.label for row in rows if row.image in flipped)
    print(f"{len(rows)} films, {len(flipped)} flipped ({given_to} of them PNEUMONIA), {doubted} doubted")
    print("| first | of them flipped | precision | recall |\n| ---: | ---: | ---: | ---: |")
    for count in sorted({20, given.flipped, doubted}):
        found = sum(hits[:count])
        print(f"| {count} | {found} | {found / count:.0%} | {found / given.flipped:.0%} |")


if __name__ == "__main__":
    main()
