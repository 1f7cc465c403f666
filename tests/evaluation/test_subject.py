"""Which films are scored, and where their evaluation is kept."""

import csv
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from pneumocli.core.config import CompareConfig, EvaluateConfig, validated
from pneumocli.core.errors import DataError, SettingError
from pneumocli.core.events import Remark
from pneumocli.core.records import CLASS_NAMES, ManifestRow
from pneumocli.data.manifest import scan
from pneumocli.evaluation.compare import compare
from pneumocli.evaluation.evaluate import evaluate
from pneumocli.evaluation.subject import Subject, subject_of
from pneumocli.metrics.records import Evaluation
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
    assert card.index("### test: 40 films") < card.index("### hospital-b (other films than the run's own): 20 films")
    other = copy_of(run, tmp_path / "other", evaluations=True)
    config = CompareConfig(runs=(run.path, other.path), manifest=table, output=tmp_path / "comparison")
    comparison = compare(config, events.clear() or events.append)
    assert comparison.num_images == 20
    assert not [event for event in events if isinstance(event, Remark) and event.text.startswith("evaluating")]
