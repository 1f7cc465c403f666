"""The figures of a comparison."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from pneumocli.core.records import EpochRecord
from pneumocli.metrics.classification import CALIBRATION_BINS
from pneumocli.metrics.records import Comparison
from pneumocli.metrics.scores import Compared, ScoreArrays
from pneumocli.reporting.figures import as_label, draw_undefined, frame_roc, has_both_classes, new_figure
from pneumocli.reporting.text import metric_label

# Distinct to the colour-blind (Okabe and Ito 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHOWN = ("accuracy", "sensitivity", "specificity", "f1", "auroc")


def colour_of(index: int) -> str:
    """The colour of a run, by its place in the comparison."""
    return _COLOURS[index % len(_COLOURS)]


def comparison_figures(comparison: Comparison, runs: Sequence[Compared]) -> dict[str, Figure]:
    """Every figure of a comparison, drawn once: ``overview`` (also saved as PNG), ``roc`` and ``calibration``.

    Args:
        comparison: The numbers.
        runs: The runs compared, in the same order.
    """
    named = [(run.name, run.scores) for run in runs]
    return {
        "overview": comparison_figure(comparison, {run.name: run.history for run in runs}),
        "roc": roc_overlay(named),
        "calibration": calibration_overlay(named),
    }


def comparison_figure(comparison: Comparison, histories: Mapping[str, Sequence[EpochRecord]]) -> Figure:
    """Learning curves of all runs, and their metrics side by side with intervals."""
    figure = new_figure(12.0, 4.2)
    loss, accuracy, intervals = figure.subplots(1, 3, width_ratios=(1, 1, 1.35))
    for index, run in enumerate(comparison.runs):
        history = histories[run.name]
        epochs = [record.epoch for record in history]
        colour = colour_of(index)
        loss.plot(epochs, [record.train_loss for record in history], "--", color=colour, linewidth=1)
        loss.plot(epochs, [record.val_loss for record in history], "o-", ms=3, color=colour, label=as_label(run.name))
        accuracy.plot(
            epochs, [record.val_accuracy for record in history], "o-", ms=3, color=colour, label=as_label(run.name)
        )
    loss.set(xlabel="epoch", ylabel="cross-entropy", title="Loss (training dashed, validation solid)")
    accuracy.set(xlabel="epoch", title="Validation accuracy")
    # Points, not bars: an axis that does not begin at 0 would lengthen some bars more than others.
    step = 0.6 / len(comparison.runs)
    places = np.arange(len(_SHOWN))
    for index, run in enumerate(comparison.runs):
        metrics = [run.metrics[name] for name in _SHOWN]
        values = np.array([math.nan if metric.value is None else metric.value for metric in metrics])  # nan: no point
        low = np.where([metric.low is None for metric in metrics], values, [metric.low or 0 for metric in metrics])
        high = np.where([metric.high is None for metric in metrics], values, [metric.high or 0 for metric in metrics])
        intervals.errorbar(
            places + (index - (len(comparison.runs) - 1) / 2) * step,
            values,
            yerr=np.clip(np.stack([values - low, high - values]), 0, None),
            fmt="o",
            ms=5,
            capsize=3,
            color=colour_of(index),
            label=as_label(run.name),
        )
    intervals.set_xticks(places, [metric_label(name) for name in _SHOWN], fontsize=8)
    smallest = min(
        (m.low for run in comparison.runs for name in _SHOWN if (m := run.metrics[name]).low is not None), default=0
    )
    intervals.set(
        title=f"{comparison.place}: {comparison.num_images:,} films, 95 % intervals",
        ylim=(max(0.0, smallest - 0.1), 1.02),
    )
    for axes in (loss, accuracy, intervals):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, axis="y", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    for axes in (loss, accuracy):
        axes.xaxis.get_major_locator().set_params(integer=True)
    accuracy.legend(frameon=False, fontsize=8)
    return figure


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
    axes.legend(frameon=False, fontsize=8, loc="lower right")
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
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
