"""JPEG streams, whatever holds them: none that its decoder finds damaged counts as read.

Pillow and pydicom hand a stream to libjpeg and drop its warnings: what is missing comes as grey.
"""

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


def _damaged_jpeg(error: ValueError) -> UnreadableFilm:
    if "Premature end of JPEG file" in str(error):
        return UnreadableFilm("is truncated: the file ends before the picture does")
    return UnreadableFilm(f"is damaged: {str(error).removeprefix('Corrupt JPEG data: ')}")
