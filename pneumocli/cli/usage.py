"""Wrong usage, reported as every other error is: one sentence, one hint, exit code 2.

Typer's own report repeats the usage line, shows pydantic's sentences and takes the last of an option given twice.
"""

import inspect
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Never, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from pneumocli.cli.help_texts import GROUPS, group_of, place_of
from pneumocli.cli.other_tools import COMMANDS, OPTIONS, POSITIONAL, suggested_flags, suggested_value
from pneumocli.cli.output import Output
from pneumocli.core.errors import SettingError, shell_word
from pneumocli.core.setting_faults import one_of

# Typer vendors click and gives this class no public name of its own.
_UsageError: Any = typer.BadParameter.__bases__[0]


class Command(TyperCommand):
    """A command that refuses an option given twice, and a value of the wrong form with what was found and expected.

    Attributes:
        forms: By parameter: the form of its value, such as ``a whole number``, where text can be of a wrong one.
    """

    forms: ClassVar[Mapping[str, str]] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's context, vendored
        """Reads the command line.

        Raises:
            SettingError: An option that takes one value stands there twice, or a value is of the wrong form.
        """
        try:
            given, _, order = self.make_parser(ctx).parse_args(args=list(args))
            _refuse_repeated(order)
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            raise SettingError(self._wrong_value(error, given), self._meant(error, given) or _help_of(ctx)) from error
        except _UsageError as error:
            _refuse_dashed_file(args, ctx)
            _refuse(error, ctx)
        except SettingError as error:
            raise SettingError(error.message, _help_of(ctx)) from error

    @staticmethod
    def _meant(error: typer.BadParameter, given: dict[str, Any]) -> str | None:
        param: Any = error.param
        return None if param is None else suggested_value(max(param.opts, key=len), given.get(param.name))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - click's own, vendored
        """The usage line: arguments by their names alone, which say themselves that there may be several."""
        arguments = (param for param in self.get_params(ctx) if param.param_type_name == "argument")
        names = (str(param.metavar).strip("[]") for param in arguments)
        return [str(self.options_metavar), *(f"[{name}]" for name in names)]

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's own, vendored
        """Writes arguments, then options in the groups of :mod:`pneumocli.cli.help_texts`."""
        sections: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", *GROUPS)}
        for param in sorted(self.get_params(ctx), key=lambda param: place_of(param.name or "")):
            record = param.get_help_record(ctx)
            if record is not None:
                if param.param_type_name == "argument":
                    sections["Arguments"].append((str(param.metavar), record[1]))
                else:
                    sections[group_of(param.name or "")].append(record)
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

    def _wrong_value(self, error: typer.BadParameter, given: dict[str, Any]) -> str:
        param: Any = error.param
        if param is None or param.name not in self.forms:
            return _sentence(error)
        found = given.get(param.name)
        return f"{max(param.opts, key=len)}: expected {self.forms[param.name]} (found {found!r})"


def command_class(parameters: Iterable[inspect.Parameter]) -> type[Command]:
    """The class of a command with these parameters, whose annotations are Typer's."""
    forms = {parameter.name: _form_of(parameter.annotation) for parameter in parameters}
    return type("Command", (Command,), {"forms": {name: form for name, form in forms.items() if form is not None}})


def _form_of(annotation: object) -> str | None:
    kinds = list(get_args(annotation))
    if get_origin(annotation) is Literal:
        return one_of(kinds)
    if annotation in (int, float):
        return "a whole number" if annotation is int else "a number"
    return next(filter(None, map(_form_of, kinds)), None)


class Group(TyperGroup):
    """The program: every wrong usage ends here."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - click's own, vendored
        """The command that was typed.

        Raises:
            SettingError: There is none of this name; other tools' names lead to ours.
        """
        name = args[0]
        # Where the task comes first, as in "yolo classify train", the next word is the command.
        known = [word for word in args[:2] if word in COMMANDS or word in self.commands]
        ours = COMMANDS.get(known[-1], known[-1]) if known else None
        if name not in self.commands and ours in self.commands:
            raise SettingError(f"no such command {name!r}; is it {ours}?", f"pneumo {ours} --help")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **extra: Any) -> Never:  # noqa: ANN401 - click's own arguments
        """Runs the program and ends the process with its exit code."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except SettingError as error:
            Output(json=False, quiet=True, debug=False).error(error.message, error.hint)
            code = error.exit_code
        except _UsageError as error:
            if type(error).show is not _UsageError.show:  # without a command it shows the help
                error.show()
            else:
                Output(json=False, quiet=True, debug=False).error(_sentence(error), _help_of(error.ctx))
            code = error.exit_code
        except typer.Abort:
            code = 1
        raise SystemExit(code or 0)


def _help_of(ctx: Any) -> str | None:  # noqa: ANN401 - click's context, vendored
    return None if ctx is None else f"{ctx.command_path} --help"


def _refuse_dashed_file(args: list[str], ctx: Any) -> None:  # noqa: ANN401 - click's context, vendored
    """Refuses a file whose name begins with a dash, such as a pattern of the shell brings: it was taken for options."""
    options = _options_of(ctx)
    for word in args:
        if word.startswith("-") and word not in options and os.path.lexists(word):
            raise SettingError(
                f"{word} is a file, and was read as an option: its name begins with a dash",
                f"write {shell_word(f'.{os.sep}{word}')}, and begin patterns with .{os.sep} likewise",
            )


def _refuse(error: Any, ctx: Any) -> Never:  # noqa: ANN401 - click's error and context, vendored
    if type(error).show is not _UsageError.show:
        raise error
    extra = re.fullmatch(r"Got unexpected extra arguments? \((.*)\)|.*argument\(s\) \((.*)\)", error.format_message())
    words = (extra[1] or extra[2]).split() if extra else []
    flags = suggested_flags(words, _options_of(ctx)) if extra else None
    hint = _help_of(ctx) if flags is None else f"{ctx.command_path} {flags}"
    if len(words) == 1 and words[0].lower() in ("true", "false"):
        hint = f"leave {words[0]} out: a switch takes no value"
    raise SettingError(_sentence(error), hint) from error


def _sentence(error: Any) -> str:  # noqa: ANN401 - click's error, vendored
    """Click's message in our words; the suggestion of an option stays where it is of a like name."""
    name = getattr(error, "option_name", None)
    text = str(error.format_message()).rstrip(".")
    if name is not None and text.endswith("requires an argument"):
        return f"{name}: expected a value, found none"
    if extra := re.search(r"unexpected extra argument\S* \((.*)\)", text):
        return f"more arguments than expected: {extra[1]}"
    if name is not None and text.startswith("No such option"):
        known = OPTIONS.get(name)
        if POSITIONAL.get(name) in {str(param.metavar).split(".")[0] for param in error.ctx.command.params}:
            return f"no such option: {name}; {POSITIONAL[name]} is written without it"
        likely = [known] if known and known.split()[0] in _options_of(error.ctx) else error.possibilities or ()
        shown = one_of([option for option in likely if option != "--help"][:2] or [""])
        return f"no such option: {name}" + (f"; is it {shown}?" if shown else "")
    text = re.sub(r"\. Did you mean '(.*)'\?$", r"; is it \1?", text)
    return text[:1].lower() + text[1:]


def _options_of(ctx: Any) -> set[str]:  # noqa: ANN401 - click's context, vendored
    return {option for param in ctx.command.params for option in param.opts} if ctx is not None else set()


def _refuse_repeated(order: list[Any]) -> None:
    for param, count in Counter(order).items():
        if count > 1 and not param.multiple and param.nargs == 1 and param.param_type_name == "option":
            raise SettingError(f"{_names(param)} is given {count} times, expected once")


def _names(param: Any) -> str:  # noqa: ANN401 - click's option, vendored
    return "/".join([max(param.opts, key=len), *param.secondary_opts])
