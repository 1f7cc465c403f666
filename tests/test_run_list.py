"""``pneumo runs``: every state of a run, the order, and the width of what is shown."""

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pneumocli.cli.app import app
from pneumocli.cli.runs import runs_table
from pneumocli.core.config import RunsConfig
from pneumocli.core.errors import PneumoError, RunError
from pneumocli.evaluation.store import stored_evaluations
from pneumocli.metrics.records import Evaluation
from pneumocli.run_folder import RunFolder
from pneumocli.run_list import runs
from tests.conftest import copy_of


@pytest.fixture
def folder(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path) -> Path:
    """Runs in every state: one evaluated, one not, one unfinished, one damaged, one that lacks its model."""
    run, _ = evaluated
    copy_of(run, tmp_path / "evaluated", evaluations=True)
    copy_of(run, tmp_path / "plain")
    copy_of(run, tmp_path / "unfinished", checkpoint=True).result_file.unlink()
    copy_of(run, tmp_path / "damaged").config_file.write_text("x")
    copy_of(run, tmp_path / "incomplete").onnx_file.unlink()
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_every_state_is_named_with_what_to_do(folder: Path, evaluated: tuple[RunFolder, Evaluation]):
    found = {run.name: run for run in runs(RunsConfig(folder=folder))}
    assert {name: run.state for name, run in found.items()} == {
        "damaged": "broken", "evaluated": "finished", "incomplete": "broken", "plain": "finished",
        "unfinished": "unfinished",
    }  # fmt: skip
    assert found["plain"].todo is None
    assert found["unfinished"].todo == f"pneumo train --resume {folder / 'unfinished'}"
    assert "model.onnx is missing" in (found["incomplete"].problem or "")
    assert "config.json" in (found["damaged"].problem or "")
    finished, unfinished = found["plain"], found["unfinished"]
    assert unfinished.val_auroc is not None, "the best so far"
    assert (unfinished.best_epoch, unfinished.val_auroc) == (finished.best_epoch, finished.val_auroc)
    assert found["evaluated"].evaluations["test"]["auroc"] == evaluated[1].metrics["auroc"]
    assert found["evaluated"].recipe == "scratch 64 px"
    assert set(found["plain"].val_intervals) == {"val_auroc", "val_accuracy"}
    assert found["plain"].size_bytes > found["incomplete"].size_bytes


def test_figures_of_a_model_that_the_run_had_before_are_not_shown(folder: Path):
    run = RunFolder(folder / "evaluated")
    file = run.evaluation_folder("test").metrics_file
    file.write_text(file.read_text().replace(run.model_sha256, "0" * 64))
    found = {run.name: run for run in runs(RunsConfig(folder=folder))}
    assert found["evaluated"].evaluations == {}
    assert stored_evaluations(run, run.model_sha256) == []
    assert [evaluation.place for evaluation in stored_evaluations(run, "0" * 64)] == ["test"]


@pytest.mark.parametrize("place", ["test", "ward-3"])
def test_a_damaged_evaluation_leaves_its_run_whole(folder: Path, place: str, capsys: pytest.CaptureFixture[str]):
    run = RunFolder(folder / "evaluated")
    damaged = run.evaluation_folder(place)
    damaged.path.mkdir(exist_ok=True)
    damaged.metrics_file.write_text("")
    found = next(one for one in runs(RunsConfig(folder=folder)) if one.name == "evaluated")
    assert found.state == "finished"
    assert found.problem == f"{damaged.metrics_file} is damaged: it is no whole JSON document"
    assert (
        found.todo
        == {
            "test": f"pneumo evaluate {run.path} --split test writes it anew",
            "ward-3": f"evaluate these films again, or remove {damaged.path}",
        }[place]
    )
    with pytest.raises(SystemExit):
        app(["runs", str(run.path)])
    assert "broken" not in capsys.readouterr().out


def test_a_run_that_is_being_trained_is_no_unfinished_one(folder: Path):
    with RunFolder(folder / "unfinished").locked():
        assert {run.name: run.state for run in runs(RunsConfig(folder=folder))}["unfinished"] == "training"


def test_a_group_whose_run_is_being_trained_is_no_unfinished_one(folder: Path):
    group = RunFolder(folder / "unfinished")
    group.write_config(group.config().model_copy(update={"folds": 2, "val_fraction": 0.1}))
    fold = copy_of(group, group.fold(1).path)
    with fold.locked():
        assert {run.name: run.state for run in runs(RunsConfig(folder=folder))}["unfinished"] == "training"


def test_a_run_that_may_only_be_read_is_not_being_trained(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PneumoError("cannot write manifest.csv: Permission denied")

    monkeypatch.setattr(RunFolder, "locked", refuse)
    assert {run.name: run.state for run in runs(RunsConfig(folder=folder))}["unfinished"] == "unfinished"


def test_runs_are_sorted_with_what_is_undefined_last(folder: Path):
    os.utime(folder / "plain" / "result.json", (2e9, 2e9))
    order = {
        sort: [run.name for run in runs(RunsConfig.model_validate({"folder": folder, "sort": sort}))]
        for sort in ("name", "age", "auroc", "size")
    }
    assert order["name"] == sorted(order["name"])
    assert order["age"][0] == "plain"
    assert order["auroc"][0] == "evaluated"
    assert order["size"][:2] == ["unfinished", "evaluated"]  # it alone has its checkpoint


def test_a_folder_without_runs_is_refused(tmp_path: Path):
    with pytest.raises(RunError, match="no runs in"):
        runs(RunsConfig(folder=tmp_path))
    with pytest.raises(RunError, match="no folder of runs"):
        runs(RunsConfig(folder=tmp_path / "none"))


@pytest.mark.parametrize("below", ["demo/runs", "seeds"])
def test_runs_a_folder_further_below_are_found(folder: Path, tmp_path: Path, below: str):
    place = tmp_path / "place"
    shutil.copytree(folder / "plain", place / below / "plain")
    for asked in (place, place / "runs"):
        with pytest.raises(RunError) as caught:
            runs(RunsConfig(folder=asked))
        assert caught.value.hint == f"pneumo runs {place / below}"
    with pytest.raises(RunError) as caught:
        runs(RunsConfig(folder=place / "none" / "none"))
    assert caught.value.hint == "pneumo train makes one: runs/scratch or runs/transfer"


def test_the_list_fits_80_columns(folder: Path):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(runs_table(runs(RunsConfig(folder=folder))))
    text = console.export_text()
    table = text.partition("\n\n")[0]
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= 80
    assert "test AUROC" in table
    assert "unfinished after 2 epochs" in " ".join(text.split())
    assert "–" in table  # an interval


def test_json_lists_them_all(folder: Path):
    done = CliRunner().invoke(app, ["runs", str(folder / "plain"), "--json"])
    (run,) = json.loads(done.stdout)
    assert run["name"] == "plain"
    assert run["state"] == "finished"
