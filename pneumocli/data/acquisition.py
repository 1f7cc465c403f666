"""How a film was made: its encoder and size, its sharpness, brightness and contrast; of the patient the age alone.

Where such a property predicts the label in the training films, a classifier can learn it instead of the disease.
Format, quantisation table, density and markers come from the file's header; sharpness, brightness and contrast from
the film reduced to the size at which a network looks at it.
"""

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumocli.data.film import Film, Pixels
from pneumocli.data.formats import HEAD_BYTES, format_of
from pneumocli.data.images import read_film, shrink

ACQUISITION_VERSION = 2
"""Raised whenever the same file gives another :class:`Acquisition` than before: caches of them are built anew then."""

WORKING_SIDE = 256
"""Short side in pixels at which sharpness, brightness and contrast are measured; a smaller film stays as it is."""

_LONGEST_NAME = 48  # of a device, from a stranger's file

_BITS_OF_MODE = {"1": 1, "I": 32, "F": 32, "I;16": 16, "I;16B": 16, "I;16L": 16}
_DENSITY_UNITS = {0: "", 1: " dpi", 2: " per cm"}

# Table K.1 of ITU-T T.81 (JPEG), luminance; libjpeg scales it by its quality setting.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How one film was made.

    Attributes:
        format: JPEG, PNG, TIFF, BMP, JPEG 2000 or DICOM, by content.
        num_bytes: File size.
        mode: How the file stores its pixels, in Pillow's words, or ``DICOM``.
        bits: Bits per sample; ``None`` where a damaged header does not show them.
        width: Pixels, right way up.
        height: Pixels, right way up.
        quantisation_sum: Sum of a JPEG's 64 luminance quantisation steps; small is fine. ``None`` for other formats.
        density: A JPEG's JFIF density with its unit (``72x72``, ``300x300 dpi``); empty where it has none.
        markers: What a JPEG's header holds of ``JFIF``, ``Adobe``, ``EXIF`` and ``ICC``, in this order.
        progressive: Whether a JPEG is progressive, or a PNG interlaced.
        device: Manufacturer and model that a DICOM file names; empty for other formats.
        brightness: Mean grey value at the working size, 0-255.
        contrast: Standard deviation of the grey values there.
        sharpness: Mean absolute difference of vertical neighbours there, in grey values.
        age: Of the patient in years, where a DICOM file says so.
        view: ``PA``, ``AP`` or ``lateral``, where a DICOM file says so; otherwise empty.
    """

    format: str
    num_bytes: int
    mode: str
    bits: int | None
    width: int
    height: int
    quantisation_sum: int | None
    density: str
    markers: tuple[str, ...]
    progressive: bool
    device: str
    brightness: float
    contrast: float
    sharpness: float
    age: float | None = None
    view: str = ""

    @property
    def aspect(self) -> float:
        """Width / height."""
        return self.width / self.height

    @property
    def sides_of_eight(self) -> bool:
        """Whether both sides are multiples of 8: what an editor leaves that cuts along JPEG's blocks."""
        return self.width % 8 == 0 and self.height % 8 == 0

    @property
    def quality(self) -> int | None:
        """The quality setting of libjpeg, 1-100, whose luminance table has the nearest sum: an estimate."""
        return None if self.quantisation_sum is None else _quality_of(self.quantisation_sum)

    @property
    def encoder(self) -> str:
        """A name that films share which went through the same software: ``JPEG Q-sum 330, JFIF 72x72``."""
        if self.format == "JPEG":
            jfif = f"JFIF {self.density}" if "JFIF" in self.markers else ""
            adobe = "Adobe" if "Adobe" in self.markers else ""
            parts = [f"JPEG Q-sum {self.quantisation_sum}", jfif, adobe, "progressive" if self.progressive else ""]
            return ", ".join(filter(None, parts))
        if self.format == "DICOM":
            return f"DICOM {self.device or 'of unnamed device'}"
        depth = "" if self.bits is None else f" {self.bits}-bit"
        return f"{self.format}{depth}{', interlaced' if self.progressive else ''}"


def read_acquisition(
    content: bytes, film: Film | None = None, measured: tuple[float, float, float] | None = None
) -> Acquisition:
    """Describes how a film was made.

    Args:
        content: Of the file.
        film: The film as read from it; read here unless given.
        measured: Brightness, contrast and sharpness as measured elsewhere; by :func:`appearance` unless given.

    Raises:
        UnreadableFilm: The content is no film that can be read.
    """
    if film is None:
        film = read_film(content)
    kind = format_of(content[:HEAD_BYTES]) or "DICOM"
    header = _dicom_header(content) if kind == "DICOM" else _picture_header(content)
    height, width = film.pixels.shape
    brightness, contrast, sharpness = measured if measured is not None else appearance(film.pixels)
    return Acquisition(
        format=kind,
        num_bytes=len(content),
        mode=film.mode,
        width=width,
        height=height,
        brightness=brightness,
        contrast=contrast,
        sharpness=sharpness,
        bits=header.bits,
        quantisation_sum=header.quantisation_sum,
        density=header.density,
        markers=header.markers,
        progressive=header.progressive,
        device=header.device,
        age=header.age,
        view=header.view,
    )


def appearance(pixels: Pixels) -> tuple[float, float, float]:
    """Brightness, contrast and sharpness of a film, uint8 (H,W), at the working size.

    >>> appearance(np.tile(np.array([[0], [10]], np.uint8), (8, 16)))
    (5.0, 5.0, 10.0)
    """
    small = shrink(pixels, WORKING_SIDE)
    counts = np.array(Image.fromarray(small).histogram(), np.float64) / small.size
    levels = np.arange(256)
    brightness = float(counts @ levels)
    contrast = float(np.sqrt(counts @ (levels - brightness) ** 2))
    return brightness, contrast, float(np.abs(np.diff(small.astype(np.int16), axis=0)).mean())


@dataclass(frozen=True, slots=True)
class _Header:
    bits: int | None
    quantisation_sum: int | None = None
    density: str = ""
    markers: tuple[str, ...] = ()
    progressive: bool = False
    device: str = ""
    age: float | None = None
    view: str = ""


def _picture_header(content: bytes) -> _Header:
    """What Pillow finds before the pixels; they are not decoded."""
    with Image.open(io.BytesIO(content)) as image:
        info, bits = image.info, _bits(content, image)
        tables: dict[int, list[int]] = getattr(image, "quantization", None) or {}
        if not tables:
            return _Header(bits, progressive=bool(info.get("interlace")))
        present = {"JFIF": "jfif", "Adobe": "adobe", "EXIF": "exif", "ICC": "icc_profile"}
        return _Header(
            bits,
            quantisation_sum=sum(tables[min(tables)]),  # encoders number the luminance table 0
            density=_density(info),
            markers=tuple(name for name, key in present.items() if key in info),
            progressive=bool(info.get("progressive")),
        )


def _bits(content: bytes, image: Image.Image) -> int:
    if image.format == "PNG":
        return content[24]  # of IHDR; Pillow widens or narrows some depths
    return _BITS_OF_MODE.get(image.mode, 8)


def _density(info: dict[str | tuple[int, int], object]) -> str:
    density = info.get("jfif_density")
    if not isinstance(density, tuple):
        return ""
    unit = info.get("jfif_unit")
    return f"{density[0]}x{density[1]}{_DENSITY_UNITS.get(unit, '') if isinstance(unit, int) else ''}"


def _dicom_header(content: bytes) -> _Header:
    from pneumocli.data.dicom import read_header  # pydicom takes a quarter of a second to import

    found = read_header(content)
    readable = "".join(letter if letter.isprintable() else " " for letter in found.device)
    return _Header(found.bits, device=" ".join(readable.split())[:_LONGEST_NAME], age=found.age, view=found.view)


@cache
def _quality_sums() -> NDArray[np.int64]:
    """The sum of libjpeg's luminance table at each quality from 1 to 100; it falls as the quality rises."""
    base, sums = np.array(_LUMINANCE, np.int64), []
    for quality in range(1, 101):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        sums.append(int(((base * scale + 50) // 100).clip(1, 255).sum()))
    return np.array(sums)


def _quality_of(quantisation_sum: int) -> int:
    return int(np.abs(_quality_sums() - quantisation_sum).argmin()) + 1
