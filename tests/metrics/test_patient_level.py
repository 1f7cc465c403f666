"""One answer per patient, against tables worked by hand."""

import pytest

from pneumocli.metrics.patient_level import SHOWN, patient_level
from pneumocli.metrics.records import Confusion
from pneumocli.metrics.scores import ScoreArrays
from tests.conftest import scored_film


def arrays(*patients: tuple[str, list[float]], temperature: float = 1.0) -> ScoreArrays:
    """Patients by label and the logits of their films."""
    return ScoreArrays.of(
        [
            scored_film(f"{number}-{film}.png", label, logit, f"p{number}")
            for number, (label, logits) in enumerate(patients)
            for film, logit in enumerate(logits)
        ],
        temperature,
    )


ILL, HEALTHY = "PNEUMONIA", "NORMAL"


def test_a_table_worked_by_hand():
    """Means 1, -0.5, -1, 0.5, -2: one of two found, one of three alarmed on. Any film: both, and two."""
    scores = arrays(
        (ILL, [1.0]), (ILL, [-2.0, 1.0]), (HEALTHY, [-3.0, 1.0]), (HEALTHY, [0.5, 0.5]), (HEALTHY, [-1.0, -3.0])
    )
    found = patient_level(scores, 0.5)
    assert (found.num_patients, found.num_normal, found.num_pneumonia) == (5, 3, 2)
    assert (found.num_with_several_films, found.most_films, found.num_with_both_labels) == (4, 2, 0)
    assert found.mean_logit.confusion == Confusion(tp=1, fp=1, fn=1, tn=2)
    assert found.any_positive.confusion == Confusion(tp=2, fp=2, fn=0, tn=1)
    assert tuple(found.mean_logit.metrics) == tuple(found.any_positive.metrics) == SHOWN
    assert found.mean_logit.metrics["sensitivity"].value == 0.5
    assert found.any_positive.metrics["specificity"].value == 1 / 3
    # Means: 1 beats all three, -0.5 beats -1 and -2. Highest: 1 and 1 tie with 1 and beat 0.5 and -1.
    assert found.mean_logit.metrics["auroc"].value == pytest.approx(5 / 6)
    assert found.any_positive.metrics["auroc"].value == pytest.approx(5 / 6)
    assert all(metric.low is not None for metric in found.mean_logit.metrics.values())


def test_the_temperature_and_the_threshold_count():
    """A mean of 1 is a probability of 0.73, and of 0.62 at a temperature of 2."""
    patients = ((ILL, [0.0, 2.0]), (HEALTHY, [-4.0]))
    assert patient_level(arrays(*patients), 0.7).mean_logit.confusion.tp == 1
    assert patient_level(arrays(*patients, temperature=2.0), 0.7).mean_logit.confusion.tp == 0


def test_patients_with_both_labels_are_left_out_and_counted():
    mixed = [scored_film("a.png", ILL, 5.0, "m"), scored_film("b.png", HEALTHY, 5.0, "m")]
    others = [
        scored_film(f"{n}.png", ILL if n < 2 else HEALTHY, 1.0 if n < 2 else -1.0, f"p{n // 2}") for n in range(4)
    ]
    found = patient_level(ScoreArrays.of(mixed + others, 1.0), 0.5)
    assert (found.num_patients, found.num_with_both_labels) == (2, 1)
    assert found.any_positive.confusion == Confusion(tp=1, fp=0, fn=0, tn=1)
    assert patient_level(ScoreArrays.of(mixed, 1.0), 0.5) is None, "nobody else has two films"


def test_undefined_where_a_patient_is_a_film():
    assert patient_level(arrays((ILL, [1.0]), (HEALTHY, [-1.0])), 0.5) is None


def test_patients_of_one_class_leave_what_is_undefined_null():
    found = patient_level(arrays((ILL, [1.0, 2.0]), (ILL, [-1.0])), 0.5)
    assert found.mean_logit.metrics["sensitivity"].value == 0.5
    for name in ("specificity", "balanced_accuracy", "auroc"):
        assert found.mean_logit.metrics[name].value is None
