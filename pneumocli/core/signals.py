"""Signals that stop a command: at once, or at a place from which it can be continued."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# A scheduler ends a job by SIGTERM, and Slurm warns of its end by SIGUSR1; Windows has no such signal.
_STOPS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A signal from a scheduler or a closing notebook: whatever lets Ctrl-C through lets this through, too.

    Args:
        number: Of the signal.

    Attributes:
        number: Of the signal.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it: 143 for SIGTERM, 138 for SIGUSR1 on Linux."""
        return 128 + self.number

    @property
    def name(self) -> str:
        """Such as ``SIGTERM``."""
        return signal.Signals(self.number).name


class _Received:
    """What came: the first signal of those that wait, and whether signals do; and whether Ctrl-C came."""

    postponed = False
    number = 0
    interrupted = False


_received = _Received()


def answer_signals() -> None:
    """Turns SIGTERM and SIGUSR1 into :class:`Stopped` in the main thread, at once or where :func:`postponed` ends.

    Ctrl-C raises KeyboardInterrupt at once, as ever, and is remembered, in case it is lost.
    """
    _received.interrupted = False
    for number in _STOPS:
        signal.signal(number, _answer)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else nohup or a shell's & has it ignored
        signal.signal(signal.SIGINT, _interrupt)


def raise_lost_interrupt() -> None:
    """Raises what Ctrl-C has raised since :func:`answer_signals` once more, where work goes on all the same.

    It may have risen in a callback of a library's C++ code, which drops it.

    Raises:
        KeyboardInterrupt: Ctrl-C came.
    """
    if _received.interrupted:
        raise KeyboardInterrupt


@contextmanager
def interrupts_restored() -> Iterator[None]:
    """Has errors that a library's C++ code made of Ctrl-C become Ctrl-C again.

    Such as matplotlib's "ValueError: Invalid bounding box", or torch's RuntimeError: it may be of any kind.

    Raises:
        KeyboardInterrupt: Ctrl-C came, and the block failed.
    """
    try:
        yield
    except Exception as error:
        if _received.interrupted:
            raise KeyboardInterrupt from error
        raise


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.interrupted = True
    signal.default_int_handler(number, frame)


def _answer(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's signature
    # Worker processes may get it, too; torch would take their end for a failure and raise that anywhere.
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if not _received.postponed:
        raise Stopped(number)
    # The first counts: a scheduler and torchrun both send one, and the second must not interrupt what answers it.
    _received.number = _received.number or number


@contextmanager
def postponed() -> Iterator[Callable[[], int]]:
    """Has signals wait until the block ends, or until it stops by itself because one is waiting.

    Ctrl-C is not postponed, and neither is a signal that :func:`answer_signals` does not answer.

    Yields:
        A function that gives the number of the signal that waits, 0 without one.

    Raises:
        Stopped: The block has ended, and a signal was waiting.
    """
    _received.postponed, _received.number = True, 0
    try:
        yield lambda: _received.number
    finally:
        _received.postponed = False
    if _received.number:
        raise Stopped(_received.number)


def end_at_the_next_signal() -> None:
    """Lets Ctrl-C and SIGTERM end the process as they do by default: its work is done and reported.

    While the interpreter shuts down, an exception of a signal's would be a traceback that nobody can catch. A warning
    of the end of the job comes too late to matter.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
