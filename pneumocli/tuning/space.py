"""Which settings ``pneumo tune`` tries, and how they become those of a training."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pneumocli.core.config import TrainConfig
from pneumocli.core.settings import flag_name, switched_off

if TYPE_CHECKING:
    from optuna import Trial

_DIGITS = 3  # significant: finer steps than a result could distinguish would only make commands long


@dataclass(frozen=True, slots=True)
class Between:
    """A number between two others, both included; ``log``: each tenfold is as likely as any other."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few values."""

    values: tuple[str | int | bool, ...]


SPACE: dict[str, Between | OneOf] = {
    "learning_rate": Between(1e-5, 3e-3, log=True),
    "batch_size": OneOf((16, 32, 64)),
    "epochs": OneOf((5, 10, 20)),
    "schedule": OneOf(("constant", "cosine")),
    "weight_decay": Between(1e-6, 1e-1, log=True),
    "class_weights": OneOf(("none", "balanced")),
    "image_size": OneOf((112, 160, 224)),
    "crop_scale": Between(0.08, 0.9),
    "mirror": OneOf((True, False)),
    "tone": Between(0.0, 0.4),
    "noise": Between(0.0, 12.0),
    "sharpness": Between(0.0, 2.0),
}
"""What is tried, by setting of ``pneumo train``. docs/training.md holds the same table."""


def suggest(trial: "Trial", fixed: Collection[str]) -> dict[str, object]:
    """Values for all settings of the space that are not fixed.

    Args:
        trial: Of Optuna, which chooses them.
        fixed: Settings that the user has decided.
    """
    chosen = {name: _suggested(trial, name, what) for name, what in SPACE.items() if name not in fixed}
    return settings_of(chosen)


def _suggested(trial: "Trial", name: str, what: Between | OneOf) -> object:
    if isinstance(what, OneOf):
        return trial.suggest_categorical(name, what.values)
    return trial.suggest_float(name, what.low, what.high, log=what.log)


def settings_of(params: Mapping[str, Any]) -> dict[str, object]:
    """A trial's parameters as settings: numbers have three significant digits."""
    return {name: _rounded(value) if isinstance(value, float) else value for name, value in params.items()}


def _rounded(value: float) -> float:
    """A number to three significant digits.

    >>> _rounded(0.00031234), _rounded(0.0)
    (0.000312, 0.0)
    """
    return value if value == 0 else round(value, _DIGITS - 1 - math.floor(math.log10(abs(value))))


def space_text(fixed: Collection[str]) -> str:
    """The space as JSON, to compare studies by."""
    return json.dumps({name: asdict(what) for name, what in SPACE.items() if name not in fixed}, sort_keys=True)


def flags_of(settings: Mapping[str, object]) -> list[str]:
    """Settings as words of a ``pneumo train`` command.

    >>> flags_of({"batch_size": 16, "mirror": False, "tone": 0.1})
    ['--batch-size', '16', '--no-mirror', '--tone', '0.1']

    A switch that is off and has no word for it is left out.
    """
    words: list[str] = []
    for name, value in settings.items():
        flag = flag_name(TrainConfig, name)
        if isinstance(value, bool):
            words += [flag] if value else switched_off(TrainConfig, name)
        elif value is not None:
            words += [flag, _number(value) if isinstance(value, float) else str(value)]
    return words


def _number(value: float) -> str:
    """A number as short as it can be without becoming another one.

    >>> _number(4.0), _number(0.00012345678)
    ('4', '0.00012345678')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
