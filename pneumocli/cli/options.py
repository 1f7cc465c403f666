"""A config model becomes the options of a command: one definition per setting, see ``config.py``.

Typer reads a function's signature, so the signature is made from the model. Every option defaults to ``None``, "not
given"; only what was given reaches the model, which fills in its own defaults and checks the bounds.
"""

import inspect
import types
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pneumocli.cli.boundary import guarded
from pneumocli.cli.completion import completion_of
from pneumocli.cli.help_texts import examples_of
from pneumocli.cli.other_tools import suggested_value
from pneumocli.cli.output import Output
from pneumocli.cli.usage import command_class
from pneumocli.core.field_docstrings import field_docstrings
from pneumocli.core.settings import Flag, Settings, flag_name, validated

_Config = TypeVar("_Config", bound=Settings)

_JSON = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else.")]
_QUIET = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, remarks or warnings.")]
_DEBUG = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]


def command(
    app: typer.Typer, name: str, model: type[_Config], *, json: bool = False
) -> Callable[[Callable[[_Config, Output], int | None]], Callable[[_Config, Output], int | None]]:
    """Registers a function as the command ``name``, with the fields of ``model`` as its options.

    The function gets the validated config and the output, and returns the exit code (``None`` for 0). Its docstring
    is the help text.

    Args:
        app: The Typer application.
        name: As typed by the user.
        model: The command's settings.
        json: Whether the command takes ``--json``.
    """

    def register(function: Callable[[_Config, Output], int | None]) -> Callable[[_Config, Output], int | None]:
        def run(output: Output, given: dict[str, object]) -> int | None:
            return function(validated(model, given), output)

        run.__doc__ = function.__doc__
        register_command(app, name, parameters_of(model), run, json=json)
        return function

    return register


def register_command(
    app: typer.Typer,
    name: str,
    parameters: Iterable[inspect.Parameter],
    run: Callable[[Output, dict[str, object]], int | None],
    *,
    json: bool,
) -> None:
    """Registers a command whose options are ``parameters`` beside the common ones.

    Args:
        app: The Typer application.
        name: As typed by the user.
        parameters: Keyword parameters with Typer's annotations, as :func:`parameters_of` makes them.
        run: Gets the output and the options that the user gave; returns the exit code. Its docstring is the help text.
        json: Whether the command takes ``--json``.
    """
    parameters = tuple(parameters)

    def wrapper(**values: Any) -> None:  # noqa: ANN401 - Typer passes what it parsed
        output = Output(
            json=values.pop("json", False),
            quiet=values.pop("quiet") or app_quiet(),
            debug=values.pop("debug") or app_debug(),
        )
        given = {key: value for key, value in values.items() if value is not None and value != []}
        usage = suggested_value("--device", given.get("device", "")) or f"pneumo {name} --help"
        raise typer.Exit(guarded(lambda: run(output, given), output, usage=usage))

    common = {"json": _JSON, "quiet": _QUIET, "debug": _DEBUG} if json else {"quiet": _QUIET, "debug": _DEBUG}
    extra = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for key, annotation in common.items()
    ]
    wrapper.__signature__ = inspect.Signature([*parameters, *extra])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in [*parameters, *extra]}
    wrapper.__name__ = name
    app.command(name, cls=command_class(parameters), help=inspect.getdoc(run), epilog=examples_of(name))(wrapper)


_app_wide = {"quiet": False, "debug": False}


def set_app_wide(*, quiet: bool, debug: bool) -> None:
    """Remembers ``pneumo --quiet COMMAND`` and ``pneumo --debug COMMAND``."""
    _app_wide.update(quiet=quiet, debug=debug)


def app_quiet() -> bool:
    """Whether ``--quiet`` stood before the command."""
    return _app_wide["quiet"]


def app_debug() -> bool:
    """Whether ``--debug`` stood before the command."""
    return _app_wide["debug"]


def parameters_of(model: type[Settings]) -> list[inspect.Parameter]:
    """The fields of a config model as keyword parameters with Typer's annotations; ``None`` means "not given"."""
    return [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(model, name, field)
        )
        for name, field in model.model_fields.items()
    ]


def _annotation(model: type[Settings], name: str, field: FieldInfo) -> object:
    flag = next((item for item in field.metadata if isinstance(item, Flag)), Flag())
    kind: Any = _typer_type(field.annotation)
    help_text = field_docstrings(model).get(name, "")
    default = _shown_default(field, flag)
    if default is not None:
        help_text = f"{help_text} [default: {default}]"
    # Typer's own way of showing a default would show the None that stands for "not given".
    if flag.argument:
        annotation = kind if field.is_required() else kind | None
        complete = completion_of(flag.metavar)
        argument = typer.Argument(metavar=flag.metavar, help=help_text, show_default=False, autocompletion=complete)
        return Annotated[annotation, argument]
    names = flag.names or (flag_name(model, name),)
    complete = completion_of(flag.metavar)
    option = typer.Option(*names, metavar=flag.metavar, help=help_text, show_default=False, autocompletion=complete)
    return Annotated[kind | None, option]


def _typer_type(annotation: object) -> object:
    """The plain type that Typer parses: without ``None``, constraints and tuples."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _typer_type(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return _typer_type(next(item for item in get_args(annotation) if item is not type(None)))
    if origin is Literal and isinstance(get_args(annotation)[0], int):
        return int  # Typer's choices are texts; the model checks which numbers
    if origin is tuple:
        return types.GenericAlias(list, get_args(annotation)[:1])
    return annotation


def _shown_default(field: FieldInfo, flag: Flag) -> str | None:
    """The default as the help text shows it."""
    if flag.default is not None:
        return flag.default
    if field.default in (PydanticUndefined, None) or isinstance(field.default, bool):
        return None
    return str(field.default)
