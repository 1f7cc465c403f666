"""The one writer of files: what is on disk is always whole.

A file is written under a temporary name in its own folder, flushed, synced and renamed over the old one, so that a
crash, a full disk or a power cut leaves either the old content or the new, never a part.
"""

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, ValidationError

from pneumocli.core.errors import DriveLost, PneumoError, RunError, shell_word
from pneumocli.core.setting_faults import fault

_BLOCK_BYTES = 1 << 20
_AGAIN = "restore the file from a backup, or run the command that wrote it again"

_Model = TypeVar("_Model", bound=BaseModel)
_Value = TypeVar("_Value")


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
    written = False
    try:
        descriptor, temporary = _temporary_beside(path)
        with os.fdopen(descriptor, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            written = True
            file.flush()
            _sync(file.fileno())
        _give_usual_permissions(temporary)
        _replace(temporary, path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        # Errors of the block itself (reading another file, a socket) are not about this file.
        if not written and error.errno not in _WRITE_ERRORS:
            raise
        raise write_failure(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):  # of a drive that is gone: resuming removes what is left there
                Path(temporary).unlink(missing_ok=True)


# Virus scanners and indexers open what was just written, and soon close it.
_OPEN_FILES_STAY = os.name == "nt"
_WINDOWS_SECONDS, _WINDOWS_PAUSE = 5.0, 0.05


def _replace(temporary: str, path: Path) -> None:
    """Renames in one step; on Windows as soon as no other program has the old file open, within some seconds."""
    deadline = time.monotonic() + _WINDOWS_SECONDS
    while True:
        try:
            os.replace(temporary, path)  # noqa: PTH105 - the name of the system call is what matters here
        except PermissionError as error:
            if not _OPEN_FILES_STAY or not path.is_file():
                raise
            if time.monotonic() >= deadline:
                hint = "close it there (a spreadsheet, a viewer), and run the command again"
                raise PneumoError(f"cannot write {path}: another program has it open", hint) from error
            time.sleep(_WINDOWS_PAUSE)
        else:
            return


def _temporary_beside(path: Path) -> tuple[int, str]:
    """An open, empty file in the folder of ``path``, which is made if need be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".part")
    except OSError as error:  # of whatever kind, such as a link that leads to itself: it is about this file
        raise write_failure(path, error) from error


# A network share that lost its server, a drive that was pulled out, a FUSE mount whose program ended.
_DRIVE_GONE = frozenset(
    {errno.ENOTCONN, errno.ESTALE, errno.EIO, errno.EHOSTDOWN, errno.ENODEV, errno.ENXIO}
    | {getattr(errno, "EREMOTEIO", errno.EIO)}  # Linux alone
)
_WRITE_ERRORS = frozenset(
    {
        *_DRIVE_GONE,
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        *(errno.EROFS, errno.EACCES, errno.EPERM),
        *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG),  # a file stands where a folder should, ...
    }
)


def drive_is_gone(error: OSError) -> bool:
    """Whether an error means that a share or a drive has vanished, not that a file is at fault."""
    return error.errno in _DRIVE_GONE


def write_failure(path: Path, error: OSError) -> PneumoError:
    """The error to raise when ``path`` could not be written, as a sentence that a user can act on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = next((folder for folder in path.parents if folder.exists()), Path())
        return PneumoError(
            f"cannot write {path}: no space left on the disk", f"df -h {shell_word(full)} shows what is full"
        )
    if drive_is_gone(error):
        return DriveLost(f"cannot write {path}: its drive does not answer any more ({error.strerror})")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return PneumoError(f"cannot write {path}: a file stands where its folder should be", "choose another place")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return PneumoError(f"cannot write {path}: {error.strerror}", "choose a folder that you may write to")
    return PneumoError(f"cannot write {path}: {error.strerror}", f"ls -ld {shell_word(path.parent)} shows its folder")


def _mask() -> int:
    """What the process leaves out of the permissions of new files; to be read, it must be set, for all threads."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_MASK = _mask()  # at the import, before there are threads


def _give_usual_permissions(path: str) -> None:
    """Replaces the owner-only permissions that ``mkstemp`` gives by those of an ordinary new file.

    A share that knows no permissions refuses, and gives every file its own: nothing is lost.
    """
    with contextlib.suppress(OSError):
        Path(path).chmod(0o666 & ~_MASK)


def _sync(descriptor: int) -> None:
    """Has the system write a file or a folder out; where it cannot on request, it does so in its own time."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


_CANNOT_SYNC = frozenset(
    {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM, errno.EBADF}
)


def _sync_folder(folder: Path) -> None:
    """Makes a rename in ``folder`` survive a power cut, on systems where a folder can be synced."""
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that takes files and cannot be listed: sync is a courtesy
        return
    try:
        _sync(descriptor)
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


def dump_json(value: BaseModel | Mapping[str, object] | Sequence[object], *, ascii_only: bool = False) -> str:
    """The JSON text of a record or of plain data, indented, with a final line feed; never ``NaN``.

    Args:
        value: What to write.
        ascii_only: Escape all other characters, for an output that has no UTF-8.
    """
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return json.dumps(plain, indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n"


def again_if_stale(read: Callable[[], _Value]) -> _Value:
    """What ``read`` gives; called once more where the file's handle is stale (ESTALE).

    So a share answers that knew a file which another machine has replaced meanwhile: opened again, it is the new one.
    """
    try:
        return read()
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        return read()


def read_record(path: Path, model: type[_Model]) -> _Model:
    """Reads a JSON file into the record that it must hold.

    Raises:
        RunError: The file is missing, is no JSON, or holds something else.
    """
    try:
        return model.model_validate_json(again_if_stale(path.read_bytes))
    except OSError as error:
        raise RunError(
            f"cannot read {path}: {error.strerror}", f"ls -l {shell_word(path.parent)} shows what is there"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise RunError(f"{path} is damaged: it is no whole JSON document", _AGAIN) from error
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        what = fault(first["type"], first.get("ctx", {}), first["msg"])
        raise RunError(f"{path} is damaged or from another version: {where}: {what}", _AGAIN) from error


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Writes a table with a header line, atomically; ``None`` becomes an empty cell."""
    with atomic_write(path) as file:
        writer = RowWriter(file)
        writer.write(columns)
        for row in rows:
            writer.write([row.get(column) for column in columns])


class RowWriter:
    r"""Rows of a table, whose lines end in a line feed.

    Python's writer leaves a carriage return bare then, which every reader takes for the end of a line: a file may be
    named so (macOS's ``Icon\r``).

    Args:
        file: Open for text, without translation of line feeds.
    """

    def __init__(self, file: IO[str]) -> None:
        self._plain = csv.writer(file, lineterminator="\n")
        self._quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(self, cells: Sequence[object]) -> None:
        """Writes a row; ``None`` becomes an empty cell."""
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (self._quoting if has_return else self._plain).writerow(cells)


def read_csv(path: Path) -> "csv.DictReader[str]":
    """The rows of a table with a header line, in UTF-8.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not UTF-8.
    """
    return csv.DictReader(io.StringIO(again_if_stale(path.read_bytes).decode(), newline=""))


def read_file(path: Path, most: int) -> bytes:
    """The content of a file, and of nothing else: see :func:`open_file`.

    Raises:
        OSError: It cannot be read, is no file, or holds more than ``most`` bytes (``EFBIG``).
    """

    def read() -> bytes:
        with open_file(path) as file:
            if os.fstat(file.fileno()).st_size > most:
                raise OSError(errno.EFBIG, f"it holds more than {most:,} bytes", str(path))
            return file.read()

    return again_if_stale(read)


def open_file(path: Path) -> io.BufferedReader:
    """Opens a file to be read.

    Raises:
        OSError: It cannot be opened, or is a pipe or a device: the one would wait for its writer, the other has no end.
    """
    return open(path, "rb", opener=_opened)


def _opened(path: str, flags: int) -> int:
    # A pipe is opened without waiting; on files this flag has no effect, and Windows has neither.
    number = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # a folder is refused by open() itself
        return number
    os.close(number)
    raise OSError(errno.ENODEV, "it is a pipe or a device, expected a file", path)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, as 64 lower-case hexadecimal digits; reads in blocks.

    Raises:
        OSError: As for :func:`open_file`.
    """

    def read() -> str:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return again_if_stale(read)


def cache_folder() -> Path:
    """Where decoded films and hashes are kept: ``$PNEUMO_CACHE``, or the system's place for caches."""
    chosen = os.environ.get("PNEUMO_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs  # not needed by a prediction, which writes files, too

    return platformdirs.user_cache_path("pneumo", appauthor=False)


def utc_now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def sizes_below(folder: Path) -> list[int]:
    """Bytes of every file below a folder, if there is one; what vanishes meanwhile is left out."""
    sizes = []
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                state = Path(place, name).stat()
                if stat.S_ISREG(state.st_mode):
                    sizes.append(state.st_size)
    return sizes
