"""The same film gives the same pixels whatever its container: containers x depths x interpretations, one film."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image, ImageChops
from pydicom.uid import JPEG2000Lossless, RLELossless

from pneumocli.data.images import read_film
from tests.data.test_dicom import radiograph, saved
from tests.data.test_images import encoded, picture, png_chunk, without_adobe_marker
from tests.helpers.tiffs import BLACK_IS_ZERO, PALETTE, RGB, WHITE_IS_ZERO, page, tiff

Case = tuple[str, Callable[[], bytes], int]
DEPTHS = (8, 10, 12, 14, 16)


def reference() -> np.ndarray:
    """The film, of 0-255 and of an odd width."""
    pixels = picture(50, 77).astype(float)
    return np.rint((pixels - pixels.min()) * 255 / np.ptp(pixels)).astype(np.uint8)


def deep(bits: int) -> np.ndarray:
    """The film at a depth, in the smallest number type that holds it."""
    values = reference().astype(np.uint16) * (((1 << bits) - 1) // 255)
    return values.astype(np.uint8) if bits == 8 else values


def negative(values: np.ndarray) -> np.ndarray:
    return values.max() - values


def in_colour(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def png(values: np.ndarray) -> bytes:
    """A PNG file of 8 or 16 bits a channel, (H,W) or (H,W,C); Pillow writes no deep colour."""
    import struct
    import zlib

    kinds = {1: 0, 2: 4, 3: 2, 4: 6}
    channels = values if values.ndim == 3 else values[..., None]
    height, width, count = channels.shape
    bits = values.dtype.itemsize * 8
    rows = channels.astype(f">u{bits // 8}").reshape(height, -1).view(np.uint8)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    header = struct.pack(">IIBBBBB", width, height, bits, kinds[count], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(filtered.tobytes()))
        + png_chunk(b"IEND", b"")
    )


def opaque(values: np.ndarray, share: float = 1.0) -> np.ndarray:
    most = np.iinfo(values.dtype).max
    return np.concatenate([values, np.full_like(values[..., :1], int(most * share))], axis=2)


def shuffled_palette(image: Image.Image) -> Image.Image:
    """The film through a palette whose order is not that of its greys."""
    film = Image.fromarray(255 - np.asarray(image), "L").convert("P")
    film.putpalette([255 - level for level in range(256) for _ in range(3)])
    return film


def pngs() -> Iterator[Case]:
    for bits in DEPTHS:
        values = deep(bits)
        yield f"png grey {bits}", lambda values=values: png(values), 0
        yield f"png rgb {bits}", lambda values=values: png(in_colour(values)), 0
        yield f"png rgba {bits}", lambda values=values: png(opaque(in_colour(values))), 0
        yield f"png rgba, half transparent {bits}", lambda values=values: png(opaque(in_colour(values), 0.5)), 0
        yield f"png grey with opacity {bits}", lambda values=values: png(opaque(values[..., None])), 0
    grey = Image.fromarray(reference())
    yield "png palette", lambda: encoded(shuffled_palette(grey), "PNG"), 0
    yield "png interlaced in a palette", lambda: encoded(grey.convert("P"), "PNG"), 0


def jpegs() -> Iterator[Case]:
    grey = Image.fromarray(reference())
    for name, image in (("grey", grey), ("ycc", grey.convert("RGB")), ("cmyk", grey.convert("RGB").convert("CMYK"))):
        for progressive in (False, True):
            options = {"quality": 98, "progressive": progressive}
            yield f"jpeg {name} {options}", lambda image=image, options=options: encoded(image, "JPEG", **options), 8
    yield "jpeg rgb", lambda: encoded(grey.convert("RGB"), "JPEG", quality=98, keep_rgb=True), 8
    inks = ImageChops.invert(grey.convert("RGB").convert("CMYK"))
    yield "jpeg cmyk, not Adobe's", lambda: without_adobe_marker(encoded(inks, "JPEG", quality=98)), 8
    two = [grey.convert("RGB"), ImageChops.invert(grey.convert("RGB"))]
    yield "jpeg of a phone", lambda: encoded(two[0], "MPO", save_all=True, append_images=two[1:], quality=98), 8


def bmps() -> Iterator[Case]:
    grey = Image.fromarray(reference())
    for mode in ("L", "P", "RGB", "RGBA"):
        yield f"bmp {mode}", lambda mode=mode: encoded(grey.convert(mode), "BMP"), 0


def jpeg2000s() -> Iterator[Case]:
    grey = Image.fromarray(reference())
    for form in ({}, {"no_jp2": True}):
        for mode in ("L", "LA", "RGB", "RGBA"):
            yield f"jp2 {mode} {form}", lambda mode=mode, form=form: encoded(grey.convert(mode), "JPEG2000", **form), 0
        for bits in DEPTHS[1:]:
            values = deep(bits)
            yield f"jp2 {bits} {form}", lambda v=values, f=form: encoded(Image.fromarray(v), "JPEG2000", **f), 0


def tiffs() -> Iterator[Case]:
    for order in "<>":
        for bits in DEPTHS:
            values = deep(bits)
            for packed in {bits, values.dtype.itemsize * 8}:
                options = {"order": order, "bits": packed}
                plain = {**options, "photometric": BLACK_IS_ZERO}
                white = {**options, "photometric": WHITE_IS_ZERO}
                most = values.dtype.type((1 << packed) - 1)
                yield f"tiff {plain}, {bits}", lambda v=values, o=plain: tiff(page(v, **o), order=o["order"]), 0
                yield f"tiff {white}, {bits}", lambda v=most - values, o=white: tiff(page(v, **o), order=o["order"]), 0
                for planar in (1, 2):
                    colour = {**options, "photometric": RGB, "planar": planar}
                    yield (
                        f"tiff {colour}, {bits}",
                        lambda v=values, o=colour: tiff(page(in_colour(v), **o), order=o["order"]),
                        0,
                    )
            if bits > 8:
                signed = {"order": order, "bits": 16}
                yield (
                    f"tiff signed {order} {bits}",
                    lambda v=values, o=signed: tiff(
                        page((v.astype(np.int32) - 32768).astype(np.int16), **o), order=o["order"]
                    ),
                    0,
                )
        table = {320: tuple(np.tile(np.arange(256)[::-1] * 257, 3).tolist())}
        yield (
            f"tiff palette {order}",
            lambda o=order, t=table: tiff(page(255 - reference(), order=o, photometric=PALETTE, extra=t), order=o),
            0,
        )


def dicom(values: np.ndarray, syntax: str | None = None, **elements: object) -> bytes:
    dataset = radiograph(values, **elements)
    if syntax is not None:
        plugin = {} if syntax == RLELossless else {"encoding_plugin": "pylibjpeg"}
        dataset.compress(syntax, **plugin)
    return saved(dataset)


def dicoms() -> Iterator[Case]:
    for bits in DEPTHS:
        values, stored = deep(bits), {"BitsStored": bits, "HighBit": bits - 1}
        first, half = {"PhotometricInterpretation": "MONOCHROME1"}, 1 << (bits - 1)
        signed = (values.astype(np.int32) - half).astype(np.int8 if bits == 8 else np.int16)
        inverse = negative(values)
        for syntax in (None, RLELossless, JPEG2000Lossless):
            name = f"dicom {bits} {syntax or 'plain'}"
            yield name, lambda v=values, s=syntax, e=stored: dicom(v, s, **e), 0
            yield f"{name}, white is zero", lambda v=inverse, s=syntax, e=stored | first: dicom(v, s, **e), 0
            if syntax != JPEG2000Lossless:
                yield f"{name}, signed", lambda v=signed, s=syntax, e=stored: dicom(v, s, **e), 0
        window = {"WindowCenter": str(half), "WindowWidth": str(1 << bits)}
        for more in (
            {"RescaleSlope": "2", "RescaleIntercept": "-7"},
            window,
            {"VOILUTFunction": "", "WindowWidth": None},
        ):
            yield f"dicom {bits} {more}", lambda v=values, e=stored | more: dicom(v, **e), 1
        if bits < 16:
            high = {"BitsStored": bits, "HighBit": bits + 1}
            shifted = values.astype(np.uint16) << 2
            yield f"dicom {bits} higher bits", lambda v=shifted, e=high: dicom(v, **e), 0
        for planar in (0, 1):
            colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": planar} | stored
            samples = in_colour(values)
            samples = np.ascontiguousarray(np.moveaxis(samples, 2, 0)) if planar else samples
            size = {"Rows": values.shape[0], "Columns": values.shape[1]}
            yield f"dicom rgb {bits} {planar}", lambda v=samples, e=colour | size: dicom(v, **e), 0
    ycc = np.stack([reference(), *np.full((2, *reference().shape), 128, np.uint8)], axis=2)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL", "PlanarConfiguration": 0}
    yield "dicom ybr", lambda: dicom(ycc, **colour), 1
    yield "dicom palette", dicom_palette, 0


def dicom_palette() -> bytes:
    table = (np.arange(256)[::-1].astype(np.uint16) * 257).tobytes()
    elements = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        elements |= {
            f"{colour}PaletteColorLookupTableDescriptor": [256, 0, 16],
            f"{colour}PaletteColorLookupTableData": table,
        }
    return dicom(255 - reference(), **elements)


CASES = [*pngs(), *jpegs(), *bmps(), *jpeg2000s(), *tiffs(), *dicoms()]


def test_the_table_is_large_and_names_each_case_once():
    assert len({name for name, _, _ in CASES}) == len(CASES) >= 200


@pytest.mark.parametrize(("content", "tolerance"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_same_film(content: Callable[[], bytes], tolerance: int):
    film = read_film(content())
    difference = np.abs(film.pixels.astype(int) - reference())
    assert difference.max() <= tolerance
    assert np.corrcoef(film.pixels.ravel(), reference().ravel())[0, 1] > 0.999
    assert not film.coloured
    assert film.warnings == ()
