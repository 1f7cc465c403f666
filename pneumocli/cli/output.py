"""Where text is printed: results on standard output, everything else on standard error."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import Self, TypeVar

from pydantic import BaseModel
from rich.console import Console, RenderableType

from pneumocli.cli.encoding import fits
from pneumocli.cli.lines import PLAIN_COLUMNS, columns, hint_line, labelled
from pneumocli.cli.progress import PlainProgress, Progress, RichProgress
from pneumocli.core.events import Event, FileWritten, Remark, RunStarted
from pneumocli.core.files import dump_json
from pneumocli.core.signals import raise_lost_interrupt
from pneumocli.run_folder import RunFolder

_Result = TypeVar("_Result")


def _json(value: BaseModel | dict[str, object] | Sequence[object]) -> str:
    """JSON that standard output takes as it is: with escapes where its encoding lacks a character."""
    text = dump_json(value)
    return text if fits(text, sys.stdout.encoding) else dump_json(value, ascii_only=True)


class Output:
    """Prints a command's results, progress and errors.

    Args:
        json: Results are one JSON document; tables are not printed.
        quiet: Only results and errors are printed.
        debug: Errors come with their traceback.

    Attributes:
        resume_hint: The hint when the command is stopped from outside; a training's own hint comes first.
    """

    def __init__(self, *, json: bool, quiet: bool, debug: bool) -> None:
        self.json = json
        self.quiet = quiet
        self.debug = debug
        self.resume_hint: str | None = None
        self._run: RunFolder | None = None
        self._written: list[FileWritten] = []
        width = None if sys.stdout.isatty() else PLAIN_COLUMNS
        # No markup: names of runs and films are taken as they are, whatever stands in brackets in them.
        self._results = Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)
        self._messages = Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
        self._progress: Progress | None = None
        if not quiet:
            drawn = self._messages.is_terminal or (self._messages.is_jupyter and find_spec("ipywidgets") is not None)
            self._progress = RichProgress(self._messages) if drawn else PlainProgress(self._messages)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.close()
            for file in dict.fromkeys(self._written):  # last, where they do not scroll away
                self.note(f"{file.what}: {file.path}")

    def listener(self, event: Event) -> None:
        """Shows an event of the core.

        Raises:
            KeyboardInterrupt: Ctrl-C came, and a library dropped what it raised.
        """
        raise_lost_interrupt()
        if isinstance(event, RunStarted):
            self._run = RunFolder(event.path)
        if isinstance(event, FileWritten):
            self._written.append(event)
        if self._progress is not None:
            self._progress.show(event)

    def show(self, result: _Result, render: Callable[[_Result], RenderableType]) -> None:
        """Prints a result: as JSON with ``--json``, else as the table that ``render`` makes of it."""
        if self.json:
            if not isinstance(result, BaseModel | dict | Sequence):
                raise TypeError(f"no JSON form of {type(result).__name__}")
            self.print_json(result)
        else:
            self.print(render(result))

    def print_json(self, value: BaseModel | dict[str, object] | Sequence[object]) -> None:
        """Prints one JSON document on standard output."""
        sys.stdout.write(_json(value))

    @contextmanager
    def json_list(self) -> Iterator[Callable[[BaseModel], None]]:
        """Yields a function that adds an element to a list, printed as it grows: however long, it is never held.

        Without ``--json`` nothing is printed. What was printed is a whole document even when the work stops half-way.
        """
        separator = "["

        def add(element: BaseModel) -> None:
            nonlocal separator
            if self.json:
                sys.stdout.write(separator + "\n" + _json(element).rstrip())
                separator = ","

        try:
            yield add
        finally:
            if self.json:
                sys.stdout.write("[]\n" if separator == "[" else "\n]\n")

    def print(self, renderable: RenderableType) -> None:
        """Prints a table or text on standard output; nothing with ``--json``."""
        if not self.json:
            self._results.print(renderable)

    def note(self, text: str) -> None:
        """A remark on standard error."""
        self.listener(Remark(text))

    def stopped(self, message: str) -> None:
        """The error of a stop from outside, with what continues the work: as the files are now, not as they were."""
        self.error(message, self.continue_hint())

    def continue_hint(self) -> str | None:
        """What continues the work: a training's own command, else that of the command."""
        return self.resume_hint if self._run is None else self._run.continue_hint

    def error(self, message: str, hint: str | None) -> None:
        """An error with its hint on standard error, under ``--quiet``, too."""
        width = columns(self._messages)
        self._messages.print(labelled("error:", message, width, "bold red"))
        if hint:
            self._messages.print(hint_line(hint, width))
