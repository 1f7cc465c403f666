"""field_docstrings.py: what people read of a field stands below it in the source."""

from pneumocli.core import config
from pneumocli.core.config import PredictConfig, ResumeConfig, TrainConfig
from pneumocli.core.field_docstrings import field_docstrings
from pneumocli.core.settings import Settings


def test_every_setting_has_its_text_on_one_line():
    for model in vars(config).values():
        if isinstance(model, type) and issubclass(model, Settings) and model is not Settings:
            texts = field_docstrings(model)
            assert not [name for name in model.model_fields if not texts.get(name)], model
            assert not any("\n" in text for text in texts.values())


def test_a_field_that_two_models_have_keeps_its_own_text():
    assert field_docstrings(TrainConfig)["epochs"] != field_docstrings(ResumeConfig)["epochs"]
    assert field_docstrings(PredictConfig)["inputs"].startswith(("Films", "Film"))
