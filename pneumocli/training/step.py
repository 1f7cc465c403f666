"""Forward, backward, step: one epoch of training, and scoring the validation films. Plain functions, no trainer."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torchvision.models import ResNet

from pneumocli.core.config import TrainConfig
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.model.device import ieee_float32, memory_errors_translated, to_device
from pneumocli.model.network import DeployableNet, freeze_backbone, looked_up, set_training
from pneumocli.model.weights import Outputs
from pneumocli.training.averaging import AveragedWeights
from pneumocli.training.distributed import Team, exchanging
from pneumocli.training.film_cache import Films
from pneumocli.training.loader import Part, stacked
from pneumocli.training.plan import Plan
from pneumocli.training.schedule import Method, Pacer
from pneumocli.training.tally import EpochPart, Tally

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_NO_MEMORY = (
    "the device has too little memory for these settings",
    "train in smaller parts with --accumulate 2 (then 4, 8 ...), which keeps the batch size, or halve --batch-size",
)
_NO_MEMORY_FOR_NETWORK = (
    "the device has too little memory for the network and its optimiser",
    "end other programs that use it (nvidia-smi shows those on an NVIDIA GPU), or take another one with --device",
)


@dataclass(frozen=True)
class Targets:
    """What the network is to answer for each training film, and how much each counts.

    Attributes:
        labels: int64 (N,), by film number, on the CPU.
        weights: float32 (N,), above 0, on the CPU; only their ratios matter.
    """

    labels: Tensor
    weights: Tensor

    @classmethod
    def of(cls, config: TrainConfig, labels: Sequence[int], hard: NDArray[np.bool_] | None) -> "Targets":
        """The targets of a run's training films.

        Args:
            config: The run's settings.
            labels: 0 or 1, (N,).
            hard: Whether each film is hard, (N,); ``None`` where none is hard or easy.
        """
        truth = torch.tensor(labels)
        weights = torch.ones(len(truth))
        if config.class_weights == "balanced":
            # n / (classes * films of the class), as in scikit-learn's class_weight="balanced"
            weights = (len(truth) / (2 * torch.bincount(truth, minlength=2).to(torch.float32)))[truth]
        if hard is not None:
            weights = torch.where(torch.from_numpy(hard), config.hard_weight * weights, weights)
        return cls(truth, weights)

    def of_part(self, films: Tensor, batch: list[int]) -> "PartTargets":
        """The targets of a part of a batch: of its ``films``, and the weight of the whole ``batch``."""
        return PartTargets(self.labels[films], self.weights[films], self.weights[batch].sum())

    @property
    def prevalence(self) -> float:
        """Share of PNEUMONIA among the films as the loss weighs them: what the network's probabilities assume."""
        weights = self.weights.double()
        return float((weights * self.labels).sum() / weights.sum())


class PartTargets(NamedTuple):
    """Targets of the films of a part of a batch, on the CPU.

    Attributes:
        labels: int64 (n,).
        weights: float32 (n,).
        total_weight: Sum of the weights of the whole batch, of all its parts and processes, float32 ().
    """

    labels: Tensor
    weights: Tensor
    total_weight: Tensor


Tick = Callable[[Tally], None]
"""Called after each step with what the epoch adds up to so far; its sum of losses is still on the device."""


@dataclass(frozen=True)
class Learner:
    """A network with all that a step needs.

    Attributes:
        network: On the device, in its :func:`layout`.
        deployable: The same network behind its normalisation.
        levels: Normalised grey levels in the precision's dtype, (256,3): a step looks its pixels up there.
        average: Its averaged weights, where they are wanted.
        evaluated: What is validated, kept and exported, behind its normalisation: the average, or the network itself.
        stepped: What the forward pass of a step calls: the network, or a wrapper of it that averages gradients over
            processes.
        compiled: The compiled network for batches of ``full`` films; others run as they are, because each new size
            would be compiled anew.
        full: Films of a full part of a batch.
        optimizer: Adam over what is trained, or AdamW.
        pacer: Gives it the learning rate of every step.
        scaler: Scales the loss for fp16; does nothing otherwise.
        precision: Arithmetic of forward and backward.
        freeze: What is not trained.
        team: The processes of the training.
        device: Where the network is.
    """

    network: ResNet
    deployable: DeployableNet
    levels: Tensor
    average: AveragedWeights | None
    evaluated: DeployableNet
    stepped: nn.Module
    compiled: Callable[[Tensor], Tensor] | None
    full: int
    optimizer: torch.optim.Adam
    pacer: Pacer
    scaler: torch.amp.GradScaler
    precision: Literal["fp32", "bf16", "fp16"]
    freeze: Literal["none", "backbone"]
    team: Team
    device: torch.device


@memory_errors_translated(*_NO_MEMORY_FOR_NETWORK)
def make_learner(  # noqa: PLR0913 - all named by the one caller
    network: ResNet,
    plan: Plan,
    *,
    method: Method,
    freeze: Literal["none", "backbone"],
    full: int,
    team: Team,
    listener: Listener = ignore,
) -> Learner:
    """Put a network on its device and give it an optimiser.

    Args:
        network: With its initial weights; changed in place.
        plan: Device, precision and whether to compile.
        method: How steps are made.
        freeze: What is not trained.
        full: Films of a full part of a batch in this process.
        team: The processes of the training.
        listener: Gets a warning where the network cannot be compiled after all.
    """
    device = torch.device(plan.device)
    network.to(device, memory_format=layout(device))
    if freeze == "backbone":
        freeze_backbone(network)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if _keeps_gradients(device):
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
    average = AveragedWeights(network, method.average_steps) if method.average_steps else None
    deployable = DeployableNet(network).to(device)
    stepped: nn.Module = network
    if team.size > 1 and freeze == "none":
        stepped = exchanging(network, device)
    return Learner(
        network=network,
        deployable=deployable,
        levels=deployable.levels(_DTYPES[plan.precision]),
        average=average,
        evaluated=DeployableNet(average.network).to(device) if average else deployable,
        stepped=stepped,
        compiled=_Compiled(network, listener) if plan.compile else None,
        full=full,
        optimizer=_optimizer(trained, method, fused=device.type in ("cpu", "cuda")),
        pacer=Pacer(method),
        scaler=torch.amp.GradScaler(device.type, enabled=plan.precision == "fp16"),
        precision=plan.precision,
        freeze=freeze,
        team=team,
        device=device,
    )


def _optimizer(trained: list[nn.Parameter], method: Method, *, fused: bool) -> torch.optim.Adam:
    if not method.weight_decay:
        return torch.optim.Adam(trained, lr=method.learning_rate, fused=fused)
    # Biases and BatchNorm's scales are vectors. Decay would pull them to 0, where they switch a channel off.
    groups = [
        {"params": [parameter for parameter in trained if parameter.dim() > 1], "weight_decay": method.weight_decay},
        {"params": [parameter for parameter in trained if parameter.dim() == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=method.learning_rate, fused=fused)


@memory_errors_translated(*_NO_MEMORY_FOR_NETWORK)
def restore(learner: Learner, optimizer: dict[str, Any], scaler: dict[str, Any]) -> None:
    """Gives a learner the state of an earlier session.

    Args:
        learner: Changed in place.
        optimizer: Adam's state.
        scaler: The state of the loss scale; empty where that session did not train in fp16, and then left as it is.
    """
    learner.optimizer.load_state_dict(optimizer)
    if scaler:
        learner.scaler.load_state_dict(scaler)


class _Compiled:
    """The compiled network; the network as it is from the first call on where this machine cannot compile it."""

    def __init__(self, network: ResNet, listener: Listener) -> None:
        self._network = network
        self._listener = listener
        # Where nvcc is installed without a GPU, torch says so in the middle of the progress: nobody asked for one.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        self._forward: Callable[[Tensor], Tensor] = torch.compile(network)

    def __call__(self, inputs: Tensor) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException  # what torch.compile raises; it has no public name

        try:
            return self._forward(inputs)
        except TorchDynamoException as error:  # before anything has run: no running statistics have moved
            self._forward = self._network
            reason = str(error).partition("\n")[0]
            self._listener(Remark(f"the network cannot be compiled here: training without it ({reason})", "warning"))
            return self._forward(inputs)


def train_epoch(
    learner: Learner, parts: Iterator[Part], targets: Targets, tick: Tick, begun: EpochPart | None = None
) -> Tally:
    """Train on every film once.

    Args:
        learner: Changed in place.
        parts: The epoch's batches, those that are left.
        targets: Of all training films.
        tick: Called after each step.
        begun: What an earlier session has done of the epoch.

    Returns:
        The tally; reading its loss is the epoch's one wait for the device.

    Raises:
        OutOfMemory: The device has too little memory.
    """
    set_training(learner.network, learner.freeze)
    tally = Tally.empty(learner.device)
    if begun is not None:
        tally.begin_at(begun, learner.team)
    with memory_errors_translated(*_NO_MEMORY):
        for part in _timed(parts, tally):
            loss = _part_loss(learner, part, targets, tally)
            with _no_gradient_exchange(learner, part):
                torch.autograd.backward(learner.scaler.scale(loss))
            if part.is_last:
                _step(learner)
                tally.step_done(len(part.batch))
                tick(tally)
        tally.loss_sum = learner.team.summed(tally.loss_sum)
        float(tally.loss_sum)  # waits for the device, so that the time is the work's
    tally.stop()
    return tally


def _timed(parts: Iterator[Part], tally: Tally) -> Iterator[Part]:
    while True:
        asked = time.perf_counter()
        part = next(parts, None)
        tally.wait_seconds += time.perf_counter() - asked
        if part is None:
            return
        yield part


def _part_loss(learner: Learner, part: Part, targets: Targets, tally: Tally) -> Tensor:
    """The part's share of the batch's mean loss, so that the parts' gradients add up to the batch's."""
    device = learner.device
    inputs = looked_up(part.pixels, learner.levels).contiguous(memory_format=layout(device))
    forward: Callable[[Tensor], Tensor] = learner.stepped
    if learner.compiled is not None and len(part.films) == learner.full:
        forward = learner.compiled
    with torch.autocast(device.type, _DTYPES[learner.precision], enabled=learner.precision != "fp32"):
        logits = forward(inputs)
    return _weighted_loss(learner, logits, targets.of_part(part.films, part.batch), tally)


def _weighted_loss(learner: Learner, logits: Tensor, targets: PartTargets, tally: Tally) -> Tensor:
    labels = to_device(targets.labels, learner.device)
    losses = functional.cross_entropy(logits.float(), labels, reduction="none")
    tally.loss_sum += losses.detach().sum()  # without smoothing: comparable between runs, and with the validation loss
    if smoothing := learner.pacer.method.label_smoothing:
        losses = functional.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=smoothing)
    # The mean is weighted as torch's cross_entropy does it: over the weights of the whole batch, which every process
    # knows from the films' numbers alone. Processes average their gradients, hence the factor.
    weights = to_device(targets.weights, learner.device)
    total_weight = to_device(targets.total_weight, learner.device)
    return (weights * losses).sum() / total_weight * learner.team.size


@contextmanager
def _no_gradient_exchange(learner: Learner, part: Part) -> Iterator[None]:
    """Gradients are exchanged once per batch, with its last part."""
    waits = isinstance(learner.stepped, DistributedDataParallel) and not part.is_last
    with learner.stepped.no_sync() if waits else nullcontext():  # type: ignore[operator]
        yield


def _step(learner: Learner) -> None:
    learner.pacer.begin_step(learner.optimizer)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    if learner.average is not None:
        learner.average.follow(learner.pacer.steps)
    learner.optimizer.zero_grad(set_to_none=not _keeps_gradients(learner.device))


def layout(device: torch.device) -> torch.memory_format:
    """How pictures lie in a device's memory: channels_last is how the convolutions of oneDNN and cuDNN work inside.

    Apple's GPU gains nothing by it, and its BatchNorm fails in the backward pass on some releases of torch.
    """
    return torch.channels_last if device.type in ("cpu", "cuda") else torch.contiguous_format


def _keeps_gradients(device: torch.device) -> bool:
    """Whether gradients live in one place from the first step to the last.

    On the CPU they do: made anew in each step, they would end up between the activations, and memory in pieces. A GPU's
    allocator sorts by size, and adding to zeros costs it time.
    """
    return device.type == "cpu"


@torch.no_grad()
def validation_outputs(
    learner: Learner, films: Films, batch_size: int, tick: Callable[[int], None] | None = None
) -> Outputs:
    """Compute what a training keeps: the outputs for every film once, in order, after the evaluation preprocessing.

    Always IEEE float32, whatever the training's precision: ``evaluate`` and ``predict`` work in it, too.

    Args:
        learner: Put into evaluation mode, and left there.
        films: uint8 (S,S) each.
        batch_size: Films per forward pass.
        tick: Called with the number of films that this process has done.

    Returns:
        The same in every process.
    """
    learner.network.eval()
    learner.team.share_buffers(learner.network)
    if learner.average is not None:
        learner.team.share_buffers(learner.average.network)
    mine = learner.team.part(list(range(len(films))))
    logits, features = [torch.empty(0, 2)], [torch.empty(0, 512)]
    with memory_errors_translated(*_NO_MEMORY), ieee_float32():
        for numbers in _chunks(mine, batch_size):
            given, _, pooled = learner.evaluated(_on_device(learner, films, numbers))
            logits.append(given.float().cpu())
            features.append(pooled.float().cpu())
            if tick is not None:
                tick(numbers[-1] - mine[0] + 1)
    return Outputs(learner.team.gathered(torch.cat(logits)), learner.team.gathered(torch.cat(features)))


@torch.no_grad()
def features_of(learner: Learner, batches: Iterable[Part]) -> Tensor:
    """Pooled activations of the frozen backbone for augmented films, float32 (N,512) by film number, on the CPU.

    Args:
        learner: Put into evaluation mode, and left there.
        batches: Every film once over all processes.
    """
    learner.network.eval()
    numbers, rows = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, 512)]
    with memory_errors_translated(*_NO_MEMORY), ieee_float32():
        for part in batches:
            _, _, features = learner.deployable(part.pixels)
            numbers.append(part.films)
            rows.append(features.float().cpu())
    films, gathered = learner.team.gathered(torch.cat(numbers)), learner.team.gathered(torch.cat(rows))
    ordered = torch.empty_like(gathered)
    ordered[films] = gathered
    return ordered


@memory_errors_translated(*_NO_MEMORY)
def train_head_epoch(
    learner: Learner, features: Tensor, batches: list[list[int]], targets: Targets, tick: Tick
) -> Tally:
    """Train the last layer on features of every film once; the backbone does not run.

    Every process does the same work on all films, so that there is nothing to exchange.

    Args:
        learner: Changed in place.
        features: float32 (N,512), by film number.
        batches: The films of each batch.
        targets: Of all training films.
        tick: Called after each step.
    """
    set_training(learner.network, "backbone")
    tally = Tally.empty(learner.device)
    alone = replace(learner, team=Team())
    for batch in batches:
        numbers = torch.tensor(batch)
        logits = learner.network.fc(to_device(features[numbers], learner.device))
        torch.autograd.backward(_weighted_loss(alone, logits, targets.of_part(numbers, batch), tally))
        learner.pacer.begin_step(learner.optimizer)
        learner.optimizer.step()
        learner.optimizer.zero_grad(set_to_none=True)
        if learner.average is not None:
            learner.average.follow(learner.pacer.steps)
        tally.step_done(len(batch))
        tick(tally)
    float(tally.loss_sum)
    tally.stop()
    return tally


def _chunks(numbers: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def _on_device(learner: Learner, films: Films, numbers: list[int]) -> Tensor:
    return to_device(stacked(films, numbers), learner.device)
