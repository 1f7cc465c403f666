"""Comparison of runs: what may be paired, what is written, what the sentence reports."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from pneumocli.cli.app import app
from pneumocli.cli.compare import _cells, _in_lines, comparison_table
from pneumocli.core.config import CompareConfig
from pneumocli.core.errors import RunError
from pneumocli.core.events import Remark
from pneumocli.evaluation.compare import (
    _check_same_films,
    _described,
    _unique_names,
    assignment_results,
    compare,
)
from pneumocli.evaluation.evaluate import Evaluated
from pneumocli.evaluation.store import read_evaluation
from pneumocli.inference.classifier import card_of_run
from pneumocli.metrics.classification import sigmoid
from pneumocli.metrics.records import Comparison, Difference, Evaluation, Metric
from pneumocli.metrics.scored_films import write_predictions
from pneumocli.metrics.scores import Compared, ScoreArrays
from pneumocli.reporting.comparison_figures import _SHOWN, comparison_figure
from pneumocli.run_folder import RunFolder
from tests.conftest import change_card, copy_of

# Pictures are drawn in tests/reporting, and whole evaluations in the fixture "evaluated" and in the slow tests.
pytestmark = pytest.mark.usefixtures("saved")


def test_a_comparison_of_three_runs(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    first, _ = evaluated
    runs = [first, *(copy_of(first, tmp_path / name, evaluations=True) for name in ("second", "third"))]
    for number, run in enumerate(runs[1:], start=1):  # two more seeds of the same settings, as config.json has it
        stored = json.loads(run.config_file.read_text())
        run.config_file.write_text(json.dumps(stored | {"seed": number}))
    output = tmp_path / "comparison"
    comparison = compare(CompareConfig(runs=tuple(run.path for run in runs), output=output))
    assert {file.name for file in output.iterdir()} == {"comparison.json", "comparison.png", "comparison.html"}
    stored = json.loads((output / "comparison.json").read_text())
    assert set(stored["differences"][0]) == {
        "run_a", "run_b", "metric", "a", "b", "difference", "low", "high", "p_value", "method",
    }  # fmt: skip
    methods = {row.method.split(",")[0] for row in comparison.differences}
    assert {"exact McNemar", "cluster DeLong (Obuchowski 1997)"} <= {name.partition(";")[0] for name in methods}
    assert all(row.difference in (0, None) for row in comparison.differences)
    assert "Nothing differs between scratch, second and third" in comparison.sentence
    assert comparison.holm_p_values is not None
    assert len(comparison.holm_p_values) == 3
    (group,) = comparison.seed_groups
    assert group.runs == ("scratch", "second", "third")
    assert group.metrics["accuracy"]["sd"] == 0
    assert assignment_results(comparison) is None
    page = (output / "comparison.html").read_text(encoding="utf-8")
    assert "Which films changed sides?" in page
    assert page.count("data:image/svg+xml") == 4
    assert_a_line_per_pair_and_setting(comparison)


@pytest.mark.parametrize("number", [2, 3])
def test_brackets_and_colons_in_the_names_of_runs_are_no_markup(
    evaluated: tuple[RunFolder, Evaluation], tmp_path: Path, number: int
):
    names = ("a[red]x", "b:smile:", "plain")[:number]
    runs = [str(copy_of(evaluated[0], tmp_path / name, evaluations=True).path) for name in names]
    done = CliRunner().invoke(app, ["compare", *runs, "--quiet", "--output", str(tmp_path / "comparison")])
    assert done.exit_code == 0, done.stderr
    table = done.stdout.partition("test: 40 films")[2]
    assert "a[red]x" in table
    assert "b:smile:" in table


def assert_a_line_per_pair_and_setting(comparison: Comparison) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(comparison_table(comparison))
    lines = console.export_text().splitlines()
    assert [line for line in lines if "minus" in line] == [
        "│ second minus scratch │     +0.0 │    1.000 │  +0.0 │    1.000 │",
        "│ third minus scratch  │     +0.0 │    1.000 │  +0.0 │    1.000 │",
        "│ third minus second   │     +0.0 │    1.000 │  +0.0 │    1.000 │",
    ]
    assert sum("±" in line for line in lines) == 1
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("metric", "value", "shown", "interval"),
    [
        ("auroc", -0.0004, "+0.0", "+0.0 to +0.0"),
        ("auroc", -0.012, "-1.2", "-1.2 to -1.2"),
        ("brier_score", -0.0004, "+0.000", "+0.000 to +0.000"),
        ("auroc", None, "undefined", ""),
    ],
)
def test_no_zero_has_a_minus(metric: str, value: float | None, shown: str, interval: str):
    row = Difference(
        metric=metric, run_a="a", run_b="b", a=None, b=None, difference=value, low=value, high=value, p_value=None,
        method="",
    )  # fmt: skip
    assert _cells(row)[:2] == (shown, interval)


def test_a_long_name_breaks_at_its_hyphens():
    assert _in_lines("transfer-assignment-1") == "transfer-\nassignment-1"
    assert _in_lines("scratch") == "scratch"


def test_an_undefined_number_has_no_point(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run, _ = evaluated
    copy = copy_of(run, tmp_path / "copy", evaluations=True)
    comparison = compare(CompareConfig(runs=(run.path, copy.path), output=tmp_path / "comparison"))
    undefined = Metric(value=None, low=None, high=None, method="undefined: one class")
    one, other = comparison.runs
    other = other.model_copy(update={"metrics": other.metrics | {"auroc": undefined}})
    figure = comparison_figure(
        comparison.model_copy(update={"runs": (one, other)}), dict.fromkeys((one.name, other.name), run.history())
    )
    drawn = [container.lines[0].get_ydata() for container in figure.axes[2].containers]
    assert drawn[0].tolist() == [one.metrics[name].value for name in _SHOWN]
    assert [name for name, value in zip(_SHOWN, drawn[1], strict=True) if np.isnan(value)] == ["auroc"]


def _compared(runs: list[RunFolder]):

    found = []
    for run in runs:
        evaluation, films = read_evaluation(run, "test")
        scores = ScoreArrays.of(films, evaluation.temperature)
        described = _described(run.name, run, Evaluated(evaluation, films, card_of_run(run)))
        found.append(Compared(described, run.history(), evaluation, films, scores, run.config().data))
    return found


def test_a_comparison_refuses_what_cannot_be_paired(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run, _ = evaluated
    with pytest.raises(RunError, match="named twice"):
        compare(CompareConfig(runs=(run.path, run.path)))
    with pytest.raises(RunError, match=r"model\.onnx is a file: expected the folder of a run") as refusal:
        compare(CompareConfig(runs=(run.path, run.onnx_file)))
    assert "makes evaluations/model" in (refusal.value.hint or "")
    a, b = _compared([run, run])

    b = replace(b, described=b.described.model_copy(update={"name": "other"}))
    fewer = replace(b, films=b.films[1:])
    with pytest.raises(RunError, match=r"only scratch has 1 \("):
        _check_same_films(a, fewer)
    other = replace(b, evaluation=b.evaluation.model_copy(update={"data_fingerprint": "0" * 64}))
    with pytest.raises(RunError, match="have another content"):
        _check_same_films(a, other)


def test_the_assignments_file_is_in_percent(evaluated: tuple[RunFolder, Evaluation]):

    run, _ = evaluated
    described = _compared([run])[0].described
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


def with_other_scores(run: RunFolder, seed: int) -> None:
    """Stored predictions of a run, as if its network had seen things a little differently."""
    evaluation, films = read_evaluation(run, "test")
    noise = np.random.default_rng(seed).normal(size=len(films)) * 2
    logits = [film.logit + float(shift) for film, shift in zip(films, noise, strict=True)]
    changed = [
        film.model_copy(update={"logit": logit, "probability": float(sigmoid(logit / evaluation.temperature))})
        for film, logit in zip(films, logits, strict=True)
    ]
    write_predictions(run.evaluation_folder("test").predictions_file, changed)


@pytest.mark.slow
def test_scratch_against_transfer(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    """The assignment's pair: its file, the films of both in one order, and a page with what changed sides."""
    scratch = copy_of(evaluated[0], tmp_path / "scratch", evaluations=True)
    transfer = copy_of(evaluated[0], tmp_path / "transfer")
    change_card(transfer, initial_weights="IMAGENET1K_V1")  # another model file: it is evaluated first
    with_other_scores(scratch, 0)
    events: list[object] = []
    config = CompareConfig(runs=(scratch.path, transfer.path), output=tmp_path / "out", seed=3)
    comparison = compare(config, events.append)
    remarks = [event.text for event in events if isinstance(event, Remark)]
    assert any(text.startswith(f"evaluating {transfer.path} on test: its predictions are missing") for text in remarks)
    assert not any(f"evaluating {scratch.path}" in text for text in remarks)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "comparison.json", "comparison.png", "comparison.html", "results.json",
    }  # fmt: skip
    percent = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(percent) == {"from_scratch_accuracy", "transfer_learning_accuracy", "improvement"}
    by_name = {run.name: run for run in comparison.runs}
    accuracy = by_name["transfer"].metrics["accuracy"].value
    assert percent["transfer_learning_accuracy"] == round(accuracy * 100, 2)
    assert comparison.seed_groups == ()
    assert comparison.holm_p_values is None
    headline = next(row for row in comparison.differences if row.metric == "auroc")
    assert "patient bootstrap" in headline.method
    assert headline.b == evaluated[1].metrics["auroc"].value
    assert headline.a == pytest.approx(reference_auroc(scratch))
    assert headline.low <= headline.difference <= headline.high
    again = compare(config)
    assert again == comparison
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert "transfer minus scratch" in page
    assert page.count("<script") == 1  # the pages' own


def reference_auroc(run: RunFolder) -> float:
    _, films = read_evaluation(run, "test")
    return float(roc_auc_score([film.label == "PNEUMONIA" for film in films], [film.logit for film in films]))


def test_names_are_made_unique(tmp_path: Path):
    def names(*places: str) -> list[str]:
        return _unique_names([RunFolder(tmp_path / place) for place in places])

    assert names("runs/a", "runs/b") == ["a", "b"]
    assert names("one/run", "two/run") == ["one-run", "two-run"]
    assert len(set(names("x/one/run", "y/one/run"))) == 2
    with pytest.raises(RunError, match="named twice"):
        names("runs/a", "runs/b/../a")


def test_an_unfinished_run_is_refused(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run = copy_of(evaluated[0], tmp_path / "run")
    run.result_file.unlink()
    config = CompareConfig(runs=(evaluated[0].path, run.path), output=tmp_path / "out")
    with pytest.raises(RunError, match="has not finished") as caught:
        compare(config)
    assert caught.value.hint == f"pneumo train --like {run.path} --run-dir {run.path} --continue"
    run.checkpoint_file.touch()
    with pytest.raises(RunError, match="has not finished") as caught:
        compare(config)
    assert caught.value.hint == f"pneumo train --resume {run.path}"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_films_that_changed_sides_stand_beside_the_evidence_of_either_run(
    evaluated: tuple[RunFolder, Evaluation], tmp_path: Path
):
    run, _ = evaluated
    other = copy_of(run, tmp_path / "other")
    point = card_of_run(run).operating_point
    middle = float(np.median([film.probability for film in read_evaluation(run, "test")[1]]))
    change_card(other, operating_point=point.model_copy(update={"threshold": middle}))
    compare(CompareConfig(runs=(run.path, other.path), output=tmp_path / "comparison"))
    page = (tmp_path / "comparison" / "comparison.html").read_text(encoding="utf-8")
    sides = page[page.index("Which films changed sides?") : page.index("How were they trained?")]
    tiles = sides.count('aria-label="Enlarge film')
    assert tiles > 4
    assert sides.count("data:image/jpeg;base64,") == 3 * tiles
    assert sides.count("Evidence of other for ") == tiles
    assert "then other found the evidence for its own answer" in sides
