"""What a setting is: a field of a frozen pydantic model, with its flag, its form and its fault in words.

The settings themselves are in :mod:`pneumocli.core.config`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pneumocli.core.errors import SettingError
from pneumocli.core.records import HARD_BALANCED, SPLITS
from pneumocli.core.setting_faults import fault


@dataclass(frozen=True, slots=True)
class Flag:
    """How a field is spelled on the command line, where that is not ``--field-name``.

    Attributes:
        names: Option declarations in Typer's notation, such as ``("--learning-rate", "--lr")`` or
            ``("--pretrained/--scratch",)``; empty for the name that follows from the field.
        argument: The field is a positional argument.
        metavar: What stands for the value in the help text.
        default: The default as the help text shows it, where it depends on other settings.
    """

    names: tuple[str, ...] = ()
    argument: bool = False
    metavar: str | None = None
    default: str | None = None


class Settings(BaseModel):
    """Base of every config: immutable, and strict about names."""

    # defer_build: a command builds the validators it uses, not those of every record and setting there is.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


_Settings = TypeVar("_Settings", bound=Settings)


def _flag(model: type[Settings], field: str) -> Flag:
    known = model.model_fields.get(field)
    return next((item for item in known.metadata if isinstance(item, Flag)), Flag()) if known else Flag()


def switched_off(model: type[Settings], field: str) -> list[str]:
    """What switches a field off on the command line, such as ``--no-cache``; nothing where being off is not given."""
    return [off for name in _flag(model, field).names[:1] for _, slash, off in [name.partition("/")] if slash]


def flag_name(model: type[Settings], field: str) -> str:
    """How a field of ``model`` is called on the command line: ``--val-fraction``, or ``RUN`` for an argument."""
    flag = _flag(model, field)
    if flag.argument:
        return flag.metavar or field.upper()
    return flag.names[0].split("/")[0] if flag.names else "--" + field.replace("_", "-")


def _said(model: type[Settings], field: int | str) -> str:
    """A setting's name in a sentence: of an argument that may stand there several times the name alone."""
    name = flag_name(model, str(field))
    return name if name.startswith("-") else name.split()[0].rstrip(".")


def validated(model: type[_Settings], values: Mapping[str, object]) -> _Settings:
    """Builds a config from what the user gave.

    Raises:
        SettingError: A value is out of range or of the wrong form, or two contradict each other; all faults in one
            sentence, each with its flag, what was found and what was expected.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        faults = []
        for item in error.errors():
            if item["type"] == "default_factory_not_called":  # follows from another fault, which is named
                continue
            message = fault(item["type"], item.get("ctx", {}), item["msg"])
            if item["loc"] and item["type"] == "missing":
                message = f"{_said(model, item['loc'][0])} {message}"
            elif item["loc"]:
                given = str(item["input"]) if isinstance(item["input"], Path) else item["input"]
                found = f" (found {given!r})" if isinstance(given, int | float | str) else ""
                message = f"{_said(model, item['loc'][0])}: {message}{found}"
            faults.append(message)
        raise SettingError("; ".join(faults)) from error


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise ValueError("expected auto, cpu, cuda, cuda:N or mps")
    return value


def _inference_device(value: str) -> str:
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", value):
        raise ValueError("expected cpu, cuda, cuda:N or mps")
    return value


def _ends_in(*endings: str) -> Callable[[Path | None], Path | None]:
    def checked(value: Path | None) -> Path | None:
        if value is not None and value.suffix.lower() not in endings:
            raise ValueError(f"expected a name that ends in {' or '.join(endings)}")
        return value

    return checked


def _operating_point_rule(value: str) -> str:
    if value in ("0.5", "youden", HARD_BALANCED):
        return value
    match = re.fullmatch(r"(sensitivity|specificity|cost)=(\d*\.?\d+)", value)
    if not match:
        raise ValueError(f"expected 0.5, youden, sensitivity=X, specificity=X, cost=X or {HARD_BALANCED}")
    number = float(match[2])
    if match[1] == "cost" and number <= 0:
        raise ValueError("the cost of a missed pneumonia in false alarms must be above 0")
    if match[1] != "cost" and not 0 < number < 1:
        raise ValueError(f"the {match[1]} to reach must lie between 0 and 1")
    return value


_LONGEST_NAME = 100


def _evaluation_name(value: str) -> str:
    """The name of a folder on every system, and no split's."""
    if not re.fullmatch(r"\w([\w.-]*\w)?", value) or len(value) > _LONGEST_NAME:
        raise ValueError(
            f"expected at most {_LONGEST_NAME} letters, digits, '.', '_' and '-', none of '.' and '-' at an end"
        )
    if value.lower() in SPLITS:
        raise ValueError("expected a name that is no split's: train, val and test hold the run's own films")
    return value


def _shard(value: str) -> str:
    if not re.fullmatch(r"[1-9]\d*/[1-9]\d*", value):
        raise ValueError("expected I/N, such as 2/8")
    return value


def _duration(value: str) -> str:
    if not re.fullmatch(r"\d*\.?\d+[smhd]", value):
        raise ValueError("expected a number with s, m, h or d behind it, such as 90m")
    return value


Shard = Annotated[str, AfterValidator(_shard)]
Duration = Annotated[str, AfterValidator(_duration)]
Device = Annotated[str, AfterValidator(_device)]
InferenceDevice = Annotated[str, AfterValidator(_inference_device)]
OperatingPointRule = Annotated[str, AfterValidator(_operating_point_rule)]
EvaluationName = Annotated[str, AfterValidator(_evaluation_name)]
InferencePrecision = Literal["fp32", "int8"]
HtmlFile = Annotated[Path | None, AfterValidator(_ends_in(".html", ".htm"))]
JsonOrHtmlFile = Annotated[Path | None, AfterValidator(_ends_in(".json", ".html"))]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
