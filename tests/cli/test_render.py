"""cli/render.py: what a training's summary shows, and warns about."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from pneumocli.cli.render import hard_tables, metric_text, seeds_summary, training_summary
from pneumocli.core.records import EpochRecord
from pneumocli.inference.classifier import card_of_run
from pneumocli.metrics.groups import group_of
from pneumocli.metrics.records import Metric
from pneumocli.model.card import GroupFigure, GroupSummary
from pneumocli.run_folder import RunFolder
from pneumocli.training.records import SeedRun, SeedSummary
from tests.conftest import change_card, copy_of


def shown(renderable: object) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def epoch(number: int, accuracy: float, auroc: float) -> EpochRecord:
    return EpochRecord(
        epoch=number, train_loss=0.5, val_loss=0.4, val_accuracy=accuracy, val_auroc=auroc, learning_rate=0.001,
        seconds=30, images_per_second=67.8,
    )  # fmt: skip


def test_the_best_epoch_says_by_what_and_names_a_more_accurate_one(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    run.write_history((epoch(1, 0.924, 0.90), epoch(2, 0.781, 0.95)))
    figures = {"val_accuracy": 0.781, "val_auroc": 0.95, "val_intervals": {"val_auroc": (0.91, 0.97)}}
    result = run.result().model_copy(update={"best_epoch": 2, **figures})
    text = " ".join(shown(training_summary(run, result)).split())
    assert "2 of 2, by AUROC on validation films" in text
    assert "AUROC 95.0% (91.0% to 97.0%), accuracy 78.1%" in text
    assert "epoch 1 was more accurate on the validation films, 92.4%" in text
    assert "--operating-point youden" in text
    run.write_history((epoch(1, 0.785, 0.90), epoch(2, 0.781, 0.95)))
    assert "more accurate" not in shown(training_summary(run, result))


def test_a_summary_has_the_hard_films_of_its_best_epoch(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    figures = {"sensitivity": 0.952, "specificity": 0.864, "balanced_accuracy": 0.908, "auroc": 0.97}
    hard = GroupSummary(
        num_normal=44, num_pneumonia=1105,
        **{name: GroupFigure(value=value, low=value - 0.1, high=None if name == "auroc" else 0.981)
           for name, value in figures.items()},
    )  # fmt: skip
    validation, point = card_of_run(run).validation, card_of_run(run).operating_point
    change_card(
        run,
        validation=validation.model_copy(update={"hard": hard}),
        operating_point=point.model_copy(update={"threshold": 0.811}),
    )
    text = " ".join(shown(training_summary(run, run.result())).split())
    assert (
        "hard films 44 NORMAL, 1,105 PNEUMONIA; threshold 81.1%: AUROC 97.0%, sensitivity 95.2% (85.2% to 98.1%), "
        "specificity 86.4% (76.4% to 98.1%) time"
    ) in text
    none = GroupFigure(value=None, low=None, high=None)
    few = hard.model_copy(
        update={"num_pneumonia": 4} | dict.fromkeys(("auroc", "sensitivity", "balanced_accuracy"), none)
    )
    change_card(run, validation=validation.model_copy(update={"hard": few}))
    text = " ".join(shown(training_summary(run, run.result())).split())
    assert "44 NORMAL, 4 PNEUMONIA; threshold 81.1%: specificity 86.4% (76.4% to 98.1%) time" in text
    fewer = few.model_copy(update={"num_normal": 2, "specificity": none})
    change_card(run, validation=validation.model_copy(update={"hard": fewer}))
    assert "hard films   2 NORMAL, 4 PNEUMONIA: too few for figures" in shown(training_summary(run, run.result()))
    change_card(run, validation=validation.model_copy(update={"hard": None}))
    assert "hard films" not in shown(training_summary(run, run.result()))


def test_groups_of_films_fit_a_terminal():
    labels, patients = [0] * 5 + [1] * 5, list("abcdefghij")
    called = [False] * 4 + [True] * 6
    group = group_of(labels, range(10), called, patients)
    few = group_of(labels[4:], range(6), called[4:], patients[4:])
    old = group.model_copy(update={"num_normal": None})
    (table,) = hard_tables("run", {"runs/a": group, "runs/b": few, "runs/of-before": old})
    text = shown(table)
    assert max(map(len, text.splitlines())) <= 80
    first, counts, second, fewer = (line.strip("│ ").split("│") for line in text.splitlines() if line.startswith("│"))
    assert [cell.strip() for cell in first] == ["runs/a", "100.0%", "80.0%", "100.0%"]
    assert counts[0].strip() == "5 NORMAL, 5 PNEUMONIA"
    assert [cell.strip() for cell in second] == ["runs/b", "100.0%", "undefined", "undefined"]
    assert fewer[0].strip() == "1 NORMAL, 5 PNEUMONIA"
    neither = group_of(labels[4:6], range(2), called[4:6], patients[4:6])
    assert not hard_tables("run", {"runs/of-before": old, "runs/few": neither})


def test_a_run_in_a_folder_of_another_name_reports_it_last(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    run = copy_of(trained, Path("runs/scratch-2"))
    run.write_config(run.config().model_copy(update={"run_dir": None}))
    text = shown(training_summary(run, run.result()))
    assert "runs/scratch exists already: this run is runs/scratch-2" in text
    named = run.config().model_copy(update={"run_dir": run.path})
    run.write_config(named)
    assert "exists already" not in shown(training_summary(run, run.result()))


def test_coarse_heat_maps_are_noted(trained: RunFolder):
    assert "heat maps of this run have 2 x 2 cells" in shown(training_summary(trained, trained.result()))


def test_numbers_are_in_percent_and_lines_fit(trained: RunFolder):
    run = SeedRun(path="runs/scratch-seed0", seed=0, best_epoch=1, val_auroc=0.9543, val_accuracy=0.91)
    spread = {"mean": 0.9543, "sd": 0.01, "low": 0.94, "high": 0.96}
    text = shown(seeds_summary(SeedSummary(runs=(run,), metrics={"val_auroc": spread})))
    assert "95.4%" in text
    assert "0.9543" not in text
    assert "undefined" in text
    for line in [*text.splitlines(), *shown(training_summary(trained, trained.result())).splitlines()]:
        assert len(line) <= 80


def test_a_score_that_is_no_share_is_a_number():
    metric = Metric(value=0.0331, low=0.02, high=0.05, method="")
    assert metric_text(metric, "brier_score") == ("0.033", "0.020 to 0.050")
    assert metric_text(metric, "accuracy") == ("3.3%", "2.0% to 5.0%")
