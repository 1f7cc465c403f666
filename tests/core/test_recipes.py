"""recipes.py: named sets of settings; a flag given beside one wins."""

import pytest

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import SettingError
from pneumocli.core.recipes import RECIPES, SETTINGS, Recipe, shown_default
from pneumocli.core.settings import validated


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_its_column_of_the_table_and_every_value_is_a_valid_setting(recipe: Recipe):
    column = {setting: values[RECIPES.index(recipe)] for setting, values in SETTINGS.items()}
    by_name = TrainConfig(recipe=recipe)
    assert {setting: getattr(by_name, setting) for setting in SETTINGS} == column
    assert TrainConfig.model_validate({"recipe": recipe} | column) == by_name  # defaults are not validated, flags are


def test_without_a_recipe_it_is_the_assignments():
    assert TrainConfig() == TrainConfig(recipe="assignment")
    assert TrainConfig().schedule == "constant"
    assert not any(SETTINGS[setting][0] for setting in ("warm_up", "average_epochs", "weight_decay", "label_smoothing"))


def test_a_flag_beside_a_recipe_wins_whatever_its_value():
    robust = TrainConfig(recipe="robust")
    mixed = TrainConfig(recipe="robust", schedule="constant", average_epochs=0)
    assert (mixed.schedule, mixed.average_epochs, mixed.warm_up) == ("constant", 0, robust.warm_up)
    assert TrainConfig(schedule="cosine").warm_up == 0


def test_a_recorded_config_is_resolved_and_stays_what_it_was():
    robust = TrainConfig(recipe="robust", weight_decay=0.01)
    recorded = robust.model_dump(mode="json")
    assert recorded["schedule"] == "cosine"
    assert TrainConfig.model_validate(recorded) == robust


def test_help_shows_the_default_of_each_recipe():
    assert shown_default("schedule") == "constant; robust: cosine"
    assert shown_default("weight_decay") == "off"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"recipe": "best"}, "--recipe: expected assignment or robust (found 'best')"),
        ({"schedule": "linear"}, "--schedule: expected constant or cosine (found 'linear')"),
        ({"warm_up": 0.6}, "--warm-up: expected 0.5 or less (found 0.6)"),
        ({"average_epochs": -1}, "--average-epochs: expected 0 or more (found -1)"),
        ({"label_smoothing": 1}, "--label-smoothing: expected less than 1 (found 1)"),
    ],
)
def test_a_wrong_setting_is_one_sentence(given: dict[str, object], words: str):
    with pytest.raises(SettingError) as caught:
        validated(TrainConfig, given)
    assert caught.value.message == words
