"""multiple_tests.py: Holm's correction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumocli.core.multiple_tests import holm


def test_holm_by_hand():
    # Holm 1979: 0.01 * 4, 0.03 * 3 (from 0.02 * 3 = 0.06 upwards never less), 0.04 * 2, 0.5 * 1.
    assert holm([0.5, 0.01, 0.04, 0.02]) == pytest.approx([0.5, 0.04, 0.08, 0.06])
    assert holm([0.04, 0.03]) == pytest.approx([0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_and_keeps_the_order(p_values: list[float]):
    adjusted = holm(p_values)
    assert all(low <= high <= 1 for low, high in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
