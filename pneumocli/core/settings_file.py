"""Settings of a training from a file: TOML as people write it, or the ``config.json`` of a run."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import PneumoError, SettingError
from pneumocli.core.settings import Flag, validated

_OWN_TABLE = "train"
_OF_ONE_RUN = ("run_dir", "schema_version")  # a new run needs a folder of its own


def read_settings(file: Path) -> dict[str, object]:
    """The settings in a file, by the names of :class:`TrainConfig`, each valid.

    A TOML file names settings as flags do, without the dashes in front (``learning-rate`` or ``lr``), at its top or in
    a table ``[train]``. From a run's ``config.json`` everything is taken but its folder.

    Raises:
        SettingError: The file cannot be read, holds something else, or a setting in it is unknown or out of range.
    """
    content = _parsed(file)
    table = content.get(_OWN_TABLE, content)
    if not isinstance(table, dict):
        raise SettingError(f"{file}: expected a table [{_OWN_TABLE}], found {table!r}")
    names = {spelled: name for name in TrainConfig.model_fields for spelled in _spellings(name)}
    values: dict[str, object] = {}
    for key, value in table.items():
        name = names.get(str(key), str(key))
        values[name] = _named(name, value, file)
    if file.suffix.lower() == ".json":
        return chosen_settings({name: value for name, value in values.items() if name not in _OF_ONE_RUN}, file)
    _check(values, file)
    return values


def chosen_settings(values: Mapping[str, Any], origin: Path) -> dict[str, object]:
    """A run's settings without those that follow from others by default, so that a flag on top changes them, too.

    A learning rate that the start decides, or a schedule that the recipe does, is left out: ``--like RUN --recipe
    robust`` is the run with the other recipe.

    Args:
        values: All settings of a run.
        origin: Where they come from, for messages.

    Raises:
        SettingError: A setting is unknown or out of range.
    """
    known = {name: value for name, value in values.items() if name not in _OF_ONE_RUN and value is not None}
    config = _check(known, origin)
    given = config.model_dump()
    chosen: dict[str, object] = {}
    for name, field in TrainConfig.model_fields.items():
        factory: Any = field.default_factory
        default = factory(given) if factory is not None else field.default
        if name not in _OF_ONE_RUN and given[name] != default:
            chosen[name] = given[name]
    return chosen


def _parsed(file: Path) -> dict[str, Any]:
    is_json = file.suffix.lower() == ".json"
    kind = "JSON" if is_json else "TOML"
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if is_json else tomllib.loads(text)
    except IsADirectoryError as error:
        hint = f"--like {file} takes the settings of a run"
        raise SettingError(f"{file} is a folder, expected a TOML file", hint) from error
    except OSError as error:
        raise PneumoError(f"cannot read {file}: {error.strerror}", "name a file that is there with --config") from error
    except ValueError as error:  # of JSON, of TOML, or of UTF-8
        raise SettingError(f"{file} is no {kind}: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise SettingError(f"{file}: expected settings by name, found {type(content).__name__}")
    return content


def _spellings(name: str) -> list[str]:
    """A field's own name, and its flags without dashes in front; of a switch the part that turns it on."""
    flags = [item for item in TrainConfig.model_fields[name].metadata if isinstance(item, Flag)]
    spelled = [name, name.replace("_", "-")]
    return spelled + [option.split("/")[0].lstrip("-") for flag in flags for option in flag.names]


def _named(name: str, value: object, file: Path) -> object:
    if isinstance(value, dict):
        raise SettingError(f"{file}: expected a table [{_OWN_TABLE}] alone, found [{name}] too")
    return str(value) if name == "operating_point" and isinstance(value, float | int) else value


def _check(values: Mapping[str, object], origin: Path) -> TrainConfig:
    unknown = [name for name in values if name not in TrainConfig.model_fields]
    if unknown:
        raise SettingError(f"{origin}: there is no setting {unknown[0]}", "pneumo train --help lists them")
    try:
        return validated(TrainConfig, values)
    except SettingError as error:
        raise SettingError(f"{origin}: {error.message}", error.hint) from error
