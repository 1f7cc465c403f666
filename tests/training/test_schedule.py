"""schedule.py: the learning rate of every step, worked out by hand."""

import pytest
import torch

from pneumocli.core.config import TrainConfig
from pneumocli.training.schedule import Method, Pacer


def rates(method: Method) -> list[float]:
    return [method.rate(step) for step in range(1, method.num_steps + 1)]


def test_constant_is_the_settings_number_itself():
    assert rates(Method(1e-4, num_steps=7)) == [1e-4] * 7


def test_cosine_begins_at_the_highest_and_ends_just_above_0():
    assert rates(Method(2.0, "cosine", num_steps=4)) == pytest.approx([2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5])


def test_a_warm_up_is_a_straight_line_to_the_highest():
    assert rates(Method(1.0, warm_up=0.4, num_steps=10)) == pytest.approx([0.25, 0.5, 0.75] + [1] * 7)
    with_cosine = rates(Method(1.0, "cosine", warm_up=0.5, num_steps=8))
    assert with_cosine == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])


def test_no_rate_of_a_long_training_is_0_or_above_the_highest():
    for steps in (1, 2, 3, 1000):
        assert all(0 < rate <= 1e-3 for rate in rates(Method(1e-3, "cosine", warm_up=0.05, num_steps=steps)))


def test_what_settings_make_of_it():
    method = Method.of(TrainConfig(recipe="robust", epochs=3, average_epochs=2), steps_per_epoch=10)
    assert (method.num_steps, method.average_steps, method.schedule) == (30, 20, "cosine")


def test_a_pacer_sets_the_rate_of_every_group_and_reports_the_last():
    first, second = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.Adam([{"params": [first]}, {"params": [second]}], lr=9)
    pacer = Pacer(Method(1.0, warm_up=0.5, num_steps=4))
    assert pacer.rate == 0.5
    seen = []
    for _ in range(3):
        pacer.begin_step(optimizer)
        seen.append([group["lr"] for group in optimizer.param_groups])
    assert seen == [[0.5, 0.5], [1, 1], [1, 1]]
    assert (pacer.rate, pacer.steps) == (1, 3)
