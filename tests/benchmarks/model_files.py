"""A folder through several model files, in turn: ``python -m tests.benchmarks.model_files FILMS MODEL MODEL...``.

For one network exported with one, two and four views, say; each MODEL is compared with the first. The first round does
not count. Films/s leave the start of the process out, CPU seconds are the whole process's.
"""

import argparse
import statistics
from pathlib import Path

from tests.benchmarks.integers import HERE, folder_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", type=Path)
    parser.add_argument("models", type=Path, nargs="+", metavar="model")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rounds = [
        {model: folder_run(HERE / "predict_folder.py", model, given.films) for model in given.models}
        for _ in range(given.rounds + 1)
    ][1:]
    print("| model file | films/s, median | CPU seconds, median | CPU seconds to the first: median, least, most |")
    print("| --- | ---: | ---: | ---: |")
    for model in given.models:
        rate, seconds = (statistics.median(round_[model][which] for round_ in rounds) for which in (0, 1))
        ratios = sorted(round_[model][1] / round_[given.models[0]][1] for round_ in rounds)
        print(
            f"| {model} | {rate:.1f} | {seconds:.2f} "
            f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
        )


if __name__ == "__main__":
    main()
