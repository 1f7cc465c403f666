"""Figures: each is drawn whatever the films, the same each time, and without a warning on the terminal."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumocli.core.records import CLASS_NAMES, EpochRecord
from pneumocli.evaluation.measure import Origin, evaluate_predictions
from pneumocli.inference.classifier import Classifier
from pneumocli.metrics.classification import sigmoid
from pneumocli.metrics.records import ComparedRun, Comparison, Evaluation, Metric, ScoredFilm
from pneumocli.metrics.scores import ScoreArrays
from pneumocli.metrics.thresholds import net_benefits
from pneumocli.model.card import ModelCard
from pneumocli.reporting import comparison_figures, figures
from pneumocli.reporting.figures import learning_curves, learning_curves_figure, mistakes_figure, png, svg
from pneumocli.run_folder import RunFolder

SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def card(trained: RunFolder) -> ModelCard:
    return Classifier.of_run(trained).card.model_copy(update={"temperature": 1.6})


def film(image: str, label: int, logit: float) -> ScoredFilm:
    probability = float(sigmoid(logit / 1.6))
    return ScoredFilm(
        image=image,
        patient=image,
        kind="bacteria" if label else "normal",
        label=CLASS_NAMES[label],
        logit=logit,
        probability=probability,
        prediction=CLASS_NAMES[int(probability >= 0.5)],
    )


def some_films(which: str) -> list[ScoredFilm]:
    rng = np.random.default_rng(0)
    labels = {"both": rng.integers(0, 2, 60), "normal": np.zeros(9, int), "pneumonia": np.ones(9, int), "one": [1]}
    return [film(f"{number}.png", int(y), float(y * 2 - 1 + rng.normal())) for number, y in enumerate(labels[which])]


def drawn_from(films: list[ScoredFilm], card: ModelCard) -> tuple[Evaluation, ScoreArrays]:
    return evaluate_predictions(films, card, Origin("x", "test")), ScoreArrays.of(films, card.temperature)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["both", "normal", "pneumonia", "one"])
def test_every_figure_is_drawn(which: str, card: ModelCard, tmp_path: Path):
    evaluation, scores = drawn_from(some_films(which), card)
    drawn = [
        figures.confusion_figure(evaluation),
        figures.roc_figure(evaluation, scores),
        figures.pr_figure(evaluation, scores),
        figures.calibration_figure(evaluation, scores),
        figures.histogram_figure(evaluation, scores),
        figures.decision_figure(scores),
        mistakes_figure(evaluation, scores, tmp_path),  # the films are gone: text stands in their places
        comparison_figures.roc_overlay([("a", scores), ("b", scores)]),
        comparison_figures.calibration_overlay([("a", scores), ("b", scores)]),
    ]
    for figure in drawn:
        picture = png(figure)
        assert picture.startswith(SIGNATURE)
        assert np.asarray(Image.open(io.BytesIO(picture)).convert("L")).std() > 1


def test_the_figures_of_a_table_are_as_legible_as_those_of_a_run(card: ModelCard):
    drawn = figures.table_figures(*drawn_from(some_films("both"), card))
    (axes,) = drawn["roc"].axes
    assert axes.xaxis.label.get_size() == figures.PAGE_STYLE["font.size"]


def test_svg_is_the_same_each_time(card: ModelCard):
    evaluation, scores = drawn_from(some_films("both"), card)
    one, other = (svg(figures.roc_figure(evaluation, scores)) for _ in range(2))
    assert one == other
    assert one.startswith("<svg")
    assert "<dc:date>" not in one


def test_the_operating_point_is_on_the_curve(card: ModelCard):
    evaluation, scores = drawn_from(some_films("both"), card)
    (axes,) = figures.roc_figure(evaluation, scores).axes
    curve, _, mark = axes.lines
    places = np.column_stack([curve.get_xdata(), curve.get_ydata()])
    x, y = float(mark.get_xdata()[0]), float(mark.get_ydata()[0])
    assert (x, y) == (1 - evaluation.metrics["specificity"].value, evaluation.metrics["sensitivity"].value)
    # Collinear points are left out of a ROC curve: the mark lies on it, but need not be a corner.
    below, above = places[places[:, 0] <= x + 1e-9][:, 1].max(), places[places[:, 0] >= x - 1e-9][:, 1].min()
    assert min(below, above) - 1e-9 <= y <= max(below, above) + 1e-9


def test_the_worst_mistakes_come_first(card: ModelCard, phantoms: Path):
    names = sorted(path.relative_to(phantoms).as_posix() for path in (phantoms / "test" / "NORMAL").iterdir())
    films = [film(name, 0, logit) for name, logit in zip(names, (-2.0, 1.0, 5.0, 3.0), strict=False)]
    evaluation, scores = drawn_from(films, card)
    figure = mistakes_figure(evaluation, scores, phantoms, most=2)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert [title.split("\n")[0] for title in titles] == [Path(names[2]).name, Path(names[3]).name]
    assert all(title.split("\n")[1].startswith("NORMAL, called PNEUMONIA at ") for title in titles)
    assert figure.get_suptitle() == "Worst mistakes: 2 of 3 wrong films"
    assert png(figure).startswith(SIGNATURE)
    nothing = [film(names[0], 0, -2.0)]
    assert mistakes_figure(*drawn_from(nothing, card), phantoms).get_suptitle() == "No mistakes"


@pytest.mark.parametrize("name", ["$x^$ and $.png", "肺炎.png", "\N{FACE WITH TEARS OF JOY}.png", "a" * 200 + ".png"])
def test_names_of_films_are_drawn_as_they_are(name: str, card: ModelCard, tmp_path: Path):
    films = [film(name, 0, 3.0)]
    assert png(mistakes_figure(*drawn_from(films, card), tmp_path)).startswith(SIGNATURE)


def history(epochs: int, auroc: float | None = 0.9) -> list[EpochRecord]:
    return [
        EpochRecord(
            epoch=number,
            train_loss=1 / number,
            val_loss=1.1 / number,
            val_accuracy=0.8,
            val_auroc=auroc,
            learning_rate=0.001,
            seconds=1,
            images_per_second=100,
        )
        for number in range(1, epochs + 1)
    ]


@pytest.mark.parametrize(("epochs", "auroc"), [(0, None), (1, 0.9), (3, None), (20, 0.9)])
def test_learning_curves(epochs: int, auroc: float | None):
    assert learning_curves(history(epochs, auroc), 1).startswith(SIGNATURE)


def test_films_are_counted_in_whole_numbers_and_shares_in_percent(card: ModelCard):
    evaluation, scores = drawn_from(some_films("both"), card)
    (axes,) = figures.histogram_figure(evaluation, scores).axes
    assert all(float(tick).is_integer() for tick in axes.get_yticks())
    (axes,) = figures.roc_figure(evaluation, scores).axes
    assert axes.xaxis.get_major_formatter()(0.2) == axes.yaxis.get_major_formatter()(0.2) == "20%"


def test_learning_curves_show_every_epoch():
    left, right = learning_curves_figure(history(5), 2).axes
    assert [line.get_label() for line in left.lines] == ["training", "validation", "best epoch, 2"]
    assert [line.get_label() for line in right.lines] == ["validation accuracy", "validation AUROC", "best epoch, 2"]
    assert all(list(line.get_xdata()) == [1, 2, 3, 4, 5] for line in (*left.lines[:2], *right.lines[:2]))


@pytest.mark.parametrize("names", [("a", "b"), ("_a", "_b"), ("$x^$", "$"), ("肺", "a" * 80)])
def test_the_figure_of_a_comparison_names_every_run(names: tuple[str, ...]):
    known, undefined = (
        Metric(value=0.9, low=0.8, high=0.95, method="x"),
        Metric(value=None, low=None, high=None, method="undefined"),
    )
    metrics = dict.fromkeys(("accuracy", "sensitivity", "f1", "auroc"), known) | {"specificity": undefined}
    runs = tuple(ComparedRun(name=n, path=n, initial_weights="scratch", seed=0, metrics=metrics) for n in names)
    comparison = Comparison(
        runs=runs,
        split="test",
        num_images=9,
        num_patients=9,
        data_fingerprint="",
        sentence="",
        differences=(),
        holm_p_values=None,
        seed_groups=(),
        bootstrap_seed=0,
    )
    figure = comparison_figures.comparison_figure(comparison, {name: history(3) for name in names})
    assert png(figure).startswith(SIGNATURE)
    (legend,) = (axes.get_legend() for axes in figure.axes if axes.get_legend())
    assert len(legend.get_texts()) == len(names)


def test_net_benefit_by_hand():
    # Called positive at 0.2: three of four pneumonias and one of six healthy; a false alarm costs a quarter.
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    probabilities = np.array([0.9, 0.8, 0.3, 0.1, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    logits = np.log(probabilities / (1 - probabilities))
    scores = ScoreArrays(("",) * 10, np.arange(10).astype(str), np.array(["normal"] * 10), labels, logits, 1.0)
    threshold, model, every = net_benefits(scores)[19]
    assert (threshold, model, every) == pytest.approx((0.2, 0.3 - 0.1 / 4, 0.4 - 0.6 / 4))
