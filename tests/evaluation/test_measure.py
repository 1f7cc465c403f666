"""From scored films to every number of metrics.json."""

import json
import time
import tracemalloc

import numpy as np
import pytest

from pneumocli.evaluation.measure import Origin, evaluate_predictions
from pneumocli.metrics.classification import MAIN_METRICS
from pneumocli.model.card import ModelCard
from pneumocli.model.weights import load_best
from pneumocli.reporting.text import verdict
from pneumocli.run_folder import RunFolder
from tests.conftest import scored_film


@pytest.fixture(scope="module")
def card(trained: RunFolder) -> ModelCard:
    return load_best(trained.best_file)[1].model_copy(update={"temperature": 1.0})


@pytest.mark.parametrize("wrong", [0, 6], ids=["all right", "all wrong"])
def test_no_interval_is_a_point(wrong: int, card: ModelCard):
    """Six films that one score separates: every interval reaches into the range, or there is none, with the reason."""
    sign = -1 if wrong else 1
    scored = [
        scored_film(f"{n}.png", "PNEUMONIA" if n % 2 else "NORMAL", sign * (4.0 if n % 2 else -4.0), f"p{n}")
        for n in range(6)
    ]
    scored = [film.model_copy(update={"kind": "virus" if film.label == "PNEUMONIA" else "normal"}) for film in scored]
    evaluation = evaluate_predictions(scored, card, Origin("x", "test"))
    assert evaluation.confusion.fn + evaluation.confusion.fp == wrong
    metrics = evaluation.metrics | {f"virus {k}": m for k, m in evaluation.subgroups["virus"].metrics.items()}
    for name, metric in metrics.items():
        if metric.low is None:
            assert metric.method.startswith(("undefined", "no interval")), name
        else:
            assert metric.high - metric.low > 1e-4, name
            assert metric.low <= metric.value <= metric.high, name
    for name in ("balanced_accuracy", "f1", "mcc", "auroc", "average_precision", "sensitivity_at_specificity_95"):
        if not (wrong and name == "average_precision"):  # of wrong rankings it is no edge: its bootstrap varies
            assert metrics[name].high - metrics[name].low > 0.05, name
    assert metrics["auroc"].method == "perfect separation: Wilson on the 3 patients of the smaller class"


def test_average_precision_of_a_perfect_ranking(card: ModelCard):
    scored = [scored_film(f"{n}.png", "PNEUMONIA" if n < 60 else "NORMAL", 60.0 - n, f"p{n}") for n in range(100)]
    metrics = evaluate_predictions(scored, card, Origin("x", "test")).metrics
    outranking = (1 - metrics["auroc"].low) * 40  # healthy films above every pneumonia
    expected = np.mean([rank / (rank + outranking) for rank in range(1, 61)])
    assert metrics["average_precision"].low == pytest.approx(expected)
    assert 0.8 < expected < 0.9
    assert metrics["average_precision"].method.startswith("perfect separation")


def test_the_names_of_metrics_json(card: ModelCard):
    rng = np.random.default_rng(0)
    scored = [
        scored_film(f"{n}.png", "PNEUMONIA" if n % 3 else "NORMAL", float(rng.normal() + n % 3), f"p{n // 2}")
        for n in range(90)
    ]
    metrics = evaluate_predictions(scored, card, Origin("x", "test")).metrics
    assert tuple(metrics)[: len(MAIN_METRICS)] == MAIN_METRICS
    assert "auroc_delong" in metrics
    assert metrics["auroc"].method.startswith("cluster DeLong (Obuchowski 1997), patients as clusters, logit scale, t ")
    assert metrics["f1"].method.startswith("square-and-add of Wilson's bounds")
    assert metrics["average_precision"].method.startswith("patient-cluster bootstrap")


def test_films_of_one_class_leave_what_is_undefined_null(card: ModelCard):
    scored = [scored_film(f"{number}.png", "PNEUMONIA", number - 1.0, str(number)) for number in range(4)]
    evaluation = evaluate_predictions(scored, card, Origin("x", "test"))
    assert evaluation.metrics["auroc"].value is None
    assert "undefined" in evaluation.metrics["auroc"].method
    assert evaluation.metrics["specificity"].value is None
    assert evaluation.metrics["average_precision"].value is None
    assert (evaluation.classes["NORMAL"].support, evaluation.classes["NORMAL"].f1) == (0, None)
    assert "NaN" not in json.dumps(evaluation.model_dump(mode="json"))
    assert "healthy" not in verdict(evaluation)


@pytest.mark.slow
def test_a_hundred_thousand_films_are_evaluated_quickly(card: ModelCard):
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 60_000, 100_000)
    kinds = np.array(["normal", "bacteria", "virus"])[patients % 3]
    logits = rng.normal(size=patients.size) + 2.0 * (kinds != "normal")
    scored = [
        scored_film(
            f"{number}.png", "NORMAL" if kind == "normal" else "PNEUMONIA", logit, f"{kind}:{patient}"
        ).model_copy(update={"kind": kind})
        for number, (patient, kind, logit) in enumerate(zip(patients, kinds.tolist(), logits.tolist(), strict=True))
    ]
    tracemalloc.start()
    began = time.perf_counter()
    evaluation = evaluate_predictions(scored, card, Origin("x", "test"))
    seconds = time.perf_counter() - began
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert evaluation.num_images == 100_000
    assert seconds < 60  # 9 on a quiet machine: what is quadratic takes hours
    assert most < 1e9


def test_hard_films_are_a_subgroup_with_an_easy_one_beside_it(card: ModelCard):
    """Of ten films of each class the first six are hard, and half of those are wrong."""
    scored = [
        scored_film(
            f"{label}{n}.png", label, (1.0 if label == "PNEUMONIA" else -1.0) * (-1 if n < 3 else 1), f"{label}{n}"
        )
        for label in ("NORMAL", "PNEUMONIA")
        for n in range(10)
    ]
    hard = np.array([n < 6 for _ in range(2) for n in range(10)])
    groups = evaluate_predictions(scored, card, Origin("x", "test"), hard=hard).subgroups
    values = {name: {key: metric.value for key, metric in group.metrics.items()} for name, group in groups.items()}
    assert values["hard"] == {"sensitivity": 0.5, "specificity": 0.5, "balanced_accuracy": 0.5, "auroc": 0.5}
    assert (groups["hard"].num_normal, groups["easy"].num_normal) == (6, 4)
    assert set(values["easy"].values()) == {None}
    assert not {"hard", "easy"} & evaluate_predictions(scored, card, Origin("x", "test")).subgroups.keys()
