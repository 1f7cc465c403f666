"""training/device_films.py: films in a device's memory give the crops of the loader."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pneumocli.core.config import ResumeConfig, TrainConfig
from pneumocli.core.errors import OutOfMemory
from pneumocli.core.events import Event, Remark, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.training import device_films
from pneumocli.training.augmentation import Augmentation
from pneumocli.training.device_films import FilmsOnDevice, kept_films, moved
from pneumocli.training.distributed import Team
from pneumocli.training.film_cache import FilmCache, FilmsOnDisk, Selected, write_films
from pneumocli.training.loader import Batching, TrainingBatches
from pneumocli.training.plan import keeps_films
from pneumocli.training.train import resume
from tests.conftest import tiny
from tests.training.test_train import Stop, assert_same_run, stopped, stopping_after

CPU = torch.device("cpu")
GPU = torch.device("cuda", 1)
SHAPES = [(60 + number, 80 + 7 * (number % 5)) for number in range(30)]
BATCHING = Batching(image_size=32, batch_size=8, seed=5, device=CPU, resize="device")


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> FilmCache:
    path = tmp_path_factory.mktemp("cache") / "noise.films"
    rng = np.random.default_rng(0)
    write_films(path, (rng.integers(0, 256, shape, np.uint8) for shape in SHAPES))
    return FilmCache(path)


@pytest.fixture
def some(cached: FilmCache) -> Selected:
    """Training films: not all that are cached, and in another order."""
    return Selected(cached, tuple(range(28, 1, -1)))


def on_cpu(films: Selected) -> FilmsOnDevice:
    assert films.sizes is not None
    return moved(films, films.sizes, CPU)


def test_films_are_moved_as_they_are(some: Selected, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device_films, "_AT_ONCE", 8)
    films, events = on_cpu(some), list[Event]()
    for number in range(len(some)):
        height, width = films.sizes[number]
        found = films.pixels[films.starts[number] :][: height * width].view(height, width)
        np.testing.assert_array_equal(found.numpy(), some[number])
    moved(some, films.sizes, CPU, events.append)
    task = "moving films to the GPU"
    size = f"{len(films.pixels) / 1e6:,.0f} MB"
    assert events == [
        Remark(f"the training films stay in the GPU's memory ({size}): no worker prepares batches"),
        TaskStarted(task, 27),
        *(TaskAdvanced(task, done) for done in (8, 16, 24, 27)),
        TaskFinished(task),
    ]


@pytest.mark.parametrize("team", [Team(), Team(1, 2)], ids=["alone", "second of two"])
@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(crop_scale=0.5, mirror=False)])
def test_crops_are_those_of_the_loader_bit_for_bit(augmentation: Augmentation, team: Team, some: Selected):
    batching = replace(BATCHING, accumulate=2)
    loaded = TrainingBatches(some, augmentation, batching, team)
    gathered = TrainingBatches(on_cpu(some), augmentation, batching, team)
    assert gathered.steps_per_epoch == loaded.steps_per_epoch == 3
    for epoch, after in ((1, 0), (2, 2)):
        one, other = list(loaded.epoch(epoch, after=after)), list(gathered.epoch(epoch, after=after))
        assert [(part.films.tolist(), part.batch, part.is_last) for part in one] == [
            (part.films.tolist(), part.batch, part.is_last) for part in other
        ]
        assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=True))


def test_no_worker_is_started_and_the_global_generator_is_left_as_it_was(some: Selected):
    before = torch.get_rng_state()
    parts = list(TrainingBatches(on_cpu(some), Augmentation(), replace(BATCHING, workers=2), Team()).epoch(1))
    assert len(parts) == 4
    assert multiprocessing.active_children() == []
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def nine_gigabytes_free(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {GPU: 9_000_000_000, torch.device("cuda", 0): 0}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device], 16_000_000_000))


def test_a_gpu_keeps_films_that_fit_in_a_third_of_what_is_free(nine_gigabytes_free: None):
    assert keeps_films(TrainConfig(), GPU, 3_000_000_000)
    assert keeps_films(TrainConfig(recipe="robust"), GPU, 3_000_000_000)
    assert not keeps_films(TrainConfig(), GPU, 3_000_000_001)
    assert not keeps_films(TrainConfig(), torch.device("cuda", 0), 1)


def test_the_loader_is_used_where_it_is_asked_for_or_needed(nine_gigabytes_free: None):
    assert not keeps_films(TrainConfig(workers=2), GPU, 1)
    assert not keeps_films(TrainConfig(workers=0), GPU, 1)
    assert not keeps_films(TrainConfig(tone=0.1), GPU, 1)
    assert not keeps_films(TrainConfig(), CPU, 1)
    assert not keeps_films(TrainConfig(), torch.device("mps"), 1)


def test_films_without_a_cache_are_left_where_they_are(nine_gigabytes_free: None):
    films = Selected(FilmsOnDisk((), lambda _: np.zeros((4, 4), np.uint8)), ())
    assert kept_films(films, TrainConfig(cache=False), GPU, pytest.fail) is films


def test_films_that_do_not_fit_after_all_are_reported(some: Selected, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 990.00 MiB.")

    monkeypatch.setattr(torch, "empty", fail)
    with pytest.raises(OutOfMemory, match="too little memory for the training films") as caught:
        on_cpu(some)
    assert "end other programs" in (caught.value.hint or "")


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that resizes crops as a GPU does."""
    monkeypatch.setattr("pneumocli.training.loop.where_to_resize", lambda *_: "device")


@pytest.mark.slow
def test_a_resume_with_films_in_memory_is_the_training_with_the_loader(
    as_on_a_gpu: None, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Begun with the loader, resumed without: the same bits whatever a session uses."""
    whole = stopped(tiny(phantoms, tmp_path / "whole"), 2)
    parts = stopped(tiny(phantoms, tmp_path / "parts"), 1)
    monkeypatch.setattr(device_films, "keeps_films", lambda *_: True)
    events, stop = list[Event](), stopping_after(2)

    def listen(event: Event) -> None:
        events.append(event)
        stop(event)

    with pytest.raises(Stop):
        resume(ResumeConfig(resume=parts), listen)
    assert any("stay in the GPU's memory" in event.text for event in events if isinstance(event, Remark))
    assert_same_run(whole, parts)
