"""Work on many films at once, in order and in constant memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_AHEAD = 4  # results waiting per thread: enough that no thread idles while the caller works on one


def process_number() -> int:
    """This process's number among those of a training that torchrun started, from 0; 0 where it did not."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """How many processes of a training torchrun started; 1 where it did not."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def restarts() -> int:
    """How often torchrun has started this command again, with the same arguments, because a process of it ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def usable_cores() -> int:
    """CPU cores that this process may run on; fewer than the machine's under taskset or a container's limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int | None = None
) -> Iterator[_Result]:
    """``map(function, items)`` on threads, a few items ahead of the caller.

    Threads serve because Pillow lets go of the interpreter while it decodes and resizes.

    Args:
        function: Called once per item; an exception is raised at the item's turn.
        items: Read lazily.
        threads: One per usable core unless given.

    Yields:
        Results in the order of ``items``.
    """
    count = threads or usable_cores()
    waiting: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(count)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= count * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
