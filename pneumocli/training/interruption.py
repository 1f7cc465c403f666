"""When an epoch is interrupted: to write a checkpoint, because it is time, or to end, because a signal asks for it."""

import time
from collections.abc import Callable

from pneumocli.core.signals import Stopped
from pneumocli.training.distributed import Team

_DUE = 1  # less than the number of any signal that is answered


class Interruptions:
    """What interrupts the epochs of a session.

    Args:
        minutes: Between two checkpoints within an epoch; 0 for none.
        team: The processes of the training.
        signalled: Gives the number of the signal that this process has been sent, 0 without one.
    """

    def __init__(self, minutes: float, team: Team, signalled: Callable[[], int]) -> None:
        self._seconds = minutes * 60
        self._team = team
        self._signalled = signalled
        self.written()

    def written(self) -> None:
        """Counts the time from here: a checkpoint has been written."""
        self._since = time.monotonic()

    def after_step(self, write: Callable[[], None]) -> None:
        """Interrupts an epoch between two steps, all processes at the same one.

        Args:
            write: Writes a checkpoint.

        Raises:
            Stopped: A process has been sent a signal; the checkpoint has been written.
        """
        wanted = self._team.highest(self._signalled() or self._due())
        if not wanted:
            return
        write()
        self.written()
        if wanted != _DUE:
            raise Stopped(wanted)

    def anywhere(self, write: Callable[[], None] | None = None) -> None:
        """Ends this process alone if it has been sent a signal, as the others have or soon will.

        Args:
            write: Writes a checkpoint without the other processes; ``None`` where the last one is as good.

        Raises:
            Stopped: It has been sent one.
        """
        if number := self._signalled():
            if write is not None:
                write()
            raise Stopped(number)

    def _due(self) -> int:
        """By the clock of the first process, which writes."""
        late = time.monotonic() - self._since >= self._seconds
        return _DUE if self._seconds and self._team.is_writer and late else 0
