"""The picture of a training batch."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from pneumocli.reporting.batch_picture import batch_picture
from pneumocli.reporting.figures import NORMAL_COLOUR, PNEUMONIA_COLOUR


def drawn(pixels: np.ndarray, labels: list[int]) -> Image.Image:
    picture = Image.open(io.BytesIO(batch_picture(pixels, labels)))
    assert picture.format == "PNG"
    return picture


def test_films_stand_in_rows_with_their_grey_values_and_the_colour_of_their_class():
    pixels = np.stack([np.full((1, 32, 32), 10 * number, np.uint8) for number in range(6)])
    picture = drawn(pixels, [0, 1, 0, 1, 1, 0])
    colours = picture.getcolors(maxcolors=picture.width * picture.height)
    assert colours is not None
    found = {colour for _, colour in colours}
    assert {(*(10 * number,) * 3, 255) for number in range(6)} <= found
    assert {(*ImageColor.getrgb(colour), 255) for colour in (NORMAL_COLOUR, PNEUMONIA_COLOUR)} <= found
    first, fifth = (picture.getpixel(place) for place in ((88, 100), (88, 290)))
    assert (first, fifth) == ((0, 0, 0, 255), (40, 40, 40, 255))  # the fifth begins the second row
    assert picture.getpixel((2, 2))[3] == 0, "the ground is the page's"


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (4, 4, 1), (5, 4, 2), (16, 4, 4), (40, 4, 4)])
def test_a_large_batch_is_cut_and_a_small_one_has_no_empty_columns(count: int, columns: int, rows: int):
    picture = drawn(np.zeros((count, 1, 224, 224), np.uint8), [0] * count)
    assert picture.width == 8 + columns * 168
    assert picture.height == 8 + rows * 182
