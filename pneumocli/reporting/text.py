"""Metrics and p-values as people read them, on pages, in figures and in tables."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the screen of a prediction starts without these records
    from pneumocli.metrics.records import Evaluation, Metric, Subgroup
    from pneumocli.model.card import GroupFigure

_NAMES = {
    "f1": "F1",
    "macro_f1": "macro F1",
    "mcc": "MCC",
    "auroc": "AUROC",
    "auroc_delong": "AUROC, by DeLong",
    "youden_j": "Youden's J",
    "lr_positive": "likelihood ratio, positive",
    "lr_negative": "likelihood ratio, negative",
    "brier_score": "Brier score",
    "brier_skill": "Brier skill",
    "sensitivity_at_specificity_90": "sensitivity at specificity 90 %",
    "sensitivity_at_specificity_95": "sensitivity at specificity 95 %",
    "specificity_at_sensitivity_90": "specificity at sensitivity 90 %",
    "specificity_at_sensitivity_95": "specificity at sensitivity 95 %",
}


HEADLINE = ("accuracy", "sensitivity", "specificity", "auroc")
"""The four numbers that a page shows large."""


def metric_label(name: str) -> str:
    """A metric's name as people read it.

    >>> metric_label("auroc"), metric_label("log_loss")
    ('AUROC', 'log loss')
    """
    return _NAMES.get(name, name.replace("_", " "))


def p_text(p_value: float | None) -> str:
    """A p-value for people: never 0, and empty where there is none.

    >>> p_text(0.0004), p_text(0.0312), p_text(None)
    ('<0.001', '0.031', '')
    """
    if p_value is None:
        return ""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def p_sentence(p_value: float) -> str:
    """A p-value for a sentence: two decimals from 0.1 on, three below.

    >>> p_sentence(0.2034), p_sentence(0.0312), p_sentence(0.0004)
    ('p = 0.20', 'p = 0.031', 'p < 0.001')
    """
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.2f}" if p_value >= 0.1 else f"p = {p_value:.3f}"


def listed(names: Sequence[str]) -> str:
    """Names joined for a sentence.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def verdict(evaluation: "Evaluation") -> str:
    """How many pneumonias the classifier misses and how many healthy it alarms on, in one line."""
    return verdict_of(evaluation.metrics)


def verdict_of(metrics: Mapping[str, "Metric"]) -> str:
    """The verdict on films or patients with these metrics, see :func:`verdict`."""
    sens, spec = metrics["sensitivity"].value, metrics["specificity"].value
    parts = []
    if sens is not None:
        parts.append(f"misses {_rounded(100 * (1 - sens)):.0f} of 100 pneumonias")
    if spec is not None:
        parts.append(f"alarms on {_rounded(100 * (1 - spec)):.0f} of 100 healthy")
    return ", ".join(parts) or "has no films to be measured on"


def percent(value: float | None) -> str:
    """A fraction in percent for people, halves rounded up: every page and table shows a number alike.

    >>> percent(0.5), percent(49 / 80), percent(0.0625), percent(None)
    ('50.0%', '61.3%', '6.3%', 'undefined')
    """
    return "undefined" if value is None else f"{_tenths(value)}%"


def _tenths(share: float) -> float:
    """A share of 1 in percent, to one decimal, never a zero with a minus.

    What binary fractions add or take in the sixteenth digit does not decide: two ways to the same 8.85 % show the same.

    >>> _tenths(0.08849999999999991) == _tenths(0.08850000000000002)
    True
    """
    return _rounded(1000 * share) / 10 + 0.0


def _rounded(value: float) -> int:
    """The nearest integer, of two the one further from zero, as people round.

    >>> _rounded(100 * (1 - 0.925)), _rounded(-2.5)
    (8, -3)
    """
    return math.floor(round(abs(value), 8) + 0.5) * (-1 if value < 0 else 1)


# Neither shares nor areas: people read these as numbers, everything else in percent.
_NUMBERS = {
    *("mcc", "youden_j", "lr_positive", "lr_negative", "brier_score", "brier_skill", "log_loss"),
    *("calibration_slope", "calibration_intercept"),
}


def value_text(metric: str, value: float | None) -> str:
    """A metric's value with three significant digits: in percent, or as a number where percent means nothing.

    >>> value_text("auroc", 0.95412), value_text("log_loss", 0.03317), value_text("log_loss", 2e-6)
    ('95.4%', '0.0332', '<0.0001')
    """
    if value is None or metric not in _NUMBERS:
        return percent(value)
    return "<0.0001" if 0 < abs(value) < 0.0001 else f"{value:#.3g}".rstrip(".")


def difference_text(metric: str, value: float | None, decimals: int = 4) -> str:
    """A difference of two values of a metric, with its sign: in percentage points, or as a number.

    Never a zero with a minus.

    >>> difference_text("auroc", -0.0123), difference_text("log_loss", 0.0332), difference_text("auroc", None)
    ('-1.2', '+0.0332', 'undefined')
    >>> difference_text("log_loss", -0.0004, decimals=3)
    '+0.000'
    """
    if value is None:
        return "undefined"
    return f"{round(value, decimals) + 0.0:+.{decimals}f}" if metric in _NUMBERS else f"{points(value):+.1f}"


def points(share: float) -> float:
    """A difference of two shares in percentage points, to one decimal, never a zero with a minus.

    >>> points(-0.0123), points(-0.0004)
    (-1.2, 0.0)
    """
    return _tenths(share)


def setting_text(value: object) -> str:
    """A setting, or a fact of the environment, as people read it.

    >>> setting_text(None), setting_text(True), setting_text({"torch": "2.14"}), setting_text(["--epochs", "3"])
    ('none', 'yes', 'torch 2.14', '--epochs 3')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {setting_text(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(setting_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def ends_text(name: str, metric: "Metric | GroupFigure") -> str:
    """The ends of a metric's interval as :func:`value_text` shows them, or a dash."""
    if metric.low is None or metric.high is None:
        return "-"
    return f"{value_text(name, metric.low)} to {value_text(name, metric.high)}"


def with_ends(name: str, metric: "Metric | GroupFigure") -> str:
    """A metric with its interval in brackets, where it has one.

    >>> from pneumocli.metrics.records import Metric
    >>> with_ends("auroc", Metric(value=0.954, low=0.93, high=0.97, method="DeLong"))
    '95.4% (93.0% to 97.0%)'
    """
    value = value_text(name, metric.value)
    return value if metric.low is None or metric.high is None else f"{value} ({ends_text(name, metric)})"


def ranking_doubt(evaluation: "Evaluation") -> str | None:
    """Where films are ranked the wrong way round, more than chance explains: what may be the reason."""
    area = evaluation.metrics["auroc"]
    if area.high is None or area.high >= 0.5:
        return None
    return (
        f"It ranks these films the wrong way round: AUROC {with_ends('auroc', area)}, 50% is chance. Are the labels "
        "swapped, or the films inverted or of another kind than the training films?"
    )


def at_prevalence_sentence(evaluation: "Evaluation") -> str | None:
    """The predictive values at the prevalence that was asked for; ``None`` where none was."""
    found = evaluation.at_prevalence
    if found is None:
        return None
    values = f"ppv {percent(found['ppv'])}, npv {percent(found['npv'])}"
    return f"At a prevalence of {percent(found['prevalence'])}: {values}."


HARD_METRICS = ("sensitivity", "specificity", "auroc")
"""What is shown of hard and of easy films."""


def hard_rows(subgroups: Mapping[str, "Subgroup"]) -> list[list[str]]:
    """Hard and easy films: counts by class, then sensitivity, specificity and AUROC with their intervals."""
    return [
        [
            name,
            f"{group.num_normal:,}",
            f"{group.num_pneumonia:,}",
            *(with_ends(metric, group.metrics[metric]) for metric in HARD_METRICS),
        ]
        for name, group in subgroups.items()
        if group.num_normal is not None
    ]
