"""``train_seeds()``: the same settings several times, because results of one seed vary by chance."""

from pathlib import Path

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import RunError, SettingError
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.core.files import write_json
from pneumocli.core.parallel import process_number
from pneumocli.core.settings import validated
from pneumocli.metrics.classification import spread
from pneumocli.run_folder import RunFolder, default_run
from pneumocli.training.records import SeedRun, SeedSummary
from pneumocli.training.train import train, train_until_done


def train_seeds(
    config: TrainConfig, count: int, listener: Listener = ignore, *, until_done: bool = False, restarted: bool = False
) -> SeedSummary:
    """Train ``count`` runs that differ in the seed alone, one after the other.

    The seeds begin with the config's. The folders are ``runs/transfer-seed0``, ``-seed1`` ... (or after ``run_dir``),
    and a summary is written beside them, ``runs/transfer-seeds.json``.

    Args:
        config: The settings.
        count: Number of runs, at least 2.
        listener: Gets the progress of every run.
        until_done: Continue run by run what an earlier call has begun, as
            :func:`pneumocli.training.train.train_until_done` does.
        restarted: As for that function.

    Raises:
        SettingError: The settings ask for folds.
        RunError: One of the folders exists, without ``until_done``; nothing has been trained.
        PneumoError: As :func:`pneumocli.training.train.train`.
    """
    if config.folds is not None:
        raise SettingError("--seeds and --folds contradict each other: train a group of folds for each --seed")
    base = config.run_dir or default_run(pretrained=config.pretrained)
    folders = {seed: base.with_name(f"{base.name}-seed{seed}") for seed in range(config.seed, config.seed + count)}
    taken = [folder for folder in folders.values() if folder.exists()]
    if taken and not until_done:
        raise RunError(f"the run folder {taken[0]} exists already", "choose another --run-dir, or another --seed")
    # All of them before the first is trained: the last seeds may lie beyond the highest.
    each = [
        validated(TrainConfig, config.model_dump() | {"seed": seed, "run_dir": folder})
        for seed, folder in folders.items()
    ]
    runs: list[SeedRun] = []
    for settings in each:
        listener(Remark(f"seed {settings.seed}, run {len(runs) + 1} of {count}"))
        run = train_until_done(settings, listener, restarted=restarted) if until_done else train(settings, listener)
        runs.append(_seed_run(settings.seed, run))
    summary = _summary(runs)
    if process_number() == 0:
        write_json(_summary_file(base), summary)
    return summary


def _summary_file(base: Path) -> Path:
    return base.with_name(f"{base.name}-seeds.json")


def _seed_run(seed: int, run: RunFolder) -> SeedRun:
    result = run.result()
    return SeedRun(
        path=run.path.as_posix(),
        seed=seed,
        best_epoch=result.best_epoch,
        val_auroc=result.val_auroc,
        val_accuracy=result.val_accuracy,
    )


def _summary(runs: list[SeedRun]) -> SeedSummary:
    spreads = {
        "val_auroc": spread([run.val_auroc for run in runs]),
        "val_accuracy": spread([run.val_accuracy for run in runs]),
    }
    return SeedSummary(runs=tuple(runs), metrics={name: value for name, value in spreads.items() if value is not None})
