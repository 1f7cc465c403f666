"""epochs.py: how long the epochs to come will take."""

import pytest

from pneumocli.core.config import TrainConfig
from pneumocli.training.loop import FROZEN_VIEWS, _Pace


def test_what_the_first_step_took_longer_does_not_come_again():
    pace = _Pace()
    pace.saw(seconds=100, start_up=40, view=0)  # 40 s of compiling
    assert pace.left(1, TrainConfig(epochs=5)) == pytest.approx(4 * 60)
    pace.saw(seconds=66, start_up=0, view=0)
    assert pace.left(2, TrainConfig(epochs=5)) == pytest.approx(3 * 63)
    assert pace.left(5, TrainConfig(epochs=5)) == 0


def test_a_frozen_backbone_runs_over_a_few_views_only():
    pace, config = _Pace(), TrainConfig(epochs=20, freeze="backbone")
    pace.saw(seconds=51, start_up=0, view=50)
    assert pace.left(1, config) == pytest.approx(19 * 1 + (FROZEN_VIEWS - 1) * 50)
    for _ in range(FROZEN_VIEWS - 1):
        pace.saw(seconds=51, start_up=0, view=50)
    pace.saw(seconds=1, start_up=0, view=0.001)  # kept features are found at once
    assert pace.left(5, config) == pytest.approx(15, rel=0.01)


def test_a_resumed_run_looks_at_each_view_again():
    pace = _Pace()
    pace.saw(seconds=51, start_up=0, view=50)
    assert pace.left(10, TrainConfig(epochs=12, freeze="backbone")) == pytest.approx(2 * (1 + 50))
