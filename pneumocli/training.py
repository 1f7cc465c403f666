"""``train()`` and ``resume()``: the order of things, epoch by epoch."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.models import ResNet

from pneumocli.checkpoint import Progress, is_better, load_best, load_checkpoint, save_best, save_checkpoint
from pneumocli.config import ResumeConfig, TrainConfig
from pneumocli.data.loading import TrainingBatches, epoch_batches
from pneumocli.distributed import Team, team
from pneumocli.environment import (
    GpuProbe,
    Plan,
    describe,
    gpu_probe,
    has_cpp_compiler,
    resolve_device,
    resolve_precision,
)
from pneumocli.errors import DeviceError, ModelFileError, RunError, TrainingDiverged
from pneumocli.events import (
    EpochFinished,
    Listener,
    Remark,
    RunStarted,
    TaskAdvanced,
    TaskFinished,
    TaskStarted,
    ignore,
)
from pneumocli.files import write_bytes
from pneumocli.finishing import card_of, finish
from pneumocli.metrics import accuracy, auroc, log_loss, sensitivity, specificity
from pneumocli.model import build_network, imagenet_weights, load_initial_weights, read_state_dict
from pneumocli.parallel import usable_cores
from pneumocli.plots import learning_curves
from pneumocli.preparation import TrainingData, prepare, prepare_again
from pneumocli.records import EpochRecord
from pneumocli.runs import RunFolder
from pneumocli.steps import Learner, Tally, features_of, make_learner, score, train_epoch, train_head_epoch
from pneumocli.tensorboard import tensorboard_listener

# With a frozen backbone, epoch e trains the head on view (e - 1) % 4 of each film: four augmented views run through
# the backbone once each, later epochs cost next to nothing.
FROZEN_VIEWS = 4

# Steps between two looks at the GPU and at the running loss: a look every few seconds, without a wait in each step.
_LOOK_SECONDS = 2.0

# torch.compile pays for itself only on long trainings: see docs/benchmarks.md for the measurements.
_COMPILE_FILMS = {"cpu": 120_000, "cuda": 60_000}

# Workers on a GPU: each prepares some 1,500 films/s, so eight keep up with any GPU that exists.
_MOST_WORKERS = 8


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
        told = listener if processes.is_writer else ignore
        device = resolve_device(_own_device(config.device, processes))
        network = _initial_network(config, told)
        data = _in_turn(processes, lambda: prepare(config, told))
        plan = _plan(config, device, len(data.train_labels), processes, told)
        run = _new_run(config, plan, data, processes)
        progress = Progress(history=[], best_epoch=0, seconds=0.0, spent={})
        _run_epochs(_Training(run, config, plan, data, network, progress, processes, told), None)
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
    checkpoint = load_checkpoint(run)
    progress = checkpoint.progress
    if progress.epoch > settings.epochs:
        raise RunError(f"{run.path} has {progress.epoch} epochs already, more than --epochs {settings.epochs}")
    if run.finished and progress.epoch == settings.epochs:
        raise RunError(
            f"{run.path} has finished its {progress.epoch} epochs",
            f"pneumo train --resume {run.path} --epochs {2 * progress.epoch} trains on",
        )
    with team(config.device or settings.device) as processes:
        told = listener if processes.is_writer else ignore
        plan = _restored_plan(checkpoint.plan, config, settings, processes)
        network = build_network(settings.seed)
        network.load_state_dict(checkpoint.model)
        data = _in_turn(processes, lambda: prepare_again(settings, run.manifest(), told))
        if processes.is_writer and config.epochs is not None:
            run.write_config(settings)
        training = _Training(run, settings, plan, data, network, progress, processes, told)
        _run_epochs(training, (checkpoint.optimizer, checkpoint.scaler, checkpoint.model))
    return run


@dataclass(frozen=True)
class _Training:
    """What a training works with, from its first session to its last."""

    run: RunFolder
    config: TrainConfig
    plan: Plan
    data: TrainingData
    network: ResNet
    progress: Progress
    team: Team
    listener: Listener


def _own_device(setting: str, processes: Team) -> str:
    return f"cuda:{processes.local_rank}" if processes.size > 1 and setting == "cuda" else setting


def _in_turn(processes: Team, work: Callable[[], TrainingData]) -> TrainingData:
    """The first process decodes and hashes; the others find it done."""
    if processes.is_writer:
        data = work()
        processes.from_writer(0)
        return data
    processes.from_writer(None)
    return work()


def _initial_network(config: TrainConfig, listener: Listener) -> ResNet:
    network = build_network(config.seed)
    if config.pretrained:
        state = read_state_dict(config.weights) if config.weights is not None else imagenet_weights()
        if load_initial_weights(network, state):
            listener(Remark(f"starting from {config.weights}, its last layer included"))
    elif config.freeze == "backbone":
        listener(Remark("--freeze backbone from scratch trains one layer on random features", "warning"))
    return network


def _plan(config: TrainConfig, device: torch.device, num_films: int, processes: Team, listener: Listener) -> Plan:
    """Resolves every ``auto``, from the device and the amount of work."""
    cores = usable_cores()
    threads = max(1, cores // processes.size) if processes.size > 1 else cores
    workers = config.workers
    if workers is None and config.freeze == "backbone":
        workers = 0  # few passes over the films
    elif workers is None and device.type == "cpu":
        # Cropping takes under 1 % of a step, and every worker would take a core from the step. Decoding takes more.
        workers = 0 if config.cache else min(_MOST_WORKERS, max(1, threads // 2))
    elif workers is None:
        workers = min(_MOST_WORKERS, max(1, cores // processes.size))
    return Plan(
        device=str(device),
        precision=resolve_precision(config.precision, device),
        compile=_compiles(config, device, num_films, processes, listener),
        threads=threads,
        workers=workers,
        world_size=processes.size,
    )


def _compiles(config: TrainConfig, device: torch.device, num_films: int, processes: Team, listener: Listener) -> bool:
    planned = num_films * config.epochs
    if config.freeze == "backbone" or processes.size > 1:
        if config.compile:
            why = "the backbone is frozen" if config.freeze == "backbone" else "there are several processes"
            listener(Remark(f"--compile has no effect: {why}", "warning"))
        return False
    if config.compile is None and (device.type not in _COMPILE_FILMS or planned < _COMPILE_FILMS[device.type]):
        return False
    if config.compile is False:
        return False
    if device.type == "cpu" and not has_cpp_compiler():
        listener(Remark("torch.compile needs a C++ compiler, and there is none: training without it", "warning"))
        return False
    listener(Remark("compiling the network (about a minute, once; --no-compile does without)"))
    return True


def _restored_plan(recorded: Plan, config: ResumeConfig, settings: TrainConfig, processes: Team) -> Plan:
    if recorded.world_size != processes.size:
        raise RunError(
            f"{config.resume} was begun by {recorded.world_size} processes and cannot be resumed by {processes.size}: "
            "each process holds its share of every batch",
            f"torchrun --nproc-per-node {recorded.world_size} -m pneumocli train --resume {config.resume}",
        )
    if config.device is None:
        name = (
            _own_device("cuda", processes)
            if recorded.device.startswith("cuda") and processes.size > 1
            else recorded.device
        )
        try:
            device = resolve_device(name)
        except DeviceError as error:
            raise DeviceError(
                f"the run was begun on {recorded.device}, which is not here: {error.message}",
                f"pneumo train --resume {config.resume} --device cpu (not bit-identical)",
            ) from error
        return replace(recorded, device=str(device))
    device = resolve_device(_own_device(config.device, processes))
    if str(device) == recorded.device:
        return recorded
    moved = settings.model_copy(update={"compile": False})
    return replace(_plan(moved, device, 0, processes, ignore), threads=recorded.threads)


def _new_run(config: TrainConfig, plan: Plan, data: TrainingData, processes: Team) -> RunFolder:
    path: Path | None = None
    if processes.is_writer:
        run = RunFolder.create(config.run_dir, pretrained=config.pretrained)
        run.write_config(config)
        run.write_environment(describe(plan))
        data.manifest.write(run.manifest_file)
        path = run.path
    return RunFolder(processes.from_writer(path))


def _run_epochs(
    training: _Training, state: tuple[dict[str, object], dict[str, object], dict[str, Tensor]] | None
) -> None:
    """The epochs that are left, then the export."""
    run, config, plan, progress = training.run, training.config, training.plan, training.progress
    with ExitStack() as stack:
        if training.team.is_writer:
            stack.enter_context(run.locked())
        listener = training.listener
        if config.tensorboard and training.team.is_writer:
            listener = stack.enter_context(tensorboard_listener(run.tensorboard_folder, progress.epoch, listener))
        stack.enter_context(_threads(plan.threads))
        probe = stack.enter_context(gpu_probe(torch.device(plan.device)))
        listener(RunStarted(run.path, progress.epoch + 1, config.epochs))
        learner = _learner(training)
        if state is not None:
            learner.optimizer.load_state_dict(state[0])
            learner.scaler.load_state_dict(state[1])
            _mend(training, learner)
        epochs = _Epochs(training, learner, listener, probe)
        listener(TaskStarted("training", config.epochs * len(training.data.train_labels)))
        while progress.epoch < config.epochs and not _stops_early(config, progress):
            epochs.run_one(progress.epoch + 1)
        listener(TaskFinished("training"))
        if training.team.is_writer:
            stopped = progress.epoch < config.epochs
            finish(run, config, training.data, progress, stopped_early=stopped, listener=listener)


def _learner(training: _Training) -> Learner:
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
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Sets torch's threads: another number adds floats in another order, and a run could not be had twice."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _stops_early(config: TrainConfig, progress: Progress) -> bool:
    return (
        config.patience is not None
        and progress.epoch - progress.best_epoch >= config.patience > 0
        and progress.epoch > 0
    )


def _mend(training: _Training, learner: Learner) -> None:
    """Rewrites what a kill between two files may have left behind the checkpoint."""
    if not training.team.is_writer:
        return
    run, progress = training.run, training.progress
    run.result_file.unlink(missing_ok=True)
    run.write_history(tuple(progress.history))
    if progress.best_epoch == progress.epoch:
        _save_best(
            training, learner, score(replace(learner, team=Team()), training.data.val_films, training.config.batch_size)
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


def _save_best(training: _Training, learner: Learner, logits: Tensor) -> None:
    record = training.progress.history[-1]
    card = card_of(training.config, training.data, record, (logits[:, 1] - logits[:, 0]).numpy())
    save_best(training.run.best_file, learner.network.state_dict(), card)


class _Epochs:
    """Runs epochs one after the other; holds what outlives an epoch but not a session."""

    def __init__(self, training: _Training, learner: Learner, listener: Listener, probe: GpuProbe | None) -> None:
        self._training = training
        self._learner = learner
        self._listener = listener
        self._probe = probe
        self._labels = torch.tensor(training.data.train_labels)
        self._batches = self._training_batches()
        self._views: dict[int, Tensor] = {}

    def _training_batches(self) -> TrainingBatches:
        config, plan = self._training.config, self._training.plan
        return TrainingBatches(
            self._training.data.crops,
            image_size=config.image_size,
            batch_size=config.batch_size,
            accumulate=config.accumulate,
            seed=config.seed,
            workers=plan.workers,
            device=torch.device(plan.device),
            team=self._training.team,
        )

    def run_one(self, epoch: int) -> None:
        """Trains, validates and saves one epoch."""
        training, progress = self._training, self._training.progress
        began = time.perf_counter()
        tally = self._train(epoch)
        trained = time.perf_counter()
        loss = float(tally.loss_sum) / tally.num_films
        self._check_finite(loss, epoch, "training")
        logits = score(self._learner, training.data.val_films, training.config.batch_size)
        validated = time.perf_counter()
        record, sens, spec = self._record(epoch, loss, logits, tally, validated - began)
        self._check_finite(record.val_loss, epoch, "validation")
        best = is_better(record, progress.history[progress.best_epoch - 1] if progress.best_epoch else None)
        progress.history.append(record)
        if best:
            progress.best_epoch = epoch
        self._spend("wait", tally.wait_seconds)
        self._spend("compute", trained - began - tally.wait_seconds)
        self._spend("validate", validated - trained)
        progress.seconds += validated - began
        if training.team.is_writer:
            self._save(logits, best=best)
        saved = time.perf_counter() - validated
        self._spend("save", saved)
        progress.seconds += saved
        self._listener(EpochFinished(record, sens, spec, is_best=best, num_epochs=training.config.epochs))

    def _spend(self, what: str, seconds: float) -> None:
        spent = self._training.progress.spent
        spent[what] = spent.get(what, 0.0) + seconds

    def _train(self, epoch: int) -> Tally:
        tick = _Ticker(self._training, self._listener, self._probe, epoch)
        if self._training.config.freeze == "none":
            return train_epoch(self._learner, self._batches, self._labels, epoch, tick)
        began = time.perf_counter()
        features = self._view((epoch - 1) % FROZEN_VIEWS)
        config = self._training.config
        batches = epoch_batches(len(self._labels), config.batch_size, config.seed, epoch, smallest=1)
        tally = train_head_epoch(self._learner, features, batches, self._labels, tick)
        tally.seconds = time.perf_counter() - began
        return tally

    def _view(self, view: int) -> Tensor:
        """The features of every training film in one augmented view; computed when first asked for."""
        if view not in self._views:
            # Epoch view + 1 decides the augmentation, whichever epoch asks: a resumed run gets the same features.
            self._views[view] = features_of(self._learner, self._batches.epoch(view + 1))
        return self._views[view]

    def _record(
        self, epoch: int, loss: float, logits: Tensor, tally: Tally, seconds: float
    ) -> tuple[EpochRecord, float | None, float | None]:
        labels = np.asarray(self._training.data.val_labels)
        scores = (logits[:, 1] - logits[:, 0]).numpy()
        predicted = scores >= 0
        record = EpochRecord(
            epoch=epoch,
            train_loss=loss,
            val_loss=log_loss(labels, scores) if np.isfinite(scores).all() else math.nan,
            val_accuracy=accuracy(labels, predicted),
            val_auroc=auroc(labels, scores),
            learning_rate=self._training.config.learning_rate,
            seconds=seconds,
            images_per_second=tally.num_films / tally.seconds,
        )
        return record, sensitivity(labels, predicted), specificity(labels, predicted)

    def _check_finite(self, loss: float, epoch: int, which: str) -> None:
        if not math.isfinite(loss):
            run, rate = self._training.run.path, self._training.config.learning_rate
            raise TrainingDiverged(
                f"the {which} loss of epoch {epoch} is not finite at learning rate {rate:g}; nothing was written for it",
                f"train again with --lr {rate / 10:g}; the run {run} ends with epoch {epoch - 1}",
            )

    def _save(self, logits: Tensor, *, best: bool) -> None:
        # The checkpoint first: what follows can be made from it again, see checkpoint.py.
        training, run = self._training, self._training.run
        save_checkpoint(run, self._learner, training.progress, training.plan)
        if best:
            _save_best(training, self._learner, logits)
        run.write_history(tuple(training.progress.history))
        write_bytes(run.curves_file, learning_curves(training.progress.history))


class _Ticker:
    """Turns steps into progress events, without making the device wait for each."""

    def __init__(self, training: _Training, listener: Listener, probe: GpuProbe | None, epoch: int) -> None:
        self._listener = listener
        self._probe = probe
        self._before = (epoch - 1) * len(training.data.train_labels)
        self._head = f"epoch {epoch}/{training.config.epochs}"
        self._looked = -math.inf
        self._detail = self._head
        self._pending: tuple[Tensor, int] | None = None

    def __call__(self, done: int, loss_sum: Tensor) -> None:
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look(done, loss_sum)
        self._listener(TaskAdvanced("training", self._before + done, self._detail))

    def _look(self, done: int, loss_sum: Tensor) -> None:
        if self._pending is not None:
            total, films = self._pending  # copied two seconds ago: here by now
            self._detail = f"{self._head}  loss {float(total) / films:.4f}"
        self._pending = (loss_sum.to("cpu", non_blocking=True, copy=True), done)
        if self._probe is not None:
            self._listener(self._probe.sample())
