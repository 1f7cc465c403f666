"""config.py: one definition per setting, checked by pydantic."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pneumocli.core.config import (
    DEFAULT_DATA,
    PredictConfig,
    RecalibrateConfig,
    TrainConfig,
    TuneConfig,
    VerifyDataConfig,
)
from pneumocli.core.errors import SettingError
from pneumocli.core.settings import flag_name, validated


def test_the_defaults_are_the_assignments_recipe():
    config = TrainConfig()
    assert (config.epochs, config.batch_size, config.image_size, config.learning_rate) == (20, 32, 224, 0.001)
    assert (config.pretrained, config.operating_point, config.val, config.val_fraction) == (
        False,
        "0.5",
        "patient",
        0.1,
    )


def test_weights_imply_pretrained_and_its_learning_rate():
    config = TrainConfig(weights=Path("w.pth"))
    assert config.pretrained
    assert config.learning_rate == 0.0001
    assert TrainConfig(weights=Path("w.pth"), learning_rate=0.01).learning_rate == 0.01


def test_nothing_edits_a_config():
    with pytest.raises(ValidationError, match="frozen"):
        TrainConfig().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epochs": 0}, "--epochs: expected 1 or more (found 0)"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"val_fraction": 0.6}, "--val-fraction: expected 0.5 or less (found 0.6)"),
        ({"device": "tpu"}, "--device: expected auto, cpu, cuda, cuda:N or mps (found 'tpu')"),
        (
            {"operating_point": "sensitivity=1.5"},
            "--operating-point: the sensitivity to reach must lie between 0 and 1",
        ),
        ({"operating_point": "cost=0"}, "must be above 0"),
        ({"operating_point": "best"}, "expected 0.5, youden"),
        ({"weights": "w.pth", "pretrained": False}, "--scratch and --weights contradict each other"),
        ({"batch_size": 4, "accumulate": 8}, "less than one film each"),
        ({"batch_size": 1, "image_size": 32}, "--batch-size 1 at --image-size 32: expected two films at a time"),
        ({"batch_size": 3, "accumulate": 2, "image_size": 32}, "--batch-size 3 --accumulate 2 at --image-size 32"),
        ({"colour": True}, "--colour: there is no such setting"),
    ],
)
def test_a_wrong_setting_is_one_sentence_with_its_flag(given: dict[str, object], words: str):
    with pytest.raises(SettingError) as caught:
        validated(TrainConfig, given)
    assert words in caught.value.message
    assert caught.value.exit_code == 2


def test_all_faults_are_told_at_once():
    with pytest.raises(SettingError) as caught:
        validated(TrainConfig, {"epochs": 0, "batch_size": 0})
    assert "--epochs" in caught.value.message
    assert "--batch-size" in caught.value.message
    assert "factory" not in caught.value.message


def test_predict_refuses_contradictions():
    for given, words in (
        ({"run": "r", "model": "m"}, "--run and --model"),
        ({"resume": True}, "--csv"),
        ({"shard": "3/2"}, "no part 3 of 2"),
    ):
        with pytest.raises(SettingError, match=words):
            validated(PredictConfig, {"inputs": ["x"], **given})


def test_flag_names_follow_the_fields():
    assert flag_name(TrainConfig, "val_fraction") == "--val-fraction"
    assert flag_name(TrainConfig, "pretrained") == "--pretrained"
    assert flag_name(PredictConfig, "inputs") == "INPUT..."


@pytest.mark.parametrize("model", [TrainConfig, TuneConfig, VerifyDataConfig])
def test_films_lie_beside_their_table_unless_a_folder_is_named(
    model: type[TrainConfig | TuneConfig | VerifyDataConfig],
):
    assert model().data == DEFAULT_DATA
    assert model(manifest="b/films.csv").data == Path("b")
    assert model(manifest="b/films.csv", data="c").data == Path("c")
    assert model(manifest="films.csv").data == Path()


def test_recalibrate_finds_films_as_evaluate_does():
    """Beside the table, unless a folder is named."""
    assert RecalibrateConfig(run="run", manifest="b/films.csv").folder == Path("b")
    assert RecalibrateConfig(run="run", manifest="b/films.csv", data="c").folder == Path("c")
    with pytest.raises(SettingError, match="films are missing: --data DIR or --manifest"):
        validated(RecalibrateConfig, {"run": "run"})
