"""Whatever is tried is a setting of a training, and a command that can be pasted."""

import shlex

import optuna
import pytest
from typer.main import get_command

from pneumocli.cli.app import app
from pneumocli.core.config import TrainConfig
from pneumocli.tuning.space import SPACE, flags_of, suggest


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_tried_is_a_training(seed: int):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    settings = suggest(study.ask(), fixed=("epochs",))
    assert settings.keys() == SPACE.keys() - {"epochs"}
    config = TrainConfig.model_validate(settings)
    command = get_command(app).commands["train"]  # type: ignore[attr-defined]
    parsed = command.make_context("train", flags_of(settings)).params
    given = {name: value for name, value in parsed.items() if value is not None and name in TrainConfig.model_fields}
    assert TrainConfig.model_validate(given) == config


def test_a_command_is_one_line_of_flags():
    words = flags_of({"data": "my films", "pretrained": False, "mirror": True, "learning_rate": 0.000312})
    assert shlex.join(words) == "--data 'my films' --scratch --mirror --learning-rate 0.000312"


def test_a_command_names_no_switch_that_there_is_not():
    settings = {"low_memory": False, "skip_unreadable": False, "tensorboard": True, "cache": False, "compile": False}
    words = flags_of({**settings, "weight_decay": 0.00012345678})
    assert words == ["--tensorboard", "--no-cache", "--no-compile", "--weight-decay", "0.00012345678"]
    command = get_command(app).commands["train"]  # type: ignore[attr-defined]
    assert command.make_context("train", words).params["weight_decay"] == 0.00012345678
