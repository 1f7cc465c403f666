"""The one place where errors become messages and exit codes, and where a stop from outside is answered."""

import contextlib
import logging
import sys
import time
import traceback
from collections.abc import Callable

from pneumocli.cli.output import Output
from pneumocli.core.errors import DriveLost, PneumoError, SettingError
from pneumocli.core.files import drive_is_gone
from pneumocli.core.parallel import process_number
from pneumocli.core.signals import Stopped, interrupts_restored

EXIT_INTERRUPTED = 130
_INTERRUPTED = "interrupted", EXIT_INTERRUPTED

# What an installation by docs/predict-only.txt leaves out (train, quantize and GPUs need it), and how to get it.
_TORCH = (
    "pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu (without --index-url for a GPU)"
)
_LEFT_OUT = {
    "torch": _TORCH,
    "torchvision": _TORCH,
    "onnx": "pip install onnx onnxscript",
    "onnxscript": "pip install onnx onnxscript",
    "pynvml": "pip install nvidia-ml-py",
}

_MOST_SECONDS_BEHIND = 30.0  # that the first process of a training comes to an error later than another


def _leave_the_report_to_the_first_process() -> None:
    """Waits to be ended: torchrun stops all processes once one fails, the first even before it has reported why."""
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(_MOST_SECONDS_BEHIND)


def _run(run: Callable[[], int | None]) -> int | None:
    """Runs a command; a package that is left out of a smaller installation becomes one sentence and how to get it."""
    try:
        with interrupts_restored():
            return run()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _LEFT_OUT:
            raise
        raise PneumoError(f"this needs {package}, which is not installed here", _LEFT_OUT[package]) from error


def guarded(run: Callable[[], int | None], output: Output, *, usage: str) -> int:
    """Runs a command and gives its exit code; a user's mistake becomes one sentence and a hint, never a traceback.

    Args:
        run: The command.
        output: Where messages are printed.
        usage: The command that shows the options, the hint of a wrong setting.
    """
    if output.debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(name)s: %(message)s")
    try:
        with output:
            return _run(run) or 0
    except PneumoError as error:
        if output.debug:
            traceback.print_exc()
        hint = error.hint or (usage if isinstance(error, SettingError) else None)
        if isinstance(error, DriveLost):
            hint = output.continue_hint()
        if process_number() == 0:
            output.error(error.message, hint)
        elif error.met_by_all:
            _leave_the_report_to_the_first_process()
        else:
            output.error(f"process {process_number()}: {error.message}", hint)
        return error.exit_code
    except OSError as error:
        if not drive_is_gone(error):
            raise
        lost = f"{error.filename or 'a drive'} does not answer any more: {error.strerror}"
        output.stopped(lost)
        return PneumoError.exit_code
    except KeyboardInterrupt as stop:
        words, code = (f"stopped by {stop.name}", stop.exit_code) if isinstance(stop, Stopped) else _INTERRUPTED
        if process_number() == 0:
            output.stopped(words)
        return code
