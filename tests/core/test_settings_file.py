"""Settings from a TOML file or another run's config.json, with flags on top."""

from pathlib import Path

import pytest

from pneumocli.cli.train import _with_start
from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import PneumoError, SettingError
from pneumocli.core.settings import validated
from pneumocli.core.settings_file import chosen_settings, read_settings
from pneumocli.run_folder import RunFolder


def written(folder: Path, text: str, name: str = "settings.toml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_a_toml_file_names_settings_as_flags_do(tmp_path: Path):
    file = written(tmp_path, "epochs = 3\nlr = 0.01\nimage-size = 64\npretrained = true\noperating_point = 0.5\n")
    assert read_settings(file) == {
        "epochs": 3, "learning_rate": 0.01, "image_size": 64, "pretrained": True, "operating_point": "0.5",
    }  # fmt: skip
    assert read_settings(written(tmp_path, "[train]\nepochs = 4\n")) == {"epochs": 4}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = 0", "--epochs: expected 1 or more"),
        ("frobnicate = 1", "there is no setting frobnicate"),
        ("epochs =", "is no TOML"),
        ("[other]\nepochs = 1", r"expected a table \[train\] alone, found \[other\] too"),
        ("train = 1", r"expected a table \[train\], found 1"),
    ],
)
def test_a_fault_in_the_file_names_the_file(tmp_path: Path, text: str, words: str):
    file = written(tmp_path, text)
    with pytest.raises(SettingError, match=words) as caught:
        read_settings(file)
    assert str(file) in caught.value.message


def test_what_is_no_file_is_refused(tmp_path: Path):
    with pytest.raises(PneumoError, match=r"cannot read .*: No such file") as missing:
        read_settings(tmp_path / "none.toml")
    assert missing.value.exit_code == 1  # a path, not a setting, is wrong
    with pytest.raises(SettingError, match="is a folder") as caught:
        read_settings(tmp_path)
    assert caught.value.hint == f"--like {tmp_path} takes the settings of a run"


def test_a_run_like_another_has_its_settings_but_not_its_folder(trained: RunFolder):
    config = trained.config()
    again = validated(TrainConfig, _with_start({"like": trained.path}))
    assert again == config.model_copy(update={"run_dir": None})
    assert validated(TrainConfig, read_settings(trained.config_file)) == again


def test_flags_win_and_change_what_follows_from_them(trained: RunFolder, tmp_path: Path):
    file = written(tmp_path, "epochs = 7\nseed = 4\n")
    found = validated(TrainConfig, _with_start({"like": trained.path, "config": file, "seed": 5, "recipe": "robust"}))
    assert (found.epochs, found.seed, found.image_size) == (7, 5, 64)
    assert found.schedule == "cosine", "the default of the recipe that was given on top"
    assert validated(TrainConfig, _with_start({"like": trained.path, "pretrained": True})).learning_rate == 1e-4


def test_scratch_on_top_leaves_the_weights_of_the_other_run_out(trained: RunFolder, tmp_path: Path):
    file = written(tmp_path, 'weights = "w.pth"\n')
    assert validated(TrainConfig, _with_start({"config": file})).pretrained
    assert not validated(TrainConfig, _with_start({"config": file, "pretrained": False})).pretrained


def test_a_setting_that_was_chosen_is_kept(trained: RunFolder):
    values = trained.config().model_copy(update={"learning_rate": 0.02}).model_dump()
    assert chosen_settings(values, trained.config_file)["learning_rate"] == 0.02
    assert "learning_rate" not in chosen_settings(trained.config().model_dump(), trained.config_file)
