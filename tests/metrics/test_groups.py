"""Metrics of hard and easy films, against hand-worked counts."""

import numpy as np
import pytest

from pneumocli.metrics.groups import group_of, hard_and_easy

# 5 normals, 2 of them called ill; 6 pneumonias, 5 of them found.
LABELS = np.array([0] * 5 + [1] * 6)
LOGITS = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, -0.5, 1.5, 3.0, 4.0, 5.0, 6.0])
PATIENTS = np.array([f"p{number}" for number in range(11)])


def test_a_group_gives_rates_and_auroc_with_counts():
    group = group_of(LABELS, LOGITS, LOGITS >= 0, PATIENTS)
    values = {name: metric.value for name, metric in group.metrics.items()}
    # pairs won: -0.5 beats 3 normals, 1.5 beats 4, the others all 5: 27 of 30
    assert values == pytest.approx(
        {"sensitivity": 5 / 6, "specificity": 3 / 5, "balanced_accuracy": (5 / 6 + 3 / 5) / 2, "auroc": 27 / 30}
    )
    assert (group.num_images, group.num_normal, group.num_pneumonia, group.num_patients) == (11, 5, 6, 11)
    assert all(metric.low is not None and metric.low < metric.value for metric in group.metrics.values())


def test_what_depends_on_a_class_of_four_films_is_undefined():
    group = group_of(LABELS[1:], LOGITS[1:], LOGITS[1:] >= 0, PATIENTS[1:])
    values = {name: metric.value for name, metric in group.metrics.items()}
    assert values["sensitivity"] == pytest.approx(5 / 6)
    assert values["specificity"] is values["balanced_accuracy"] is values["auroc"] is None
    assert group.metrics["specificity"].method == "undefined: fewer than 5 films of NORMAL"


def test_hard_and_easy_share_the_films():
    hard = np.arange(11) % 2 == 0
    groups = hard_and_easy(hard, LABELS, LOGITS, LOGITS >= 0, PATIENTS)
    assert {name: group.num_images for name, group in groups.items()} == {"hard": 6, "easy": 5}
    assert hard_and_easy(None, LABELS, LOGITS, LOGITS >= 0, PATIENTS) == {}
    empty = hard_and_easy(np.zeros(11, bool), LABELS, LOGITS, LOGITS >= 0, PATIENTS)["hard"]
    assert (empty.num_images, empty.metrics["sensitivity"].value) == (0, None)
