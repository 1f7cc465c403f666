"""Where the seconds of a training went, and how many are left."""

import time


class Stopwatch:
    """Measures stretches of work, one after the other, from its making on.

    Args:
        spent: Seconds by what they were spent on, of all sessions of a run; every lap is added.
    """

    def __init__(self, spent: dict[str, float]) -> None:
        self._spent = spent
        self._since = time.perf_counter()
        self.seconds = 0.0
        """Of all laps together."""

    def lap(self, what: str, *, of_which: tuple[str, float] | None = None) -> None:
        """Ends a lap: the time since the last one was spent on ``what``.

        Args:
            what: Its name.
            of_which: A part of the lap that was spent on something else: its name and seconds.
        """
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        self.seconds += seconds
        if of_which is not None:
            other, part = of_which
            self._spent[other] = self._spent.get(other, 0.0) + part
            seconds -= part
        self._spent[what] = self._spent.get(what, 0.0) + seconds


class Pace:
    """How long the epochs to come will take, judged by those of this session.

    Args:
        most_views: Epochs that look at the films through a frozen backbone; later ones use what they kept.
    """

    def __init__(self, most_views: int) -> None:
        self._most_views = most_views
        self._epochs: list[float] = []
        self._views: list[float] = []

    def add(self, seconds: float, start_up: float, view: float) -> None:
        """Counts an epoch.

        Args:
            seconds: All of it.
            start_up: Of these, what the first step took longer than the others.
            view: Of these, what a look through the frozen backbone took.
        """
        self._epochs.append(seconds - start_up - view)
        if view > 0 and len(self._views) < self._most_views:
            self._views.append(view)

    def left(self, epochs: int) -> float:
        """Seconds that so many more epochs will take."""
        seconds = epochs * sum(self._epochs) / len(self._epochs)
        if self._views:
            views = min(self._most_views - len(self._views), epochs)
            seconds += views * sum(self._views) / len(self._views)
        return seconds
