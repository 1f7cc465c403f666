"""Recipes of ``pneumo train``: each a named set of settings, one column of a table.

A flag given beside ``--recipe`` wins. The table stands on the lowest floor because a setting's default, and the help
text that shows it, follow from it; the settings themselves are documented in :mod:`pneumocli.core.config`.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

Recipe = Literal["assignment", "robust"]
RECIPES: tuple[Recipe, ...] = get_args(Recipe)

# assignment is the course assignment as it stands, and stays what it is: golden losses hang on it.
# robust holds what was measured to help, see docs/results.md; what was not measured is off.
SETTINGS: dict[str, tuple[str | float | bool | None, ...]] = {
    # setting            assignment   robust
    "schedule":         ("constant", "cosine"),
    "warm_up":          (0.0,         0.05),
    "average_epochs":   (0.0,         1.0),
    "weight_decay":     (0.0,         0.0),
    "label_smoothing":  (0.0,         0.0),
    "crop_scale":       (0.08,        0.3),
    "mirror":           (True,        True),
    "tone":             (0.0,         0.0),
    "noise":            (0.0,         0.0),
    "sharpness":        (0.0,         0.0),
    "jpeg_quality":     (0,           0),
    "resample":         (0.0,         0.0),
    "hard_weight":      (1.0,         4.0),
    "operating_point":  ("0.5",       "sensitivity=0.97"),
}  # fmt: skip


def setting_of(given: Mapping[str, Any], setting: str) -> str | float | bool | None:
    """A setting's value where the user gave none.

    Args:
        given: Settings by name, as far as they are known; ``recipe`` names the recipe, ``assignment`` without it.
        setting: A row of the table.
    """
    return dict(zip(RECIPES, SETTINGS[setting], strict=True))[given.get("recipe", RECIPES[0])]


def shown_default(setting: str) -> str:
    """A setting's default as help texts show it: ``constant``, or ``constant; robust: cosine``."""
    first, *others = SETTINGS[setting]
    differing = [f"{name}: {_text(value)}" for name, value in zip(RECIPES[1:], others, strict=True) if value != first]
    return "; ".join([_text(first), *differing])


def _text(value: object) -> str:
    return "on" if value is True else str(value) if value else "off"
