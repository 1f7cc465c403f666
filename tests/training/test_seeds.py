"""seeds.py: the same settings several times."""

import json
from pathlib import Path

import pytest

from pneumocli.core.errors import RunError, SettingError
from pneumocli.core.events import EpochFinished, Event, RunStarted
from pneumocli.run_folder import RunFolder
from pneumocli.training.seeds import train_seeds
from tests.conftest import tiny
from tests.training.test_train import Stop


@pytest.mark.slow
def test_runs_that_differ_in_the_seed_alone(phantoms: Path, tmp_path: Path):
    summary = train_seeds(tiny(phantoms, tmp_path / "scratch", epochs=1, image_size=32), 2)
    assert [run.seed for run in summary.runs] == [0, 1]
    configs = [RunFolder(Path(run.path)).config() for run in summary.runs]
    assert [config.seed for config in configs] == [0, 1]
    exclude = {"seed", "run_dir"}
    assert configs[0].model_dump(exclude=exclude) == configs[1].model_dump(exclude=exclude)
    stored = json.loads((tmp_path / "scratch-seeds.json").read_text())
    values = [run["val_accuracy"] for run in stored["runs"]]
    assert stored["metrics"]["val_accuracy"]["mean"] == pytest.approx(sum(values) / 2)


@pytest.mark.long
@pytest.mark.slow
def test_a_series_is_continued_run_by_run(phantoms: Path, tmp_path: Path):
    config = tiny(phantoms, tmp_path / "scratch", epochs=2, image_size=32)

    def stop(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.record.epoch == 1 and list(tmp_path.glob("*-seed1")):
            raise Stop

    with pytest.raises(Stop):
        train_seeds(config, 3, stop, until_done=True)
    first = (tmp_path / "scratch-seed0" / "result.json").stat().st_mtime_ns
    events: list[Event] = []
    summary = train_seeds(config, 3, events.append, until_done=True)
    assert [event.first_epoch for event in events if isinstance(event, RunStarted)] == [2, 1]
    assert (tmp_path / "scratch-seed0" / "result.json").stat().st_mtime_ns == first
    assert [run.seed for run in summary.runs] == [0, 1, 2]
    assert train_seeds(config, 3, until_done=True) == summary


def test_a_seed_beyond_the_highest_is_refused_before_anything_is_trained(phantoms: Path, tmp_path: Path):
    with pytest.raises(SettingError, match=r"--seed: .*4294967296"):
        train_seeds(tiny(phantoms, tmp_path / "scratch", seed=2**32 - 1), 2)
    assert not (tmp_path / "scratch-seed4294967295").exists()


def test_a_taken_folder_is_refused_before_anything_is_trained(phantoms: Path, tmp_path: Path):
    (tmp_path / "scratch-seed1").mkdir()
    with pytest.raises(RunError, match="scratch-seed1 exists already"):
        train_seeds(tiny(phantoms, tmp_path / "scratch"), 2)
    assert not (tmp_path / "scratch-seed0").exists()
