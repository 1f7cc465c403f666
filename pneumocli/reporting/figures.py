"""Figures, drawn without a screen: scikit-learn's displays on matplotlib's own canvas, no global state."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.calibration import CalibrationDisplay, calibration_curve
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    precision_recall_curve,
    roc_curve,
)

from pneumocli.core.records import CLASS_NAMES, EpochRecord
from pneumocli.data.film import UnreadableFilm
from pneumocli.data.images import read_film
from pneumocli.metrics.classification import CALIBRATION_BINS
from pneumocli.metrics.records import Evaluation
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.metrics.thresholds import net_benefits
from pneumocli.reporting.text import percent

# Distinct to the colour-blind (Okabe and Ito 2008); the same two for the two classes everywhere.
NORMAL_COLOUR, PNEUMONIA_COLOUR = "#0072B2", "#D55E00"
_GREY, _GRID = "#777777", "#dddddd"
_DPI = 120

PAGE_STYLE: dict[Any, float] = {"font.size": 12, "axes.titlesize": 13, "legend.fontsize": 10.5}
"""Sizes in points: a figure as wide as a phone is still readable."""

# A page's figure follows the reader's theme: its colours are names, which the style sheet inside the SVG resolves.
_THEMED = {
    "#000000": "currentColor",
    _GRID: "var(--grid)",
    _GREY: "var(--soft)",
    NORMAL_COLOUR.lower(): "var(--normal)",
    PNEUMONIA_COLOUR.lower(): "var(--pneumonia)",
}
_THEMES = (
    "<style>svg { color: #1b1f24; fill: currentColor; --grid: #dddddd; --soft: #6e7781; "
    f"--normal: {NORMAL_COLOUR}; --pneumonia: {PNEUMONIA_COLOUR}; }} "
    "@media screen and (prefers-color-scheme: dark) { svg { color: #e6edf3; --grid: #30363d; --soft: #8b949e; "
    "--normal: #56b4e9; --pneumonia: #f0975a; } }</style>"
)


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    FigureCanvasAgg(figure)
    out = io.BytesIO()
    with _any_script():
        figure.savefig(out, format="png", dpi=_DPI)
    return out.getvalue()


def svg(figure: Figure) -> str:
    """A figure as an ``<svg>`` element without background, in the colours of the reader's light or dark theme.

    The same figure gives the same text.
    """
    out = io.StringIO()
    # Without a salt matplotlib draws the ids inside the text at random.
    with _any_script(), mpl.rc_context({"svg.hashsalt": "pneumo"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for colour, name in _THEMED.items():
        text = text.replace(f": {colour}", f": {name}")
    opening = text.index(">") + 1
    return text[:opening] + _THEMES + text[opening:]


@contextmanager
def _any_script() -> Iterator[None]:
    """Draws names in a script that matplotlib's font lacks as boxes, without a warning on the terminal."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        yield


def as_label(name: str) -> str:
    """A run's name as a legend shows it: dollar signs are no formula, and a leading underscore does not hide it."""
    return ("\u200b" if name.startswith("_") else "") + name.replace("$", r"\$")


def new_figure(width: float = 5.2, height: float = 4.2) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def learning_curves(history: Sequence[EpochRecord], best: int) -> bytes:
    """Loss and accuracy over epochs, the kept one marked, as the bytes of a PNG file."""
    return png(learning_curves_figure(history, best))


def learning_curves_figure(history: Sequence[EpochRecord], best: int) -> Figure:
    """Loss, and validation accuracy and AUROC, over epochs, side by side."""
    figure = new_figure(9.0, 3.6)
    left, right = figure.subplots(1, 2)
    _draw_loss(left, history, best)
    _draw_ranking(right, history, best)
    return figure


def loss_figure(history: Sequence[EpochRecord], best: int) -> Figure:
    """Training and validation loss over epochs."""
    figure = new_figure()
    _draw_loss(figure.subplots(), history, best)
    return figure


def ranking_figure(history: Sequence[EpochRecord], best: int) -> Figure:
    """Validation accuracy and AUROC over epochs."""
    figure = new_figure()
    _draw_ranking(figure.subplots(), history, best)
    return figure


def _draw_loss(axes: Axes, history: Sequence[EpochRecord], best: int) -> None:
    epochs = [record.epoch for record in history]
    axes.plot(epochs, [record.train_loss for record in history], "o-", ms=3, color=_GREY, label="training")
    axes.plot(epochs, [record.val_loss for record in history], "o-", ms=3, color=PNEUMONIA_COLOUR, label="validation")
    axes.set(xlabel="epoch", ylabel="cross-entropy", title="Loss")
    _frame_epochs(axes, best)


def _draw_ranking(axes: Axes, history: Sequence[EpochRecord], best: int) -> None:
    epochs = [record.epoch for record in history]
    accuracy = [record.val_accuracy for record in history]
    axes.plot(epochs, accuracy, "o-", ms=3, color=PNEUMONIA_COLOUR, label="validation accuracy")
    areas = [record.val_auroc for record in history if record.val_auroc is not None]
    if len(areas) == len(history):
        axes.plot(epochs, areas, "o-", ms=3, color=NORMAL_COLOUR, label="validation AUROC")
    axes.set(xlabel="epoch", title="Accuracy and AUROC", ylim=(min([0.5, *accuracy, *areas]) - 0.02, 1.01))
    in_percent(axes, x=False)
    _frame_epochs(axes, best)


def _frame_epochs(axes: Axes, best: int) -> None:
    """Mark the epoch that was kept, and count epochs in whole numbers."""
    axes.axvline(best, linestyle=":", color=_GREY, linewidth=1, label=f"best epoch, {best}")
    _plain(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(frameon=False)


def confusion_figure(evaluation: Evaluation) -> Figure:
    """Counts of right and wrong predictions."""
    figure = new_figure(4.4, 3.8)
    axes = figure.subplots()
    table = evaluation.confusion
    display = ConfusionMatrixDisplay(np.array([[table.tn, table.fp], [table.fn, table.tp]]), display_labels=CLASS_NAMES)
    display.plot(ax=axes, cmap="Blues", colorbar=False, values_format=",d", text_kw={"fontsize": 14})
    axes.set(xlabel="prediction", ylabel="truth", title=f"At threshold {percent(evaluation.threshold.value)}")
    return figure


def evaluation_figures(
    evaluation: Evaluation, scores: ScoreArrays, history: Sequence[EpochRecord], best: int, folder: Path
) -> dict[str, Figure]:
    """Every figure of an evaluation, drawn once: saved as PNG beside the numbers, as SVG in the page.

    Args:
        evaluation: The numbers.
        scores: The films that they were made of.
        history: Epochs of the training.
        best: The epoch that was kept.
        folder: Data folder that the images are below.

    Returns:
        ``confusion``, ``roc``, ``pr``, ``calibration``, ``histogram``, ``mistakes``, ``decision``, ``loss`` and
        ``ranking``.
    """
    with mpl.rc_context(PAGE_STYLE):
        return table_figures(evaluation, scores) | {
            "mistakes": mistakes_figure(evaluation, scores, folder),
            "loss": loss_figure(history, best),
            "ranking": ranking_figure(history, best),
        }


def table_figures(evaluation: Evaluation, scores: ScoreArrays) -> dict[str, Figure]:
    """The figures of the evaluation of a table of scores, which has no films to show and no training."""
    with mpl.rc_context(PAGE_STYLE):
        return {
            "confusion": confusion_figure(evaluation),
            "roc": roc_figure(evaluation, scores),
            "pr": pr_figure(evaluation, scores),
            "calibration": calibration_figure(evaluation, scores),
            "histogram": histogram_figure(evaluation, scores),
            "decision": decision_figure(scores),
        }


def has_both_classes(scores: ScoreArrays) -> bool:
    """Whether the films are of both classes, so that they can be ranked."""
    return 0 < int(scores.labels.sum()) < len(scores)


def draw_undefined(axes: Axes, what: str) -> None:
    """Writes that a curve is undefined where it would stand: films of one class have none."""
    axes.text(0.5, 0.5, f"{what} is undefined:\nthe films are of one class", ha="center", va="center", color=_GREY)
    axes.set_axis_off()


def in_percent(axes: Axes, *, x: bool = True, y: bool = True) -> None:
    """Marks shares along the axes as people read them elsewhere on a page."""
    for axis in [axes.xaxis] * x + [axes.yaxis] * y:
        axis.set_major_formatter(PercentFormatter(1, decimals=0))


def frame_roc(axes: Axes) -> None:
    """The diagonal, labels and limits of ROC curves, of one run or of several."""
    axes.plot([0, 1], [0, 1], ":", color=_GREY, linewidth=1)
    axes.set(
        xlabel="1 - specificity (false alarms)",
        ylabel="sensitivity",
        title="ROC",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.02),
    )
    in_percent(axes)


def roc_figure(evaluation: Evaluation, scores: ScoreArrays) -> Figure:
    """The ROC curve, with the operating point on it."""
    figure = new_figure()
    axes = figure.subplots()
    area = evaluation.metrics["auroc"]
    if area.value is None or not has_both_classes(scores):
        draw_undefined(axes, "The ROC curve")
        return figure
    false_positive, true_positive, _ = roc_curve(scores.labels, scores.logits)
    interval = f" ({percent(area.low)}-{percent(area.high)})" if area.low is not None else ""
    display = RocCurveDisplay(fpr=false_positive, tpr=true_positive)
    display.plot(ax=axes, curve_kwargs={"color": PNEUMONIA_COLOUR, "label": f"AUROC {percent(area.value)}{interval}"})
    frame_roc(axes)
    _mark(
        axes,
        evaluation,
        x=1 - (evaluation.metrics["specificity"].value or 0),
        y=evaluation.metrics["sensitivity"].value or 0,
    )
    _plain(axes)
    axes.legend(frameon=False, loc="lower right")
    return figure


def _mark(axes: Axes, evaluation: Evaluation, *, x: float, y: float) -> None:
    label = f"threshold {percent(evaluation.threshold.value)}"
    axes.plot([x], [y], "o", ms=8, mfc="white", mec="black", label=label, zorder=5)


def pr_figure(evaluation: Evaluation, scores: ScoreArrays) -> Figure:
    """The precision-recall curve, with the operating point and the prevalence as baseline."""
    figure = new_figure()
    axes = figure.subplots()
    average = evaluation.metrics["average_precision"]
    if average.value is None or not has_both_classes(scores):
        draw_undefined(axes, "The precision-recall curve")
        return figure
    ppv, sens, _ = precision_recall_curve(scores.labels, scores.logits)
    display = PrecisionRecallDisplay(precision=ppv, recall=sens)
    display.plot(
        ax=axes, curve_kwargs={"color": PNEUMONIA_COLOUR, "label": f"average precision {percent(average.value)}"}
    )
    axes.axhline(evaluation.prevalence, linestyle=":", color=_GREY, linewidth=1, label="prevalence")
    if evaluation.metrics["ppv"].value is not None:
        _mark(axes, evaluation, x=evaluation.metrics["sensitivity"].value or 0, y=evaluation.metrics["ppv"].value)
    axes.set(
        xlabel="sensitivity (recall)",
        ylabel="ppv (precision)",
        title="Precision and recall",
        xlim=(-0.01, 1.01),
        ylim=(0, 1.02),
    )
    in_percent(axes)
    _plain(axes)
    axes.legend(frameon=False, loc="lower left")
    return figure


def calibration_figure(evaluation: Evaluation, scores: ScoreArrays) -> Figure:
    """The reliability diagram, before and after temperature scaling, above a histogram of the probabilities."""
    figure = new_figure(5.2, 5.0)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    curves = [("as scaled", scores.probabilities, PNEUMONIA_COLOUR)]
    if scores.temperature != 1.0:
        unscaled = ScoreArrays(**{**vars(scores), "temperature": 1.0}).probabilities
        curves.insert(0, ("before scaling", unscaled, _GREY))
    for name, probabilities, colour in curves:
        true_share, predicted = calibration_curve(scores.labels, probabilities, n_bins=CALIBRATION_BINS)
        CalibrationDisplay(true_share, predicted, probabilities).plot(ax=upper, name=name, ref_line=False, color=colour)
    upper.plot([0, 1], [0, 1], ":", color=_GREY, linewidth=1)
    error = evaluation.metrics["calibration_error"].value
    upper.set(
        xlabel="",
        ylabel="share of pneumonias",
        title=f"Calibration (error {percent(error)})" if error is not None else "Calibration",
        xlim=(-0.01, 1.01),
        ylim=(-0.02, 1.02),
    )
    upper.legend(frameon=False)
    in_percent(upper)
    lower.hist(scores.probabilities, bins=20, range=(0, 1), color=PNEUMONIA_COLOUR)
    lower.set(xlabel="probability of pneumonia", ylabel="films")
    lower.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))  # it is low: more would run into each other
    _plain(upper)
    _plain(lower)
    return figure


def histogram_figure(evaluation: Evaluation, scores: ScoreArrays) -> Figure:
    """Logits of the two classes, with the threshold between them."""
    figure = new_figure()
    axes = figure.subplots()
    edges = np.histogram_bin_edges(scores.calibrated, bins=40).tolist()
    for label, colour in ((0, NORMAL_COLOUR), (1, PNEUMONIA_COLOUR)):
        chosen = scores.calibrated[scores.labels == label]
        axes.hist(chosen, bins=edges, color=colour, alpha=0.6, label=f"{CLASS_NAMES[label]} ({chosen.size:,})")
    threshold = evaluation.threshold.value
    if 0 < threshold < 1:
        axes.axvline(
            float(np.log(threshold / (1 - threshold))),
            color="black",
            linewidth=1,
            label=f"threshold {percent(threshold)}",
        )
    axes.set(xlabel="score: log-odds of pneumonia", ylabel="films", title="Scores by class")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(axes)
    axes.legend(frameon=False)
    return figure


def mistakes_figure(evaluation: Evaluation, scores: ScoreArrays, folder: Path, most: int = 8) -> Figure:
    """The films with the highest loss among the wrong ones, with label and probability.

    Args:
        evaluation: Gives the threshold.
        scores: The films.
        folder: Data folder that the images are below.
        most: Pictures at the most.
    """
    predicted = scores.probabilities >= evaluation.threshold.value
    wrong = np.flatnonzero(predicted != (scores.labels == 1))
    worst = wrong[np.argsort(-scores.losses[wrong], kind="stable")][:most]
    columns = 4
    rows = max(1, -(-len(worst) // columns))
    figure = new_figure(9.6, 2.9 * rows + 0.3)
    figure.suptitle(
        f"Worst mistakes: {len(worst)} of {len(wrong)} wrong films" if len(wrong) else "No mistakes", fontsize=11
    )
    for place, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if place < len(worst):
            _show_film(axes, scores, int(worst[place]), folder)
    return figure


def _show_film(axes: Axes, scores: ScoreArrays, index: int, folder: Path) -> None:
    image = scores.images[index]
    try:
        axes.imshow(read_film(folder / image).pixels, cmap="gray", vmin=0, vmax=255)
    except UnreadableFilm as error:  # gone or changed since it was scored
        axes.text(0.5, 0.5, error.reason, ha="center", va="center", fontsize=7, wrap=True)
    name = Path(image).name
    shown = name if len(name) <= 30 else name[:14] + "..." + name[-13:]
    label = scores.labels[index]
    # parse_math: a file name may hold dollar signs
    axes.set_title(
        f"{shown}\n{CLASS_NAMES[label]}, called {CLASS_NAMES[1 - label]} at {percent(scores.probabilities[index])}",
        fontsize=7,
        parse_math=False,
    )


def decision_figure(scores: ScoreArrays) -> Figure:
    """The decision curve."""
    figure = new_figure()
    axes = figure.subplots()
    thresholds, model, every = zip(*net_benefits(scores), strict=True)
    axes.plot(thresholds, model, color=PNEUMONIA_COLOUR, label="act on the model")
    axes.plot(thresholds, every, color=_GREY, linewidth=1, label="act on every film")
    axes.axhline(0, color="black", linewidth=1, linestyle=":", label="act on none")
    top = max(0.05, *model)
    axes.set(
        xlabel="threshold probability",
        ylabel="net benefit",
        title="Decision curve",
        xlim=(0, 1),
        ylim=(-0.1 * top, 1.1 * top),
    )
    in_percent(axes, y=False)
    _plain(axes)
    axes.legend(frameon=False)
    return figure
