"""Settings as keywords: the config of a call, and the signature and documentation of a function that takes them."""

import difflib
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic.fields import FieldInfo

from pneumocli.core.errors import SettingError
from pneumocli.core.settings import Flag, Settings, validated

_Config = TypeVar("_Config", bound=Settings)
_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Shown:
    """A default as a signature shows it, where it depends on other settings."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"<{self._text}>"


def _short_names(model: type[Settings]) -> dict[str, str]:
    """Other names of settings, as the command line has them: ``lr`` for ``learning_rate``."""
    flags = (
        (name, flag) for name, field in model.model_fields.items() for flag in field.metadata if isinstance(flag, Flag)
    )
    # Behind a slash stands what switches the setting off.
    spelled = ((name, names.partition("/")[0]) for name, flag in flags for names in flag.names)
    return {one.removeprefix("--").replace("-", "_"): name for name, one in spelled if one.startswith("--")}


def config_of(model: type[_Config], first: object, given: Mapping[str, object], field: str = "") -> _Config:
    """The config of a call.

    Args:
        model: Of the settings.
        first: A config that keywords change, or the value of ``field``, or ``None`` for neither.
        given: Settings by name.
        field: The setting that the first parameter of the call stands for.

    Raises:
        SettingError: There is no such setting, or a value is out of range.
    """
    short = _short_names(model)
    for other, name in short.items():
        if other != name and {other, name} <= given.keys():
            raise SettingError(f"{name} is given 2 times, expected once", f"{other} is another name of it")
    given = {short.get(name, name): value for name, value in given.items()}
    for name in given:
        if name not in model.model_fields:
            close = difflib.get_close_matches(name, model.model_fields, 1)
            raise SettingError(
                f"{name} is no setting here: expected one of {', '.join(model.model_fields)}",
                f"did you mean {close[0]}?" if close else None,
            )
    if first is not None and not field and not isinstance(first, model):
        raise SettingError(
            f"config: expected a {model.__name__}, found {type(first).__name__}", "give settings as keywords"
        )
    if isinstance(first, model):
        if not given:
            return first
        named = first.model_dump(exclude_unset=True) | dict(given)
    else:
        named = ({} if first is None else {field: first}) | dict(given)
    return validated(model, {name: _plain(value) for name, value in named.items()})


def _plain(value: object) -> object:
    """A value with its paths, runs among them, as pydantic takes them."""
    if isinstance(value, tuple | list):
        return tuple(map(_plain, value))
    return Path(value) if isinstance(value, os.PathLike) else value


def takes(model: type[Settings], *, without: tuple[str, ...] = ()) -> Callable[[_Function], _Function]:
    """Gives a function with ``**settings`` the signature and the documentation of the settings it takes.

    Args:
        model: Of the settings.
        without: Settings that the function has another parameter for.
    """

    def complete(function: _Function) -> _Function:
        fields = {name: field for name, field in model.model_fields.items() if name not in without}
        own = [
            parameter.replace(annotation=inspect.Parameter.empty)  # unions of a dozen names would hide the names
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        keywords = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_default(field))
            for name, field in fields.items()
        ]
        function.__signature__ = inspect.Signature([*own, *keywords])  # type: ignore[attr-defined]
        lines = [f"    {name}: {' '.join((field.description or '').split())}" for name, field in fields.items()]
        if lines:
            function.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), "", "Settings:", *lines])
        return function

    return complete


def _default(field: FieldInfo) -> object:
    flag = next((item for item in field.metadata if isinstance(item, Flag)), Flag())
    if field.is_required():
        return inspect.Parameter.empty
    return _Shown(flag.default) if flag.default is not None else field.default
