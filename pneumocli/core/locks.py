"""Locks that keep a second process out of a file, and what takes their place on a share that has none."""

import contextlib
import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pneumocli.core.errors import RunError
from pneumocli.core.files import write_failure

_HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK})
# NFS without lockd, CIFS, FUSE drives: nothing there can be locked, whoever asks.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})


# Where there are no locks, the owner of a mark renews it as often; one that another machine has made and that stays as
# it is for longer is of a process that has ended.
_RENEW_SECONDS = 5.0
_SILENT_SECONDS = 20.0

_RETRY_SECONDS = 0.1


@contextmanager
def locked(
    path: Path,
    message: str,
    hint: str | None = None,
    *,
    waiting: Callable[[str], None] | None = None,
    remove: bool = False,
) -> Iterator[str | None]:
    """Holds an exclusive lock on the file ``path`` that dies with the process.

    On a file system without locks a file beside it names this process instead, and is renewed while the block lasts. It
    keeps out a second process, on the same machine as long as the first one lives, on another one as long as the file
    is renewed.

    Args:
        path: The lock file, created when missing. The block may remove it: who gets a lock on a removed file notices
            and tries again.
        message: The error when another process holds the lock.
        hint: The hint of that error.
        waiting: Wait for the other process instead of raising; called once with ``message`` when the waiting begins.
        remove: Remove the lock file at the end instead of leaving it in place.

    Yields:
        A warning where the file system has no locks, else ``None``.

    Raises:
        RunError: Another process holds the lock.
        PneumoError: The file cannot be locked for another reason, such as a drive that is gone.
        OSError: The lock file cannot be made or opened.
    """
    taken, announced = RunError(message, hint), False
    with ExitStack() as stack:
        while True:
            try:
                warning = stack.enter_context(_locked_now(path, taken))
                break
            except RunError as error:
                if error is not taken or waiting is None:
                    raise
            if not announced:
                waiting(message)
                announced = True
            time.sleep(_RETRY_SECONDS)
        try:
            yield warning
        finally:
            if remove:
                with contextlib.suppress(OSError):  # Windows removes no open file
                    path.unlink()


@contextmanager
def _locked_now(path: Path, taken: RunError) -> Iterator[str | None]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            try:
                _lock(file.fileno())
            except OSError as error:
                if error.errno in _HELD:
                    raise taken from error
                if error.errno not in _NO_LOCKS:
                    raise write_failure(path, error) from error
                with _named_beside(path, taken) as warning:
                    yield warning
                return
            if _is_at(path, file.fileno()):
                yield None
                return


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one at ``path``."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    # Windows lets no other handle, not even this process's own, read or write what is locked: a byte is locked that no
    # file has, as SQLite does. A manifest is both lock file and read by everybody.
    _BEYOND_ALL_CONTENT = 2**30

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _BEYOND_ALL_CONTENT, os.SEEK_SET)
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
            owner = _owner_of(mark)
            if runs_here(owner) or (_is_foreign(owner) and _is_renewed(mark)):
                raise taken
            if _is_foreign(owner):
                warning += f" ({machine_of(owner) or 'an unknown machine'} did, and did not end in order)"
            if not _removed(mark, owner) or not _made(mark):  # another process was faster
                raise taken
    except OSError as error:
        raise write_failure(mark, error) from error
    ended = threading.Event()
    threading.Thread(target=_renew, args=(mark, ended), daemon=True).start()
    try:
        yield warning
    finally:
        ended.set()
        with contextlib.suppress(OSError):  # of a share that has gone: the next process finds that the owner has ended
            mark.unlink(missing_ok=True)


def _renew(mark: Path, ended: threading.Event) -> None:
    while not ended.wait(_RENEW_SECONDS):
        with contextlib.suppress(OSError):  # a share that does not answer for a moment
            os.utime(mark)


def _is_renewed(mark: Path) -> bool:
    """Whether somebody renews the file; takes a while."""
    before = _renewed_at(mark)
    deadline = time.monotonic() + _SILENT_SECONDS
    while before is not None and time.monotonic() < deadline:
        time.sleep(_SILENT_SECONDS / 20)
        if _renewed_at(mark) != before:
            return True
    return False


def _renewed_at(mark: Path) -> int | None:
    """By the clock of the share; ``None`` where the file is gone."""
    try:
        with mark.open("rb") as file:  # a share's client keeps times for a while, and asks anew at opening
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def _owner_of(mark: Path) -> str:
    try:
        return mark.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _is_foreign(owner: str) -> bool:
    return machine_of(owner) != socket.gethostname()


def _removed(mark: Path, owner: str) -> bool:
    """Removes the file of a process that has ended, and not one that another has made in its place since."""
    aside = mark.with_name(f"{mark.name}.{os.getpid()}")
    try:
        mark.rename(aside)
    except FileNotFoundError:
        return True
    if _owner_of(aside) != owner:
        aside.rename(mark)
        return False
    aside.unlink()
    return True


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
