"""data/loading.py: order and augmentation follow from (seed, epoch, film) alone."""

import multiprocessing
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pneumocli.training.augmentation import Augmentation
from pneumocli.training.distributed import Team
from pneumocli.training.film_cache import Selected
from pneumocli.training.loader import Batching, TrainingBatches, crop_source_side, epoch_batches, film_seed, stacked
from tests.training.test_augmentation import OFF_BY, off


class Noise:
    """Films of different sizes, by number; records the calls."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def __len__(self) -> int:
        return 23

    def __getitem__(self, number: int) -> np.ndarray:
        rng = np.random.default_rng(number)
        return rng.integers(0, 256, (60 + number, 80), np.uint8)

    def will_need(self, numbers: list[int]) -> None:
        self.calls.append(numbers)

    def let_go(self) -> None:
        self.calls.append("done")


def batches(
    films: Noise | None = None,
    *,
    workers: int = 0,
    team: Team | None = None,
    accumulate: int = 1,
    seed: int = 0,
    resize: str = "workers",
) -> TrainingBatches:
    batching = Batching(
        image_size=32,
        batch_size=8,
        seed=seed,
        device=torch.device("cpu"),
        accumulate=accumulate,
        workers=workers,
        resize=resize,
    )
    return TrainingBatches(Selected(films or Noise(), tuple(range(23))), Augmentation(), batching, team or Team())


def films_of(loader: TrainingBatches, epoch: int) -> dict[int, torch.Tensor]:
    return {
        int(film): pixels for part in loader.epoch(epoch) for film, pixels in zip(part.films, part.pixels, strict=True)
    }


def same(one: dict[int, torch.Tensor], other: dict[int, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[film], other[film]) for film in one)


def test_every_film_comes_once_as_eight_bit_grey():
    films = films_of(batches(), 1)
    assert sorted(films) == list(range(23))
    assert all(pixels.shape == (1, 32, 32) and pixels.dtype == torch.uint8 for pixels in films.values())


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(workers: int):
    alone, helped = batches(), batches(workers=workers)
    for epoch in (1, 2):
        one, other = list(alone.epoch(epoch)), list(helped.epoch(epoch))
        assert [part.films.tolist() for part in one] == [part.films.tolist() for part in other]
        assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
def test_a_worker_that_is_started_afresh_gives_the_same_films():
    """As on Windows and macOS: what a worker needs is sent to it, not inherited."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        helped = films_of(batches(workers=1), 1)
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert same(helped, films_of(batches(), 1))


@pytest.mark.parametrize("workers", [0, 2])
def test_films_resized_on_the_device_are_those_of_the_workers(workers: int):
    for team in (Team(), Team(1, 2)):
        one, other = (films_of(batches(resize=place, workers=workers, team=team), 2) for place in ("workers", "device"))
        assert one.keys() == other.keys()
        assert all(off(one[film], other[film]) <= OFF_BY for film in one)


def test_a_batchs_films_are_asked_for_together_and_let_go_of():
    films = Noise()
    expected = [call for part in batches(films).epoch(1) for call in (part.films.tolist(), "done")]
    assert films.calls == expected


def test_films_of_one_size_are_asked_for_together_and_let_go_of():
    films = Noise()
    assert stacked(films, [4, 4]).shape == (2, 1, 64, 80)
    assert films.calls == [[4, 4], "done"]


def test_an_epoch_can_be_had_again_without_those_before():
    fresh = films_of(batches(), 5)
    used = batches()
    films_of(used, 1)
    assert same(films_of(used, 5), fresh)
    assert not same(films_of(used, 6), fresh)
    assert not same(films_of(batches(seed=1), 5), fresh)


def test_the_global_generator_is_left_as_it_was():
    before = torch.get_rng_state()
    films_of(batches(), 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_two_processes_share_what_one_sees():
    whole = films_of(batches(), 3)
    halves = [films_of(batches(team=Team(rank, 2)), 3) for rank in (0, 1)]
    assert not halves[0].keys() & halves[1].keys()
    assert same(halves[0] | halves[1], whole)


def test_parts_of_a_batch_add_up_to_it():
    parts = list(batches(accumulate=3).epoch(1))
    assert [part.is_last for part in parts[:3]] == [False, False, True]
    assert list(chain.from_iterable(part.films.tolist() for part in parts[:3])) == parts[0].batch


@given(st.integers(2, 200), st.integers(1, 40), st.integers(0, 3), st.integers(1, 5), st.integers(2, 8))
def test_batches_hold_every_film_once_and_none_is_too_small(
    films: int, size: int, seed: int, epoch: int, smallest: int
):
    made = epoch_batches(films, size, seed, epoch, smallest=smallest)
    assert sorted(chain.from_iterable(made)) == list(range(films))
    assert all(len(batch) == size for batch in made[:-2])
    assert len(made) == 1 or len(made[-1]) >= min(smallest, size)


def test_seeds_differ_between_films_epochs_and_runs():
    seeds = {film_seed(run, epoch, film) for run in range(4) for epoch in range(4) for film in range(40)}
    assert len(seeds) == 4 * 4 * 40
    assert max(seeds) < 2**63


def test_crop_sources_scale_with_the_image_size():
    assert crop_source_side(224) == 384
    assert crop_source_side(112) == 192
