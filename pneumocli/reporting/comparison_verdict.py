"""The verdict of a comparison in two sentences: who ranks the films better, and who is right at the thresholds.

The two can differ: AUROC is the same at every threshold, accuracy depends on one. A run whose probabilities are shifted
can be much less accurate than another and rank the films as well.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pneumocli.core.multiple_tests import holm
from pneumocli.metrics.records import Difference
from pneumocli.reporting.text import listed, p_sentence, points

_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class _Lead:
    """How far the best run lies before another in one metric.

    Attributes:
        best: The run with the higher value.
        other: The other run.
        row: The difference.
        p_value: The one that decides, after Holm's correction with more than two runs.
        adjusted: Whether it is corrected.
    """

    best: str
    other: str
    row: Difference
    p_value: float | None
    adjusted: bool

    @property
    def _sign(self) -> int:
        return 1 if self.best == self.row.run_b else -1

    @property
    def lead(self) -> float:
        """A share of 1; 0 or more."""
        return self._sign * (self.row.difference or 0.0)

    @property
    def ends(self) -> tuple[float, float]:
        """Of the 95 % interval, shares of 1; not a number where there is none."""
        low, high = (float("nan") if end is None else self._sign * end for end in (self.row.low, self.row.high))
        return (low, high) if self._sign > 0 else (high, low)

    @property
    def is_sure(self) -> bool:
        """Whether it is more than chance would explain."""
        return self.ends[0] > 0 and self.p_value is not None and self.p_value < _SIGNIFICANT

    def clause(self, metric: str) -> str:
        """``a by 2.0 points of AUROC (95 % interval 1.0 to 3.0), more than chance would explain (p = 0.010)``."""
        low, high = self.ends
        chance = ", more than chance would explain" if self.is_sure else "; this difference could be chance"
        if not self.is_sure and low > 0:
            chance = "; this difference is at the edge of chance"
        after = " after Holm" if self.adjusted else ""
        shown = "" if self.p_value is None else f" ({p_sentence(self.p_value)}{after})"
        interval = "" if math.isnan(low) else f" (95 % interval {points(low)} to {points(high)})"
        return f"{self.other} by {points(self.lead)} points of {metric}{interval}{chance}{shown}"


def holm_of(rows: Sequence[Difference]) -> dict[str, float]:
    """The p-values of pairs of runs after Holm's correction, by ``a vs b``."""
    known = [(row.pair, row.p_value) for row in rows if row.p_value is not None]
    return dict(zip((pair for pair, _ in known), holm([p for _, p in known]), strict=True))


def comparison_verdict(
    names: Sequence[str], differences: Sequence[Difference], adjusted: Mapping[str, float] | None = None
) -> str:
    """The best run by AUROC and the best by accuracy, its lead over each other run, and whether that could be chance.

    That nothing differs is reported only where no metric does.

    Args:
        names: The runs.
        differences: Of all pairs. AUROC is judged by the cluster DeLong test, accuracy by the paired patient bootstrap.
        adjusted: p-values of accuracy after Holm's correction, by ``a vs b``: they decide with more than two runs.
    """
    found = [row.difference for row in differences if row.difference is not None]
    if found and not any(found):
        return f"Nothing differs between {listed(names)} on these films: every metric is the same."
    areas = [row for row in differences if row.metric == "auroc" and "DeLong" in row.method]
    rates = [row for row in differences if row.metric == "accuracy" and "bootstrap" in row.method]
    ranking = _leads(names, areas, holm_of(areas) if len(names) > 2 else {})
    accuracy = _leads(names, rates, adjusted or {})
    return " ".join(
        [
            _sentence("Ranking", "orders the films better than", "AUROC", ranking),
            _sentence("Threshold", "is right on more films than", "accuracy", accuracy, _shifts(accuracy, differences)),
            *_cause(ranking, accuracy),
        ]
    )


def _leads(names: Sequence[str], rows: Sequence[Difference], adjusted: Mapping[str, float]) -> list[_Lead]:
    """Of the run with the highest value over each other one, in the order of the names; empty where it is undefined."""
    values = {row.run_a: row.a for row in rows} | {row.run_b: row.b for row in rows}
    if not values:
        return []
    best = max((name for name in names if name in values), key=lambda name: values[name] or 0.0)
    return [
        _Lead(
            best,
            row.run_a if row.run_b == best else row.run_b,
            row,
            adjusted.get(row.pair, row.p_value),
            row.pair in adjusted,
        )
        for row in rows
        if best in (row.run_a, row.run_b)
    ]


def _sentence(topic: str, verb: str, metric: str, leads: Sequence[_Lead], remark: str = "") -> str:
    if not leads:
        return f"{topic}: {metric} is undefined on these films."
    if len(leads) == 1 and leads[0].row.difference == 0:
        low, high = leads[0].ends
        interval = "" if math.isnan(low) else f" (95 % interval {points(low):+.1f} to {points(high):+.1f})"
        return f"{topic}: {leads[0].best} and {leads[0].other} have the same {metric}{interval}{remark}."
    return f"{topic}: {leads[0].best} {verb} {'; than '.join(lead.clause(metric) for lead in leads)}{remark}."


def _shifts(leads: Sequence[_Lead], differences: Sequence[Difference]) -> str:
    """What like accuracies of two runs hide: that one misses more and the other alarms more."""
    if len(leads) != 1 or leads[0].is_sure:
        return ""
    alike = not leads[0].row.difference
    a, b = leads[0].row.run_a, leads[0].row.run_b
    parts = [
        f"a {row.metric} {points(abs(row.difference))} points {'higher' if row.difference > 0 else 'lower'}"
        for name in ("sensitivity", "specificity")
        for row in differences
        if row.metric == name and row.difference and (row.run_a, row.run_b) == (a, b) and row.low is not None
        if alike or _Lead(b if row.difference > 0 else a, "", row, row.p_value, adjusted=False).is_sure
    ]
    if not parts:
        return ""
    return f", but {b} has {listed(parts)}" + ("" if alike else ", more than chance would explain")


def _cause(ranking: Sequence[_Lead], accuracy: Sequence[_Lead]) -> list[str]:
    """Of a clear lead at the threshold without one in the ranking: that another threshold may close it."""
    if len(ranking) != 1 or len(accuracy) != 1 or ranking[0].is_sure or not accuracy[0].is_sure:
        return []
    return [f"A threshold chosen for {accuracy[0].other} (--operating-point) may close that gap."]
