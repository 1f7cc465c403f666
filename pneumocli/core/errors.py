"""What can go wrong in a way that the user can mend: one sentence, one hint, one exit code.

The core raises these and translates a library's exceptions where they arise (``raise ... from error``). The command
line has a single boundary, which catches only these; anything else is a bug and keeps its traceback.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar


def shell_word(path: Path | str) -> str:
    """A path, or any text, as one word of a command that a hint gives to paste.

    >>> shell_word(Path("runs/scratch")), shell_word(Path("my runs"))
    ('runs/scratch', "'my runs'")
    """
    if sys.platform == "win32":  # its shells know double quotes only
        from subprocess import list2cmdline

        return list2cmdline([str(path)])
    return shlex.quote(str(path))


def resume_command(run: Path) -> str:
    """The command that continues a run.

    >>> resume_command(Path("my runs/scratch"))
    "pneumo train --resume 'my runs/scratch'"
    """
    return f"pneumo train --resume {shell_word(run)}"


def bytes_text(content: bytes) -> str:
    r"""The first bytes of a file for a message, as text in quotes; what is no printable ASCII is an escape.

    >>> print(bytes_text(b"Rar!\x1a"))
    'Rar!\x1a'
    """
    return repr(content)[1:]


def first_few(items: Sequence[str], separator: str = ", ", most: int = 3) -> str:
    """The first items of a list that a message names, and how many more there are.

    >>> first_few(["a.png", "b.png"]), first_few(["a", "b", "c", "d", "e"])
    ('a.png, b.png', 'a, b, c and 2 more')
    """
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return separator.join(items[:most]) + more


class PneumoError(Exception):
    """A failure to report to the user.

    Args:
        message: One sentence: what failed, where, what was found and what was expected.
        hint: What to do next, best a command to paste; ``None`` where there is nothing to advise.
    """

    exit_code: ClassVar[int] = 1
    met_by_all: ClassVar[bool] = False
    """Whether every process of a training meets it at the same place, so that only the first one reports it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type["PneumoError"], tuple[str, str | None]]:
        # Worker processes send errors to their parent; the default would drop the hint.
        return type(self), (self.message, self.hint)


class SettingError(PneumoError):
    """A setting is out of its range, or two settings contradict each other."""

    exit_code = 2
    met_by_all = True


class DataError(PneumoError):
    """Films or tables are missing, unreadable, or not laid out as expected."""


class DriveLost(PneumoError):
    """A share or a drive stopped answering while files were written to it; what was whole there stays whole."""


class DownloadError(PneumoError):
    """The data set could not be fetched or unpacked."""


class RunError(PneumoError):
    """A run folder is missing, taken, unfinished, in use, or does not fit the command."""


class ModelFileError(PneumoError):
    """A model file, weights file or checkpoint is foreign, damaged or of another version."""


class DeviceError(PneumoError):
    """The requested device is missing, or does not support what was requested."""


class TrainingDiverged(PneumoError):
    """The training loss is no longer finite."""

    met_by_all = True


class FirstProcessFailed(PneumoError):
    """The first process of a training could not do what the others waited for; its own error gives the reason."""

    met_by_all = True


class OutOfMemory(PneumoError):
    """The device has too little memory for the settings."""


class CheckFailed(PneumoError):
    """A check that the program makes of its own work failed: nothing was written."""
