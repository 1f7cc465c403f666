"""Reads thousands of damaged films and prints how each ended; run as a program, so that a crash or a hang is seen.

python -m tests.helpers.damage FORMAT,... COUNT SEED
"""

import collections
import faulthandler
import io
import json
import random
import struct
import sys
import zlib

import numpy as np
import simplejpeg
from PIL import Image
from pydicom.uid import JPEG2000Lossless, RLELossless

from pneumocli.data.images import UnreadableFilm, read_film
from tests.data.test_dicom import radiograph, ramp, saved
from tests.data.test_same_pixels import png
from tests.helpers.released import film_bytes
from tests.helpers.tiffs import page, tiff

SECONDS_PER_FILM = 20


def sources(form: str) -> list[bytes]:
    """Whole films of a format in its variants."""
    grey = Image.open(io.BytesIO(film_bytes(1, form="PNG")))
    found = []
    if form == "DICOM":
        found = [saved(radiograph(ramp())), saved(radiograph(ramp(), PhotometricInterpretation="MONOCHROME1"))]
        for syntax, options in ((RLELossless, {}), (JPEG2000Lossless, {"encoding_plugin": "pylibjpeg"})):
            dataset = radiograph(ramp(), WindowCenter=2048, WindowWidth=1000)
            dataset.compress(syntax, **options)
            found.append(saved(dataset))
        colour = radiograph(
            np.repeat(ramp()[..., None] >> 4, 3, axis=2).astype(np.uint8), PhotometricInterpretation="RGB"
        )
        colour.SamplesPerPixel, colour.PlanarConfiguration = 3, 0
        padded = radiograph(
            ramp(), PixelPaddingValue=0, BitsStored=12, HighBit=11, RescaleSlope="2", RescaleIntercept="1"
        )
        return [*found, saved(colour), saved(padded), saved(padded)[132:]]
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a film"
    variants: dict[str, list[tuple[Image.Image, dict[str, object]]]] = {
        "JPEG": [
            (grey, {}),
            (grey, {"progressive": True}),
            (grey, {"restart_marker_rows": 1}),
            (grey, {"exif": exif}),
            (grey.convert("RGB"), {}),
            (grey.convert("CMYK"), {}),
        ],
        "PNG": [
            (grey, {}),
            (grey.convert("P"), {}),
            (grey.convert("RGBA"), {}),
            (Image.fromarray(np.asarray(grey).astype(np.uint16) * 200), {}),
        ],
        "TIFF": [
            (grey, {"compression": name}) for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        ],
        "JPEG2000": [
            (grey, {}),
            (grey.convert("RGBA"), {}),
            (Image.fromarray(np.asarray(grey).astype(np.uint16) * 16), {}),
        ],
        "BMP": [(grey, {}), (grey.convert("RGB"), {})],
    }
    for image, options in variants[form]:
        content = io.BytesIO()
        image.save(content, form, **options)
        found.append(content.getvalue())
    return [*found, *deep_sources(form, np.asarray(grey).astype(np.uint16) * 16)]


def deep_sources(form: str, values: np.ndarray) -> list[bytes]:
    """Layouts that Pillow does not write."""
    colour = np.repeat(values[..., None], 3, axis=2)
    if form == "PNG":
        return [png(colour), png(values)]
    if form == "TIFF":
        packed = {"compression": 8, "predictor": 2}
        pages = [page(colour, photometric=2, planar=2, **packed), page(values, bits=12, photometric=0)]
        return [tiff(item) for item in [*pages, page(values.astype(np.float32), compression=8, predictor=3, tile=16)]]
    return []


def mutant(rng: random.Random, whole: bytes) -> bytes:
    """A film with one to four faults, as disks, networks and attackers make them."""
    content = bytearray(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        # Headers are short and matter most: half of the faults go there.
        place = rng.randrange(min(len(content), 700) if rng.random() < 0.5 else len(content))
        length = rng.choice((1, 2, 4, 16, 200))
        fault = rng.randrange(7)
        if fault == 0:
            content[place] ^= 1 << rng.randrange(8)
        elif fault == 1:
            content[place : place + length] = rng.randbytes(length)
        elif fault == 2:
            content[place : place + length] = bytes(length)
        elif fault == 3:
            content[place : place + length] = b"\xff" * length
        elif fault == 4:
            del content[place : place + length]
        elif fault == 5:
            content[place:place] = content[max(0, place - length) : place]
        else:
            del content[max(1, place) :]
        if not content:
            break
    return bytes(content)


def reported_as_damaged(form: str, content: bytes) -> bool:
    """What the format's own decoder finds, apart from the reader."""
    if form == "JPEG":
        try:
            simplejpeg.decode_jpeg(content, "GRAY")
        except ValueError as error:
            return "subsampling" not in str(error)
    return form == "PNG" and not checksums_hold(content)


def checksums_hold(content: bytes) -> bool:
    """Whether every chunk of a PNG file up to its end is whole."""
    place = 8
    while place + 12 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        kind, stop = content[place + 4 : place + 8], place + 8 + length
        if kind == b"IEND":
            return True
        if content[stop : stop + 4] != struct.pack(">I", zlib.crc32(content[place + 4 : stop])):
            return False
        place = stop + 4
    return False


def main() -> None:
    forms, count, seed = sys.argv[1].split(","), int(sys.argv[2]), int(sys.argv[3])
    sys.stdout.write(json.dumps({form: ends_of(form, count, seed) for form in forms}) + "\n")


def ends_of(form: str, count: int, seed: int) -> dict[str, int]:
    """How so many damaged films of a format ended."""
    rng, films = random.Random(seed), sources(form)
    ends: collections.Counter[str] = collections.Counter(refused=0, passed=0, leaked=0)
    for number in range(count):
        whole = films[number % len(films)]
        content = mutant(rng, whole)
        faulthandler.dump_traceback_later(SECONDS_PER_FILM, exit=True)
        try:
            film = read_film(content)
        except UnreadableFilm as error:
            ends["refused"] += 1
            ends["leaked"] += "Muster" in f"{error}{error.hint}"
        else:
            assert film.pixels.dtype == np.uint8
            assert film.pixels.ndim == 2
            ends["passed"] += 1
            ends["passed though reported"] += reported_as_damaged(form, content)
            ends["passed and different"] += not np.array_equal(film.pixels, read_film(whole).pixels)
        faulthandler.cancel_dump_traceback_later()
    return ends


if __name__ == "__main__":
    main()
