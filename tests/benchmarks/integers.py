"""A folder on integers, in float32 and through torch, in turn: ``python -m tests.benchmarks.integers RUN FILMS``.

RUN is a finished run; ``pneumo quantize`` is run first where it has no ``model-int8.onnx`` yet. FILMS is a folder of
JPEG files. The first round does not count. Films/s leave the start of the process out, CPU seconds are the whole
process's.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.processes import measured

HERE = Path(__file__).parent


def folder_run(*argv: object) -> tuple[float, float]:
    """Films per second that the script prints, and the CPU seconds of its process and those that it started."""
    found, cpu_seconds = measured(*argv)
    return found["films"] / found["seconds"], cpu_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("films", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if not (given.run / "model-int8.onnx").is_file():
        subprocess.run([sys.executable, "-m", "pneumocli", "quantize", str(given.run)], check=True)
    commands = {
        "torch eager, DataLoader": (
            HERE / "torch_loop.py", given.run / "best.pt", given.films, len(os.sched_getaffinity(0)),
        ),
        "fp32": (HERE / "predict_folder.py", given.run / "model.onnx", given.films),
        "int8": (HERE / "predict_folder.py", given.run / "model-int8.onnx", given.films),
    }  # fmt: skip
    rounds = [{name: folder_run(*command) for name, command in commands.items()} for _ in range(given.rounds + 1)][1:]
    print("| | films/s, best | ratio to torch: median, least, most | user CPU seconds, median |")
    print("| --- | ---: | ---: | ---: |")
    for name in commands:
        ratios = sorted(round_[name][0] / round_["torch eager, DataLoader"][0] for round_ in rounds)
        best, seconds = max(r[name][0] for r in rounds), statistics.median(r[name][1] for r in rounds)
        ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"| {name} | {best:.1f} | {ratio} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
