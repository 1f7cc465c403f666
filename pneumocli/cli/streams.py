"""Standard streams that are closed, as a daemon's are, or that cannot be written, as on a full disk."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path

from pneumocli.core.errors import PneumoError


class OutputError(PneumoError):
    """Standard output cannot be written; what a command has written to files is whole."""


class _Output(io.TextIOWrapper):
    """Text whose writing fails in one sentence. A pipe that nobody reads any more is left to who answers that.

    Args:
        stream: What the text goes to; it keeps its buffer, and is kept, since it would close that at its end.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(stream.buffer, stream.encoding, stream.errors, line_buffering=stream.line_buffering)
        self._stream = stream

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _lost(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _lost(error) from error

    def close(self) -> None:
        """Leaves the buffer open: it belongs to the stream that this one was made of."""
        with suppress(ValueError, OSError, OutputError):
            self.flush()


class _Messages(_Output):
    """Text that is dropped where it cannot be written: a full disk below a log must not cost what is worked on."""

    def write(self, text: str, /) -> int:
        with suppress(OutputError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OutputError):
            super().flush()


def _lost(error: OSError) -> OutputError:
    return OutputError(f"standard output cannot be written: {error.strerror}")


def open_closed_streams() -> None:
    """Gives closed standard streams the null device: no library reckons with ``None``, and none with their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open as long as the process


def name_what_output_fails_with() -> None:
    """Lets a failure of standard output be an :class:`OutputError`, and one of standard error none, from now on."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a notebook's own stays
        sys.stdout = _Output(sys.stdout)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _Messages(sys.stderr)


def drop_standard_output() -> None:
    """Lets what standard output still holds go nowhere, so that the interpreter's end does not fail on it again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
