"""The one image reader and the one evaluation preprocessing: any film becomes 8-bit grey pixels.

Everything that looks at a film (training, validation, ``evaluate``, ``predict``, ``verify-data``) reads it here, so
that the same file gives the same pixels everywhere.
"""

import io
import struct
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageFile, ImageOps, Jpeg2KImagePlugin, TiffImagePlugin, UnidentifiedImageError

from pneumocli.core.errors import bytes_text
from pneumocli.core.records import Fit
from pneumocli.data.film import MOST_PIXELS, Film, Pixels, UnreadableFilm, check_size
from pneumocli.data.film_files import film_content
from pneumocli.data.formats import HEAD_BYTES, format_of, is_film_name, what_it_is
from pneumocli.data.grey import Samples, film_of, is_coloured
from pneumocli.data.jpeg import check_jpeg, decoded_grey_jpeg, jpeg_header
from pneumocli.data.jpeg2000 import deep_jpeg2000, jpeg2000_depth
from pneumocli.data.tiff import read_tiff

__all__ = [
    "READER_VERSION",
    "Film",
    "Fit",
    "Pixels",
    "UnreadableFilm",
    "crop_frame",
    "fit_film",
    "is_film_name",
    "make_square",
    "read_content",
    "read_film",
    "shrink",
]


READER_VERSION = 4
"""Raised whenever the same file gives other pixels than before: caches of decoded films are built anew then."""

# Naming a format that Pillow has not registered is a KeyError: TIFF and JPEG 2000 register when their modules are
# imported, MPO (two JPEGs in one file) never, being found by JPEG's reader.
_FORMATS = ("JPEG", "PNG", "BMP", TiffImagePlugin.TiffImageFile.format, Jpeg2KImagePlugin.Jpeg2KImageFile.format)

# The preprocessing of torchvision's ImageNet models: short side to 256, then the middle 224.
_RESIZE, _CROP = 256, 224

_ORIENTATION = 0x0112  # EXIF's tag

# Pillow warns at 89 million pixels and raises at twice that; here the first is an error already, see its manual.
warnings.simplefilter("error", Image.DecompressionBombWarning)

# Damaged metadata is no damage to the picture, and a word per film on standard error helps nobody.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def read_film(source: Path | bytes, *, draft_side: int | None = None) -> Film:
    """Reads a film.

    JPEG, PNG, TIFF, BMP and JPEG 2000 of any depth and colour, and DICOM radiographs. Colour, palettes and CMYK become
    luminance, transparency lies over black, the orientation that the file names is applied. More than 8 bits are
    stretched linearly, see :func:`pneumocli.data.grey.stretch`. Of several pictures in a file there must be one that
    is the film: a phone's second picture, thumbnails and masks do not count.

    Args:
        source: A file, or its content.
        draft_side: For JPEG, let the decoder leave out detail that is not needed for a short side of so many pixels.
            Faster, but moves a logit by up to 0.3: for training crops only.

    Raises:
        UnreadableFilm: The file is missing, no single picture, damaged, absurdly large or tiny, or no radiograph.
    """
    content = read_content(source)
    if not content:
        raise UnreadableFilm("is empty (0 bytes)")
    if format_of(content[:HEAD_BYTES]) == "DICOM":
        from pneumocli.data.dicom import read_dicom  # pydicom takes a quarter of a second to import

        return read_dicom(content)
    head = content[:HEAD_BYTES]
    if format_of(head) is None and (other := what_it_is(head)) is not None:
        raise UnreadableFilm(other)
    try:
        return _read_picture(content, head, draft_side)
    except UnidentifiedImageError as error:
        header = jpeg_header(content) if format_of(head) == "JPEG" else None
        if header is not None and header.bits > 8:  # as cut out of a DICOM file; libjpeg-turbo reads 8 alone
            raise UnreadableFilm(
                f"is a JPEG of {header.bits} bits a sample, expected 8: keep it in its DICOM file, or save it as PNG"
            ) from error
        raise UnreadableFilm(f"is no picture that can be read: it begins with {bytes_text(content[:8])}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableFilm(f"claims more than {MOST_PIXELS:,} pixels") from error
    except (
        OSError,
        ValueError,
        SyntaxError,
        IndexError,
        KeyError,
        TypeError,
        EOFError,
        struct.error,
        ArithmeticError,
    ) as error:
        # Pillow raises any of these for damaged files, depending on the format and the byte.
        raise UnreadableFilm(f"is damaged: {str(error) or type(error).__name__}") from error


def read_content(source: Path | bytes) -> bytes:
    """The bytes of a file, or those given.

    Raises:
        UnreadableFilm: The file cannot be opened.
    """
    return source if isinstance(source, bytes) else film_content(source)


def _read_picture(content: bytes, head: bytes, draft_side: int | None) -> Film:
    page = 0
    if format_of(head) == "TIFF":
        samples = read_tiff(content)
        if isinstance(samples, Samples):
            return film_of(samples)
        page = samples
    with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
        check_size(*image.size)
        frames = getattr(image, "n_frames", 1)
        if image.format == "TIFF":
            image.seek(page)
        elif frames != 1 and image.format != "MPO":  # of a phone's JPEG with a second picture, the first is the film
            raise UnreadableFilm(f"holds {frames} pictures, expected one")
        if image.format in ("JPEG", "MPO"):
            return _read_jpeg(image, content, draft_side)
        if image.format == "PNG":
            _check_png(content)
            if image.tile and image.tile[0].args in _DEEP_COLOUR:
                return film_of(_deep_png(image, content))
        elif image.format == "JPEG2000" and image.mode.startswith("RGB") and jpeg2000_depth(content) > 8:
            return film_of(Samples(*deep_jpeg2000(content), premultiplied=False, mode="RGB;16"))
        return _film_of_picture(image, coloured=True)


def _read_jpeg(image: ImageFile.ImageFile, content: bytes, draft_side: int | None) -> Film:
    mode = image.mode
    if draft_side is not None:
        image.draft("L", (draft_side, draft_side))
    if mode == "L" and image.getexif().get(_ORIENTATION, 1) == 1:
        return Film(decoded_grey_jpeg(content, image.size), coloured=False, mode=mode)
    check_jpeg(content)
    film = _film_of_picture(image, coloured=draft_side is None)
    return replace(film, mode=mode)


def _film_of_picture(image: ImageFile.ImageFile, *, coloured: bool) -> Film:
    """A film from a picture that Pillow decodes; ``coloured``: whether to look for colour."""
    mode = image.mode
    image.load()
    upright = ImageOps.exif_transpose(image)
    if mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        upright = ImageChops.invert(upright)  # Pillow takes all for Adobe's, whose inks are stored inverted
    if mode == "LAB":
        upright = upright.getchannel(0)
    if mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return film_of(_with_opacity(upright, mode))
    if mode.startswith(("I", "F")):
        return film_of(Samples(np.asarray(upright), None, premultiplied=False, mode=mode))
    if upright.mode not in ("L", "1"):
        upright = upright.convert("RGB")
        return Film(np.array(upright.convert("L")), coloured=coloured and is_coloured(np.asarray(upright)), mode=mode)
    return Film(np.array(upright.convert("L")), coloured=False, mode=mode)


def _with_opacity(image: Image.Image, mode: str) -> Samples:
    transparent = image.info.get("transparency")
    if mode.startswith("I"):
        values = np.asarray(image)
        return Samples(values, values != transparent, premultiplied=False, mode=mode)
    channels = np.asarray(image.convert("RGBA"))
    return Samples(channels[..., :3], channels[..., 3], premultiplied=False, mode=mode)


# Pillow's unpackers that keep the high byte of PNG's 16-bit colour, with those that keep the low byte.
_DEEP_COLOUR = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}


def _deep_png(image: ImageFile.ImageFile, content: bytes) -> Samples:
    """A PNG file of 16-bit colour or of grey with opacity, of which Pillow keeps 8 bits: unpacked twice."""
    rawmode, mode = str(image.tile[0].args), image.mode
    transparent = image.info.get("transparency")
    high = _unpacked(image)
    with Image.open(io.BytesIO(content), formats=("PNG",)) as again:
        again.tile = [again.tile[0]._replace(args=_DEEP_COLOUR[rawmode])]
        low = _unpacked(again)
    if rawmode == "LA;16B":  # four bytes a pixel, which the second unpacker hands on as they are
        both = low.astype(np.uint16)
        channels = both[..., 0::2] << 8 | both[..., 1::2]
    else:
        channels = high.astype(np.uint16) << 8 | low
    opacity = None
    if channels.shape[2] in (2, 4):
        opacity = channels[..., -1]
    elif isinstance(transparent, tuple):
        opacity = (channels != np.array(transparent)).any(axis=2)
    values = channels[..., 0] if channels.shape[2] == 2 else channels[..., :3]
    return Samples(values, opacity, premultiplied=False, mode=f"{mode};16")


def _unpacked(image: ImageFile.ImageFile) -> np.typing.NDArray[np.uint8]:
    image.load()
    return np.asarray(ImageOps.exif_transpose(image))


def _check_png(content: bytes) -> None:
    """Refuses a PNG file with a wrong checksum, which Pillow passes over when it decodes."""
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        image.verify()


def fit_film(pixels: Pixels, size: int, fit: Fit) -> Pixels:
    """The evaluation preprocessing: a film as the square that the network sees.

    ``crop`` is torchvision's ``Resize(256)`` and ``CenterCrop(224)``, scaled to ``size``, to the last bit: bilinear
    with antialiasing, the long side rounded down, the crop's offset rounded half to even. ``squash`` ignores the
    aspect; ``pad`` adds black around the film first.

    Args:
        pixels: uint8 (H,W).
        size: Side of the square in pixels.
        fit: How the film becomes square.

    Returns:
        uint8 (size,size).
    """
    if fit != "crop":
        return _resized(make_square(pixels, fit), size, size)
    height, width = pixels.shape
    short = round(size * _RESIZE / _CROP)
    if width <= height:
        scaled = _resized(pixels, short, int(short * height / width))
    else:
        scaled = _resized(pixels, int(short * width / height), short)
    top, left = (round((side - size) / 2.0) for side in scaled.shape)
    return scaled[top : top + size, left : left + size].copy()


def crop_frame(height: int, width: int, fit: Fit) -> tuple[float, float, float, float]:
    """The part of a film that :func:`fit_film` shows to the network.

    Returns:
        Left, top, right, bottom in the film's pixels; beyond the film where ``pad`` adds black.
    """
    if fit == "squash":
        return 0.0, 0.0, float(width), float(height)
    side = max(height, width) if fit == "pad" else min(height, width) * _CROP / _RESIZE
    return (width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2


def make_square(pixels: Pixels, fit: Fit) -> Pixels:
    """A film made square where the fit asks for it, uint8 (H,W) to uint8 (S,S); ``crop`` leaves it as it is."""
    height, width = pixels.shape
    if fit == "crop" or height == width:
        return pixels
    side = max(height, width)
    if fit == "squash":
        return _resized(pixels, side, side)
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def shrink(pixels: Pixels, short_side: int) -> Pixels:
    """A film with its short side reduced to ``short_side`` pixels; a smaller film stays as it is."""
    height, width = pixels.shape
    short = min(height, width)
    if short <= short_side:
        return pixels
    return _resized(pixels, round(width * short_side / short), round(height * short_side / short))


def _resized(pixels: Pixels, width: int, height: int) -> Pixels:
    if pixels.shape == (height, width):
        return pixels
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
