"""Where the time of a training epoch goes: the assignment's loop, pneumo with little memory, and pneumo as it is.

    OMP_NUM_THREADS=2 taskset -c 0,1 python -m tests.benchmarks.epoch_profile FILMS

Each trains one epoch at 224 pixels, batch 32, float32, in a process of its own; torch's profiler counts the training
process alone. Validation and what comes before the first batch are not counted.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

from pneumocli.core.config import TrainConfig
from pneumocli.training import loop
from pneumocli.training.train import train
from tests.benchmarks import assignment_loop
from tests.benchmarks.conftest import python

SIDES = ("assignment", "frugal", "pneumo")

# By the first of these that begins an operation's name.
GROUPS = {
    "aten::convolution_backward": "convolutions, backward",
    "aten::mkldnn_convolution": "convolutions, forward",
    "aten::native_batch_norm": "batch normalisation",
    "aten::_batch_norm": "batch normalisation",
    "aten::native_batch_norm_backward": "batch normalisation",
    "aten::threshold_backward": "ReLU, pooling, residual sums",
    "aten::clamp_min": "ReLU, pooling, residual sums",
    "aten::relu": "ReLU, pooling, residual sums",
    "aten::max_pool": "ReLU, pooling, residual sums",
    "aten::add": "ReLU, pooling, residual sums",
    "aten::_fused_adam": "the optimiser",
    "aten::_foreach": "the optimiser",
    "Optimizer": "the optimiser",
    "enumerate(DataLoader)": "waiting for batches",
}
REST = "everything else"


def measured(work: Callable[[], object], patch: Callable[[Callable[..., Any]], None] | None) -> dict[str, float]:
    """Seconds by group of operations while ``work`` runs, or while the function that ``patch`` replaces does."""
    found: dict[str, float] = {}

    def profiled(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            with profile(activities=[ProfilerActivity.CPU]) as seen:
                result = function(*args, **kwargs)
                found["whole"] = time.perf_counter() - began
            for one in seen.key_averages():
                group = next((name for start, name in GROUPS.items() if one.key.startswith(start)), REST)
                found[group] = found.get(group, 0.0) + one.self_cpu_time_total / 1e6
            return result

        return run

    if patch is None:
        profiled(work)()
    else:
        patch(profiled(loop.train_epoch))
        work()
    named = sum(seconds for name, seconds in found.items() if name not in ("whole", REST))
    return found | {REST: found["whole"] - named}


def one_side(side: str, films: Path) -> dict[str, float]:
    """Milliseconds a film by group of operations."""
    count = sum(1 for _ in (films / "train").rglob("*.jpeg"))
    if side == "assignment":
        found = measured(lambda: assignment_loop.main(str(films / "train"), 224, 32), None)
    else:
        with tempfile.TemporaryDirectory() as folder:
            given = {"data": films, "run_dir": Path(folder) / "run", "val": "official", "device": "cpu", "epochs": 1}
            config = TrainConfig.model_validate({**given, "compile": False, "low_memory": side == "frugal"})
            found = measured(lambda: train(config), lambda made: vars(loop).__setitem__("train_epoch", made))
    return {name: 1000 * seconds / count for name, seconds in found.items()}


def main(films: Path) -> None:
    """Three times each, in turn; prints a table of the medians."""
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(3):
        for side in SIDES:
            output = python("-m", "tests.benchmarks.epoch_profile", films, side).output
            runs[side].append(json.loads(output.splitlines()[-1]))
    print("| ms a film | " + " | ".join(SIDES) + " |\n| --- |" + " ---: |" * len(SIDES))
    for name in dict.fromkeys([*GROUPS.values(), REST, "whole"]):
        cells = [f"{sorted(run.get(name, 0.0) for run in runs[side])[1]:.1f}" for side in SIDES]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(one_side(sys.argv[2], Path(sys.argv[1]))))
    else:
        main(Path(sys.argv[1]))
