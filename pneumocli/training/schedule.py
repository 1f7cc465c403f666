"""How a training steps: its method, and the pace at which an optimiser follows it."""

import math
from dataclasses import dataclass
from typing import Literal, Self

import torch

from pneumocli.core.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Method:
    """How a training steps: the settings of :class:`pneumocli.core.config.TrainConfig` that a step needs.

    Attributes:
        learning_rate: The highest of the schedule.
        schedule: Its form.
        warm_up: Share of all steps over which the rate rises.
        num_steps: Of the whole training as it is planned.
        average_steps: Time constant of the averaged weights; 0 for none.
        weight_decay: Decoupled; 0 for none.
        label_smoothing: 0 for none.
    """

    learning_rate: float
    schedule: Literal["constant", "cosine"] = "constant"
    warm_up: float = 0.0
    num_steps: int = 1
    average_steps: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0

    @classmethod
    def of(cls, config: TrainConfig, steps_per_epoch: int) -> Self:
        """The method that a run's settings ask for."""
        return cls(
            learning_rate=config.learning_rate,
            schedule=config.schedule,
            warm_up=config.warm_up,
            num_steps=config.epochs * steps_per_epoch,
            average_steps=config.average_epochs * steps_per_epoch,
            weight_decay=config.weight_decay,
            label_smoothing=config.label_smoothing,
        )

    def rate(self, step: int) -> float:
        """The learning rate of a step.

        It depends on the step's number and the planned number of steps alone, so that a resumed run steps as an
        uninterrupted one.

        Args:
            step: 1-based over all epochs.

        Returns:
            Above 0. During the warm-up a straight line up to ``learning_rate``; after it ``learning_rate``, or half
            a cosine wave whose zero lies one step behind the last.

        References:
            Loshchilov & Hutter 2017, SGDR, arXiv:1608.03983.
        """
        rising = round(self.warm_up * self.num_steps)
        if step <= rising:
            return self.learning_rate * step / rising
        if self.schedule == "constant":
            return self.learning_rate
        past = (step - rising - 1) / (self.num_steps - rising)
        return self.learning_rate * (1 + math.cos(math.pi * past)) / 2


class Pacer:
    """Gives an optimiser the learning rate of every step.

    Attributes:
        method: Holds the schedule.
        steps: Steps begun so far, over all epochs and sessions.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.steps = 0

    @property
    def rate(self) -> float:
        """The learning rate of the last step; of the first before it."""
        return self.method.rate(max(1, self.steps))

    def begin_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Counts a step and sets its learning rate."""
        self.steps += 1
        for group in optimizer.param_groups:
            group["lr"] = self.rate
