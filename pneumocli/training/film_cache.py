"""Decoded films in one file, so that each film is decoded once and not once per epoch.

The file is named by its content: the reader's version, the form of the films and their SHA-256, so that it is rebuilt
when films change and can never be mistaken for another's. It holds the films' pixels one after the other, ragged
widths and all, then a table of their sizes.
"""

import hashlib
import mmap
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.errors import PneumoError
from pneumocli.core.events import Listener, Remark, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.files import atomic_write, cache_folder, write_failure
from pneumocli.core.locks import locked
from pneumocli.core.parallel import ordered_map
from pneumocli.data.film import Pixels, still_there
from pneumocli.data.images import READER_VERSION, UnreadableFilm
from pneumocli.data.manifest import Manifest

_MAGIC = b"pneumo films 1\n\0"
_TAIL = struct.Struct("<Q16s")  # number of films, magic: at the end, because sizes are known only then
_SIZE_BYTES = 8  # two 32-bit numbers a film, height and width
_UNUSED_DAYS = 30


class FilmCache:
    """A cache file, mapped into memory.

    A film is a view of the file: cutting a crop out of it reads that part and no more, and all processes of a training
    share what the system holds of it. Pages once read would count as this process's own memory, more with every film:
    :meth:`let_go` gives them back to the system, which keeps what it has room for.

    Args:
        path: A file that :func:`write_films` wrote.

    Raises:
        ValueError: The file is another, or not whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def _open(self) -> None:
        if self.path.stat().st_size < _TAIL.size:
            raise ValueError(f"{self.path} is no film cache")
        with self.path.open("rb") as file:
            # Not a private copy: Linux counts those against the machine's memory and refuses one that is larger.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        table_end = len(self._map) - _TAIL.size
        count, magic = _TAIL.unpack_from(self._map, table_end)
        table = table_end - count * _SIZE_BYTES
        if magic != _MAGIC or table < 0:
            raise ValueError(f"{self.path} is no film cache")
        sizes = np.frombuffer(self._map, dtype="<u4", count=2 * count, offset=table)
        self.sizes: NDArray[np.int64] = sizes.reshape(count, 2).astype(np.int64)
        """int64 (N,2), height and width of each film."""
        self._starts = np.concatenate(([0], np.cumsum(self.sizes.prod(axis=1))))
        if self._starts[-1] != table:
            raise ValueError(f"{self.path} is not whole")

    def __getstate__(self) -> Path:
        return self.path  # a worker process opens the file itself

    def __setstate__(self, path: Path) -> None:
        self.path = path
        self._open()

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Pixels:
        """The film's pixels, uint8 (H,W), not to be written to."""
        height, width = map(int, self.sizes[index])
        pixels = np.frombuffer(self._map, np.uint8, count=height * width, offset=int(self._starts[index]))
        return pixels.reshape(height, width)

    def will_need(self, numbers: Sequence[int]) -> None:
        """Has the system fetch films from the disk, all at once, that are about to be read."""
        if hasattr(mmap, "MADV_WILLNEED"):
            for number in numbers:
                start, stop = int(self._starts[number]), int(self._starts[number + 1])
                page = start - start % mmap.PAGESIZE
                self._map.madvise(mmap.MADV_WILLNEED, page, stop - page)

    def let_go(self) -> None:
        """Gives the pages that were read back to the system; to be called after each batch of films."""
        if hasattr(mmap, "MADV_DONTNEED"):  # Windows trims mapped pages by itself
            self._map.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class FilmsOnDisk:
    """The same films without a cache: decoded anew at each look."""

    paths: tuple[Path, ...]
    decode: Callable[[Path], Pixels]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Pixels:
        """The film's pixels, uint8 (H,W)."""
        path = self.paths[index]
        with still_there(path):
            return self.decode(path)

    @property
    def sizes(self) -> None:
        """Not known before a film is decoded."""
        return None

    def will_need(self, numbers: Sequence[int]) -> None:
        """Does nothing: decoding takes longer than reading."""

    def let_go(self) -> None:
        """Does nothing: nothing is kept."""


@dataclass(frozen=True)
class Selected:
    """Some of the films, under numbers of their own.

    Attributes:
        films: All films.
        numbers: Which of them, in order.
    """

    films: "Films"
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Pixels:
        """The film's pixels, uint8 (H,W), not to be written to."""
        return self.films[self.numbers[index]]

    @property
    def sizes(self) -> NDArray[np.int64] | None:
        """int64 (N,2), height and width of each film; ``None`` where they are not known beforehand."""
        sizes = self.films.sizes
        return None if sizes is None else sizes[list(self.numbers)]

    def will_need(self, numbers: Sequence[int]) -> None:
        """Announces films that are about to be read, see :class:`FilmCache`."""
        self.films.will_need([self.numbers[number] for number in numbers])

    def let_go(self) -> None:
        """Gives back what reading films has taken, see :class:`FilmCache`."""
        self.films.let_go()


Films = FilmCache | FilmsOnDisk | Selected


def cached_films(
    manifest: Manifest, decode: Callable[[Path], Pixels], form: str, listener: Listener = ignore
) -> tuple[FilmCache, dict[str, str]]:
    """The films of a manifest, decoded; from the cache when it has them.

    Args:
        manifest: The films, with their hashes.
        decode: Gives a film's pixels, uint8 (H,W); must depend on ``form`` and the file's content alone.
        form: Names what ``decode`` does, such as ``short side 384, crop``.
        listener: Gets progress and the size of what was built.

    Returns:
        The films in the manifest's order, and for each unreadable one the reason by image. An unreadable film is
        an empty picture in the cache: callers must drop it from their manifest.

    Raises:
        PneumoError: The cache folder cannot be written, or is full.
    """
    path = cache_folder() / "films" / f"{_key(manifest, form)}.films"
    films = _opened(path)
    if films is None:
        films = _built(path, manifest, decode, listener)
    with suppress(OSError):  # another user's cache, or a read-only one, serves as well
        path.touch()
    return films, _reasons(manifest, films, decode)


def _opened(path: Path) -> FilmCache | None:
    """The cache file, if it can be read and is whole: one that is not, after a disk's fault, is made again."""
    try:
        return FilmCache(path)
    except (OSError, ValueError):
        return None


def _key(manifest: Manifest, form: str) -> str:
    digest = hashlib.sha256(f"{_MAGIC!r} {READER_VERSION} {form}\n".encode())
    for row in manifest.rows:
        digest.update(bytes.fromhex(row.sha256))
    return digest.hexdigest()[:32]


def _built(path: Path, manifest: Manifest, decode: Callable[[Path], Pixels], listener: Listener) -> FilmCache:
    """The cache file, made by this process or, meanwhile, by another one."""
    with _building(path, listener):
        films = _opened(path)
        if films is None:
            prune(path.parent)
            for left in path.parent.glob(f".{path.name}.*.part"):  # by a process that was killed while it decoded
                left.unlink(missing_ok=True)
            _build(path, manifest, decode, listener)
            size = path.stat().st_size
            listener(Remark(f"decoded films are kept in {path.parent} ({size / 1e6:,.0f} MB; --no-cache does without)"))
            films = FilmCache(path)
    return films


@contextmanager
def _building(path: Path, listener: Listener) -> Iterator[None]:
    """Has one process decode the films, of all that see the same cache: an array of jobs, a process of each node."""
    lock = path.with_suffix(".lock")
    message = f"another process decodes these films into {path.parent}"

    def waiting(text: str) -> None:
        listener(Remark(f"{text}: waiting for it"))

    with ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, message, waiting=waiting, remove=True))
        except OSError as error:
            raise _with_way_out(write_failure(lock, error)) from error
        except PneumoError as error:
            raise _with_way_out(error) from error
        yield


def _build(path: Path, manifest: Manifest, decode: Callable[[Path], Pixels], listener: Listener) -> None:
    task = "decoding films"
    listener(TaskStarted(task, len(manifest.rows)))
    films = ordered_map(lambda row: _decode_or_empty(manifest.path(row), decode), manifest.rows)
    try:
        write_films(path, films, lambda done: listener(TaskAdvanced(task, done)))
    except PneumoError as error:
        raise _with_way_out(error) from error
    listener(TaskFinished(task))


def _with_way_out(error: PneumoError) -> PneumoError:
    hint = "PNEUMO_CACHE=FOLDER pneumo train ... keeps decoded films there; --no-cache does without"
    return PneumoError(error.message, hint)


def write_films(path: Path, films: Iterable[Pixels], tick: Callable[[int], None] = lambda _: None) -> None:
    """Writes a cache file, atomically.

    Args:
        path: Its place.
        films: uint8 (H,W) each; taken one by one, so that they need not fit into memory together.
        tick: Called with the number of films written so far.
    """
    sizes: list[tuple[int, int]] = []
    with atomic_write(path, "wb") as file:
        for pixels in films:
            sizes.append((pixels.shape[0], pixels.shape[1]))
            file.write(np.ascontiguousarray(pixels).data)
            tick(len(sizes))
        file.write(np.asarray(sizes, dtype="<u4").tobytes())
        file.write(_TAIL.pack(len(sizes), _MAGIC))


def _decode_or_empty(path: Path, decode: Callable[[Path], Pixels]) -> Pixels:
    try:
        return decode(path)
    except UnreadableFilm:
        return np.empty((0, 0), np.uint8)


def _reasons(manifest: Manifest, films: FilmCache, decode: Callable[[Path], Pixels]) -> dict[str, str]:
    """Why films are unreadable: the reader tries again, for the few that are."""
    reasons = {}
    for index, row in enumerate(manifest.rows):
        if films[index].size == 0:
            try:
                decode(manifest.path(row))
            except UnreadableFilm as error:
                reasons[row.image] = error.reason
            else:  # read on the second try: a network drive's hiccup when the cache was built
                with suppress(OSError):
                    films.path.unlink()
                reasons[row.image] = "could not be read when the cache was built; try again"
    return reasons


def prune(folder: Path, *, now: float | None = None) -> None:
    """Removes cache files that no training has used for 30 days; a cache must not grow without end."""
    limit = (time.time() if now is None else now) - _UNUSED_DAYS * 86_400
    for file in _cache_files(folder):
        with suppress(OSError):  # another training removes it at the same time, or it is another user's
            if file.stat().st_mtime < limit:
                file.unlink()


def _cache_files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from folder.glob("*.films")
