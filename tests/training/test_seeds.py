"""seeds.py: the same settings several times."""

import json
from pathlib import Path

import pytest

from pneumocli.core.errors import RunError
from pneumocli.run_folder import RunFolder
from pneumocli.training.seeds import train_seeds
from tests.conftest import tiny


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


def test_a_taken_folder_is_refused_before_anything_is_trained(phantoms: Path, tmp_path: Path):
    (tmp_path / "scratch-seed1").mkdir()
    with pytest.raises(RunError, match="scratch-seed1 exists already"):
        train_seeds(tiny(phantoms, tmp_path / "scratch"), 2)
    assert not (tmp_path / "scratch-seed0").exists()
