"""Limits per class from one film of each patient: by hand, and by how often they hold."""

import numpy as np
import pytest

from pneumocli.model.card import ReferLimits
from pneumocli.shift.conformal import answer_of, least_patients, one_of_each_patient, refer_limits, sets_of


def limits(normal_up_to: float, pneumonia_from: float) -> ReferLimits:
    return ReferLimits(
        alpha=0.1, normal_up_to=normal_up_to, pneumonia_from=pneumonia_from, num_normal=9, num_pneumonia=9
    )


def test_the_quantile_by_hand():
    # 10 patients and 0.2: (10 + 1) * 0.2 = 2.2, so the second film from the far end is the last that fits its class;
    # 4 patients: (4 + 1) * 0.2 = 1, the very last.
    normal, pneumonia = [-5, -4, -3.5, -3, -2.5, -2, -1, 0, 1, 4], [-1, 2, 3, 6]
    found = refer_limits(normal + pneumonia, [0] * 10 + [1] * 4, 0.2)
    assert (found.normal_up_to, found.pneumonia_from) == (1, -1)
    assert (found.num_normal, found.num_pneumonia, found.alpha) == (10, 4, 0.2)


@pytest.mark.parametrize(("alpha", "number"), [(0.05, 19), (0.1, 9), (0.2, 4), (0.07, 14), (0.01, 99), (0.49, 2)])
def test_with_one_patient_less_nothing_could_be_ruled_out(alpha: float, number: int):
    assert least_patients(alpha) == number
    both = [0] * number + [1] * number
    found = refer_limits(np.arange(2 * number), both, alpha)
    assert (found.normal_up_to, found.pneumonia_from) == (number - 1, number)
    with pytest.raises(ValueError, match=f"needs {number} patients"):
        refer_limits(np.arange(2 * number - 1), both[1:], alpha)


@pytest.mark.parametrize(
    ("normal_up_to", "pneumonia_from", "answers"),
    [
        (1, -1, ["NORMAL", "REFER", "REFER", "REFER", "PNEUMONIA"]),  # both are possible in between
        (-1, 1, ["NORMAL", "NORMAL", "REFER", "PNEUMONIA", "PNEUMONIA"]),  # neither is
        (0, 0, ["NORMAL", "NORMAL", "REFER", "PNEUMONIA", "PNEUMONIA"]),
    ],
)
def test_one_possible_class_is_the_answer(normal_up_to: float, pneumonia_from: float, answers: list[str]):
    found, logits = limits(normal_up_to, pneumonia_from), [-2.0, -1.0, 0.0, 1.0, 2.0]
    assert [answer_of(found, logit) for logit in logits] == answers
    assert (sets_of(found, logits).sum(axis=1) != 1).tolist() == [answer == "REFER" for answer in answers]


def test_the_choice_of_a_patients_film_depends_on_its_name_alone():
    labels, patients, keys = [0, 0, 0, 1, 1], ["a", "a", "b", "b", "c"], ["1", "2", "3", "4", "5"]
    chosen = one_of_each_patient(labels, patients, keys)
    assert chosen[-3:].tolist() == [2, 3, 4]  # a patient with films of both classes gives one of each
    assert len(chosen) == 4
    backwards = one_of_each_patient(labels[::-1], patients[::-1], keys[::-1])
    assert {keys[place] for place in chosen} == {keys[::-1][place] for place in backwards}


def test_neither_the_first_nor_the_last_film_of_a_patient_is_preferred():
    names = [f"{patient}-{film}" for patient in range(400) for film in range(2)]
    chosen = one_of_each_patient([0] * 800, [name.partition("-")[0] for name in names], names)
    assert 150 < (chosen % 2).sum() < 250


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_coverage_of_a_new_patient_is_what_was_asked(alpha: float):
    """Mean over 4,000 sets of films: at least 1 - alpha, and above it by 1 / (n + 1) at most; its error is 0.1 %."""
    rng, (normal, ill) = np.random.default_rng(0), (60, 35)
    labels, covered = np.array([0] * normal + [1] * ill), []
    for _ in range(4000):
        logits = rng.standard_t(3, normal + ill) + labels
        found = refer_limits(logits, labels, alpha)
        covered.append(sets_of(found, rng.standard_t(3, 2) + np.array([0, 1]))[[0, 1], [0, 1]])
    for mean, number in zip(np.mean(covered, axis=0), (normal, ill), strict=True):
        error = 4 * (alpha * (1 - alpha) / 4000) ** 0.5
        assert 1 - alpha - error <= mean <= 1 - alpha + 1 / (number + 1) + error
