"""timing.py: what the seconds were spent on, and how long the epochs to come will take."""

import time

import pytest

from pneumocli.training.timing import Pace, Stopwatch

VIEWS = 4


def test_laps_add_up_over_the_sessions_of_a_run():
    spent = {"compute": 100.0}
    watch = Stopwatch(spent)
    time.sleep(0.02)
    watch.lap("compute", of_which=("wait", 0.005))
    watch.lap("validate")
    assert spent["wait"] == 0.005
    assert spent["compute"] >= 100.015
    assert 0 <= spent["validate"] < 0.02
    assert watch.seconds == pytest.approx(sum(spent.values()) - 100)


def test_what_the_first_step_took_longer_does_not_come_again():
    pace = Pace(VIEWS)
    pace.add(seconds=100, start_up=40, view=0)  # 40 s of compiling
    assert pace.left(4) == pytest.approx(4 * 60)
    pace.add(seconds=66, start_up=0, view=0)
    assert pace.left(3) == pytest.approx(3 * 63)
    assert pace.left(0) == 0


def test_a_frozen_backbone_runs_over_a_few_views_only():
    pace = Pace(VIEWS)
    pace.add(seconds=51, start_up=0, view=50)
    assert pace.left(19) == pytest.approx(19 * 1 + (VIEWS - 1) * 50)
    for _ in range(VIEWS - 1):
        pace.add(seconds=51, start_up=0, view=50)
    pace.add(seconds=1, start_up=0, view=0.001)  # kept features are found at once
    assert pace.left(15) == pytest.approx(15, rel=0.01)


def test_a_resumed_run_looks_at_each_view_again():
    pace = Pace(VIEWS)
    pace.add(seconds=51, start_up=0, view=50)
    assert pace.left(2) == pytest.approx(2 * (1 + 50))
