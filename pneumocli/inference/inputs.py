"""What the user named, as films: files, folders, patterns that no shell expanded, standard input.

Everything is lazy: a folder of a million films is walked while the first ones are scored already. Only the names of
one folder at a time are held, because an order that every machine agrees on (shards rely on it) needs sorting.
"""

import errno
import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from pneumocli.data.images import is_film_name

STANDARD_INPUT = "-"

# More than any film takes; the size of standard input is not known beforehand.
_MOST_INPUT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Named:
    """A film as the user named it, or a name that leads to none.

    Attributes:
        image: What the answer is filed under: the path as given, or the folder as given and the path below it.
        source: The file, or the content of standard input; ``None`` when there is an ``error``.
        place: Path below the folder that was named, or the file's own name: where its explanation goes.
        error: Why there is no film.
    """

    image: str
    source: Path | bytes | None
    place: PurePath
    error: str | None = None


def find_films(inputs: Iterable[str]) -> Iterator[Named]:
    """The films that ``inputs`` name, in their order, folders sorted by name; a film named twice comes once.

    Args:
        inputs: Paths of files and folders, glob patterns (``**`` crosses folders), or ``-``.

    Yields:
        Films, and one item with an ``error`` for each input and each folder that gives none.
    """
    given = list(inputs)
    if len(given) == 1:  # one folder, as large as it may be, cannot hold the same name twice
        yield from _films_of(given[0])
        return
    seen: set[str] = set()
    for name in given:
        for film in _films_of(name):
            key = STANDARD_INPUT if film.image == STANDARD_INPUT else os.path.abspath(_path_of(film))  # noqa: PTH100 - links count as films of their own
            if key not in seen:
                seen.add(key)
                yield film


def count_films(inputs: Iterable[str]) -> int:
    """About how many films :func:`find_films` will give: for a display of progress. Opens no file."""
    return sum(1 for name in inputs for _ in _films_of(name, read=False))


def shown(path: str) -> str:
    """A path as text that every file and terminal takes: bytes that are no UTF-8 become escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _path_of(film: Named) -> str:
    return str(film.source) if isinstance(film.source, Path) else film.image


def _films_of(name: str, *, read: bool = True) -> Iterator[Named]:
    if name == STANDARD_INPUT:
        yield _from_standard_input() if read else Named(name, b"", PurePath("stdin"))
    elif os.path.isdir(name):  # noqa: PTH112 - a Path would drop a trailing slash or a leading ./ from the name
        yield from _below(name)
    elif os.path.lexists(name) or not glob.has_magic(name):
        yield Named(shown(name), Path(name), PurePath(Path(name).name))
    else:
        yield from _matches(name)


def _from_standard_input() -> Named:
    place = PurePath("stdin")
    content = sys.stdin.buffer.read(_MOST_INPUT_BYTES)
    if len(content) == _MOST_INPUT_BYTES:
        return Named(STANDARD_INPUT, None, place, f"more than {_MOST_INPUT_BYTES:,} bytes on standard input")
    return Named(STANDARD_INPUT, content, place)


def _matches(pattern: str) -> Iterator[Named]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - takes absolute patterns, too
    if not matches:
        yield _nothing(pattern, "no file matches this pattern" if glob.has_magic(pattern) else "does not exist")
    for match in matches:
        # A pattern with ** lists the files of a folder beside the folder itself.
        if not os.path.isdir(match):  # noqa: PTH112
            yield Named(shown(match), Path(match), PurePath(Path(match).name))
        elif "**" not in pattern:
            yield from _below(match)


def _below(folder: str) -> Iterator[Named]:
    """The films below a folder; links to folders are followed, but never in a circle."""
    found = False
    failed: list[OSError] = []
    for root, names, files in _walk(folder, failed):
        del names
        for name in files:
            path = os.path.join(root, name)  # noqa: PTH118
            found = True
            yield Named(shown(path), Path(path), PurePath(os.path.relpath(path, folder)))
        while failed:
            found = True
            yield _unopened(failed.pop())
    while failed:
        found = True
        yield _unopened(failed.pop())
    if not found:
        yield _nothing(folder, "the folder holds no films")


def _walk(folder: str, failed: list[OSError]) -> Iterator[tuple[str, list[str], list[str]]]:
    """``os.walk`` in a fixed order, with only the names of films."""
    ancestors: dict[str, frozenset[tuple[int, int]]] = {folder: frozenset()}
    for root, names, files in os.walk(folder, onerror=failed.append, followlinks=True):
        state = os.stat(root)  # noqa: PTH116
        above = ancestors.pop(root, frozenset())
        if (state.st_dev, state.st_ino) in above:  # a link back to a folder that we are in
            names.clear()
            continue
        names[:] = sorted(name for name in names if not name.startswith("."))
        here = above | {(state.st_dev, state.st_ino)}
        ancestors.update((os.path.join(root, name), here) for name in names)  # noqa: PTH118
        yield root, names, sorted(name for name in files if is_film_name(name))


def _unopened(error: OSError) -> Named:
    reason = error.strerror or os.strerror(error.errno or errno.EIO)
    return _nothing(str(error.filename), f"the folder cannot be opened: {reason}")


def _nothing(name: str, error: str) -> Named:
    return Named(shown(name), None, PurePath(Path(name).name), error)
