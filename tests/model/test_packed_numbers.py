"""packed_numbers.py: arrays as text in a model file."""

import numpy as np
import pytest

from pneumocli.core.errors import ModelFileError
from pneumocli.model.packed_numbers import packed, unpacked


def test_numbers_come_back_in_order():
    values = np.array([[1.5, -2.0], [0.25, 3.0]])
    assert unpacked(packed(values), "fault").tolist() == [1.5, -2.0, 0.25, 3.0]
    assert unpacked(packed(values, "<f2"), "fault", "<f2").tolist() == [1.5, -2.0, 0.25, 3.0]
    assert unpacked(packed(values.T), "fault").tolist() == [1.5, 0.25, -2.0, 3.0]


@pytest.mark.parametrize("text", ["no Base64!", "AAA=", "AAAA"])
def test_other_text_is_refused(text: str):
    with pytest.raises(ModelFileError, match=r"^fault$"):
        unpacked(text, "fault")
