"""One setting of a recipe at a time, on frozen folds of the training films.

    python -m tests.benchmarks.recipe_study DATA WEIGHTS FOLDER [--seeds 0 1 2] [--settings NAME ...] [--precision bf16]

Seed s draws four folds of patients; a quarter is trained on, another quarter is validated, no test film is touched.
Every row is ``pneumo train`` and ``pneumo evaluate --split val`` as users run them; the table at the end is made of
what they wrote. A run that is in FOLDER already is not made again.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import zlib
from pathlib import Path

from pneumocli.data.manifest import scan

FOLDS = 4
COMMON = ("--image-size", "96", "--epochs", "4", "--device", "cpu", "--recipe")
SETTINGS = {
    "assignment": ("assignment",),
    "assignment, cosine and warm-up": ("assignment", "--schedule", "cosine", "--warm-up", "0.05"),
    "assignment, averaged weights": ("assignment", "--average-epochs", "1"),
    "robust": ("robust",),
    "tone 0.3": ("robust", "--tone", "0.3"),
    "noise 8": ("robust", "--noise", "8"),
    "sharpness 1": ("robust", "--sharpness", "1"),
    "JPEG quality 30": ("robust", "--jpeg-quality", "30"),
    "resample 0.5": ("robust", "--resample", "0.5"),
    "all five": ("robust", *"--tone 0.3 --noise 8 --sharpness 1 --jpeg-quality 30 --resample 0.5".split()),  # noqa: SIM905 - reads like a command
    "crop scale 0.08": ("robust", "--crop-scale", "0.08"),
    "crop scale 0.5": ("robust", "--crop-scale", "0.5"),
    "no mirror": ("robust", "--no-mirror"),
    "label smoothing 0.1": ("robust", "--label-smoothing", "0.1"),
    "weight decay 0.05": ("robust", "--weight-decay", "0.05"),
    "hard weight 1": ("robust", "--hard-weight", "1"),
    "hard weight 8": ("robust", "--hard-weight", "8"),
    "class weights": ("robust", "--class-weights", "balanced"),
    "rate 0.0003": ("robust", "--lr", "0.0003"),
    "fit squash": ("robust", "--fit", "squash"),
    "8 epochs": ("robust", "--epochs", "8"),
    "64 pixels": ("robust", "--image-size", "64"),
    "128 pixels": ("robust", "--image-size", "128"),
    "160 pixels": ("robust", "--image-size", "160"),
    "224 pixels": ("robust", "--image-size", "224"),
    "frozen backbone": ("robust", "--freeze", "backbone", "--lr", "0.001"),
}  # fmt: skip


def write_fold(data: Path, seed: int, target: Path) -> None:
    """Write the manifest of a seed's two folds: image,label,patient,split."""
    rows = [row for row in scan(data).rows if row.split == "train"]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "patient", "split"])
        for row in rows:
            fold = zlib.crc32(f"{seed}:{row.patient}".encode()) % FOLDS
            if fold < 2:
                writer.writerow([row.image, row.label, row.patient, "train" if fold == 0 else "val"])


def run(*arguments: str) -> str:
    """Run ``pneumo`` and return its stdout."""
    command = [sys.executable, "-m", "pneumocli", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measured(folder: Path) -> dict[str, float | None]:
    """Read the figures of one run: the kept epoch's on easy and hard validation films, and the spread of epochs."""
    metrics = json.loads((folder / "evaluations/val/metrics.json").read_text())
    rows = list(csv.DictReader((folder / "history.csv").open()))
    figures: dict[str, float | None] = {}
    for group in ("hard", "easy"):
        for name in ("sensitivity", "specificity", "auroc"):
            figures[f"{group} {name}"] = metrics["subgroups"][group]["metrics"][name]["value"]
    figures["hard specificity, last"] = float(rows[-1]["val_hard_specificity"])
    figures["hard balanced, last"] = float(rows[-1]["val_hard_balanced_accuracy"])
    figures["hard AUROC, last"] = float(rows[-1]["val_hard_auroc"])
    figures["accuracy"] = metrics["metrics"]["accuracy"]["value"]
    last = [float(row["val_accuracy"]) for row in rows[-3:]]
    figures["accuracy range, last 3"] = max(last) - min(last)
    figures["images/s"] = statistics.median(float(row["images_per_second"]) for row in rows)
    return figures


def table(folder: Path, seeds: list[int]) -> str:
    """Return a Markdown table: a row per setting, mean and sd over its seeds."""
    lines: list[str] = []
    for setting in SETTINGS:
        found = [folder / f"{seed}" / setting.replace(" ", "-") for seed in seeds]
        runs = [measured(path) for path in found if (path / "evaluations/val/metrics.json").is_file()]
        if not runs:
            continue
        if not lines:
            lines = ["| setting | seeds | " + " | ".join(runs[0]) + " |", "| --- |" + " ---: |" * (len(runs[0]) + 1)]
        cells = []
        for name in runs[0]:
            values = [float(value) for run_ in runs if (value := run_[name]) is not None]
            scale = 1 if name == "images/s" else 100
            sd = statistics.stdev(values) * scale if len(values) > 1 else float("nan")
            cells.append(f"{statistics.fmean(values) * scale:.1f} ({sd:.1f})" if values else "-")
        lines.append(f"| {setting} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS))
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    given = parser.parse_args()
    for seed in given.seeds:
        (given.folder / str(seed)).mkdir(parents=True, exist_ok=True)
        manifest = given.folder / f"fold-{seed}.csv"
        write_fold(given.data, seed, manifest)
        for setting in given.settings:
            path = given.folder / str(seed) / setting.replace(" ", "-")
            if not (path / "evaluations/val/metrics.json").is_file():
                films = ("--data", str(given.data), "--manifest", str(manifest), "--weights", str(given.weights))
                seeded = ("--seed", str(seed), "--run-dir", str(path), "--continue")
                run("train", *films, "--precision", given.precision, *COMMON, *SETTINGS[setting], *seeded)
                run("evaluate", str(path), "--split", "val")
    print(table(given.folder, given.seeds))


if __name__ == "__main__":
    main()
