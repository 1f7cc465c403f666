"""Arrays as text, to travel in a model file."""

import base64
import binascii
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.errors import ModelFileError

NumberFormat = Literal["<f2", "<f4"]
"""float16 or float32, little-endian."""

TRAINING_FILMS_DAMAGED = "the model file's description of its training films is damaged"


def packed(values: NDArray[np.floating], form: NumberFormat = "<f4") -> str:
    """The numbers in C order as Base64."""
    return base64.b64encode(np.ascontiguousarray(values, form).tobytes()).decode()


def unpacked(text: str, fault: str, form: NumberFormat = "<f4") -> NDArray[np.float32]:
    """The numbers of :func:`packed`, float32 (N,).

    Args:
        text: Base64.
        fault: Message of the error.
        form: As packed.

    Raises:
        ModelFileError: The text holds no such numbers.
    """
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), form).astype(np.float32)
    except (binascii.Error, ValueError) as error:
        raise ModelFileError(fault) from error
