"""The application: every command registered, nothing heavy imported."""

import os
import sys
from typing import Annotated, NoReturn

import typer

from pneumocli.cli import (
    compare,
    demo,
    doctor,
    download,
    evaluate,
    predict,
    quantize,
    recalibrate,
    runs,
    train,
    tune,
    verify_data,
)
from pneumocli.cli.boundary import EXIT_INTERRUPTED
from pneumocli.cli.collector import collect_rarely
from pneumocli.cli.encoding import tolerate_any_encoding
from pneumocli.cli.options import set_app_wide
from pneumocli.cli.streams import OutputError, drop_standard_output, name_what_output_fails_with, open_closed_streams
from pneumocli.cli.usage import Group
from pneumocli.core.errors import PneumoError
from pneumocli.core.signals import Stopped, answer_signals, end_at_the_next_signal
from pneumocli.core.version import __version__

collect_rarely()

app = typer.Typer(
    name="pneumo",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # panels leave a long list of options no room for its help texts
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"pneumo {__version__}\n")
        raise typer.Exit


@app.callback(epilog="New here? pneumo demo runs everything on synthetic films in about two minutes.")
def pneumo(
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, remarks or warnings.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """Train, measure and use ResNet-18 pneumonia classifiers on chest X-rays. Not a medical device."""
    set_app_wide(quiet=quiet, debug=debug)


for module in (
    download,
    verify_data,
    train,
    tune,
    evaluate,
    predict,
    recalibrate,
    quantize,
    compare,
    runs,
    demo,
    doctor,
):
    module.register(app)


# How often a thread of libgomp, torch's on Linux, looks for work before it sleeps. By default it never sleeps, and on a
# machine that does other work, too, threads wait for each other's whole time slices: measured, training there is three
# times as fast this way, and as fast as before on a quiet machine (docs/benchmarks.md).
_SPINS = "10000"


def main() -> NoReturn:
    """The console script."""
    if "OMP_WAIT_POLICY" not in os.environ:  # read when torch is loaded, which is later
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    open_closed_streams()
    name_what_output_fails_with()
    tolerate_any_encoding()
    try:
        _answer()
    except Stopped as stop:  # outside of a command: nothing to resume
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except OutputError as error:  # outside of a command, or at its very end
        drop_standard_output()
        sys.stderr.write(f"error: {error.message}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read it has seen enough
        drop_standard_output()
        sys.exit(PneumoError.exit_code)
    sys.exit(0)


def _answer() -> None:
    try:
        answer_signals()
        app()
    finally:
        end_at_the_next_signal()
        sys.stdout.flush()  # what fails later, at the interpreter's end, ends in a message of its own
