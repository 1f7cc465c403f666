"""What the user named, as films: files, folders, patterns that no shell expanded, standard input.

Everything is lazy: a folder of a million films is walked while the first ones are scored already. Only the names of
one folder at a time are held, because an order that every machine agrees on (shards rely on it) needs sorting.
"""

import glob
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath

from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.data.film_files import MOST_FILM_BYTES, left_out, system_file, walk
from pneumocli.inference.remote import RemoteFilm, is_remote, remote_items, shown_address
from pneumocli.run_folder import RunFolder

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Named:
    """A film as the user named it, or a name that leads to none.

    Attributes:
        image: What the answer is filed under: the path as given, or the folder as given and the path below it.
        source: The file, the object in a store, or the content of standard input; ``None`` when there is an ``error``.
        place: Path below the folder that was named, or the file's own name: where its explanation goes.
        error: Why there is no film.
    """

    image: str
    source: Path | RemoteFilm | bytes | None
    place: PurePath
    error: str | None = None


def find_films(inputs: Iterable[str], listener: Listener = ignore) -> Iterator[Named]:
    """The films that ``inputs`` name, in their order, folders sorted by name; a film named twice comes once.

    Args:
        inputs: Paths of files and folders, glob patterns (``**`` crosses folders), or ``-``.
        listener: Gets, after each folder, what in it was left out.

    Yields:
        Films, and one item with an ``error`` for each input and each folder that gives none.
    """
    given = list(inputs)
    if len(given) == 1:  # one folder, as large as it may be, cannot hold the same name twice
        yield from _films_of(given[0], listener)
        return
    seen: set[str] = set()
    for name in given:
        for film in _films_of(name, listener):
            key = _identity(film)
            if key not in seen:
                seen.add(key)
                yield film


def count_films(inputs: Iterable[str]) -> int | None:
    """About how many films :func:`find_films` will give: for a display of progress. Opens no file.

    ``None`` where an input is an address: to list a store twice could take minutes.
    """
    inputs = list(inputs)
    if any(map(is_remote, inputs)):
        return None
    return sum(1 for name in inputs for _ in _films_of(name, ignore, read=False))


def shown(path: str) -> str:
    """A path as text that every file and terminal takes: bytes that are no UTF-8 become escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _path_of(film: Named) -> str:
    return str(film.source) if isinstance(film.source, Path) else film.image


def _identity(film: Named) -> str:
    """What tells whether two names lead to one film."""
    if film.image == STANDARD_INPUT:
        return STANDARD_INPUT
    if isinstance(film.source, RemoteFilm):
        return f"{film.source.system.protocol}:{film.source.path}"
    return os.path.abspath(_path_of(film))  # noqa: PTH100 - links count as films of their own


def _films_of(name: str, listener: Listener, *, read: bool = True) -> Iterator[Named]:
    if name == STANDARD_INPUT:
        yield _from_standard_input() if read else Named(name, b"", PurePath("stdin"))
    elif is_remote(name):
        yield from _stored(name, listener)
    elif os.path.isdir(name):  # noqa: PTH112 - a Path would drop a trailing slash or a leading ./ from the name
        yield from _below(name, listener, read=read)
    elif os.path.lexists(name) or not glob.has_magic(name):
        yield Named(shown(name), Path(name), PurePath(Path(name).name))
    else:
        yield from _matches(name, listener, read=read)


def _from_standard_input() -> Named:
    place = PurePath("stdin")
    content = sys.stdin.buffer.read(MOST_FILM_BYTES)
    if len(content) == MOST_FILM_BYTES:
        return Named(STANDARD_INPUT, None, place, f"more than {MOST_FILM_BYTES:,} bytes on standard input")
    return Named(STANDARD_INPUT, content, place)


def _stored(address: str, listener: Listener) -> Iterator[Named]:
    """The films at an address, and below it."""
    found, rest, first = False, 0, ""
    for item in remote_items(address):
        if item.film is not None:
            found = True
            yield Named(shown(item.name), item.film, item.place)
        else:
            rest += 1
            first = first or item.name
    if not found:
        yield Named(shown_address(address), None, PurePath("none"), "there are no films below this address")
    if rest:
        listener(Remark(_no_films(rest, "object", shown(first))))


def _matches(pattern: str, listener: Listener, *, read: bool) -> Iterator[Named]:
    matches = [match for match in sorted(set(glob.glob(pattern, recursive=True))) if not _is_system(match, pattern)]  # noqa: PTH207 - absolute ones
    if not matches:
        yield _nothing(pattern, "no file matches this pattern" if glob.has_magic(pattern) else "does not exist")
    for match in matches:
        # A pattern with ** lists the files of a folder beside the folder itself.
        if not os.path.isdir(match):  # noqa: PTH112
            yield Named(shown(match), Path(match), PurePath(Path(match).name))
        elif "**" not in pattern:
            yield from _below(match, listener, read=read)


def _is_system(match: str, pattern: str) -> bool:
    """Whether a wildcard has matched what a system keeps for itself; a name that the pattern spells out is meant."""
    spelled = set(PurePath(pattern).parts)
    return any(system_file(part) is not None for part in PurePath(match).parts if part not in spelled)


def _runs_below(folder: str) -> Callable[[str], str | None]:
    """Gives the run that a folder below ``folder`` is, or lies in."""

    @lru_cache(maxsize=1024)
    def run_of(path: str) -> str | None:
        if len(path) <= len(folder):
            return None
        run = RunFolder(Path(path))
        if run.is_there:
            return path
        return run_of(os.path.dirname(path))  # noqa: PTH120 - paths are text here

    return run_of


def _below(folder: str, listener: Listener, *, read: bool) -> Iterator[Named]:
    """The films below a folder, by the rule of :mod:`pneumocli.data.film_files`.

    A picture in a format that is not read gets an error of its own: a folder of them does not hold nothing. What lies
    in a run below the folder is left out: its pictures are drawn, or are films with marks.
    """
    found = False
    rest: Counter[str] = Counter()
    first: dict[str, str] = {}
    run_of = _runs_below(folder)
    for item in walk(folder, look=read):
        path = item.path
        run = run_of(os.path.dirname(path))  # noqa: PTH120 - paths are text here
        if run is not None:
            first.setdefault("run", shown(run))
        elif item.kind in ("film", "picture"):
            found = True
            place = PurePath(os.path.relpath(path, folder))
            yield Named(shown(path), Path(path) if item.kind == "film" else None, place, item.reason or None)
        elif item.kind == "unopened":
            found = True
            yield _nothing(path, item.reason)
        else:
            rest[item.kind] += 1
            first.setdefault(item.kind, shown(path))
    if not found:
        yield _nothing(folder, "holds no films")
    if "run" in first:
        listener(Remark(f"pictures in runs are left out, such as those in {first['run']}"))
    if rest["system"]:
        listener(Remark(left_out(rest["system"], first["system"])))
    if rest["file"]:
        listener(Remark(_no_films(rest["file"], "file", first["file"])))


def _no_films(number: int, what: str, example: str) -> str:
    """A remark on what is no film.

    >>> _no_films(1, "file", "a.txt"), _no_films(2, "file", "a.txt")
    ('1 file is no film: a.txt', '2 files are no films, such as a.txt')
    """
    return f"1 {what} is no film: {example}" if number == 1 else f"{number:,} {what}s are no films, such as {example}"


def _nothing(name: str, error: str) -> Named:
    return Named(shown(name), None, PurePath(Path(name).name), error)
