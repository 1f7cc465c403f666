"""The verdict of a comparison: ranking and threshold apart, agreement only where nothing differs."""

import pytest

from pneumocli.metrics.records import Difference
from pneumocli.reporting.comparison_verdict import comparison_verdict

METHODS = {"auroc": "cluster DeLong (Obuchowski 1997)"}


def row(
    metric: str, difference: float, low: float | None, high: float | None, p: float, pair: tuple[str, str] = ("a", "b")
):
    return Difference(
        run_a=pair[0], run_b=pair[1], metric=metric, a=0.9 - difference, b=0.9, difference=difference, low=low,
        high=high, p_value=p, method=METHODS.get(metric, "paired patient bootstrap"),
    )  # fmt: skip


def test_a_run_that_is_only_miscalibrated_is_not_reported_as_the_worse_ranking():
    rows = [row("auroc", 0.005, -0.002, 0.012, 0.163), row("accuracy", 0.118, 0.08, 0.15, 0.0004)]
    assert comparison_verdict(["a", "b"], rows) == (
        "Ranking: b orders the films better than a by 0.5 points of AUROC (95 % interval -0.2 to 1.2); "
        "this difference could be chance (p = 0.16). "
        "Threshold: b is right on more films than a by 11.8 points of accuracy (95 % interval 8.0 to 15.0), "
        "more than chance would explain (p < 0.001). "
        "A threshold chosen for a (--operating-point) may close that gap."
    )


def test_equal_accuracy_is_no_agreement_where_the_rankings_or_the_errors_differ():
    rows = [
        row("auroc", -0.133, -0.2, -0.05, 0.011),
        row("accuracy", 0, -0.05, 0.05, 1.0),
        row("sensitivity", 0.1, 0.05, 0.15, 0.01),
        row("specificity", -0.2, -0.3, -0.1, 0.01),
    ]
    assert comparison_verdict(["a", "b"], rows) == (
        "Ranking: a orders the films better than b by 13.3 points of AUROC (95 % interval 5.0 to 20.0), "
        "more than chance would explain (p = 0.011). "
        "Threshold: a and b have the same accuracy (95 % interval -5.0 to +5.0), "
        "but b has a sensitivity 10.0 points higher and a specificity 20.0 points lower."
    )


def test_opposite_errors_are_named_where_accuracy_alone_shows_little():
    rows = [
        row("auroc", 0.1, 0.05, 0.15, 0.001),
        row("accuracy", -0.062, -0.3, 0.18, 0.61),
        row("sensitivity", 0.65, 0.5, 0.8, 0.0004),
        row("specificity", -0.525, -0.7, -0.3, 0.0004),
    ]
    assert comparison_verdict(["a", "b"], rows).endswith(
        "Threshold: a is right on more films than b by 6.2 points of accuracy (95 % interval -18.0 to 30.0); "
        "this difference could be chance (p = 0.61), but b has a sensitivity 65.0 points higher and a specificity "
        "52.5 points lower, more than chance would explain."
    )
    unsure = [rows[0], rows[1], row("sensitivity", 0.05, -0.1, 0.2, 0.5), row("specificity", -0.1, -0.2, 0.01, 0.06)]
    assert comparison_verdict(["a", "b"], unsure).endswith("this difference could be chance (p = 0.61).")


def test_where_the_resamples_do_not_differ_no_interval_is_made_up():
    rows = [
        row("auroc", 0.1, 0.05, 0.15, 0.001),
        row("accuracy", 0, None, None, 1.0),
        row("sensitivity", 0, None, None, 1.0),
        row("specificity", 0, None, None, 1.0),
    ]
    assert comparison_verdict(["a", "b"], rows).endswith("Threshold: a and b have the same accuracy.")


def test_agreement_is_reported_where_no_metric_differs():
    rows = [row("auroc", 0, 0, 0, 1.0), row("accuracy", 0, 0, 0, 1.0)]
    assert (
        comparison_verdict(["a", "b"], rows)
        == "Nothing differs between a and b on these films: every metric is the same."
    )
    brier = row("brier_score", 0.01, 0, 0.02, 0.2)
    assert "Nothing differs" not in comparison_verdict(["a", "b"], [*rows, brier])


@pytest.mark.parametrize(
    ("low", "p", "words"),
    [
        (-0.01, 0.2, "; this difference could be chance (p = 0.20)"),
        (0.001, 0.06, "; this difference is at the edge of chance (p = 0.060)"),
    ],
)
def test_what_could_be_chance_is_reported_so(low: float, p: float, words: str):
    assert words in comparison_verdict(["a", "b"], [row("accuracy", 0.02, low, 0.05, p)])


def test_many_runs_are_judged_after_holm():
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    rows = [row("auroc", 0.02, 0.001, 0.05, 0.03, pair) for pair in pairs]
    rows += [row("accuracy", 0.02, 0.001, 0.05, 0.03, pair) for pair in pairs]
    text = comparison_verdict(["a", "b", "c"], rows, {f"{a} vs {b}": 0.09 for a, b in pairs})
    assert "this difference is at the edge of chance (p = 0.090 after Holm)" in text
    assert text.count("than") == 4
    assert "more than chance would explain" not in text


def test_films_of_one_class_have_no_ranking():
    assert comparison_verdict(["a", "b"], []) == (
        "Ranking: AUROC is undefined on these films. Threshold: accuracy is undefined on these films."
    )


def test_an_end_that_rounds_to_zero_has_no_minus():
    rows = [row("auroc", 0.0, -0.0004, -0.0001, 1.0), row("accuracy", 0.01, -0.0002, 0.02, 0.2)]
    said = comparison_verdict(["a", "b"], rows)
    assert "(95 % interval +0.0 to +0.0)" in said
    assert "(95 % interval 0.0 to 2.0)" in said
    assert "-0.0" not in said
