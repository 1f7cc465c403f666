"""A sample of films: of fixed size, the same in any order, one film for each patient, joined from its parts."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from pneumocli.core.errors import ModelFileError
from pneumocli.data.acquisition import Acquisition, read_acquisition
from pneumocli.data.film import Film
from pneumocli.shift.sample import FilmSample, StoredSample

SQUARES = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def made(width: int = 300) -> Acquisition:
    return Acquisition(
        format="PNG", num_bytes=1, mode="L", bits=8, width=width, height=200, quantisation_sum=None, density="",
        markers=(), progressive=False, device="", brightness=0, contrast=0, sharpness=0,
    )  # fmt: skip


def sample_of(numbers, most: int = 20, patient=lambda number: "") -> FilmSample:
    sample = FilmSample(most=most)
    for number in numbers:
        look = sample.look_of(patient(number), made(), SQUARES[number])
        sample.add(look, np.full(3, number, np.float32), number / 10)
    return sample


def ids(sample: FilmSample) -> list[float]:
    return sample.rows().logits.round(2).tolist()


def test_a_sample_has_a_fixed_size_and_does_not_depend_on_the_order():
    forwards, backwards = sample_of(range(60)), sample_of(reversed(range(60)))
    assert len(forwards) == 20
    assert forwards.num_films == 60
    assert ids(forwards) == ids(backwards)
    assert len(set(ids(forwards))) == 20


def test_a_film_farther_than_half_precision_reaches_stays_a_number():
    sample = FilmSample()
    sample.add(sample.look_of("", made(), SQUARES[0]), np.array([1e9, -1e9, 2], np.float32), 0.0)
    assert sample.rows().features.tolist() == [[65504, -65504, 2]]


def test_the_samples_of_parts_join_to_that_of_the_whole():
    parts = [sample_of(range(start, 60, 3)) for start in range(3)]
    joined = parts[0].join(parts[1:])
    assert ids(joined) == ids(sample_of(range(60)))
    assert joined.num_films == 60


def test_of_a_patient_one_film_is_kept_in_any_order():
    def patient(number: int) -> str:
        return f"patient {number % 5}"

    found = [ids(sample_of(order, patient=patient)) for order in (range(60), reversed(range(60)))]
    assert found[0] == found[1]
    assert len({round(number * 10) % 5 for number in found[0]}) == len(found[0]) == 5


def test_a_patient_stays_out_who_was_pushed_out():
    """Between its films the sample has been filled by others with smaller hashes."""

    def patient(number: int) -> str:
        return f"patient {number % 30}"

    orders = (
        range(60),
        [*range(30, 60), *range(30)],
        list(itertools.chain(*zip(range(30), range(30, 60), strict=True))),
    )
    found = [ids(sample_of(order, most=10, patient=patient)) for order in orders]
    assert found[0] == found[1] == found[2]


def test_copies_count_once():
    assert len(sample_of([1, 1, 2, 1])) == 2


def test_what_will_not_be_kept_is_not_measured():
    sample = sample_of(range(60), most=1)
    film = Film(np.zeros((40, 40), np.uint8), coloured=False, mode="L")
    content = png(film.pixels)
    looks = [sample.look("x", content, film, square) for square in SQUARES]
    assert [look is not None for look in looks].count(True) == 1  # the film that is in the sample itself


def test_a_film_is_looked_at_as_its_file_and_as_the_network_sees_it():
    film = Film(np.zeros((40, 80), np.uint8), coloured=False, mode="L")
    square = np.tile(np.array([[0], [10]], np.uint8), (4, 8))
    look = FilmSample().look("x", png(film.pixels), film, square)
    assert look is not None
    assert look.numbers == pytest.approx((3200**0.5, 2.0, 5.0, 5.0, 10.0))
    assert look.encoder == read_acquisition(png(film.pixels)).encoder


def test_a_stored_sample_comes_back():
    sample = sample_of(range(0, 60, 2), most=400)
    stored = StoredSample.model_validate_json(StoredSample.of(sample).model_dump_json())
    again = stored.sample()
    assert again.num_films == 30
    for name in ("features", "logits", "numbers", "encoders"):
        assert np.array_equal(getattr(again.rows(), name), getattr(sample.rows(), name))
    assert ids(again.join([sample_of(range(1, 60, 2), most=400)])) == ids(sample_of(range(60), most=400))


def test_an_empty_sample_can_be_stored():
    assert len(StoredSample.of(FilmSample()).sample()) == 0


def test_a_damaged_sample_is_refused():
    stored = StoredSample.of(sample_of(range(10)))
    assert stored.films is not None
    damaged = stored.model_copy(update={"films": stored.films.model_copy(update={"logits": "AAAA"})})
    with pytest.raises(ModelFileError, match="damaged"):
        damaged.sample()
