"""The figures of a comparison."""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from pneumocli.core.records import EpochRecord
from pneumocli.metrics.classification import CALIBRATION_BINS
from pneumocli.metrics.records import Comparison
from pneumocli.metrics.scores import Compared, ScoreArrays
from pneumocli.reporting.figures import (
    PAGE_STYLE,
    as_label,
    draw_undefined,
    frame_roc,
    has_both_classes,
    in_percent,
    new_figure,
)
from pneumocli.reporting.text import metric_label

# Distinct to the colour-blind (Okabe and Ito 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHOWN = ("accuracy", "sensitivity", "specificity", "f1", "auroc")


def colour_of(index: int) -> str:
    """The colour of a run, by its place in the comparison."""
    return _COLOURS[index % len(_COLOURS)]


def comparison_figures(comparison: Comparison, runs: Sequence[Compared]) -> dict[str, Figure]:
    """Every figure of a comparison, drawn once.

    Args:
        comparison: The numbers.
        runs: The runs compared, in the same order.

    Returns:
        ``overview``, the one that is also saved as PNG; ``loss``, ``accuracy``, ``roc`` and ``calibration``.
    """
    named = [(run.name, run.scores) for run in runs]
    histories = {run.name: run.history for run in runs}
    overview = comparison_figure(comparison, histories)
    with mpl.rc_context(PAGE_STYLE):
        loss, accuracy = new_figure(), new_figure()
        _draw_loss(loss.subplots(), histories)
        _draw_accuracy(accuracy.subplots(), histories)
        return {
            "overview": overview,
            "loss": loss,
            "accuracy": accuracy,
            "roc": roc_overlay(named),
            "calibration": calibration_overlay(named),
        }


def comparison_figure(comparison: Comparison, histories: Mapping[str, Sequence[EpochRecord]]) -> Figure:
    """Learning curves of all runs, and their metrics side by side with intervals."""
    figure = new_figure(12.0, 4.2)
    loss, accuracy, intervals = figure.subplots(1, 3, width_ratios=(1, 1, 1.35))
    _draw_loss(loss, histories)
    _draw_accuracy(accuracy, histories)
    _draw_intervals(intervals, comparison)
    return figure


def _draw_loss(axes: Axes, histories: Mapping[str, Sequence[EpochRecord]]) -> None:
    for index, (name, history) in enumerate(histories.items()):
        epochs = [record.epoch for record in history]
        axes.plot(epochs, [record.train_loss for record in history], "--", color=colour_of(index), linewidth=1)
        losses = [record.val_loss for record in history]
        axes.plot(epochs, losses, "o-", ms=3, color=colour_of(index), label=as_label(name))
    axes.set(xlabel="epoch", ylabel="cross-entropy", title="Loss (training dashed)")
    _frame(axes)


def _draw_accuracy(axes: Axes, histories: Mapping[str, Sequence[EpochRecord]]) -> None:
    for index, (name, history) in enumerate(histories.items()):
        values = [record.val_accuracy for record in history]
        epochs = [record.epoch for record in history]
        axes.plot(epochs, values, "o-", ms=3, color=colour_of(index), label=as_label(name))
    axes.set(xlabel="epoch", title="Validation accuracy")
    in_percent(axes, x=False)
    _frame(axes)
    axes.legend(frameon=False)


def _frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_intervals(axes: Axes, comparison: Comparison) -> None:
    # Points, not bars: an axis that does not begin at 0 would lengthen some bars more than others.
    step = 0.6 / len(comparison.runs)
    places = np.arange(len(_SHOWN))
    for index, run in enumerate(comparison.runs):
        metrics = [run.metrics[name] for name in _SHOWN]
        values = np.array([math.nan if metric.value is None else metric.value for metric in metrics])  # nan: no point
        low = np.where([metric.low is None for metric in metrics], values, [metric.low or 0 for metric in metrics])
        high = np.where([metric.high is None for metric in metrics], values, [metric.high or 0 for metric in metrics])
        axes.errorbar(
            places + (index - (len(comparison.runs) - 1) / 2) * step,
            values,
            yerr=np.clip(np.stack([values - low, high - values]), 0, None),
            fmt="o",
            ms=5,
            capsize=3,
            color=colour_of(index),
            label=as_label(run.name),
        )
    smallest = min(
        (m.low for run in comparison.runs for name in _SHOWN if (m := run.metrics[name]).low is not None), default=0
    )
    title = f"{comparison.split}: {comparison.num_images:,} films, 95 % intervals"
    axes.set(title=title, ylim=(max(0.0, smallest - 0.1), 1.02))
    in_percent(axes, x=False)
    _frame(axes)
    axes.set_xticks(places, [metric_label(name) for name in _SHOWN], fontsize=8)


def roc_overlay(runs: Sequence[tuple[str, ScoreArrays]]) -> Figure:
    """ROC curves of several runs."""
    figure = new_figure()
    axes = figure.subplots()
    if not all(has_both_classes(scores) for _, scores in runs):
        draw_undefined(axes, "The ROC curve")
        return figure
    for index, (name, scores) in enumerate(runs):
        false_positive, true_positive, _ = roc_curve(scores.labels, scores.logits)
        axes.plot(false_positive, true_positive, color=colour_of(index), label=as_label(name))
    frame_roc(axes)
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def calibration_overlay(runs: Sequence[tuple[str, ScoreArrays]]) -> Figure:
    """Reliability diagrams of several runs."""
    figure = new_figure()
    axes = figure.subplots()
    for index, (name, scores) in enumerate(runs):
        share, predicted = calibration_curve(scores.labels, scores.probabilities, n_bins=CALIBRATION_BINS)
        axes.plot(predicted, share, "o-", ms=3, color=colour_of(index), label=as_label(name))
    axes.plot([0, 1], [0, 1], ":", color="#777777", linewidth=1)
    axes.set(xlabel="probability of pneumonia", ylabel="share of pneumonias", title="Calibration")
    in_percent(axes)
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
