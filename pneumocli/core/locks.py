"""Locks that keep a second process out of a file, and what takes their place on a share that has none."""

import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pneumocli.core.errors import RunError
from pneumocli.core.files import write_failure

_HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK})
# NFS without lockd, CIFS, FUSE drives: nothing there can be locked, whoever asks.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})

_SECONDS_BETWEEN_TRIES = 0.2


@contextmanager
def locked(path: Path, message: str, hint: str | None = None) -> Iterator[str | None]:
    """Holds an exclusive lock on the file ``path`` that dies with the process.

    On a file system without locks a file beside it names this process instead. It keeps out a second process of the
    same machine, as long as the first one lives; of other machines nothing is known there.

    Args:
        path: The lock file, created when missing and left in place. The block may remove it: who gets a lock on a
            removed file notices and tries again.
        message: The error when another process holds the lock.
        hint: The hint of that error.

    Yields:
        A warning where the file system has no locks, else ``None``.

    Raises:
        RunError: Another process holds the lock.
        PneumoError: The file cannot be locked for another reason, such as a drive that is gone.
        OSError: The lock file cannot be made or opened.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            try:
                _lock(file.fileno())
            except OSError as error:
                if error.errno in _HELD:
                    raise RunError(message, hint) from error
                if error.errno not in _NO_LOCKS:
                    raise write_failure(path, error) from error
                with _named_beside(path, RunError(message, hint)) as warning:
                    yield warning
                return
            if _is_at(path, file.fileno()):
                yield None
                return


@contextmanager
def waited_for(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Holds an exclusive lock as :func:`locked` does, after waiting for whoever has it; its file goes at the end.

    For work that one process should do for all, and that does no harm if several do it: on a file system without
    locks, nobody waits.

    Args:
        path: The lock file, removed at the end.
        on_wait: Called once, when another process has the lock.

    Raises:
        PneumoError: The lock file cannot be made, or locked for another reason than that the file system has no locks.
    """
    waiting = False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        except OSError as error:
            raise write_failure(path, error) from error
        with file:
            if _taken(path, file.fileno()):
                if not waiting:
                    on_wait()
                    waiting = True
            elif not _is_at(path, file.fileno()):
                continue
            else:
                try:
                    yield
                finally:
                    with contextlib.suppress(OSError):  # Windows removes no open file: it is empty, and stays
                        path.unlink()
                return
        time.sleep(_SECONDS_BETWEEN_TRIES)


def _taken(path: Path, descriptor: int) -> bool:
    """Locks a file, where the file system has locks; whether another process has the lock."""
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno in _HELD:
            return True
        if error.errno not in _NO_LOCKS:
            raise write_failure(path, error) from error
    return False


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one at ``path``."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def mark_of(path: Path) -> Path:
    """The file beside a lock file that names its owner on a file system without locks."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def _named_beside(path: Path, taken: RunError) -> Iterator[str]:
    """Holds a file beside ``path`` that names this process; one of a process that has ended is replaced."""
    mark = mark_of(path)
    warning = f"the file system of {path.parent} has no locks: make sure that no other machine writes there meanwhile"
    try:
        if not _made(mark):
            owner = mark.read_text(encoding="utf-8", errors="replace")
            if runs_here(owner):
                raise taken
            if machine_of(owner) != socket.gethostname():
                warning += f" ({machine_of(owner) or 'an unknown machine'} did, and did not end in order)"
            mark.unlink(missing_ok=True)
            if not _made(mark):  # another process was faster
                raise taken
    except OSError as error:
        raise write_failure(mark, error) from error
    try:
        yield warning
    finally:
        with contextlib.suppress(OSError):  # of a share that has gone: the next process finds that the owner has ended
            mark.unlink(missing_ok=True)


def _made(mark: Path) -> bool:
    """Makes the file with this process's name in it; whether it was not there before."""
    try:
        with mark.open("x", encoding="utf-8") as file:
            file.write(this_process())
    except FileExistsError:
        return False
    return True


def this_process() -> str:
    """This process by its machine, number and start: no other one has the same."""
    return f"{socket.gethostname()} {os.getpid()} {_start_of(os.getpid())}"


def machine_of(process: str) -> str:
    """The machine that :func:`this_process` names."""
    return process.partition(" ")[0]


def runs_here(owner: str) -> bool:
    """Whether a process, as :func:`this_process` names it, runs on this machine now."""
    host, number, start = [*owner.split(" "), "", ""][:3]
    if host != socket.gethostname() or not number.isdecimal() or sys.platform == "win32":
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user's
        pass
    return _start_of(int(number)) == start  # numbers are given again


def _start_of(process: int) -> str:
    """When a process began, in clock ticks since the machine did; empty on systems that do not report it (macOS)."""
    try:
        return (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        return ""
