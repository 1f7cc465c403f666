"""Sentences on a model that refers films."""

import pytest

from pneumocli.metrics.records import Evaluation, Metric, Referral, RiskPoint
from pneumocli.model.card import ReferLimits
from pneumocli.reporting.refer_text import VOID_NOTE, limits_text, refer_note, refer_sentence
from pneumocli.run_folder import RunFolder
from tests.reporting.test_shift_section import SHIFT


def metric(value: float, low: float | None = None, high: float | None = None) -> Metric:
    return Metric(value=value, low=low, high=high, method="by hand")


FOUND = Referral(
    alpha=0.05,
    coverage={"NORMAL": metric(0.94, 0.9, 0.97), "PNEUMONIA": metric(0.95)},
    num_referred=10, num_without_class=0, referred=metric(0.25), num_wrong=3, error=metric(0.1),
    risk=(RiskPoint(answered=0.5, error=0), RiskPoint(answered=1, error=0.2)),
)  # fmt: skip


@pytest.fixture
def evaluation(evaluated: tuple[RunFolder, Evaluation]) -> Evaluation:
    return evaluated[1].model_copy(update={"refer": FOUND, "shift": None})


def test_the_sentence_holds_all_figures(evaluation: Evaluation):
    assert refer_sentence(evaluation) == (
        "At --refer 0.05 it refers 25.0% of the films to a person; error among the answered 10.0%. "
        "Coverage, 95.0% asked: NORMAL 94.0% (90.0% to 97.0%), PNEUMONIA 95.0%."
    )
    assert refer_sentence(evaluation.model_copy(update={"refer": None})) is None


def test_a_shift_voids_the_guarantee(evaluation: Evaluation):
    shifted = evaluation.model_copy(update={"shift": SHIFT})
    assert refer_note(shifted) == VOID_NOTE
    assert (refer_sentence(shifted) or "").endswith(VOID_NOTE)
    alike = evaluation.model_copy(update={"shift": SHIFT.model_copy(update={"detected": False})})
    assert refer_note(alike) == ""


def test_films_that_set_the_limits_are_named_as_such(evaluation: Evaluation):
    notes = {split: refer_note(evaluation.model_copy(update={"split": split})) for split in ("val", "out-of-fold")}
    assert all("set the limits" in note for note in notes.values())


def test_limits_apart_refer_what_lies_between():
    limits = ReferLimits(alpha=0.05, normal_up_to=-1, pneumonia_from=2, num_normal=20, num_pneumonia=20)
    assert limits_text(limits) == ("films with a logit between -1.0000 and 2.0000, where neither class is possible")
