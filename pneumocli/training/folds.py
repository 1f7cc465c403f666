"""``train_folds()``: runs that each hold out another part of the films, and the group that they make."""

import os
from collections.abc import Callable
from dataclasses import replace

from pneumocli.core.amounts import counted
from pneumocli.core.config import ResumeConfig, TrainConfig
from pneumocli.core.errors import DataError, RunError, SettingError, first_few, resume_command
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.core.parallel import process_count
from pneumocli.core.records import CLASS_NAMES, HARD_BALANCED, ManifestRow, Split
from pneumocli.data.manifest import Manifest, find_unreadable, is_manifest, scan, with_hashes
from pneumocli.data.splits import in_folds, training_pool, with_fold
from pneumocli.metrics.groups import LEAST_FILMS
from pneumocli.run_folder import RunFolder, being_made, default_group
from pneumocli.training.continuation import differences
from pneumocli.training.dataset import prepare_pool
from pneumocli.training.fold_group import complete
from pneumocli.training.hard_films import find_hard_films
from pneumocli.training.referral import refuse_too_few_patients

TrainRun = Callable[[TrainConfig, Listener], RunFolder]

# What decides no bit of a run's model, or is proven in another way: the films by the manifest. Folds that were trained
# on several machines differ in these.
_PLACE = frozenset(
    {
        "data",
        "manifest",
        "weights",
        "device",
        "workers",
        "cache",
        "skip_unreadable",
        "ensemble",
        "checkpoint_minutes",
        "low_memory",
    }
)


def train_folds(
    config: TrainConfig, train_run: TrainRun, listener: Listener = ignore, *, until_done: bool = False
) -> RunFolder:
    """Train the runs of a group of folds, and complete the group once all of them are finished.

    Which film is in which fold is a function of the films, the seed and the number of folds. The group's folder is
    ``run_dir``, or ``runs/transfer-folds`` or ``runs/scratch-folds``; its runs are in ``fold-1``, ``fold-2`` ... .

    Args:
        config: The settings, with ``folds``; with ``fold`` this run alone is trained.
        train_run: Trains one run, or with ``until_done`` continues it.
        listener: Gets the progress of every run.
        until_done: Go on with what is there: finished runs are kept.

    Returns:
        The group; finished, unless runs of it are still missing.

    Raises:
        SettingError: torchrun started several processes.
        DataError: The films cannot be used or cut into so many folds; nothing has been written.
        RunError: The group exists, has other settings or other films, or a run of it belongs to another group.
        PneumoError: As :func:`pneumocli.training.train.train`.
    """
    if process_count() > 1:
        raise SettingError(
            "--folds trains its runs one after another, torchrun several processes of one run: start "
            "pneumo train --folds K --fold N without torchrun for each GPU, with --device cuda:0, cuda:1 ..."
        )
    group = RunFolder(config.run_dir or default_group(pretrained=config.pretrained))
    _open_or_make(group, config, listener, until_done=until_done)
    for number in range(1, (config.folds or 0) + 1) if config.fold is None else (config.fold,):
        fold = group.fold(number)
        if until_done and fold.finished:
            listener(Remark(f"{fold.path} is finished"))
            continue
        listener(Remark(f"fold {number} of {config.folds}"))
        _refuse_changed_films(group, config, listener)
        train_run(fold_settings(group, config, number), listener)
    complete_if_all_finished(group, listener)
    return group


def continue_group(group: RunFolder, config: ResumeConfig, train_run: TrainRun, listener: Listener) -> RunFolder:
    """Go on with a group of folds, with its own settings.

    Args:
        group: The group.
        config: May name another device.
        train_run: Continues one run.
        listener: Gets the progress of every run.

    Raises:
        RunError: Another number of epochs is asked for, or as :func:`train_folds`.
    """
    settings = group.config()
    if config.epochs not in (None, settings.epochs):
        raise RunError(
            f"the group {group.path} has runs of {counted(settings.epochs, 'epoch')}: their number cannot be changed",
            f"{resume_command(group.path)}, or a new group with another --run-dir",
        )
    changes = {"run_dir": group.path, "device": config.device or settings.device}
    return train_folds(settings.model_copy(update=changes), train_run, listener, until_done=True)


def complete_if_all_finished(group: RunFolder, listener: Listener) -> None:
    """Complete a group whose runs are all finished, unless that has been done.

    Raises:
        RunError: A run belongs to another group, or another process completes this one.
    """
    config = group.config()
    lacking = [f"{fold.path.name} {fold.state}" for fold in group.folds if not fold.finished]
    if lacking:
        listener(
            Remark(
                f"the group {group.path} is not finished: {', '.join(lacking)}; the command that finishes its last run "
                f"completes it, or {resume_command(group.path)}"
            )
        )
        return
    if _is_complete(group, config, listener):
        return
    pool = group.manifest()
    numbers = in_folds(pool, config.val, len(group.folds), config.seed)
    for number, fold in enumerate(group.folds, start=1):
        _refuse_foreign(fold, fold_settings(group, config, number), pool, numbers)
    # The jobs of the last two runs may end together: the second one waits, and does it if the first one fails.

    def waiting(_: str) -> None:
        listener(Remark(f"another process is completing {group.path}: waiting for it"))

    with group.locked(waiting=waiting) as warning:
        if _is_complete(group, config, listener):
            return
        if warning is not None:
            listener(Remark(warning, "warning"))
        group.remove_leftovers()
        complete(group, numbers, listener)


def _is_complete(group: RunFolder, config: TrainConfig, listener: Listener) -> bool:
    if not group.finished or (config.ensemble and not group.has_model_file):
        return False
    listener(Remark(f"{group.path} is finished: nothing is left to do"))
    return True


def fold_settings(group: RunFolder, config: TrainConfig, number: int) -> TrainConfig:
    """The settings of one run of a group."""
    return config.model_copy(update={"fold": number, "ensemble": False, "run_dir": group.fold(number).path})


def _open_or_make(group: RunFolder, config: TrainConfig, listener: Listener, *, until_done: bool) -> None:
    if _is_free(group, config):
        pool = prepare_pool(config, listener)
        _check_and_describe(config, pool, listener)
        with being_made(group.path):
            if _is_free(group, config):  # still: the jobs of an array begin at the same time
                _make(group, config, pool)
                return
    if config.fold is None and not until_done:
        raise RunError(
            f"the folder {group.path} exists already",
            f"{resume_command(group.path)} continues a group; otherwise choose another --run-dir",
        )
    if not group.is_group:
        raise RunError(f"{group.path} holds no group of folds, but other files", "choose another --run-dir")
    asked = config.model_copy(update={"fold": None})
    found = differences(group, asked, may_differ=("device", "ensemble"))
    if found:
        listed = "; ".join(f"{flag}: found {was}, asked for {wanted}" for flag, (was, wanted) in found.items())
        raise RunError(
            f"the group {group.path} has other settings: {listed}",
            f"{resume_command(group.path)} continues it with its own; otherwise choose another --run-dir",
        )
    if config.ensemble and not group.config().ensemble:
        group.write_config(group.config().model_copy(update={"ensemble": True}))


def _make(group: RunFolder, config: TrainConfig, pool: Manifest) -> None:
    try:
        group.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the group's folder {group.path}: {error.strerror}") from error
    replace(pool, rows=tuple(_as("train", row) for row in pool.rows)).write(group.manifest_file)
    group.write_config(config.model_copy(update={"fold": None, "run_dir": group.path}))


def _is_free(group: RunFolder, config: TrainConfig) -> bool:
    """Whether nothing stands there but what a start leaves that was stopped before it had written the settings."""
    if not os.path.lexists(group.path):
        return True
    if not group.path.is_dir():
        return False
    there = {item.name for item in group.path.iterdir() if not item.name.endswith(".part")}
    if there == {group.manifest_file.name}:
        given = config.manifest  # the user's own table may have the name, and even the columns, of a run's
        is_own = given is not None and given.exists() and group.manifest_file.samefile(given)
        return not is_own and is_manifest(group.manifest_file)
    return not there


def _check_and_describe(config: TrainConfig, pool: Manifest, listener: Listener) -> None:
    """Everything that can be wrong with the folds, before the first of them is trained."""
    folds = config.folds or 0
    in_folds(pool, config.val, folds, config.seed)
    refuse_too_few_patients(config, pool.rows)
    given = sum(row.split == "val" for row in pool.rows)
    listener(
        Remark(
            f"{folds} folds by {config.val} of {len(pool):,} films of {pool.num_patients:,} patients"
            + (f", the {given:,} films that are given as val among them" if given else "")
        )
    )
    if config.select != "hard" and config.operating_point != HARD_BALANCED:
        return
    total = [0, 0]
    for number in range(1, folds + 1):
        held_out, _ = with_fold(pool, config.val, folds, number, config.seed)
        marked = find_hard_films(held_out, ignore)
        marked.check(config.model_copy(update={"fold": number}))
        total = [sum(counts) for counts in zip(total, marked.counts(), strict=True)]
    if config.operating_point == HARD_BALANCED and min(total) < LEAST_FILMS:
        found = " and ".join(f"{count} {name}" for count, name in zip(total, CLASS_NAMES, strict=True))
        raise DataError(
            f"--operating-point {HARD_BALANCED} needs {LEAST_FILMS} hard films of each class in all folds, "
            f"found {found}",
            "choose the threshold by another rule, such as --operating-point youden",
        )


def _refuse_changed_films(group: RunFolder, config: TrainConfig, listener: Listener) -> None:
    """Refuses to train on other films than the group began with."""
    recorded = {row.image: row for row in group.manifest().rows}
    now = with_hashes(training_pool(scan(config.data, config.manifest)), listener)
    found = {row.image: _as("train", row) for row in now.rows}
    faults = {
        "gone": sorted(recorded.keys() - found.keys()),
        "new": sorted(found.keys() - recorded.keys()),
        "changed": sorted(name for name in recorded.keys() & found.keys() if recorded[name] != found[name]),
    }
    if config.skip_unreadable and faults["new"]:
        new = Manifest(now.folder, tuple(found[name] for name in faults["new"]))
        faults["new"] = sorted(set(faults["new"]) - find_unreadable(new).keys())
    named = [f"{len(images)} {what} ({first_few(images)})" for what, images in faults.items() if images]
    if named:
        raise RunError(
            f"the films of {config.data} are not those that the group {group.path} began with: {'; '.join(named)}",
            "restore them, or begin a new group with another --run-dir",
        )


def _refuse_foreign(fold: RunFolder, expected: TrainConfig, pool: Manifest, numbers: tuple[int, ...]) -> None:
    """Refuses a run that was trained with other settings or on other films than its place in the group asks for."""
    group = fold.path.parent
    faults = [
        f"{flag}: found {was}, expected {wanted}"
        for flag, (was, wanted) in differences(fold, expected, may_differ=_PLACE).items()
    ]
    weights = [None if file is None else file.name for file in (fold.config().weights, expected.weights)]
    if weights[0] != weights[1]:
        faults.append(f"--weights: found {weights[0] or 'none'}, expected {weights[1] or 'none'}")
    splits: list[Split] = ["val" if number == expected.fold else "train" for number in numbers]
    wanted = {row.image: _as(split, row) for row, split in zip(pool.rows, splits, strict=True)}
    trained = {row.image: row for row in fold.manifest(expected.data).rows}
    films = sorted(name for name in wanted.keys() | trained.keys() if wanted.get(name) != trained.get(name))
    if films:
        faults.append(f"{len(films)} films are others or held out by another run ({first_few(films)})")
    if faults:
        raise RunError(
            f"{fold.path} belongs to another group than {group}: {'; '.join(faults)}",
            f"move it away; {resume_command(group)} then trains it anew",
        )


def _as(split: Split, row: ManifestRow) -> ManifestRow:
    return row.model_copy(update={"split": split})
