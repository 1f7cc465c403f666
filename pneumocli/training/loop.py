"""One epoch after the other: train, validate, record, save."""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.models import ResNet

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import TrainingDiverged
from pneumocli.core.events import EpochFinished, Listener, TaskAdvanced
from pneumocli.core.files import write_bytes
from pneumocli.core.memory import return_free_blocks
from pneumocli.core.records import EpochRecord
from pneumocli.metrics.classification import accuracy, auroc, log_loss, sensitivity, specificity
from pneumocli.model.weights import save_best
from pneumocli.reporting.figures import learning_curves
from pneumocli.run_folder import RunFolder
from pneumocli.training.checkpoint import Progress, save_checkpoint
from pneumocli.training.dataset import TrainingData
from pneumocli.training.distributed import Team
from pneumocli.training.finish import card_of
from pneumocli.training.gpu_probe import GpuProbe
from pneumocli.training.loader import TrainingBatches, epoch_batches
from pneumocli.training.plan import Plan, where_to_resize
from pneumocli.training.step import Learner, Tally, features_of, train_epoch, train_head_epoch, validation_logits
from pneumocli.training.timing import Pace, Stopwatch

# With a frozen backbone, epoch e trains the head on view (e - 1) % 4 of each film: four augmented views run through
# the backbone once each, later epochs cost next to nothing.
FROZEN_VIEWS = 4

# Between two looks at the GPU and at the running loss: progress without a wait in each step.
_LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Training:
    """What a training works with, from its first session to its last."""

    run: RunFolder
    config: TrainConfig
    plan: Plan
    data: TrainingData
    network: ResNet
    progress: Progress
    team: Team
    listener: Listener


def save_best_epoch(training: Training, learner: Learner, logits: Tensor) -> None:
    """Writes ``best.pt`` from the last epoch.

    Args:
        training: Its last finished epoch is the best.
        learner: Holds that epoch's weights.
        logits: Of the validation films, float32 (N,2).
    """
    record = training.progress.history[-1]
    card = card_of(training.config, training.data, record, (logits[:, 1] - logits[:, 0]).numpy())
    save_best(training.run.best_file, learner.network.state_dict(), card)


class Epochs:
    """Runs epochs one after the other; holds what outlives an epoch but not a session."""

    def __init__(self, training: Training, learner: Learner, listener: Listener, probe: GpuProbe | None) -> None:
        self._training = training
        self._learner = learner
        self._listener = listener
        self._probe = probe
        self._labels = torch.tensor(training.data.train_labels)
        self._batches = self._training_batches()
        self._views: dict[int, Tensor] = {}
        self._pace = Pace(FROZEN_VIEWS)

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
            resize=where_to_resize(torch.device(plan.device)),
            team=self._training.team,
        )

    def run_one(self, epoch: int) -> None:
        """Trains, validates and saves; the epoch is on disk when this returns.

        Raises:
            TrainingDiverged: The loss is not finite; nothing of the epoch has been written.
        """
        training, progress = self._training, self._training.progress
        watch = Stopwatch(progress.spent)
        tally = self._train(epoch)
        watch.lap("compute", of_which=("wait", tally.wait_seconds))
        loss = float(tally.loss_sum) / tally.num_films
        self._check_finite(loss, epoch, "training")
        logits = validation_logits(self._learner, training.data.val_films, training.config.batch_size)
        watch.lap("validate")
        record, sens, spec = self._record(epoch, loss, logits, tally, watch.seconds)
        self._check_finite(record.val_loss, epoch, "validation")
        best = progress.add(record)
        with training.team.writes_alone():
            if training.team.is_writer:
                self._save(logits, best=best)
        return_free_blocks()  # else the next epoch's activations would lie beside what this one has left
        watch.lap("save")
        self._pace.add(watch.seconds, tally.start_up_seconds, tally.view_seconds)
        left = self._pace.left(training.config.epochs - epoch)
        self._listener(EpochFinished(record, sens, spec, best, training.config.epochs, left))

    def _train(self, epoch: int) -> Tally:
        tick = _Ticker(self._training, self._listener, self._probe, epoch)
        if self._training.config.freeze == "none":
            return train_epoch(self._learner, self._batches, self._labels, epoch, tick)
        began = time.perf_counter()
        features = self._view((epoch - 1) % FROZEN_VIEWS)
        view_seconds = time.perf_counter() - began
        config = self._training.config
        batches = epoch_batches(len(self._labels), config.batch_size, config.seed, epoch, smallest=1)
        tally = train_head_epoch(self._learner, features, batches, self._labels, tick)
        tally.seconds = time.perf_counter() - began
        tally.view_seconds = view_seconds
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
                f"the {which} loss of epoch {epoch} is not finite at learning rate {rate:g}; its weights were not kept",
                f"train again with --lr {rate / 10:g}; the run {run} ends with epoch {epoch - 1}",
            )

    def _save(self, logits: Tensor, *, best: bool) -> None:
        # The checkpoint first: what follows can be made from it again, see checkpoint.py.
        training, run = self._training, self._training.run
        save_checkpoint(run, self._learner, training.progress, training.plan)
        if best:
            save_best_epoch(training, self._learner, logits)
        run.write_history(tuple(training.progress.history))
        write_bytes(run.curves_file, learning_curves(training.progress.history))


class _Ticker:
    """Turns steps into progress events, without making the device wait for each."""

    def __init__(self, training: Training, listener: Listener, probe: GpuProbe | None, epoch: int) -> None:
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
