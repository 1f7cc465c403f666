"""Batches for training: order, augmentation, and how films reach the device.

Order and augmentation depend on (seed, epoch, film) alone, never on the number of workers or processes: a film's
random numbers are drawn from a generator seeded by these three. So a resumed run sees what an uninterrupted one sees.
"""

import itertools
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from pneumocli.core.errors import PneumoError
from pneumocli.core.records import Fit
from pneumocli.data.film import Pixels
from pneumocli.data.images import make_square, read_film, shrink
from pneumocli.model.device import to_device
from pneumocli.training.augmentation import (
    Augmentation,
    Crop,
    Crops,
    Place,
    draw,
    draw_place,
    resized,
    resized_at_once,
    together,
)
from pneumocli.training.device_films import FilmsOnDevice
from pneumocli.training.distributed import Team
from pneumocli.training.film_cache import Films

# Short side of the films that training crops are cut from, for an image size of 224. Measured, see
# docs/benchmarks.md: smaller loses detail in the smallest crops (8 % of a film's area), larger costs disk and time.
_CROP_SOURCE_SIDE = 384

_ORDER = 0xFFFF_FFFF  # stands for "the order" where a film's number would stand in a seed


def crop_source_side(image_size: int) -> int:
    """Short side, in pixels, of the films that training crops for ``image_size`` are cut from."""
    return round(image_size * _CROP_SOURCE_SIDE / 224)


@dataclass(frozen=True, slots=True)
class CropSource:
    """Reads a film as the source of training crops: square where the fit asks for it, never enlarged.

    Attributes:
        image_size: What crops will be resized to.
        fit: How films become square.
    """

    image_size: int
    fit: Fit

    @property
    def form(self) -> str:
        """What decides the pixels, beside the file."""
        return f"crop source {crop_source_side(self.image_size)} {self.fit}"

    def __call__(self, path: Path) -> Pixels:
        """The film's pixels, uint8 (H,W)."""
        side = crop_source_side(self.image_size)
        # Draft decoding lets libjpeg drop detail that shrinking would drop anyway; for crops only, see images.py.
        film = read_film(path, draft_side=side)
        return shrink(make_square(film.pixels, self.fit), side)


def film_seed(seed: int, epoch: int, film: int) -> int:
    """A 63-bit seed for one film in one epoch."""
    return int(np.random.SeedSequence([seed, epoch, film]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def epoch_order(num_films: int, seed: int, epoch: int) -> list[int]:
    """The order of the films in an epoch."""
    generator = torch.Generator().manual_seed(film_seed(seed, epoch, _ORDER))
    order: list[int] = torch.randperm(num_films, generator=generator).tolist()
    return order


def epoch_batches(num_films: int, batch_size: int, seed: int, epoch: int, *, smallest: int) -> list[list[int]]:
    """The films of each batch of an epoch.

    Args:
        num_films: Films 0 ... ``num_films - 1``, each in exactly one batch.
        batch_size: Films per batch; the last batch holds what is left.
        seed: Of the run.
        epoch: 1-based.
        smallest: A last batch of fewer films joins the one before: BatchNorm needs two films in each part.

    Returns:
        Lists of film numbers.
    """
    order = epoch_order(num_films, seed, epoch)
    batches = [order[start : start + batch_size] for start in range(0, num_films, batch_size)]
    if len(batches) > 1 and len(batches[-1]) < smallest:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


_SECONDS_BEHIND_WORKERS = 2.0
_SECONDS_AFTER_SIGTERM = 10

_Loaded = tuple[Tensor | Crops, Tensor]


class _Augmented(Dataset[_Loaded | PneumoError]):
    """Batches of augmented films by (epoch, film number): resized, or as they are to be resized at once."""

    def __init__(
        self, films: Films, augmentation: Augmentation, seed: int, finish: Callable[[list[Crop]], Tensor | Crops]
    ) -> None:
        self._films = films
        self._augmentation = augmentation
        self._seed = seed
        self._finish = finish

    def __getitems__(self, keys: list[tuple[int, int]]) -> _Loaded | PneumoError:
        try:
            return self._batch_of(keys)
        except PneumoError as error:
            return error  # raised, it would reach the other process with a worker's traceback as its message

    def _batch_of(self, keys: list[tuple[int, int]]) -> _Loaded:
        self._films.will_need([film for _, film in keys])
        # One call per batch: the generator is saved and given back once, not once per film.
        with torch.random.fork_rng(devices=[]), one_thread():
            batch = self._finish([self._drawn(epoch, film) for epoch, film in keys])
        self._films.let_go()
        return batch, torch.tensor([film for _, film in keys])

    def _drawn(self, epoch: int, film: int) -> Crop:
        torch.default_generator.manual_seed(film_seed(self._seed, epoch, film))
        return draw(self._films[film], self._augmentation)


class _Placed:
    """Batches of crops in films that are on the device: this process draws their places, and nothing is loaded."""

    def __init__(self, films: FilmsOnDevice, augmentation: Augmentation, seed: int, parts: "_Parts") -> None:
        self._films = films
        self._augmentation = augmentation
        self._seed = seed
        self._parts = parts

    def __iter__(self) -> Iterator[_Loaded]:
        return map(self._batch_of, self._parts)

    def _batch_of(self, keys: list[tuple[int, int]]) -> _Loaded:
        with torch.random.fork_rng(devices=[]), one_thread():
            places = [self._place(epoch, film) for epoch, film in keys]
        films = [film for _, film in keys]
        return self._films.crops(films, places), torch.tensor(films)

    def _place(self, epoch: int, film: int) -> Place:
        torch.default_generator.manual_seed(film_seed(self._seed, epoch, film))
        height, width = map(int, self._films.sizes[film])
        return draw_place(height, width, self._augmentation)


def _one_by_one(crops: list[Crop], size: int) -> Tensor:
    """Crops as squares, uint8 (n,1,S,S)."""
    return torch.stack([resized(crop, size) for crop in crops])


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch from spreading work over threads that is done sooner than they wake up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Parts(Sampler[list[tuple[int, int]]]):
    """The parts of every batch of the current epoch that this process works on, as (epoch, film number)."""

    def __init__(self) -> None:
        self.epoch = 0
        self.parts: list[list[int]] = []

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for part in self.parts:
            yield [(self.epoch, film) for film in part]

    def __len__(self) -> int:
        return len(self.parts)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a batch, ready for the network.

    Attributes:
        pixels: uint8 (n,1,S,S), on the device.
        films: Film numbers, int64 (n,), on the CPU.
        batch: All films of the batch, of all parts and processes.
        is_last: Whether the step follows.
    """

    pixels: Tensor
    films: Tensor
    batch: list[int]
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How films become batches, and where.

    Attributes:
        image_size: Side of a crop.
        batch_size: Films per step, over all processes.
        seed: Of the run.
        device: Where the pixels go.
        accumulate: Parts that each process splits its share of a batch into.
        workers: Processes that prepare batches; 0 prepares them in this one.
        resize: Whether workers resize crops on the CPU, film by film, or the device does, a batch at once.
    """

    image_size: int
    batch_size: int
    seed: int
    device: torch.device
    accumulate: int = 1
    workers: int = 0
    resize: Literal["workers", "device"] = "workers"


class TrainingBatches:
    """The training films as batches, epoch by epoch.

    Args:
        films: Sources of crops. In those that are on the device crops are gathered there, without a loader.
        augmentation: What is drawn for each of them; of films on the device no alterations.
        batching: Sizes, order, workers and device.
        team: The processes of the training.
    """

    def __init__(
        self, films: Films | FilmsOnDevice, augmentation: Augmentation, batching: Batching, team: Team
    ) -> None:
        self._num_films = len(films)
        self._batching = batching
        self._team = team
        self._sampler = _Parts()
        self._loader: Iterable[_Loaded | PneumoError]
        if isinstance(films, FilmsOnDevice):
            self._loader = _Placed(films, augmentation, batching.seed, self._sampler)
        else:
            self._loader = _data_loader(films, augmentation, batching, self._sampler)

    def epoch(self, epoch: int, *, after: int = 0) -> Iterator[Part]:
        """The parts of the epoch's batches that this process works on, in order.

        Args:
            epoch: 1-based; decides order and augmentation.
            after: Batches at the beginning that are left out, because an earlier session has trained on them.

        Raises:
            DataError: A film cannot be read any more.
        """
        batches = self._batches_of(epoch)[after:]
        split = [_split(self._team.part(batch), self._batching.accumulate) for batch in batches]
        self._sampler.epoch = epoch
        self._sampler.parts = [part for parts in split for part in parts]
        with _as_many_workers_as_asked():
            loaded = iter(self._loader)
        for batch, parts in zip(batches, split, strict=True):
            for number, _ in enumerate(parts, start=1):
                crops, films = _ready(next(loaded))
                yield Part(self._pixels(crops), films, batch, is_last=number == len(parts))

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch; the same in each."""
        return len(self._batches_of(1))

    def _batches_of(self, epoch: int) -> list[list[int]]:
        smallest = 2 * self._team.size * self._batching.accumulate
        return epoch_batches(self._num_films, self._batching.batch_size, self._batching.seed, epoch, smallest=smallest)

    def _pixels(self, crops: Tensor | Crops) -> Tensor:
        if isinstance(crops, Tensor):
            return to_device(crops, self._batching.device)
        return resized_at_once(crops.to(self._batching.device), self._batching.image_size)


def _data_loader(
    films: Films, augmentation: Augmentation, batching: Batching, sampler: _Parts
) -> DataLoader[_Loaded | PneumoError]:
    workers = batching.workers
    finish = partial(_one_by_one, size=batching.image_size) if batching.resize == "workers" else together
    with _as_many_workers_as_asked():
        return DataLoader(
            _Augmented(films, augmentation, batching.seed, finish),
            batch_sampler=sampler,
            collate_fn=_as_it_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=batching.device.type == "cuda",
            generator=torch.Generator(),  # else the loader would draw from the global one
            worker_init_fn=_prepare_worker if workers else None,
        )


def _ready(loaded: _Loaded | PneumoError) -> _Loaded:
    if not isinstance(loaded, PneumoError):
        return loaded
    try:
        raise loaded
    finally:
        # The error and this frame would hold each other, and through others the workers, until the interpreter ends
        # them itself: torch takes that for a failure and prints a traceback.
        del loaded


@contextmanager
def lost_workers_reported(hint: str) -> Iterator[None]:
    """Translates torch's error that a worker process is gone; torch raises it in this process at any point.

    Raises:
        PneumoError: A worker was killed.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        # A scheduler sends SIGTERM to all processes, and a worker ends first: this process's own comes while it waits.
        if (signal.strsignal(signal.SIGTERM) or "SIGTERM") in str(error):
            time.sleep(_SECONDS_BEHIND_WORKERS)
        raise PneumoError(
            "a worker process that prepares films was killed: memory (in a container, shared memory) was short, or the "
            "disk of the cache failed",
            hint,
        ) from error


@contextmanager
def _as_many_workers_as_asked() -> Iterator[None]:
    """Lets more workers than cores be: the user asked for them, the plan never takes more by itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


def _split(films: list[int], count: int) -> list[list[int]]:
    """``films`` in ``count`` contiguous parts of nearly equal length; fewer where there are too few films."""
    count = max(1, min(count, len(films) // 2))
    bounds = [len(films) * number // count for number in range(count + 1)]
    return [films[start:stop] for start, stop in itertools.pairwise(bounds)]


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401 - _Augmented makes whole batches already
    return batch


def _prepare_worker(worker: int) -> None:  # noqa: ARG001 - the DataLoader's signature
    # Ctrl-C reaches the whole process group; the parent ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _go_on_while_the_parent_ends_in_order()
    torch.set_num_threads(1)
    # A thread hands batches over. Where shared memory is short it drops them, and the parent would wait for ever.
    Queue._on_queue_feeder_error = staticmethod(lambda *_: os._exit(1))  # type: ignore[attr-defined]


def _go_on_while_the_parent_ends_in_order() -> None:
    """Has a worker outlive the signals that a scheduler sends to every process: its parent finishes a step first."""
    if not hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_SECONDS_AFTER_SIGTERM))
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def stacked(films: Films, numbers: list[int]) -> Tensor:
    """Films of one size as a batch, uint8 (n,1,S,S), on the CPU."""
    films.will_need(numbers)
    batch = torch.from_numpy(np.stack([films[number] for number in numbers])).unsqueeze(1)
    films.let_go()
    return batch
