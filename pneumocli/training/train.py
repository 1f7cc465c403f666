"""``train()`` and ``resume()``: the order of things, epoch by epoch."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import ResNet

from pneumocli.core.config import ResumeConfig, TrainConfig
from pneumocli.core.errors import ModelFileError, RunError, resume_command
from pneumocli.core.events import Listener, Remark, RunStarted, TaskFinished, TaskStarted, ignore
from pneumocli.core.memory import return_large_blocks
from pneumocli.model.device import resolve_device
from pneumocli.model.network import build_network, imagenet_weights, load_initial_weights, read_state_dict
from pneumocli.model.weights import load_best
from pneumocli.run_folder import RunFolder, refuse_taken
from pneumocli.training.checkpoint import Progress, load_checkpoint
from pneumocli.training.dataset import TrainingData, prepare, prepare_again
from pneumocli.training.distributed import Team, team
from pneumocli.training.finish import finish
from pneumocli.training.gpu_probe import gpu_probe
from pneumocli.training.loader import lost_workers_told
from pneumocli.training.loop import Epochs, Training, save_best_epoch
from pneumocli.training.plan import Plan, describe, make_plan, own_device, restored_plan
from pneumocli.training.step import Learner, make_learner, validation_logits
from pneumocli.training.tensorboard import tensorboard_listener
from pneumocli.training.timing import Stopwatch


def train(config: TrainConfig, listener: Listener = ignore) -> RunFolder:
    """Trains a classifier and writes its run folder.

    Args:
        config: The settings.
        listener: Gets progress, one event per epoch, and remarks.

    Returns:
        The finished run.

    Raises:
        DataError: The films cannot be used; nothing has been written.
        ModelFileError: The initial weights cannot be had; nothing has been written.
        RunError: The run folder exists.
        DeviceError: The device that was asked for is not there.
        TrainingDiverged: The loss is no longer finite; the last finished epoch is whole.
        OutOfMemory: The device has too little memory.
    """
    with team(config.device) as processes:
        with processes.writes_alone():
            if processes.is_writer:
                refuse_taken(config.run_dir)  # now, not after the films have been decoded
        told = listener if processes.is_writer else ignore
        device = resolve_device(own_device(config.device, processes))
        network = _initial_network(config, told)
        progress = Progress()
        watch = Stopwatch(progress.spent)
        with processes.writer_first():
            data = prepare(config, told)
        watch.lap("decode")
        plan = make_plan(config, device, len(data.train_labels), processes, told)
        run = _new_run(config, plan, data, processes)
        with _held(run, processes):
            _run_epochs(Training(run, config, plan, data, network, progress, processes, told), None)
    return run


def resume(config: ResumeConfig, listener: Listener = ignore) -> RunFolder:
    """Continues a run after its last finished epoch.

    On the device it began on, the result equals that of an uninterrupted run bit for bit.

    Args:
        config: The run, and what may differ from its settings.
        listener: Gets progress, one event per epoch, and remarks.

    Returns:
        The finished run.

    Raises:
        RunError: There is no such run, it is finished or in use, its films have changed, or it was begun by another
            number of processes.
        ModelFileError: The checkpoint is damaged.
        DeviceError: The device is not there.
    """
    run = RunFolder.open(config.resume)
    settings = run.config()
    if config.epochs is not None:
        settings = settings.model_copy(update={"epochs": config.epochs})
    with team(config.device or settings.device) as processes, _held(run, processes):
        _resume(run, config, settings, processes, listener)
    return run


def _resume(run: RunFolder, config: ResumeConfig, settings: TrainConfig, processes: Team, listener: Listener) -> None:
    checkpoint = load_checkpoint(run)
    progress = checkpoint.progress
    if progress.epoch > settings.epochs:
        raise RunError(f"{run.path} has {progress.epoch} epochs already, more than --epochs {settings.epochs}")
    if run.finished and progress.epoch == settings.epochs:
        raise RunError(
            f"{run.path} has finished its {progress.epoch} epochs",
            f"{resume_command(run.path)} --epochs {2 * progress.epoch} trains on",
        )
    told = listener if processes.is_writer else ignore
    plan = restored_plan(checkpoint.plan, config, settings, processes)
    network = build_network(settings.seed)
    network.load_state_dict(checkpoint.model)
    watch = Stopwatch(progress.spent)
    with processes.writer_first():
        data = prepare_again(settings, run.manifest(), told)
    watch.lap("decode")
    with processes.writes_alone():
        if processes.is_writer and config.epochs is not None:
            run.write_config(settings)
    training = Training(run, settings, plan, data, network, progress, processes, told)
    _run_epochs(training, (checkpoint.optimizer, checkpoint.scaler, checkpoint.model))


def _initial_network(config: TrainConfig, listener: Listener) -> ResNet:
    network = build_network(config.seed)
    if config.pretrained:
        state = read_state_dict(config.weights) if config.weights is not None else imagenet_weights()
        if load_initial_weights(network, state):
            listener(Remark(f"starting from {config.weights}, its last layer included"))
    elif config.freeze == "backbone":
        listener(Remark("--freeze backbone from scratch trains one layer on random features", "warning"))
    return network


def _new_run(config: TrainConfig, plan: Plan, data: TrainingData, processes: Team) -> RunFolder:
    path: Path | None = None
    with processes.writes_alone():
        if processes.is_writer:
            run = RunFolder.create(config.run_dir, pretrained=config.pretrained)
            run.write_config(config)
            run.write_environment(describe(plan))
            data.manifest.write(run.manifest_file)
            path = run.path
    path = processes.from_writer(path)
    assert path is not None  # noqa: S101 - the first process has left the block, so it has made the folder
    return RunFolder(path)


def _run_epochs(
    training: Training, state: tuple[dict[str, object], dict[str, object], dict[str, Tensor]] | None
) -> None:
    """The epochs that are left, then the export; the run is this training's own."""
    run, config, plan, progress = training.run, training.config, training.plan, training.progress
    with ExitStack() as stack:
        listener = training.listener
        if config.tensorboard and training.team.is_writer:
            listener = stack.enter_context(tensorboard_listener(run.tensorboard_folder, progress.epoch, listener))
        stack.enter_context(_repeatable(plan.threads))
        stack.enter_context(
            lost_workers_told(f"free memory, or docker run --shm-size 1g; then {resume_command(run.path)}")
        )
        if plan.device == "cpu":
            return_large_blocks()
        probe = stack.enter_context(gpu_probe(torch.device(plan.device)))
        listener(RunStarted(run.path, progress.epoch + 1, config.epochs))
        learner = _learner(training)
        if state is not None:
            learner.optimizer.load_state_dict(state[0])
            learner.scaler.load_state_dict(state[1])
            with training.team.writes_alone():
                if training.team.is_writer:
                    _mend(training, learner)
        epochs = Epochs(training, learner, listener, probe)
        listener(TaskStarted("training", config.epochs * len(training.data.train_labels)))
        while progress.epoch < config.epochs and not _stops_early(config, progress):
            epochs.run_one(progress.epoch + 1)
        listener(TaskFinished("training"))
        stopped = progress.epoch < config.epochs
        with training.team.writes_alone():  # nobody leaves before the run is whole
            if training.team.is_writer:
                finish(run, config, training.data, progress, stopped_early=stopped, listener=listener)


@contextmanager
def _held(run: RunFolder, processes: Team) -> Iterator[None]:
    """Keeps other trainings out of the run."""
    with ExitStack() as lock:
        with processes.writes_alone():
            if processes.is_writer:
                lock.enter_context(run.locked())
                run.remove_leftovers()
        yield


def _learner(training: Training) -> Learner:
    config, labels = training.config, torch.tensor(training.data.train_labels)
    weights = torch.ones(2)
    if config.class_weights == "balanced":
        # n / (classes * films of the class), as in scikit-learn's class_weight="balanced"
        weights = len(labels) / (2 * torch.bincount(labels, minlength=2).to(torch.float32))
    return make_learner(
        training.network,
        training.plan,
        learning_rate=config.learning_rate,
        freeze=config.freeze,
        class_weights=weights,
        full=config.batch_size // training.team.size // config.accumulate,
        team=training.team,
        listener=training.listener,
    )


@contextmanager
def _repeatable(threads: int) -> Iterator[None]:
    """Sets what decides the order in which floats are added: without it a run could not be had twice.

    That is the number of threads on the CPU, and on CUDA which of several algorithms cuDNN takes for a convolution.
    """
    before = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.deterministic = before[1]


def _stops_early(config: TrainConfig, progress: Progress) -> bool:
    return (
        config.patience is not None
        and progress.epoch - progress.best_epoch >= config.patience > 0
        and progress.epoch > 0
    )


def _mend(training: Training, learner: Learner) -> None:
    """Rewrites what a kill between two files may have left behind the checkpoint."""
    run, progress = training.run, training.progress
    run.result_file.unlink(missing_ok=True)
    run.write_history(tuple(progress.history))
    if progress.best_epoch == progress.epoch:
        save_best_epoch(
            training,
            learner,
            validation_logits(replace(learner, team=Team()), training.data.val_films, training.config.batch_size),
        )
        return
    try:
        _, card = load_best(run.best_file)
    except ModelFileError as error:
        raise RunError(
            f"{run.best_file} of epoch {progress.best_epoch} is lost: {error.message}", "train again"
        ) from error
    if card.best_epoch != progress.best_epoch:
        raise RunError(
            f"{run.best_file} is of epoch {card.best_epoch}, the checkpoint's best is {progress.best_epoch}",
            "train again",
        )
