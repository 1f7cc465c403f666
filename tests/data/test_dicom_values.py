"""Bits, sign, padding, rescale, windows and polarity: what the header says decides, what says nothing is ignored."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pneumocli.data.film import UnreadableFilm
from pneumocli.data.images import read_film
from tests.data.test_dicom import radiograph, saved
from tests.data.test_images import picture


def film() -> np.ndarray:
    pixels = picture(50, 60).astype(float)
    return np.rint((pixels - pixels.min()) * 255 / np.ptp(pixels)).astype(np.uint8)


def seen(values: np.ndarray, **elements: object) -> np.ndarray:
    return read_film(saved(radiograph(values, **elements))).pixels


DEEP = film().astype(np.uint16) * 16


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("padding", "elements"),
    [
        (65535, {"PixelPaddingValue": 65535}),
        (0, {"PixelPaddingValue": 0}),
        (5000, {"PixelPaddingValue": 5000}),
        (60000, {"PixelPaddingValue": 50000, "PixelPaddingRangeLimit": 65535}),
        (60000, {"PixelPaddingValue": 65535, "PixelPaddingRangeLimit": 50000}),
    ],
)
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2200, "WindowWidth": 5000}])
def test_padding_is_left_out_and_black(
    padding: int, elements: dict[str, int], window: dict[str, int], interpretation: str
):
    body = DEEP + 16
    values = (4111 - DEEP) if interpretation == "MONOCHROME1" else body
    values = values.copy()
    values[:, :20] = padding
    pixels = seen(values, **elements, **window, PhotometricInterpretation=interpretation)
    assert pixels[:, :20].max() == 0
    wanted = film()[:, 20:].astype(float)
    wanted = np.rint((wanted - wanted.min()) * 255 / np.ptp(wanted))
    assert np.abs(pixels[:, 20:] - wanted).max() <= 1


def test_padding_of_signed_pixels_whatever_its_sign():
    values = film().astype(np.int16) * 8 - 1000
    values[:, :20] = -32768
    for element in (-32768, 32768):
        dataset = radiograph(values)
        dataset.add_new("PixelPaddingValue", "SS" if element < 0 else "US", element)
        assert read_film(saved(dataset)).pixels[:, :20].max() == 0
    with pytest.raises(UnreadableFilm, match="holds no pixel but padding"):
        seen(np.full((50, 60), 7, np.uint16), PixelPaddingValue=7)


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": "2048", "WindowWidth": "0"},
        {"WindowCenter": "2048", "WindowWidth": "-5"},
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": "2048", "WindowWidth": None},
        {"WindowCenter": None, "WindowWidth": "4096"},
        {"WindowCenter": ["", ""], "WindowWidth": ["", ""]},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": "0", "RescaleIntercept": "0"},
        {"RescaleSlope": "1", "RescaleIntercept": None},
        {"RescaleSlope": "2.5", "RescaleIntercept": "-1024"},
        {"VOILUTFunction": ""},
        {"VOILUTSequence": Sequence()},
        {"ModalityLUTSequence": Sequence()},
        {"BodyPartExamined": "CHEST"},
    ],
)
@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_what_says_nothing_changes_nothing(elements: dict[str, object], interpretation: str):
    values = 4080 - DEEP if interpretation == "MONOCHROME1" else DEEP
    np.testing.assert_array_equal(seen(values, **elements, PhotometricInterpretation=interpretation), film())


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": ["2048", "100"], "WindowWidth": ["4096", "10"]},
        {"WindowCenter": ["2048", "2048"], "WindowWidth": ["0", "4096"]},
        {"WindowCenter": "2048", "WindowWidth": "4096", "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": "60000", "WindowWidth": "10"},
    ],
)
def test_the_first_window_that_shows_something(elements: dict[str, object]):
    assert np.abs(seen(DEEP, **elements).astype(int) - film()).max() <= 1


def test_a_window_that_shows_nothing_is_ignored_with_a_warning():
    warnings = read_film(saved(radiograph(DEEP, WindowCenter="60000", WindowWidth="10"))).warnings
    assert [warning.code for warning in warnings] == ["window-ignored"]


def test_windows_clip_and_sigmoids_bend():
    pixels = seen(DEEP, WindowCenter="2048", WindowWidth="1000")
    assert pixels[DEEP < 1500].max() == 0
    assert pixels[DEEP > 2600].min() == 255
    bent = seen(DEEP, WindowCenter="2048", WindowWidth="1000", VOILUTFunction="SIGMOID")
    order = np.argsort(DEEP, axis=None)
    assert (np.diff(bent.ravel()[order].astype(int)) >= 0).all()
    assert 110 < bent[(DEEP > 2000) & (DEEP < 2100)].mean() < 150


@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_look_up_table_is_applied(name: str):
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.LUTData = (4095 - np.arange(4096)).astype(np.uint16).tobytes()
    table["LUTData"].VR = "OW"
    if name == "ModalityLUTSequence":
        table.ModalityLUTType = "US"
    pixels = seen(4080 - DEEP, BitsStored=12, HighBit=11, **{name: Sequence([table])})
    assert np.abs(pixels.astype(int) - film()).max() <= 1


@pytest.mark.parametrize("high", [11, 13, 15])
@pytest.mark.parametrize("signed", [False, True])
def test_bits_that_lie_higher(high: int, signed: bool):
    values = DEEP.astype(np.int32) - (2048 if signed else 0)
    words = (values & 0xFFF) << (high - 11)
    kind = np.int16 if signed else np.uint16
    np.testing.assert_array_equal(seen(words.astype(np.uint16).view(kind), BitsStored=12, HighBit=high), film())


def test_a_sign_repeated_in_the_unused_bits_is_fine():
    values = DEEP.astype(np.int16) - 2048
    np.testing.assert_array_equal(seen(values, BitsStored=12, HighBit=11), film())


def test_padding_beyond_the_stored_bits_is_fine():
    values = DEEP + 15
    values[:, :20] = 65535
    assert seen(values, BitsStored=12, HighBit=11, PixelPaddingValue=65535)[:, :20].max() == 0


def test_monochrome1_is_inverted_once():
    for shape in ({}, {"PresentationLUTShape": "INVERSE"}, {"PresentationLUTShape": "IDENTITY"}):
        np.testing.assert_array_equal(seen(4080 - DEEP, PhotometricInterpretation="MONOCHROME1", **shape), film())
    np.testing.assert_array_equal(seen(DEEP, PresentationLUTShape="IDENTITY"), film())


def table(number: int, bits: int, form: str, first: int = 0) -> Dataset:
    """A look-up table from 0 to the highest number of so many bits, stored in one of the ways that are met."""
    entries = np.rint(np.linspace(0, (1 << bits) - 1, number)).astype(np.uint16)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [number % 65536, first % 65536, bits])
    if form == "words":
        item.add_new("LUTData", "US", entries.tolist())
    elif form == "other words":
        item.add_new("LUTData", "OW", entries.tobytes())
    else:
        item.add_new("LUTData", "OW", entries.astype(np.uint8).tobytes())
    return item


@pytest.mark.parametrize(
    ("bits", "form"),
    [(8, "words"), (8, "other words"), (8, "bytes"), (9, "words"), (12, "other words"), (16, "words")],
)
@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
def test_look_up_tables_of_every_depth(name: str, bits: int, form: str):
    """Of 4,096 entries of 8 bits pydicom takes the places modulo 256."""
    pixels = seen(DEEP, **{name: Sequence([table(4096, bits, form)])})
    assert np.abs(pixels.astype(int) - film()).max() <= 1


def test_look_up_tables_of_signed_pixels_and_of_all_words():
    values = DEEP.astype(np.int16) - 2048
    signed = seen(values, VOILUTSequence=Sequence([table(4096, 12, "words", -2048)]))
    wide = seen(DEEP * 16, VOILUTSequence=Sequence([table(65536, 16, "other words")]))
    for pixels in (signed, wide):
        assert np.abs(pixels.astype(int) - film()).max() <= 1


def test_a_look_up_table_that_is_cut_off_is_refused():
    cut = table(4096, 12, "words")
    cut.LUTData = cut.LUTData[:100]
    with pytest.raises(UnreadableFilm, match="look-up table has 100 entries, not 4,096 as it says"):
        seen(DEEP, VOILUTSequence=Sequence([cut]))


@pytest.mark.parametrize("window", ["1/1", "0.5/1", "16/32", "128/256", "40/400", "2048/1"])
def test_a_placeholder_of_a_window_is_ignored_with_a_warning(window: str):
    centre, width = window.split("/")
    read = read_film(saved(radiograph(DEEP, WindowCenter=centre, WindowWidth=width)))
    assert [warning.code for warning in read.warnings] == ["window-ignored"]
    np.testing.assert_array_equal(read.pixels, film())


def test_a_film_of_few_levels_is_shown_through_its_window():
    marks = np.where(film() > 128, 4000, 10).astype(np.uint16)
    read = read_film(saved(radiograph(marks, WindowCenter="2048", WindowWidth="100")))
    assert read.warnings == ()
    assert set(np.unique(read.pixels)) == {0, 255}


def test_decimal_commas_are_read():
    """The negative of a film was shown where its slope of -1,0 was taken for none."""
    dataset = radiograph(4080 - DEEP)
    content = saved(dataset)
    assert b"-1.0" not in content
    dataset.add_new("RescaleSlope", "DS", "-1.0")
    dataset.add_new("RescaleIntercept", "DS", "4080.")
    content = saved(dataset).replace(b"-1.0", b"-1,0").replace(b"4080.", b"4080,")
    np.testing.assert_array_equal(read_film(content).pixels, film())
