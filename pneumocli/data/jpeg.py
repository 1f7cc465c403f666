"""JPEG streams, whatever holds them: none that its decoder finds damaged counts as read.

Pillow and pydicom hand a stream to libjpeg and drop its warnings: what is missing comes as grey.
"""

from dataclasses import dataclass

import simplejpeg

from pneumocli.data.film import Pixels, UnreadableFilm


def decoded_grey_jpeg(content: bytes, size: tuple[int, int]) -> Pixels:
    """The pixels of a grey JPEG file, at the size that Pillow would decode it to, bit for bit as Pillow would.

    Decoded by simplejpeg, the same libjpeg-turbo: where the entropy-coded data is damaged or missing, the decoder
    fills up with grey and warns. Pillow drops the warning, simplejpeg's strict mode raises it.

    Raises:
        UnreadableFilm: It is cut off, damaged, or of another size.
    """
    width, height = size
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(content, "GRAY", min_height=height, min_width=width)[..., 0]
    except ValueError as error:
        raise _damaged_jpeg(error) from error
    if pixels.shape != (height, width):
        raise UnreadableFilm(f"is damaged: its header gives {width} x {height} pixels, its data {pixels.shape[::-1]}")
    return pixels


def check_jpeg(content: bytes) -> None:
    """Refuses a JPEG stream that its decoder finds damaged; decodes to an eighth, which still reads all the data.

    Raises:
        UnreadableFilm: It is cut off, or damaged.
    """
    try:
        simplejpeg.decode_jpeg(content, "GRAY", min_height=1, min_width=1)
    except ValueError as error:
        # A way of storing colour that simplejpeg does not know and Pillow does: no sign of damage.
        if "subsampling" not in str(error):
            raise _damaged_jpeg(error) from error


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What a JPEG stream says of itself.

    Attributes:
        bits: Of a sample.
        width: In pixels.
        height: In pixels.
        samples: Of a pixel.
        is_ycbcr: Whether three samples are luminance and colour differences (JFIF, Adobe's mark) or red, green and
            blue; ``None`` where it does not say.
    """

    bits: int
    width: int
    height: int
    samples: int
    is_ycbcr: bool | None


def jpeg_header(content: bytes) -> JpegHeader | None:
    """The header of a JPEG stream; ``None`` where there is none."""
    is_ycbcr, place = None, 2
    while len(content) >= place + 4 and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        segment = content[place + 4 : place + 2 + length]
        if marker == 0xE0 and segment.startswith(b"JFIF\0"):
            is_ycbcr = True
        elif marker == 0xEE and segment.startswith(b"Adobe") and len(segment) >= 12 and is_ycbcr is None:
            is_ycbcr = {0: False, 1: True}.get(segment[11])
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # these are tables and extensions
            if len(segment) < 6:
                return None
            if is_ycbcr is None and segment[6::3] == b"RGB":
                is_ycbcr = False
            height, width = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
            return JpegHeader(segment[0], width, height, segment[5], is_ycbcr)
        place += 2 + length
    return None


def _damaged_jpeg(error: ValueError) -> UnreadableFilm:
    if "Premature end of JPEG file" in str(error):
        return UnreadableFilm("is truncated: the file ends before the picture does")
    return UnreadableFilm(f"is damaged: {str(error).removeprefix('Corrupt JPEG data: ')}")
