"""Comparison of runs: what may be paired, what is written, what the sentence says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pneumocli.comparison import Compared, _check_same_films, _described, assignment_results, compare, sentence
from pneumocli.config import CompareConfig
from pneumocli.errors import RunError
from pneumocli.evaluation_files import read_evaluation
from pneumocli.records import Comparison, Difference, Evaluation, Metric
from pneumocli.report import comparison_page
from pneumocli.runs import RunFolder
from pneumocli.scores import Scores
from tests.conftest import copy_of


def test_a_comparison_of_three_runs(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    first, _ = evaluated
    runs = [first, *(copy_of(first, tmp_path / name) for name in ("second", "third"))]
    for number, run in enumerate(runs[1:], start=1):  # two more seeds of the same settings, as far as config.json tells
        stored = json.loads(run.config_file.read_text())
        run.config_file.write_text(json.dumps(stored | {"seed": number}))
    output = tmp_path / "comparison"
    comparison = compare(CompareConfig(runs=tuple(run.path for run in runs), output=output))
    assert {file.name for file in output.iterdir()} == {"comparison.json", "comparison.png", "comparison.html"}
    stored = json.loads((output / "comparison.json").read_text())
    assert set(stored["differences"][0]) == {
        "run_a", "run_b", "metric", "a", "b", "difference", "low", "high", "p_value", "method",
    }  # fmt: skip
    assert {row.method.split(",")[0] for row in comparison.differences} >= {"exact McNemar", "DeLong"}
    assert all(row.difference in (0, None) for row in comparison.differences)
    assert "equally accurate" in comparison.sentence
    assert comparison.holm_p_values is not None
    assert len(comparison.holm_p_values) == 3
    (group,) = comparison.seed_groups
    assert group.runs == ("scratch", "second", "third")
    assert group.metrics["accuracy"]["sd"] == 0
    assert assignment_results(comparison) is None
    assert "Films that changed sides" in comparison_page(comparison, _compared(runs))


def _compared(runs: list[RunFolder]):

    found = []
    for run in runs:
        evaluation, films = read_evaluation(run, "test")
        found.append(Compared(run.name, run, evaluation, films, Scores.of(films, evaluation.temperature)))
    return found


def test_a_comparison_refuses_what_cannot_be_paired(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run, _ = evaluated
    with pytest.raises(RunError, match="named twice"):
        compare(CompareConfig(runs=(run.path, run.path)))
    a, b = _compared([run, run])

    b = replace(b, name="other")
    fewer = replace(b, films=b.films[1:])
    with pytest.raises(RunError, match=r"only scratch has 1 \("):
        _check_same_films(a, fewer)
    other = replace(b, evaluation=b.evaluation.model_copy(update={"data_fingerprint": "0" * 64}))
    with pytest.raises(RunError, match="have another content"):
        _check_same_films(a, other)


def test_the_assignments_file_is_in_percent(evaluated: tuple[RunFolder, Evaluation]):

    run, _ = evaluated
    described = _described(_compared([run])[0])
    scratch = described.model_copy(
        update={"metrics": {"accuracy": Metric(value=0.8974, low=None, high=None, method="x")}}
    )
    transfer = described.model_copy(
        update={
            "initial_weights": "IMAGENET1K_V1",
            "metrics": {"accuracy": Metric(value=0.9519, low=None, high=None, method="x")},
        }
    )
    comparison = Comparison(
        runs=(transfer, scratch), split="test", num_images=1, num_patients=1, data_fingerprint="", sentence="",
        differences=(), holm_p_values=None, seed_groups=(), bootstrap_seed=0,
    )  # fmt: skip
    results = assignment_results(comparison)
    assert results is not None
    assert results.model_dump() == {
        "from_scratch_accuracy": 89.74, "transfer_learning_accuracy": 95.19, "improvement": 5.45,
    }  # fmt: skip


def test_the_sentence_says_whether_it_could_be_chance():

    def row(low: float, high: float, p: float) -> Difference:
        return Difference(
            run_a="a", run_b="b", metric="accuracy", a=0.9, b=0.92, difference=0.02, low=low, high=high, p_value=p,
            method="x",
        )  # fmt: skip

    chance = sentence(["a", "b"], [row(-0.01, 0.05, 0.2)])
    assert chance.startswith(
        "b is more accurate than a by 2.0 percentage points (95 % interval -1.0 to 5.0), p = 0.200"
    )
    assert chance.endswith("which could be chance.")
    assert "more than chance" in sentence(["a", "b"], [row(0.01, 0.03, 0.0005)])
    assert "p < 0.001" in sentence(["a", "b"], [row(0.01, 0.03, 0.0005)])
