"""Which films are scored, and where their evaluation is kept."""

import csv
import io
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from pneumocli.cli.compare import comparison_table
from pneumocli.core.config import CompareConfig, EvaluateConfig
from pneumocli.core.errors import DataError, RunError, SettingError
from pneumocli.core.events import Event, Remark
from pneumocli.core.files import write_json
from pneumocli.core.records import CLASS_NAMES, ManifestRow
from pneumocli.core.settings import validated
from pneumocli.data.manifest import scan
from pneumocli.evaluation.compare import compare
from pneumocli.evaluation.evaluate import evaluate
from pneumocli.evaluation.subject import Subject, subject_of
from pneumocli.metrics.records import Comparison, Evaluation
from pneumocli.run_folder import RunFolder
from tests.conftest import copy_of


def write_table(file: Path, rows: Iterable[ManifestRow], **columns: str) -> Path:
    """A table of films; ``split="test"`` adds that column."""
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["image", "label", *columns])
        writer.writerows([row.image, CLASS_NAMES[row.label], *columns.values()] for row in rows)
    return file


@pytest.fixture
def moved(phantoms: Path, tmp_path: Path) -> Path:
    """A copy of the films, as if the disk had another name now."""
    return shutil.copytree(phantoms, tmp_path / "moved films")


def found(run: RunFolder, **settings: object) -> Subject:
    return subject_of(run, EvaluateConfig(run=run.path, **settings))


def test_a_run_trained_on_a_table_keeps_it_where_data_moves_its_films(trained: RunFolder, moved: Path, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    rows = scan(moved).of("test").rows[::4]
    table = write_table(tmp_path / "films.csv", rows, split="test")
    stored = json.loads(run.config_file.read_text())
    run.config_file.write_text(json.dumps(stored | {"manifest": str(table)}))
    assert [row.image for row in found(run, data=moved).films.rows] == [row.image for row in rows]


def test_a_run_whose_films_have_moved_is_pointed_to_data_and_not_to_a_download(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    stored = json.loads(run.config_file.read_text())
    run.config_file.write_text(json.dumps(stored | {"data": str(tmp_path / "gone")}))
    with pytest.raises(DataError, match=r"no data folder at .*gone, where .*run was trained") as caught:
        found(run)
    assert caught.value.hint == "name the folder that holds its films now with --data DIR"


def test_a_table_gives_its_test_rows_or_all(trained: RunFolder, moved: Path):
    rows = scan(moved).of("test").rows[:6]
    events: list[object] = []
    config = EvaluateConfig(run=trained.path, manifest=write_table(moved / "Hospital B.csv", rows))
    subject = subject_of(trained, config, events.append)
    assert [row.image for row in subject.films.rows] == [row.image for row in rows]
    assert all(row.sha256 for row in subject.films.rows)
    assert subject.name == "Hospital-B"
    assert any(isinstance(event, Remark) and "has no test rows: all 6 films" in event.text for event in events)
    lines = (moved / "Hospital B.csv").read_text().splitlines()
    lines = [f"{line},{split}" for line, split in zip(lines, ["split", "test", *["train"] * 5], strict=True)]
    (moved / "split.csv").write_text("\n".join(lines))
    assert [row.image for row in found(trained, manifest=moved / "split.csv").films.rows] == [rows[0].image]


def test_the_runs_own_films_in_a_table_are_its_own(trained: RunFolder, moved: Path, tmp_path: Path):
    table = write_table(tmp_path / "test.csv", scan(moved).of("test").rows)
    assert found(trained, manifest=table, data=moved).name == ""
    fewer = write_table(tmp_path / "test.csv", scan(moved).of("test").rows[1:])
    assert found(trained, manifest=fewer, data=moved).name == "other-test", "no name of a split"


def test_other_films_in_a_folder_never_replace_the_runs_own(
    evaluated: tuple[RunFolder, Evaluation], moved: Path, tmp_path: Path
):
    run, _ = evaluated
    assert found(run).name == found(run, data=moved).name == ""
    next((moved / "test" / "NORMAL").iterdir()).unlink()
    assert found(run, data=moved).name == "moved-films"
    bare = copy_of(run, tmp_path / "bare")
    assert found(bare, data=moved).name == "", "nothing is replaced"


@pytest.fixture
def flat(phantoms: Path, tmp_path: Path) -> Path:
    """Films of another place: the classes alone."""
    folder = tmp_path / "Hospital B"
    shutil.copytree(phantoms / "test", folder)
    next((folder / "NORMAL").iterdir()).unlink()
    return folder


def stored(run: RunFolder, subject: Subject, evaluation: Evaluation) -> None:
    """Stands for an evaluation of these films in the run."""
    films = {"data_fingerprint": subject.films.fingerprint, "name": subject.name}
    write_json(run.evaluation_folder(subject.name).metrics_file, evaluation.model_copy(update=films))


def test_the_first_films_of_another_place_are_not_taken_for_the_runs_own(trained: RunFolder, flat: Path):
    assert found(trained, data=flat).name == "Hospital-B", "without any evaluation beside them, too"
    assert found(trained, data=flat, name="b").name == "b"


def test_a_run_trained_on_a_table_scores_another_place_by_its_folders(trained: RunFolder, flat: Path, tmp_path: Path):
    """Another hospital's films stand in no table of this one."""
    run = copy_of(trained, tmp_path / "run")
    stored = json.loads(run.config_file.read_text())
    run.config_file.write_text(json.dumps(stored | {"manifest": str(tmp_path / "films.csv")}))
    events: list[Event] = []
    subject = subject_of(run, EvaluateConfig(run=run.path, data=flat), events.append)
    assert {row.image for row in subject.films.rows} == {row.image for row in scan(flat).rows}
    assert subject.name == "Hospital-B"
    assert f"{flat} holds no film of the run's table: its folders give the labels" in [
        event.text for event in events if isinstance(event, Remark)
    ]


def test_a_name_holds_one_places_films(evaluated: tuple[RunFolder, Evaluation], flat: Path, tmp_path: Path):
    run = copy_of(evaluated[0], tmp_path / "run")
    for name, settings in {"b": {"name": "b"}, "Hospital-B": {}}.items():
        subject = found(run, data=flat, **settings)
        assert subject.name == name
        stored(run, subject, evaluated[1])
    assert found(run, data=flat, name="b").name == "b", "the same films again"
    next((flat / "NORMAL").iterdir()).unlink()
    with pytest.raises(RunError, match="b holds the evaluation of other films") as caught:
        found(run, data=flat, name="b")
    assert (caught.value.hint or "").startswith("--name b-2,")
    assert found(run, data=flat).name == "Hospital-B-2"
    stored(run, found(run, data=flat), evaluated[1])
    assert found(run, data=flat).name == "Hospital-B-2"


def test_the_runs_own_test_films_take_no_name(trained: RunFolder, moved: Path):
    for settings in ({}, {"data": moved}):
        with pytest.raises(RunError, match="--name x: these are the run's own test films"):
            found(trained, name="x", **settings)


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "/tmp", "", ".", "..", "-x", "x.", "a b", "x" * 101, "Test", "val"]
)
def test_a_name_is_a_folder_of_its_own(name: str):
    for model, runs in ((EvaluateConfig, {"run": "a"}), (CompareConfig, {"runs": ("a", "b")})):
        with pytest.raises(SettingError, match="--name: expected") as caught:
            validated(model, runs | {"name": name})
        assert repr(name) in caught.value.message


def test_a_name_and_a_split_of_the_run_contradict_each_other():
    with pytest.raises(SettingError, match="--split val scores the run's own films, --name keeps those of others"):
        validated(EvaluateConfig, {"run": "a", "name": "b", "split": "val"})


def test_paths_that_lead_nowhere_name_the_folder_to_give(trained: RunFolder, moved: Path, tmp_path: Path):
    table = write_table(tmp_path / "elsewhere.csv", scan(moved).of("test").rows)
    with pytest.raises(DataError) as caught:
        found(trained, manifest=table)
    assert str(tmp_path) in caught.value.message
    assert "--data" in (caught.value.hint or "")
    with pytest.raises(DataError, match=r"cannot read .*none\.csv"):
        found(trained, manifest=tmp_path / "none.csv")


@pytest.mark.parametrize("model", [EvaluateConfig, CompareConfig])
def test_a_table_and_a_split_of_the_run_contradict_each_other(model: type[EvaluateConfig | CompareConfig]):
    runs = {"runs": ("a", "b")} if model is CompareConfig else {"run": "a"}
    with pytest.raises(SettingError, match="--split val scores the run's own films, --manifest those of a table"):
        validated(model, runs | {"manifest": "films.csv", "split": "val"})


def printed(comparison: Comparison) -> str:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(comparison_table(comparison))
    return " ".join(console.export_text().split())


@pytest.mark.slow
def test_another_hospitals_films_are_kept_under_their_own_name(
    saved: dict[Figure, list[str]], evaluated: tuple[RunFolder, Evaluation], moved: Path, tmp_path: Path
):
    run = copy_of(evaluated[0], tmp_path / "run", evaluations=True)
    before = run.evaluation_folder("test").metrics_file.read_bytes()
    table = write_table(moved / "hospital-b.csv", scan(moved).of("test").rows[::2])
    events: list[object] = []
    evaluation = evaluate(EvaluateConfig(run=run.path, manifest=table), events.append)
    assert (evaluation.name, evaluation.split, evaluation.num_images) == ("hospital-b", "test", 20)
    place = run.evaluation_folder("hospital-b")
    assert json.loads(place.metrics_file.read_text())["name"] == "hospital-b"
    assert place.report_file.is_file()
    assert any(isinstance(event, Remark) and event.text.endswith(f"is kept in {place.path}") for event in events)
    assert run.evaluation_folder("test").metrics_file.read_bytes() == before
    card = run.card_file.read_text()
    assert card.index("### test: 40 films") < card.index("### hospital-b (other films than the run's own; shift: ")
    other = copy_of(run, tmp_path / "other", evaluations=True)
    config = CompareConfig(runs=(run.path, other.path), manifest=table, output=tmp_path / "comparison")
    comparison = compare(config, events.clear() or events.append)
    assert comparison.num_images == 20
    assert comparison.place == "hospital-b"
    page = (tmp_path / "comparison" / "comparison.html").read_text()
    assert "hospital-b: 20 films" in page
    assert "films of another place &middot; shift: " in page
    assert page.index("All evaluations of these runs") < page.rindex("another place")
    assert "These are films of another place; shift: run " in printed(comparison)
    assert not [event for event in events if isinstance(event, Remark) and event.text.startswith("evaluating")]
