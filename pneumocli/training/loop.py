"""One epoch after the other: train, validate, record, save."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models import ResNet

from pneumocli.core.config import SELECTED_BY, TrainConfig
from pneumocli.core.errors import ModelFileError, PneumoError, RunError, TrainingDiverged, resume_command
from pneumocli.core.events import EpochFinished, Listener, Remark, RunStarted, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.core.files import write_bytes
from pneumocli.core.memory import has_memory_to_keep, keep_freed_blocks, return_free_blocks, return_large_blocks
from pneumocli.core.records import EpochRecord
from pneumocli.core.signals import postponed
from pneumocli.metrics.classification import accuracy, auroc, log_loss, sensitivity, specificity
from pneumocli.model.device import Snapshot, current_device
from pneumocli.model.weights import Outputs, load_best, save_best
from pneumocli.reporting.batch_picture import MOST_SHOWN, batch_picture
from pneumocli.reporting.figures import learning_curves
from pneumocli.run_folder import RunFolder
from pneumocli.training.augmentation import Augmentation
from pneumocli.training.checkpoint import Checkpoint, Progress, save_checkpoint, save_within_epoch
from pneumocli.training.dataset import TrainingData
from pneumocli.training.device_films import kept_films
from pneumocli.training.distributed import Team
from pneumocli.training.finish import card_of, finish
from pneumocli.training.gpu_probe import GpuProbe, gpu_probe
from pneumocli.training.interruption import Interruptions
from pneumocli.training.loader import Batching, Part, TrainingBatches, epoch_batches, lost_workers_reported
from pneumocli.training.plan import Plan, where_to_resize
from pneumocli.training.schedule import Method
from pneumocli.training.step import (
    Learner,
    Targets,
    features_of,
    make_learner,
    restore,
    train_epoch,
    train_head_epoch,
    validation_outputs,
)
from pneumocli.training.tally import EpochPart, Tally
from pneumocli.training.tensorboard import tensorboard_listener
from pneumocli.training.timing import Pace, Stopwatch

# With a frozen backbone, epoch e trains the head on view (e - 1) % 4 of each film: four augmented views run through
# the backbone once each, later epochs cost next to nothing.
FROZEN_VIEWS = 4

# Between two looks at the GPU and at the running loss: progress without a wait in each step.
_LOOK_SECONDS = 2.0


@dataclass
class Training:
    """A training: the owner of its state, from the first epoch of a session to the finished run.

    Attributes:
        run: Where it writes.
        config: The settings of the run.
        plan: Their resolved form.
        data: The films.
        network: With its initial weights, or those of the checkpoint; changed in place.
        progress: The epochs of all sessions.
        team: The processes that share the work.
        listener: Gets progress.
    """

    run: RunFolder
    config: TrainConfig
    plan: Plan
    data: TrainingData
    network: ResNet
    progress: Progress
    team: Team
    listener: Listener

    def __post_init__(self) -> None:
        self._targets = Targets.of(self.config, self.data.train_labels, self.data.hard.train_hard)
        self._views: dict[int, Tensor] = {}  # features of all films by view, with a frozen backbone
        self._pace = Pace(FROZEN_VIEWS)
        self._probe: GpuProbe | None = None
        self._begun: EpochPart | None = None  # what an earlier session has done of this session's first epoch
        self._interruptions = Interruptions(self.config.checkpoint_minutes, self.team, lambda: 0)

    def complete(self, checkpoint: Checkpoint | None = None, *, with_model: bool = True) -> None:
        """Runs the epochs that are left and writes what a finished run holds.

        Args:
            checkpoint: Where an earlier session ended; ``None`` for a new run.
            with_model: Write the model file and finish; without, the run stays as its last epoch left it.

        Raises:
            Stopped: A signal has asked to end; what has been done of the epoch is on disk.
            TrainingDiverged: The loss is not finite; nothing of that epoch has been kept.
            OutOfMemory: The device has too little memory.
        """
        with self._surroundings():
            chosen_by = SELECTED_BY[self.config.select]
            self.listener(RunStarted(self.run.path, self.progress.epoch + 1, self.config.epochs, chosen_by))
            watch = Stopwatch(self.progress.spent)
            self._batches = self._training_batches()
            watch.lap("decode")
            self._learner = self._make_learner()
            if checkpoint is not None:
                self._restore(checkpoint)
            self.listener(TaskStarted("training", self.config.epochs * len(self.data.train_labels)))
            with postponed() as signalled:
                self._interruptions = Interruptions(self.config.checkpoint_minutes, self.team, signalled)
                while self.progress.epoch < self.config.epochs and not self.progress.stalled(self.config.patience):
                    self._run_epoch(self.progress.epoch + 1)
            self.listener(TaskFinished("training"))
            with self.team.writes_alone():  # nobody leaves before the run is whole
                if self.team.is_writer and with_model:
                    device = torch.device(self.plan.device)
                    finish(self.run, self.config, self.data, self.progress, self.listener, device)

    def _run_epoch(self, epoch: int) -> None:
        """Trains, validates and saves; the epoch is on disk when this returns."""
        begun, self._begun = self._begun, None
        watch = Stopwatch(self.progress.spent)
        tally = self._train(epoch, begun, watch)
        watch.lap("compute", of_which=("wait", tally.newly_waited()))
        loss = float(tally.loss_sum) / tally.num_films
        self._check_finite(loss, epoch, "training")
        outputs = self._validate(epoch, tally, watch)
        watch.lap("validate")
        seconds = watch.seconds + (begun.seconds if begun is not None else 0.0)
        self._check_finite(float(np.abs(outputs.scores).max()), epoch, "validation")
        record, sens, spec = self._record(epoch, loss, outputs.scores, tally, seconds)
        best = self.progress.add(record, self.config.select)
        with self.team.writes_alone():
            if self.team.is_writer:
                self._save(outputs, best=best)
        self._interruptions.written()
        return_free_blocks()  # else the next epoch's activations would lie beside what this one has left
        watch.lap("save")
        self._pace.add(seconds, tally.start_up_seconds, tally.view_seconds)
        left = self._pace.left(self.config.epochs - epoch)
        self.listener(EpochFinished(record, sens, spec, best, self.config.epochs, left))

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Sets up what lasts for a session: listeners, number of threads, errors of lost workers translated."""
        events: AbstractContextManager[Listener] = nullcontext(self.listener)
        if self.config.tensorboard and self.team.is_writer:
            events = tensorboard_listener(self.run.tensorboard_folder, self.progress.epoch, self.listener)
        device = torch.device(self.plan.device)
        hint = f"free memory, or docker run --shm-size 1g; then {resume_command(self.run.path)}"
        with (
            current_device(device),
            events as self.listener,
            _repeatable(self.plan.threads),
            lost_workers_reported(hint),
        ):
            if device.type == "cpu":
                self._choose_what_becomes_of_freed_memory()
            with gpu_probe(device) as self._probe:
                yield

    def _choose_what_becomes_of_freed_memory(self) -> None:
        """For the session, whatever an earlier one did: no result depends on it."""
        enough = has_memory_to_keep(self.team.local_size)
        if enough and not self.config.low_memory:
            keep_freed_blocks()
            return
        return_large_blocks()
        if not enough and not self.config.low_memory:
            self.listener(Remark("less than 4 GB of memory are free: training with less of it, some 15 % slower"))

    def _training_batches(self) -> TrainingBatches:
        device = torch.device(self.plan.device)
        augmentation = Augmentation.of(self.config)
        batching = Batching(
            image_size=self.config.image_size,
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            device=device,
            accumulate=self.config.accumulate,
            workers=self.plan.workers,
            resize=where_to_resize(device, augmentation),
        )
        films = kept_films(self.data.crops, self.config, device, self.listener)
        return TrainingBatches(films, augmentation, batching, self.team)

    def _make_learner(self) -> Learner:
        return make_learner(
            self.network,
            self.plan,
            method=Method.of(self.config, self._steps_per_epoch),
            freeze=self.config.freeze,
            full=self.config.batch_size // self.team.size // self.config.accumulate,
            team=self.team,
            listener=self.listener,
        )

    @property
    def _steps_per_epoch(self) -> int:
        return len(self._head_batches(1)) if self.config.freeze == "backbone" else self._batches.steps_per_epoch

    def _head_batches(self, epoch: int) -> list[list[int]]:
        return epoch_batches(len(self.data.train_labels), self.config.batch_size, self.config.seed, epoch, smallest=1)

    def _restore(self, checkpoint: Checkpoint) -> None:
        restore(self._learner, checkpoint.optimizer, checkpoint.scaler)
        self._begun = checkpoint.part
        steps = 0 if checkpoint.part is None else checkpoint.part.steps
        self._learner.pacer.steps = self.progress.epoch * self._steps_per_epoch + steps
        if self._learner.average is not None:
            self._learner.average.network.load_state_dict(checkpoint.averaged())
        with self.team.writes_alone():
            if self.team.is_writer:
                self._repair()

    def _repair(self) -> None:
        """Rewrites what a kill between two files may have left behind the checkpoint."""
        run, progress = self.run, self.progress
        run.result_file.unlink(missing_ok=True)
        if progress.epoch == 0:
            return
        run.write_history(tuple(progress.history))
        if self._begun is None:
            run.within_epoch_file.unlink(missing_ok=True)
        if progress.best_epoch == progress.epoch and self._begun is None:
            alone = replace(self._learner, team=Team())
            self._save_best(validation_outputs(alone, self.data.val_films, self.config.batch_size))
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

    def _train(self, epoch: int, begun: EpochPart | None, watch: Stopwatch) -> Tally:
        ticker = _Ticker(self, self._probe, epoch)

        def tick(tally: Tally) -> None:
            ticker(tally)
            if self.config.freeze == "none":
                self._interruptions.after_step(lambda: self._keep_part(epoch, tally, watch, self.team))
            else:
                self._interruptions.anywhere()  # an epoch of the last layer is a second's work

        if self.config.freeze == "none":
            parts = self._pictured(self._batches.epoch(epoch, after=0 if begun is None else begun.steps))
            return train_epoch(self._learner, parts, self._targets, tick, begun)
        began = time.perf_counter()
        features = self._view((epoch - 1) % FROZEN_VIEWS)
        view_seconds = time.perf_counter() - began
        tally = train_head_epoch(self._learner, features, self._head_batches(epoch), self._targets, tick)
        tally.seconds = time.perf_counter() - began
        tally.view_seconds = view_seconds
        return tally

    def _view(self, view: int) -> Tensor:
        """The features of every training film in one augmented view; computed when first asked for."""
        if view not in self._views:
            # Epoch view + 1 decides the augmentation, whichever epoch asks: a resumed run gets the same features.
            parts = self._pictured(self._batches.epoch(view + 1))
            self._views[view] = features_of(self._learner, self._until_stopped(parts))
        return self._views[view]

    def _pictured(self, parts: Iterator[Part]) -> Iterator[Part]:
        """The same; the first batch that the run's first process works on is drawn, once for a run."""
        drawn = not self.team.is_writer or self.run.batch_file.exists()
        for part in parts:
            if not drawn:
                labels = [self.data.train_labels[film] for film in part.films[:MOST_SHOWN].tolist()]
                write_bytes(self.run.batch_file, batch_picture(part.pixels[:MOST_SHOWN].cpu().numpy(), labels))
                drawn = True
            yield part

    def _until_stopped(self, parts: Iterator[Part]) -> Iterator[Part]:
        for part in parts:
            self._interruptions.anywhere()
            yield part

    def _validate(self, epoch: int, tally: Tally, watch: Stopwatch) -> Outputs:
        """Scores the validation films; a signal in between keeps the epoch's steps, all of which are done."""

        def tick(_: int) -> None:
            trained = self.config.freeze == "none"
            self._interruptions.anywhere(lambda: self._keep_part(epoch, tally, watch, Team()) if trained else None)

        return validation_outputs(self._learner, self.data.val_films, self.config.batch_size, tick)

    def _keep_part(self, epoch: int, tally: Tally, watch: Stopwatch, team: Team) -> None:
        """Writes a checkpoint within an epoch. Where that fails, an older one serves, and training goes on."""
        watch.lap("compute", of_which=("wait", tally.newly_waited()))
        part = tally.part(team)
        self._check_finite(sum(part.loss_sums), epoch, "training")
        with team.writes_alone():
            if self.team.is_writer:
                try:
                    save_within_epoch(self.run, self._learner, self.progress, self.plan, part)
                except PneumoError as error:
                    what = f"no checkpoint within epoch {epoch}: {error.message}"
                    self.listener(Remark(f"{what}; an older one serves", "warning"))
        watch.lap("save")

    def _record(
        self, epoch: int, loss: float, scores: NDArray[np.float32], tally: Tally, seconds: float
    ) -> tuple[EpochRecord, float | None, float | None]:
        labels = np.asarray(self.data.val_labels)
        predicted = scores >= 0
        record = EpochRecord(
            epoch=epoch,
            train_loss=loss,
            val_loss=log_loss(labels, scores),
            val_accuracy=accuracy(labels, predicted),
            val_auroc=auroc(labels, scores),
            learning_rate=self._learner.pacer.rate,
            seconds=seconds,
            images_per_second=tally.num_films / tally.seconds,
            **self.data.hard.epoch_columns(scores),
        )
        return record, sensitivity(labels, predicted), specificity(labels, predicted)

    def _check_finite(self, loss: float, epoch: int, which: str) -> None:
        if not math.isfinite(loss):
            rate = self.config.learning_rate
            raise TrainingDiverged(
                f"the {which} loss of epoch {epoch} is not finite at learning rate {rate:g}; its weights were not kept",
                f"train again with --lr {rate / 10:g}; the run {self.run.path} ends with epoch {epoch - 1}",
            )

    def _save(self, outputs: Outputs, *, best: bool) -> None:
        # The checkpoint first: what follows can be made from it again, see checkpoint.py.
        save_checkpoint(self.run, self._learner, self.progress, self.plan)
        if best:
            self._save_best(outputs)
        self.run.write_history(tuple(self.progress.history))
        write_bytes(self.run.curves_file, learning_curves(self.progress.history, self.progress.best_epoch))

    def _save_best(self, outputs: Outputs) -> None:
        """Writes ``best.pt`` from the last epoch and what it gives for the validation films."""
        card = card_of(self.config, self.data, self.progress.history[-1], outputs.scores)
        save_best(self.run.best_file, self._learner.evaluated.network.state_dict(), card, outputs=outputs)


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


class _Ticker:
    """Turns steps into progress events, without making the device wait for each."""

    def __init__(self, training: Training, probe: GpuProbe | None, epoch: int) -> None:
        self._listener = training.listener
        self._probe = probe
        self._before = (epoch - 1) * len(training.data.train_labels)
        self._head = f"epoch {epoch}/{training.config.epochs}"
        self._looked = -math.inf
        self._detail = self._head
        self._pending: tuple[Snapshot, int] | None = None

    def __call__(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look(tally.num_films, tally.loss_sum)
        self._listener(TaskAdvanced("training", self._before + tally.num_films, self._detail))

    def _look(self, done: int, loss_sum: Tensor) -> None:
        if self._pending is not None:
            total, films = self._pending
            self._detail = f"{self._head}  loss {total.value() / films:.4f}"
        self._pending = (Snapshot(loss_sum), done)
        if self._probe is not None:
            self._listener(self._probe.sample())
