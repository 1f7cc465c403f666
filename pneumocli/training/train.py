"""``train()`` and ``resume()``: the steps of a training, in order."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torchvision.models import ResNet

from pneumocli.core.config import ResumeConfig, TrainConfig
from pneumocli.core.errors import RunError, resume_command, shell_word
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.core.parallel import process_count
from pneumocli.model.device import resolve_device
from pneumocli.model.network import (
    IMAGENET_CLASSES,
    build_network,
    imagenet_weights,
    load_initial_weights,
    read_state_dict,
)
from pneumocli.run_folder import RunFolder, being_made, default_run, refuse_taken
from pneumocli.training.checkpoint import Progress, load_checkpoint
from pneumocli.training.continuation import is_done, next_step, place_of
from pneumocli.training.dataset import TrainingData, prepare, prepare_again
from pneumocli.training.distributed import Team, team
from pneumocli.training.folds import complete_if_all_finished, continue_group, train_folds
from pneumocli.training.loop import Training
from pneumocli.training.plan import Plan, describe, make_plan, restored_plan
from pneumocli.training.timing import Stopwatch


def train(config: TrainConfig, listener: Listener = ignore) -> RunFolder:
    """Train a classifier and write its run folder; with ``folds`` in the settings a group of them.

    Args:
        config: The settings.
        listener: Gets progress, one event per epoch, and remarks.

    Returns:
        The finished run, or the group of folds: finished, too, unless ``fold`` asked for one of its runs.

    Raises:
        DataError: The films cannot be used; nothing has been written.
        ModelFileError: The initial weights cannot be had; nothing has been written.
        RunError: The run folder exists.
        DeviceError: The device that was asked for is not there.
        TrainingDiverged: The loss is no longer finite; the last finished epoch is whole.
        OutOfMemory: The device has too little memory.
    """
    return _train_run(config, listener) if config.folds is None else train_folds(config, _train_run, listener)


def score_fold(config: TrainConfig, listener: Listener = ignore) -> None:
    """Train one fold by itself for its validation figures: neither a group nor a model file is made.

    Args:
        config: The settings, with ``folds``, ``fold`` and ``run_dir``.
        listener: Gets progress, one event per epoch.

    Raises:
        PneumoError: As :func:`train`.
    """
    with team(config.device) as processes:
        _start(config, processes, listener, with_model=False)


def _train_run(config: TrainConfig, listener: Listener) -> RunFolder:
    with team(config.device) as processes:
        return _start(config, processes, listener if processes.is_writer else ignore)


def resume(config: ResumeConfig, listener: Listener = ignore, *, restarted: bool = False) -> RunFolder:
    """Continue a run behind its last checkpoint, or a group of folds after its last finished run.

    On the device it began on, the result equals that of an uninterrupted run bit for bit.

    Args:
        config: The run, and what may differ from its settings.
        listener: Gets progress, one event per epoch, and remarks.
        restarted: Whether torchrun has started this command again: then a run may be found finished.

    Returns:
        The finished run.

    Raises:
        RunError: There is no such run, it is finished or in use, or its films have changed.
        ModelFileError: The checkpoint is damaged.
        DeviceError: The device is not there.
    """
    run = RunFolder.open(config.resume)
    if run.is_group:
        return continue_group(run, config, _run_until_done, listener)
    run = _resume_run(run, config, listener, restarted=restarted)
    if (group := run.group) is not None:
        complete_if_all_finished(group, listener)
    return run


def _resume_run(run: RunFolder, config: ResumeConfig, listener: Listener, *, restarted: bool) -> RunFolder:
    with team(config.device or _begun_on(run)) as processes:
        listener = listener if processes.is_writer else ignore
        if restarted and processes.from_writer(is_done(run, _epochs(run, config))):
            return _found_finished(run, listener)
        return _continue(run, config, processes, listener)


def _epochs(run: RunFolder, config: ResumeConfig) -> int:
    return run.config().epochs if config.epochs is None else config.epochs


def train_until_done(config: TrainConfig, listener: Listener = ignore, *, restarted: bool = False) -> RunFolder:
    """Start a run, resume it where it was stopped, or find it finished: the same call again and again until it is done.

    The run is the one in ``config.run_dir``, or in ``runs/scratch`` or ``runs/transfer`` without it. What a start left
    there before its first epoch was done is replaced. With ``folds`` this holds for every run of the group.

    Args:
        config: The settings: those of the run, where there is one, but for the number of epochs and the device.
        listener: Gets progress, one event per epoch, and remarks.
        restarted: Whether torchrun has started this command again, see
            :func:`pneumocli.training.continuation.next_step`.

    Returns:
        The finished run.

    Raises:
        RunError: What is there is no run, has other settings, or is in use.
        PneumoError: As :func:`train` and :func:`resume`.
    """
    if config.folds is not None:
        return train_folds(config, _run_until_done, listener, until_done=True)
    return _run_until_done(config, listener, restarted=restarted)


def _run_until_done(config: TrainConfig, listener: Listener, *, restarted: bool = False) -> RunFolder:
    with team(_device_of_all(config, restarted=restarted)) as processes:
        listener = listener if processes.is_writer else ignore
        step = processes.by_writer(lambda: next_step(config, restarted=restarted))
        if step.action == "start":
            return _start(config.model_copy(update={"run_dir": step.run_dir}), processes, listener)
        assert step.run_dir is not None  # noqa: S101 - a run that is there has a folder
        run = RunFolder(step.run_dir)
        if step.action == "resume":
            return _continue(run, step.resume_config(), processes, listener)
        return _found_finished(run, listener)


def _found_finished(run: RunFolder, listener: Listener) -> RunFolder:
    listener(Remark(f"{run.path} is finished: nothing is left to do"))
    return run


def _device_of_all(config: TrainConfig, *, restarted: bool) -> str:
    """What decides how the processes communicate: the device of a run that is there before ``auto`` of this machine."""
    path = place_of(config, restarted=restarted)
    run = RunFolder(path) if path is not None else None
    if run is None or config.device != "auto" or process_count() == 1 or not run.can_resume:
        return config.device
    return _begun_on(run)


def _start(config: TrainConfig, processes: Team, listener: Listener, *, with_model: bool = True) -> RunFolder:
    """The story of a training, from its settings to the finished run."""
    with processes.writes_alone():
        if processes.is_writer:
            refuse_taken(config.run_dir)  # now, not after the films have been decoded
    device = resolve_device(processes.own_device(config.device))
    network = _initial_network(config, listener)
    progress = Progress()
    watch = Stopwatch(progress.spent)
    with processes.writer_first():
        data = prepare(config, listener)
    progress.unreadable = data.unreadable
    watch.lap("decode")
    plan = make_plan(config, device, len(data.train_labels), processes, listener)
    with _new_run(config, plan, data, processes, listener) as run:
        Training(run, config, plan, data, network, progress, processes, listener).complete(with_model=with_model)
    return run


def _continue(run: RunFolder, config: ResumeConfig, processes: Team, listener: Listener) -> RunFolder:
    """The same from the last finished epoch on."""
    settings = run.config()
    if config.epochs is not None:
        settings = settings.model_copy(update={"epochs": config.epochs})
    with _held(run, processes, listener):
        # On a share, another machine may still see an older one.
        checkpoint = processes.by_writer(lambda: load_checkpoint(run, listener))
        _refuse_done(run, checkpoint.progress, settings)
        plan = restored_plan(checkpoint.plan, config, settings, processes, listener)
        network = build_network(settings.seed)
        network.load_state_dict(checkpoint.model)
        watch = Stopwatch(checkpoint.progress.spent)
        with processes.writer_first():
            data = prepare_again(settings, run.manifest(), listener)
        watch.lap("decode")
        with processes.writes_alone():
            if processes.is_writer and config.epochs is not None:
                run.write_config(settings)
        training = Training(run, settings, plan, data, network, checkpoint.progress, processes, listener)
        training.complete(checkpoint)
    return run


def _refuse_done(run: RunFolder, progress: Progress, settings: TrainConfig) -> None:
    epochs, patience = settings.epochs, settings.patience
    if run.finished and patience is not None and progress.stalled(patience):
        raise RunError(
            f"{run.path} has finished: it stopped early after {progress.epoch} epochs, the last {patience} of them "
            f"without a better one (--patience {patience})",
            f"pneumo train --like {shell_word(run.path)} --patience {2 * patience} begins anew with more patience",
        )
    if progress.epoch > epochs:
        raise RunError(
            f"{run.path} has {progress.epoch} epochs already, more than --epochs {epochs}",
            f"{resume_command(run.path)} --epochs {2 * progress.epoch} trains on",
        )
    if run.finished and progress.epoch == epochs:
        raise RunError(
            f"{run.path} has finished its {progress.epoch} epochs",
            f"{resume_command(run.path)} --epochs {2 * progress.epoch} trains on",
        )


def _initial_network(config: TrainConfig, listener: Listener) -> ResNet:
    network = build_network(config.seed)
    if config.pretrained:
        state = read_state_dict(config.weights) if config.weights is not None else imagenet_weights()
        if load_initial_weights(network, state):
            listener(Remark(f"starting from {config.weights}, its last layer included"))
        elif (classes := len(state["fc.bias"])) != IMAGENET_CLASSES:
            text = f"the last layer of {config.weights} is left out: it is for {classes} classes, expected 2"
            listener(Remark(text if classes > 1 else text.replace("classes", "class")))
    elif config.freeze == "backbone":
        listener(Remark("--freeze backbone from scratch trains one layer on random features", "warning"))
    return network


@contextmanager
def _new_run(
    config: TrainConfig, plan: Plan, data: TrainingData, processes: Team, listener: Listener
) -> Iterator[RunFolder]:
    """Makes the run's folder, and keeps other trainings out of it."""
    with ExitStack() as lock:

        def made() -> RunFolder:
            with being_made(config.run_dir or default_run(pretrained=config.pretrained)):
                run = RunFolder.create(config.run_dir, pretrained=config.pretrained)
                run.write_config(config)
                data.manifest.write(run.manifest_file)
                _warn(lock.enter_context(run.locked()), listener)
            run.write_environment(describe(plan))
            return run

        yield processes.by_writer(made)


def _warn(text: str | None, listener: Listener) -> None:
    if text is not None:
        listener(Remark(text, "warning"))


def _begun_on(run: RunFolder) -> str:
    """The kind of device of the run's checkpoint: a setting such as ``auto`` could choose another one here."""
    return load_checkpoint(run).plan.device.partition(":")[0] if process_count() > 1 else "cpu"


@contextmanager
def _held(run: RunFolder, processes: Team, listener: Listener) -> Iterator[None]:
    """Keeps other trainings out of the run."""
    with ExitStack() as lock:
        with processes.writes_alone():
            if processes.is_writer:
                _warn(lock.enter_context(run.locked()), listener)
                run.remove_leftovers()
        yield
