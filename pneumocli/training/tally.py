"""What an epoch of training adds up to, and what a checkpoint within it keeps of that."""

import math
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pneumocli.training.distributed import Team


@dataclass(frozen=True, slots=True)
class EpochPart:
    """How far an epoch had come when a checkpoint was written within it; plain numbers.

    Attributes:
        steps: Done.
        num_films: Of these steps, of all processes.
        loss_sums: :attr:`Tally.loss_sum` of each process; a single one where they have been added up.
        seconds: From the first batch's request on, over all sessions.
        wait_seconds: Of these, spent waiting for batches.
        first_seconds: Of these, spent on the first step.
    """

    steps: int
    num_films: int
    loss_sums: tuple[float, ...]
    seconds: float
    wait_seconds: float
    first_seconds: float


@dataclass
class Tally:
    """What an epoch of training adds up to.

    Attributes:
        loss_sum: Cross-entropy summed over this process's films, on the device: float64, scalar.
        num_films: Films of all processes.
        wait_seconds: Spent waiting for batches.
        seconds: From the first batch's request to the last step.
        start_up_seconds: What the first step took longer than the others: compiling, first allocations.
        view_seconds: Of the time, what a look at the films through a frozen backbone took.
    """

    loss_sum: Tensor
    num_films: int = 0
    wait_seconds: float = 0.0
    seconds: float = 0.0
    start_up_seconds: float = 0.0
    view_seconds: float = 0.0
    _began: float = field(default_factory=time.perf_counter, repr=False)
    _first: float = field(default=0.0, repr=False)
    _steps: int = field(default=0, repr=False)
    _waited: float = field(default=0.0, repr=False)

    @classmethod
    def empty(cls, device: torch.device) -> "Tally":
        """Of an epoch that begins, in this session."""
        # MPS has no float64; its float32 sum is good to seven digits.
        kind = torch.float32 if device.type == "mps" else torch.float64
        return cls(torch.zeros((), dtype=kind, device=device))

    def newly_waited(self) -> float:
        """Seconds spent waiting for batches in this session since the last call."""
        seconds, self._waited = self.wait_seconds - self._waited, self.wait_seconds
        return seconds

    def begin_at(self, part: EpochPart, team: Team) -> None:
        """Goes on from a checkpoint within the epoch.

        Args:
            part: Its numbers; with another number of processes the first one takes all losses.
            team: The processes of the training.
        """
        if len(part.loss_sums) == team.size:
            self.loss_sum += part.loss_sums[team.rank]
        elif team.is_writer:
            self.loss_sum += math.fsum(part.loss_sums)
        self.num_films, self._steps, self._first = part.num_films, part.steps, part.first_seconds
        self.wait_seconds = self._waited = part.wait_seconds
        self._began -= part.seconds

    def part(self, team: Team) -> EpochPart:
        """What a checkpoint keeps of it; waits for the device, and for the other processes of ``team``."""
        sums: list[float] = team.gathered(self.loss_sum.reshape(1)).tolist()
        seconds = time.perf_counter() - self._began
        return EpochPart(self._steps, self.num_films, tuple(sums), seconds, self.wait_seconds, self._first)

    def step_done(self, num_films: int) -> None:
        """Counts a step on so many films."""
        self.num_films += num_films
        self._steps += 1
        if self._steps == 1:
            self._first = time.perf_counter() - self._began

    def stop(self) -> None:
        """Takes the time."""
        self.seconds = time.perf_counter() - self._began
        if self._steps > 1:
            self.start_up_seconds = max(0.0, self._first - (self.seconds - self._first) / (self._steps - 1))
