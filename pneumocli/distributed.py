"""One training on several processes, as torchrun starts them; everything here is a no-op for a single process.

Processes hold the same films in the same order and the same weights. Each works on its part of every batch, and what
must be known by all is gathered. Only the first one writes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

_Value = TypeVar("_Value")

# The first process decodes all films while the others wait: hours for a large set on a slow disk.
_PATIENCE = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of one training.

    Attributes:
        rank: This process's number, from 0.
        size: Number of processes.
        local_rank: This process's number on its machine: its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_writer(self) -> bool:
        """Whether this process writes files and emits events."""
        return self.rank == 0

    def part(self, items: list[_Value]) -> list[_Value]:
        """This process's contiguous share of ``items``; shares differ by one at most."""
        share, rest = divmod(len(items), self.size)
        start = self.rank * share + min(self.rank, rest)
        return items[start : start + share + (self.rank < rest)]

    def from_writer(self, value: _Value | None) -> _Value:
        """The first process's value, on every process."""
        if self.size == 1:
            assert value is not None  # noqa: S101 - the only process is the writer
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def gathered(self, rows: Tensor) -> Tensor:
        """Every process's rows, first process's first; rows may differ in number, and are on the CPU afterwards."""
        if self.size == 1:
            return rows.cpu()
        boxes: list[Tensor | None] = [None] * self.size
        dist.all_gather_object(boxes, rows.cpu())
        return torch.cat([box for box in boxes if box is not None])

    def summed(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def share_buffers(self, module: nn.Module) -> None:
        """Gives every process the first one's buffers: running statistics of BatchNorm, which drift apart."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)


@contextmanager
def team(device_setting: str) -> Iterator[Team]:
    """Joins the other processes that torchrun started; alone where there are none.

    Args:
        device_setting: ``cpu`` talks through gloo, anything else through nccl where CUDA is available.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    rank, local_rank = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = device_setting != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield Team(rank, size, local_rank)
    finally:
        dist.destroy_process_group()
