"""One training on several processes, as torchrun starts them; everything here is a no-op for a single process.

Processes hold the same films in the same order and the same weights. Each works on its part of every batch, and what
must be known by all is gathered. Only the first one writes.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.futures import Future, collect_all
from torch.nn.parallel import DistributedDataParallel

from pneumocli.core.errors import DeviceError, FirstProcessFailed, PneumoError, RunError
from pneumocli.core.parallel import process_count, process_number, restarts
from pneumocli.model.device import resolve_device

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
        local_size: Number of processes on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_writer(self) -> bool:
        """Whether this process writes files and emits events."""
        return self.rank == 0

    def own_device(self, setting: str) -> str:
        """The device setting of this process; of several, ``auto`` and ``cuda`` give each a CUDA device of its own.

        ``auto`` takes the CPU where there is no CUDA device: processes cannot exchange gradients on Apple's GPU.

        Args:
            setting: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

        Raises:
            DeviceError: Several processes would share a device.
        """
        if self.size == 1:
            return setting
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if setting == "cpu" or (setting == "auto" and count == 0):
            return "cpu"
        if setting not in ("auto", "cuda"):
            raise DeviceError(
                f"device {setting} was asked for by {self.size} processes, and each needs one of its own",
                "--device cuda takes a CUDA device for each process, --device cpu none; or start one process",
            )
        if count == 0:
            resolve_device(setting)  # raises, with the reason
        if self.local_size > count or self.local_rank >= count:
            raise DeviceError(
                f"{max(self.local_size, self.local_rank + 1)} processes on this machine need a CUDA device each, and "
                f"torch sees {count}",
                f"torchrun --nproc-per-node {count} ..., or --device cpu",
            )
        return f"cuda:{self.local_rank}"

    def part(self, items: list[_Value]) -> list[_Value]:
        """This process's contiguous share of ``items``; shares differ by one at most."""
        share, rest = divmod(len(items), self.size)
        start = self.rank * share + min(self.rank, rest)
        return items[start : start + share + (self.rank < rest)]

    @contextmanager
    def writes_alone(self) -> Iterator[None]:
        """Holds every process at the end of the block until the first has left it, which alone does its work.

        The block is ``if team.is_writer: ...``: what it writes stands before any process goes on, and where it fails
        all end, so that none is left waiting for one that has ended.

        Raises:
            PneumoError: The block failed. The first process raises its error, the others FirstProcessFailed.
        """
        failure: PneumoError | None = None
        try:
            yield
        except PneumoError as error:
            if not self.is_writer:
                raise
            failure = error
        message = self.from_writer(failure.message if failure is not None else "")
        if failure is not None:
            raise failure
        if message:
            raise FirstProcessFailed(message)

    @contextmanager
    def writer_first(self) -> Iterator[None]:
        """Has the others enter the block when the first process has left it: they find done what it decoded and hashed.

        Raises:
            PneumoError: As :meth:`writes_alone`.
        """
        if self.is_writer:
            with self.writes_alone():
                yield
        else:
            with self.writes_alone():
                pass
            yield

    def by_writer(self, work: Callable[[], _Value]) -> _Value:
        """What the first process's work gives, on every process; no other process does it.

        Raises:
            PneumoError: As :meth:`writes_alone`.
        """
        found: list[_Value] = []
        with self.writes_alone():
            if self.is_writer:
                found.append(work())
        (value,) = self.from_writer(found)
        return value

    def from_writer(self, value: _Value) -> _Value:
        """The first process's value, on every process."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0)
        first: _Value = box[0]
        return first

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

    def highest(self, value: int) -> int:
        """The largest of a number over all processes: what one of them asks for, all do."""
        if self.size == 1:
            return value
        box = torch.tensor(value)
        dist.all_reduce(box, op=dist.ReduceOp.MAX)
        return int(box)

    def share_buffers(self, module: nn.Module) -> None:
        """Gives every process the first one's buffers: running statistics of BatchNorm, which drift apart."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)


def exchanging(network: nn.Module, device: torch.device) -> DistributedDataParallel:
    """The network with its gradients averaged over all processes in each backward pass.

    From three processes on CPUs each gradient is averaged by itself. Their numbers are added in an order that depends
    on where in a message they stand, and from the second step of a session on torch packs gradients into other
    messages: the last bits of a resumed run would differ. It costs 3 % of the speed; GPUs promise no equal bits.

    Args:
        network: On the device; the first process's parameters are given to all.
        device: This process's.
    """

    def one_by_one(_: None, bucket: dist.GradBucket) -> Future[Tensor]:  # type: ignore[name-defined] # torch wants it
        bucket.buffer().div_(dist.get_world_size())
        exchanged = [dist.all_reduce(gradient, async_op=True) for gradient in bucket.gradients()]
        done = collect_all([work.get_future() for work in exchanged])
        return done.then(lambda _: bucket.buffer())

    wrapped = DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)
    if device.type == "cpu" and dist.get_world_size() > 2:
        wrapped.register_comm_hook(None, one_by_one)
    return wrapped


@contextmanager
def team(device_setting: str) -> Iterator[Team]:
    """Joins the other processes that torchrun started; alone where there are none.

    Args:
        device_setting: As :meth:`Team.own_device` takes it: processes on CPUs communicate through gloo, on CUDA devices
            through nccl, too.

    Raises:
        DeviceError: Several processes would share a device; raised by the first one of each machine, the others raise
            FirstProcessFailed.
        RunError: Another process has ended.
    """
    size = process_count()
    if size == 1:
        yield Team()
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", local_rank + 1))
    processes = Team(process_number(), size, local_rank, local_size)
    try:
        device = processes.own_device(device_setting)
    except DeviceError as error:
        if local_rank == 0:
            raise
        raise FirstProcessFailed(error.message) from error
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(local_rank)
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, store=_store(size), rank=process_number(), world_size=size, timeout=_PATIENCE)
    try:
        yield processes
    except RuntimeError as error:
        if not _is_of_the_others(error):
            raise
        raise RunError(
            "another process of the training has ended", "its own error or torchrun's is printed above"
        ) from error
    finally:
        dist.destroy_process_group()


_teams = itertools.count()


def _store(size: int) -> dist.Store:  # type: ignore[name-defined] # public, but not in torch's type information
    """Where the processes leave their addresses for each other, under keys that no earlier team has used.

    torchrun keeps its store when it restarts the processes, and what they left in it (seen with torch 2.14): without
    keys of their own, new processes would try to reach those that were killed.
    """
    store, _, _ = next(rendezvous("env://", process_number(), size, timeout=_PATIENCE))
    keys = f"start {restarts()}, team {next(_teams)}"
    return dist.PrefixStore(keys, store)  # type: ignore[attr-defined] # as above


def _is_of_the_others(error: RuntimeError) -> bool:
    """Whether an error means that another process has ended; gloo raises plain RuntimeErrors."""
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection closed by peer" in str(error)
