"""The one writer of files: what is on disk is always whole.

A file is written under a temporary name in its own folder, flushed, synced and renamed over the old one, so that a
crash, a full disk or a power cut leaves either the old content or the new, never a part.
"""

import csv
import errno
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import platformdirs
from pydantic import BaseModel, ValidationError

from pneumocli.core.errors import PneumoError, RunError

if TYPE_CHECKING:
    pass

_BLOCK_BYTES = 1 << 20

_Model = TypeVar("_Model", bound=BaseModel)


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a file for writing that replaces ``path`` only when the block ends without an exception.

    Args:
        path: The file to write. Its folder is created when it is missing.
        mode: ``"w"`` for text (UTF-8, line feeds on every system) or ``"wb"`` for bytes.

    Yields:
        The open temporary file, in the same folder.

    Raises:
        PneumoError: The folder cannot be written, or the disk is full. The old file is untouched.
    """
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    temporary: str | None = None
    try:
        descriptor, temporary = _temporary_beside(path)
        with os.fdopen(descriptor, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_usual_permissions(temporary)
        os.replace(temporary, path)  # noqa: PTH105 - the name of the system call is what matters here
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        # Errors of the block itself (reading another file, a socket) are not about this file.
        if error.errno not in _WRITE_ERRORS:
            raise
        raise write_failure(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _temporary_beside(path: Path) -> tuple[int, str]:
    """An open, empty file in the folder of ``path``, which is made if need be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".part")
    except OSError as error:  # of whatever kind, such as a link that leads to itself: it is about this file
        raise write_failure(path, error) from error


_WRITE_ERRORS = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
        *(errno.EROFS, errno.EACCES, errno.EPERM),
        *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG),  # a file stands where a folder should, ...
    }
)


def write_failure(path: Path, error: OSError) -> PneumoError:
    """The error to raise when ``path`` could not be written, as a sentence that a user can act on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return PneumoError(f"cannot write {path}: no space left on the disk", "df -h . shows what is full")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return PneumoError(f"cannot write {path}: a file stands where its folder should be", "choose another place")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return PneumoError(f"cannot write {path}: {error.strerror}", "choose a folder that you may write to")
    return PneumoError(f"cannot write {path}: {error.strerror}")


def _give_usual_permissions(path: str) -> None:
    """Replaces the owner-only permissions that ``mkstemp`` gives by those of an ordinary new file."""
    mask = os.umask(0)
    os.umask(mask)
    Path(path).chmod(0o666 & ~mask)


def _sync_folder(folder: Path) -> None:
    """Makes a rename in ``folder`` survive a power cut, on systems where a folder can be synced."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, atomically."""
    with atomic_write(path) as file:
        file.write(text)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content``, atomically."""
    with atomic_write(path, "wb") as file:
        file.write(content)


def write_json(path: Path, value: BaseModel | Mapping[str, object] | Sequence[object]) -> None:
    """Writes a record or plain data as indented JSON, atomically.

    Raises:
        ValueError: A number is not finite: what is undefined is ``None`` here and ``null`` there.
    """
    write_text(path, dump_json(value))


def dump_json(value: BaseModel | Mapping[str, object] | Sequence[object]) -> str:
    """The JSON text of a record or of plain data, indented, with a final line feed; never ``NaN``."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_record(path: Path, model: type[_Model]) -> _Model:
    """Reads a JSON file into the record that it must hold.

    Raises:
        RunError: The file is missing, is no JSON, or holds something else.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RunError(f"{path} is damaged or from another version: {where}: {first['msg']}") from error


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Writes a table with a header line, atomically; ``None`` becomes an empty cell."""
    with atomic_write(path) as file:
        writer = csv.DictWriter(file, fieldnames=list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, as 64 lower-case hexadecimal digits; reads in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(path: Path, message: str, hint: str | None = None) -> Iterator[None]:
    """Holds an exclusive lock on the file ``path`` that dies with the process.

    Args:
        path: The lock file, created when missing and left in place. The block may remove it: who gets a lock on a
            removed file notices and tries again.
        message: The error when another process holds the lock.
        hint: The hint of that error.

    Raises:
        RunError: Another process holds the lock.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            try:
                _lock(file.fileno())
            except OSError as error:
                raise RunError(message, hint) from error
            if _is_at(path, file.fileno()):
                yield
                return


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


def cache_folder() -> Path:
    """Where decoded films and hashes are kept: ``$PNEUMO_CACHE``, or the system's place for caches."""
    chosen = os.environ.get("PNEUMO_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("pneumo", appauthor=False)


def utc_now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
