"""TIFF files of every depth, order, layout and interpretation: tag 262 decides, and one picture is the film."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from pneumocli.data.images import UnreadableFilm, read_film
from tests.data.test_images import picture, refused
from tests.helpers.tiffs import BLACK_IS_ZERO, PALETTE, RGB, WHITE_IS_ZERO, page, tiff


def film() -> np.ndarray:
    """A film of 0-255, of odd width, so that rows end within a byte."""
    pixels = picture(50, 77).astype(float)
    pixels = (pixels - pixels.min()) * 255 / np.ptp(pixels)
    return np.rint(pixels).astype(np.uint8)


def at_depth(pixels: np.ndarray, kind: str, bits: int) -> np.ndarray:
    """The film's values at another depth, in proportion."""
    if kind == "f":
        return (pixels / np.float32(255)).astype(f"f{bits // 8}")
    if bits <= 8:
        levels = pixels >> (8 - bits)
        return (levels.astype(np.int16) - (1 << (bits - 1))).astype(np.int8) if kind == "i" else levels
    container = 16 if bits <= 16 else bits
    values = pixels.astype(np.int64) * (((1 << bits) - 1) // 255)
    return (values - (1 << (bits - 1)) if kind == "i" else values).astype(f"{kind}{container // 8}")


def inverted(values: np.ndarray, kind: str, bits: int) -> np.ndarray:
    if kind == "f":
        return 1 - values
    return ~values if kind == "i" else (values.dtype.type((1 << bits) - 1) - values)


DEPTHS = [
    *(("u", bits) for bits in (1, 2, 4, 8, 10, 12, 14, 16, 32)),
    *(("i", bits) for bits in (8, 16, 32)),
    *(("f", bits) for bits in (16, 32, 64)),
]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize(("kind", "bits"), DEPTHS)
def test_every_depth_and_interpretation(kind: str, bits: int, white_is_zero: bool, order: str):
    values = at_depth(film(), kind, bits)
    stored = inverted(values, kind, bits) if white_is_zero else values
    tags = {"photometric": WHITE_IS_ZERO if white_is_zero else BLACK_IS_ZERO, "bits": bits, "order": order}
    expected = film() if bits >= 8 else np.rint((film() >> (8 - bits)) * (255 / ((1 << bits) - 1)))
    np.testing.assert_array_equal(read_film(tiff(page(stored, **tags), order=order)).pixels, expected)


LAYOUTS = [
    *itertools.product(["<", ">"], [1, 2], [1, 8, 32946, 32773], [1], [0, 16]),
    *itertools.product(["<", ">"], [1, 2], [8], [2], [0, 16]),
]


@pytest.mark.parametrize(("order", "planar", "compression", "predictor", "tile"), LAYOUTS)
@pytest.mark.parametrize("bits", [8, 16])
def test_every_layout_of_colour(order: str, planar: int, compression: int, predictor: int, tile: int, bits: int):
    values = np.repeat(at_depth(film(), "u", bits)[..., None], 3, axis=2)
    stored = page(
        values, order=order, photometric=RGB, planar=planar, compression=compression, predictor=predictor, tile=tile
    )
    for big in (False, True) if order == "<" else (False,):
        np.testing.assert_array_equal(read_film(tiff(stored, order=order, big=big)).pixels, film())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [16, 32, 64])
def test_the_predictor_of_floats(bits: int, order: str):
    stored = page(at_depth(film(), "f", bits), order=order, compression=8, predictor=3)
    np.testing.assert_array_equal(read_film(tiff(stored, order=order)).pixels, film())


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"])
def test_what_libtiff_packs(compression: str):
    from PIL import Image, features

    from tests.data.test_images import encoded

    assert features.check("libtiff")
    for values in (film(), film().astype(np.uint16) * 257):
        content = encoded(Image.fromarray(values), "TIFF", compression=compression)
        np.testing.assert_array_equal(read_film(content).pixels, film())


def test_big_tiff_in_big_endian_order_is_refused():
    assert refused(tiff(page(film(), order=">"), order=">", big=True)).startswith("is BigTIFF in big-endian order")


def test_12_bits_in_16_bit_colour_are_stretched_as_grey_is():
    values = np.repeat(film()[..., None].astype(np.uint16) * 16, 3, axis=2)
    np.testing.assert_array_equal(read_film(tiff(page(values, photometric=RGB))).pixels, film())


@pytest.mark.parametrize("scale", [257, 1])
def test_a_palette_of_16_or_8_bits(scale: int):
    table = tuple(np.tile(np.arange(256)[::-1] * scale, 3).tolist())
    stored = page(255 - film(), photometric=PALETTE, extra={320: table})
    np.testing.assert_array_equal(read_film(tiff(stored)).pixels, film())


def test_colours_outside_the_palette_are_damage():
    stored = page(film(), photometric=PALETTE, extra={320: (0,) * 48})
    assert refused(tiff(stored)) == "is damaged: TIFF with colours that are not in its palette"


@pytest.mark.parametrize(("meaning", "premultiplied"), [(1, True), (2, False)])
@pytest.mark.parametrize("bits", [8, 16])
def test_opacity_lies_over_black(bits: int, meaning: int, premultiplied: bool):
    values = at_depth(film(), "u", bits)
    opacity = np.full_like(values, np.iinfo(values.dtype).max)
    opacity[:, :20] = 0
    shown = np.where(opacity > 0, values, 0 if premultiplied else values)
    content = tiff(page(np.stack([shown, opacity], axis=2), extra={338: (meaning,)}))
    expected = np.where(opacity > 0, film(), 0)
    assert (
        np.abs(read_film(content).pixels.astype(int) - expected).max() <= 3
    )  # the visible part has a range of its own
    assert (
        refused(tiff(page(np.stack([values, opacity * 0], axis=2), extra={338: (meaning,)}))) == "is wholly transparent"
    )


def test_channels_that_are_no_opacity_are_ignored():
    noise = np.random.default_rng(0).integers(0, 256, film().shape).astype(np.uint8)
    for extra in ({338: (0,)}, {}):
        np.testing.assert_array_equal(
            read_film(tiff(page(np.stack([film(), noise], axis=2), extra=extra))).pixels, film()
        )


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, lambda p: p),
        (2, np.fliplr),
        (3, lambda p: np.rot90(p, 2)),
        (4, np.flipud),
        (5, lambda p: p.T),
        (6, lambda p: np.rot90(p, 1)),
        (7, lambda p: np.rot90(p, 2).T),
        (8, lambda p: np.rot90(p, -1)),
    ],
)
@pytest.mark.parametrize("scale", [1, 257])
def test_the_orientation_is_applied(orientation: int, stored, scale: int):
    values = np.ascontiguousarray(stored(film())).astype(np.uint8 if scale == 1 else np.uint16) * scale
    content = tiff(page(values, extra={274: (orientation,)}))
    np.testing.assert_array_equal(read_film(content).pixels, film())


def test_bits_in_the_other_order():
    turned = np.packbits(np.unpackbits(film()[..., None], axis=2), axis=2, bitorder="little")[..., 0]
    np.testing.assert_array_equal(read_film(tiff(page(turned, extra={266: (2,)}))).pixels, film())


def test_without_an_interpretation_black_is_zero():
    tags, parts = page(film())
    del tags[262]
    np.testing.assert_array_equal(read_film(tiff((tags, parts))).pixels, film())


@pytest.mark.parametrize("mark", [{254: (1,)}, {254: (4,)}, {255: (2,)}])
@pytest.mark.parametrize("first", [False, True])
def test_reduced_copies_and_masks_do_not_count(mark: dict[int, tuple[int, ...]], first: bool):
    pages = [page(film()), page(film()[::2, ::2].copy(), extra=mark)]
    np.testing.assert_array_equal(read_film(tiff(*(pages[::-1] if first else pages))).pixels, film())


def test_several_pictures_are_refused():
    assert refused(tiff(page(film()), page(film()), page(film()[::2].copy(), extra={254: (1,)}))) == (
        "holds 2 pictures, expected one"
    )
    assert refused(tiff(page(film(), extra={254: (1,)}))).startswith("holds no picture but a reduced copy")


def test_a_chain_of_pages_that_bites_its_tail_ends():
    content = tiff(page(film()))
    first = content[4:8]
    with pytest.raises(UnreadableFilm, match="holds 1000 pictures or more"):
        read_film(tiff(*[({256: (40,), 257: (40,)}, [])] * 1001))
    np.testing.assert_array_equal(read_film(content[:-4] + first).pixels, film())


def test_what_a_cameras_sensor_measured_is_no_picture():
    assert refused(tiff(page(film(), photometric=32803))).startswith("is a camera's raw file (DNG)")


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({256: (50_000,), 257: (50_000,)}, "claims 50000 x 50000 pixels, more than 100,000,000"),
        ({258: (24,)}, "is TIFF of 24 bits a sample, expected 1 to 16, 32 or 64"),
        ({277: (0,)}, "is damaged: TIFF of 0 samples a pixel"),
        ({317: (7,), 259: (8,)}, "is TIFF with predictor 7 at 8 bits, expected 1, 2 or 3"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(tags: dict[int, tuple[int, ...]], reason: str):
    stored, parts = page(film(), compression=8)
    assert refused(tiff((stored | tags, parts))) == reason


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_strip_of_jpeg_that_ends_early_is_refused(mode: str):
    """Pillow's decoder would fill up with grey."""
    content = io.BytesIO()
    Image.fromarray(film()).convert(mode).save(content, "TIFF", compression="jpeg")
    whole = content.getvalue()
    assert read_film(whole).pixels.shape == film().shape
    with Image.open(content) as image:
        start, length = image.tag_v2[273][0], image.tag_v2[279][0]
    half = start + length // 2
    zeroed = whole[:half] + bytes(start + length - half) + whole[start + length :]
    assert refused(zeroed) == "is truncated: the file ends before the picture does"
