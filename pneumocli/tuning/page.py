"""The page of a search: its history, what mattered, the best trials, and what to expect of them."""

import statistics
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pneumocli.core.amounts import counted
from pneumocli.core.config import TrainConfig
from pneumocli.core.settings import flag_name
from pneumocli.reporting.figures import NORMAL_COLOUR, PAGE_STYLE, PNEUMONIA_COLOUR, new_figure
from pneumocli.reporting.html import page_figure, render, thinned_rows
from pneumocli.reporting.text import percent
from pneumocli.tuning.records import TrialRecord, TuneResult

_MOST_LISTED = 10
_SIZE = 6.2, 4.2  # inches: two beside each other on a screen, each readable on a phone
_SAID = {"hard": "balanced accuracy on hard films", "log-loss": "log loss"}


def tuning_page(result: TuneResult, trials: Sequence[TrialRecord]) -> str:
    """The page as HTML.

    Args:
        result: What the search found.
        trials: All trials, by number.
    """
    seed = _seed(trials, result)
    best = sorted(
        (one for one in trials if one.state == "complete" and one.value is not None and one.seed == seed),
        key=lambda one: -(one.value or 0.0) if result.objective == "hard" else (one.value or 0.0),
    )
    with mpl.rc_context(PAGE_STYLE):
        figures = [_history(result, trials), *([_importances(result)] if result.importances else [])]
    return render(
        "tuning.html.j2",
        title=f"Search {result.study}",
        result=result,
        counted=counted,
        num_repeats=0 if result.repeats is None else result.repeats.num_seeds,
        objective=_SAID[result.objective],
        worded=lambda value: worded(result, value),
        figures=figures,
        best=best[:_MOST_LISTED],
        names=list(result.settings),
        shown=lambda value: {True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value}",
        flag=lambda name: flag_name(TrainConfig, name).removeprefix("--"),
    )


def worded(result: TuneResult, value: float) -> str:
    """A value of the objective for people."""
    return percent(value) if result.objective == "hard" else f"{value:.4f}"


def _seed(trials: Sequence[TrialRecord], result: TuneResult) -> int:
    return next(one.seed for one in trials if one.number == result.best_trial)


def _history(result: TuneResult, trials: Sequence[TrialRecord]) -> dict[str, object]:
    """Every trial's value by its number, and the best so far."""
    figure: Figure = new_figure(*_SIZE)
    axes = figure.add_subplot()
    seed = _seed(trials, result)
    scale = 100 if result.objective == "hard" else 1
    top = _top(trials, result)
    for state, colour, mark in (("complete", NORMAL_COLOUR, "o"), ("pruned", "#777777", "x")):
        shown = [one for one in trials if one.state == state and one.value is not None and one.seed == seed]
        axes.plot(
            [one.number for one in shown], [scale * min(one.value or 0, top) for one in shown],
            mark, color=colour, linestyle="none", label=state if shown else None,
        )  # fmt: skip
    done = [one for one in trials if one.state == "complete" and one.value is not None and one.seed == seed]
    best: list[float] = []
    for one in done:
        value = one.value or 0.0
        better = max if result.objective == "hard" else min
        best.append(better([*best[-1:], value]))
    axes.step(
        [one.number for one in done], [scale * value for value in best],
        where="post", color=PNEUMONIA_COLOUR, label="best so far",
    )  # fmt: skip
    above = [one.number for one in trials if one.seed == seed and (one.value or 0) > top]
    if above:
        axes.plot(above, [top] * len(above), "^", color="#777777", markersize=11, fillstyle="none", label="above")
    axes.set(xlabel="trial", ylabel=_SAID[result.objective] + (", %" if scale == 100 else ""))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    rows = [
        [
            str(one.number),
            one.state if one.seed == seed else f"{one.state}, the best one's settings with seed {one.seed}",
            "" if one.value is None else worded(result, one.value),
        ]
        for one in trials
    ]
    return page_figure(
        figure,
        "Value of each trial",
        "Mean over the folds of held-out patients; of a pruned trial as far as it came."
        + (f" Above the figure: {counted(len(above), 'trial')}." if above else ""),
        ["trial", "state", _SAID[result.objective]],
        thinned_rows(rows),
    )


def _top(trials: Sequence[TrialRecord], result: TuneResult) -> float:
    """Where the figure ends: one trial that came apart must not press all others into one line."""
    values = [one.value for one in trials if one.value is not None]
    return float("inf") if result.objective == "hard" else max(2 * statistics.median(values), result.best_value)


def _importances(result: TuneResult) -> dict[str, object]:
    found = sorted(result.importances.items(), key=lambda item: item[1])
    figure: Figure = new_figure(_SIZE[0], max(_SIZE[1], 0.8 + 0.26 * len(found)))
    axes = figure.add_subplot()
    names = [flag_name(TrainConfig, name).removeprefix("--") for name, _ in found]
    axes.barh(names, [100 * share for _, share in found], color=NORMAL_COLOUR)
    axes.set(xlabel="share of the variance between trials, %")
    axes.spines[["top", "right"]].set_visible(False)
    return page_figure(
        figure,
        "Which settings mattered",
        "By PED-ANOVA, among the values that were tried; with few trials little more than a hint.",
        ["setting", "share"],
        [[name, percent(share)] for name, (_, share) in zip(reversed(names), reversed(found), strict=True)],
    )
