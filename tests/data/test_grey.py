"""More than 8 bits as 8: linear from darkest to brightest, but for what is no film."""

import numpy as np
import pytest

from pneumocli.data.film import UnreadableFilm
from pneumocli.data.grey import Samples, film_of, stretch
from tests.data.test_images import picture


def film() -> np.ndarray:
    pixels = picture(100, 120).astype(float)
    return np.rint((pixels - pixels.min()) * 255 / np.ptp(pixels)).astype(np.uint8)


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.int32, np.uint32, np.int64, np.float32, np.float64])
def test_linear_from_darkest_to_brightest_for_every_type(kind: type):
    values = film().astype(kind) * 100 + kind(7)
    pixels, clipped = stretch(values)
    np.testing.assert_array_equal(pixels, film())
    assert not clipped


def test_negative_and_extreme_numbers():
    np.testing.assert_array_equal(stretch(film().astype(np.int16) * 16 - 2000)[0], film())
    extremes = np.where(film() > 127, np.iinfo(np.int16).max, np.iinfo(np.int16).min).astype(np.int16)
    np.testing.assert_array_equal(stretch(extremes)[0], np.where(film() > 127, 255, 0))


@pytest.mark.parametrize(("scale", "marker"), [(16, 65535), (4, 65535), (64, 65535), (16, 30000), (1, 4095)])
@pytest.mark.parametrize("share", [0.0001, 0.004, 0.03])
def test_a_burnt_in_marker_is_clipped(scale: int, marker: int, share: float):
    values = film().astype(np.uint16) * scale
    burnt = np.arange(values.size).reshape(values.shape) < values.size * share
    values[burnt] = marker
    pixels, clipped = stretch(values)
    assert clipped
    np.testing.assert_array_equal(pixels, np.where(burnt, 255, film()))


@pytest.mark.parametrize("share", [0.0001, 0.03])
def test_dead_pixels_far_below_are_clipped(share: float):
    values = film().astype(np.uint16) * 16 + 40_000
    dead = np.arange(values.size).reshape(values.shape) < values.size * share
    values[dead] = 0
    pixels, clipped = stretch(values)
    assert clipped
    np.testing.assert_array_equal(pixels, np.where(dead, 0, film()))


def test_a_bright_border_on_a_third_of_the_film_is_clipped():
    values = film().astype(np.uint16) * 16
    values[:, :40] = 65535
    pixels, clipped = stretch(values)
    assert clipped
    assert np.corrcoef(pixels[:, 40:].ravel(), film()[:, 40:].ravel())[0, 1] > 0.999


def test_a_marker_with_soft_edges_leaves_the_film_its_contrast():
    values = film().astype(np.uint16) * 16
    values[:10, :10] = 65535
    values[10, :10] = np.linspace(5000, 60000, 10)
    pixels, clipped = stretch(values)
    assert clipped
    assert pixels[20:].std() > film()[20:].std() * 0.9


def test_an_ordinary_skewed_film_is_not_clipped():
    """Black around a bright hand, and a bright few per cent that belong to the film."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 60, (100, 100)).astype(np.uint16)
    values[30:60, 30:60] = rng.integers(500, 4095, (30, 30))
    assert not stretch(values)[1]
    exponential = rng.exponential(400, (100, 100)).clip(0, 4095).astype(np.uint16)
    exponential[0, 0], exponential[0, 1] = 0, 1900
    assert not stretch(exponential.clip(0, 1900))[1]


def test_a_drawing_of_few_grey_values_is_not_clipped():
    values = np.zeros((40, 40), np.uint16)
    values[0, 0] = 60_000
    pixels, clipped = stretch(values)
    assert (pixels[0, 0], clipped) == (255, False)


def test_what_does_not_count_is_black_and_left_out():
    values = film().astype(np.uint16) * 16 + 100
    shown = np.ones(values.shape, bool)
    shown[:, :30] = False
    values[:, :30] = 65535
    pixels, clipped = stretch(values, shown)
    assert not clipped
    assert pixels[:, :30].max() == 0
    with pytest.raises(UnreadableFilm, match="holds no pixel but padding"):
        stretch(values, ~np.ones(values.shape, bool))


def test_values_that_are_no_numbers_are_refused():
    for value in (np.nan, np.inf):
        values = film().astype(np.float32)
        values[3, 3] = value
        with pytest.raises(UnreadableFilm, match="not finite"):
            stretch(values)


def test_colour_of_16_bits_is_seen_and_becomes_luminance():
    red = np.stack([film().astype(np.uint16) * 257, *np.zeros((2, *film().shape), np.uint16)], axis=2)
    assert film_of(Samples(red, None, premultiplied=False, mode="RGB")).coloured
    grey = np.repeat(red[..., :1], 3, axis=2)
    film_again = film_of(Samples(grey, None, premultiplied=False, mode="RGB"))
    assert not film_again.coloured
    np.testing.assert_array_equal(film_again.pixels, film())


def test_a_clipped_film_carries_the_warning():
    values = film().astype(np.uint16) * 16
    values[:3, :3] = 65535
    assert [warning.code for warning in film_of(Samples(values, None, premultiplied=False, mode="I;16")).warnings] == [
        "clipped"
    ]
