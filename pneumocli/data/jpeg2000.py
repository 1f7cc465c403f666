"""JPEG 2000 pictures of more than 8 bits a colour, which Pillow reads at 8."""

import struct
from typing import Any

import numpy as np

from pneumocli.data.film import UnreadableFilm

__all__ = ["deep_jpeg2000", "jpeg2000_depth"]

_SIZE_MARKER = b"\xff\x4f\xff\x51"  # start of the codestream, then its size


def jpeg2000_depth(content: bytes) -> int:
    """Bits of a picture's deepest channel.

    Raises:
        struct.error: The header is cut off.
    """
    start = content.find(_SIZE_MARKER) + len(_SIZE_MARKER)
    (channels,) = struct.unpack_from(">H", content, start + 36)
    return max((content[start + 38 + 3 * channel] & 0x7F) + 1 for channel in range(channels))


def deep_jpeg2000(content: bytes) -> tuple[Any, Any]:
    """Colour at its full depth, (H,W,3), and opacity, (H,W) or ``None``.

    Raises:
        UnreadableFilm: The package that decodes it is not installed, or finds it damaged.
    """
    try:
        from openjpeg.utils import decode
    except ImportError as error:
        raise UnreadableFilm(
            "is JPEG 2000 in colour of more than 8 bits: convert it to PNG (or pip install 'pneumocli[dicom]')"
        ) from error
    try:
        channels = np.asarray(decode(content))
    except (RuntimeError, ValueError, TypeError) as error:
        raise UnreadableFilm("is damaged: JPEG 2000 that cannot be decoded") from error
    return channels[..., :3], channels[..., 3] if channels.shape[2] == 4 else None
