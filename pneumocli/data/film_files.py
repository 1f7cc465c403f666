"""The one rule for which files are films: every command that reads a folder walks it here.

Left out are the files and folders that systems and programs keep for themselves, whatever lies in them. Links to
folders are followed, but never in a circle. A file is a film by the ending of its name; one whose ending means nothing
is a film where its content is DICOM, as hospital archives write it, and one without any ending where its content is
any format that is read.
"""

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pneumocli.core.files import read_file
from pneumocli.data.film import UnreadableFilm
from pneumocli.data.formats import HEAD_BYTES, format_of, is_film_name, is_other_picture_name, what_it_is

MOST_FILM_BYTES = 1 << 30
"""More than any film takes."""

Kind = Literal["film", "picture", "file", "system", "unopened"]

# Lower case. Hidden names, which begin with a dot, need no list: .DS_Store, ._film.jpeg, .ipynb_checkpoints, .git,
# .svn, .Spotlight-V100, .Trashes, .fseventsd, .snapshot, .zfs, .AppleDouble, .nfs000..., .fuse_hidden..., .@__thumb.
_SYSTEM_NAMES: dict[str, str] = {
    "__macosx": "macOS's attributes in a zip",
    "icon\r": "macOS's icon of a folder",
    "network trash folder": "macOS's bin on a file server",
    "temporary items": "macOS's temporary files",
    "thevolumesettingsfolder": "macOS's settings on a file server",
    "desktop db": "macOS's view of a file server",
    "desktop df": "macOS's view of a file server",
    "thumbs.db": "Windows' thumbnails",
    "ehthumbs.db": "Windows' thumbnails",
    "ehthumbs_vista.db": "Windows' thumbnails",
    "desktop.ini": "Windows' view of the folder",
    "$recycle.bin": "Windows' bin",
    "recycler": "Windows' bin",
    "recycled": "Windows' bin",
    "system volume information": "Windows' own folder on a disk",
    "lost+found": "pieces that a check of the disk found",
    "@eadir": "a Synology file server's thumbnails",
    "@tmp": "a file server's temporary files",
    "@sharebin": "a Synology file server's bin",
    "@sharesnap": "a Synology file server's snapshots",
    "network recycle bin 1": "an Asustor file server's bin",
    "trashbox": "a Buffalo file server's bin",
    "_gsdata_": "GoodSync's own folder",
    "$extend": "Windows' own folder on a disk",
    "#recycle": "a Synology file server's bin",
    "#snapshot": "a Synology file server's snapshots",
    "@recycle": "a QNAP file server's bin",
    "@recently-snapshot": "a QNAP file server's snapshots",
    "@__thumb": "a QNAP file server's thumbnails",
    "~snapshot": "a file server's snapshots",
    "snapshot~": "a file server's snapshots",
    "zbthumbnail.info": "a camera program's thumbnails",
    "picasa.ini": "Picasa's settings",
    "cvs": "CVS's own folder",
    "_darcs": "Darcs' own folder",
    "__pycache__": "Python's compiled files",
    "dicomdir": "the index of a DICOM medium",
}
_SYSTEM_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\._.*"), "macOS's attributes of another file"),
    (re.compile(r"\.ds_store"), "macOS's view of the folder"),
    (re.compile(r"\.ipynb_checkpoints"), "copies that Jupyter made"),
    (re.compile(r"\..*"), "hidden"),
    (re.compile(r"found\.\d{3}"), "pieces that a check of the disk found"),
)

# Of files alone: a folder NORMAL.old may hold films that somebody misses.
_SYSTEM_FILE_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"~\$.*"), "a file that Office has open"),
    (re.compile(r".*~|#.*#|.*\.sw[op]|.*\.(bak|orig|old)"), "an editor's copy"),
    (re.compile(r".*\.(part|partial|crdownload|download|filepart|tmp|temp|aria2|opdownload)"), "an unfinished file"),
    (re.compile(r".*:zone\.identifier(:\$data)?"), "Windows' mark of a download"),
    (re.compile(r".*@syno(eastream|resource)"), "a Synology file server's attributes"),
    (re.compile(r"thumbs\.db:encryptable"), "Windows' thumbnails"),
)

# Text may begin like a picture: "BM" is BMP's signature.
_NO_FILM_ENDINGS = frozenset(
    {
        *(".txt", ".csv", ".tsv", ".tab", ".lst", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".cfg"),
        *(".md", ".rst", ".rtf", ".tex", ".bib", ".html", ".htm", ".css", ".log", ".sql"),
        *(".py", ".ipynb", ".r", ".m", ".sh", ".js"),
        *(".svg", ".svgz", ".emf", ".wmf", ".eps", ".npy", ".npz"),  # drawings and arrays: hardly anybody's films
    }
)


@dataclass(frozen=True, slots=True)
class Found:
    """Something in a folder.

    Attributes:
        path: Its path, which begins as the folder was given.
        kind: A ``film``; a ``picture`` in a format that is not read; another ``file``; what a ``system`` or a program
            keeps for itself, file or folder; or a folder that cannot be ``unopened``.
        reason: What it is, for all but films.
    """

    path: str
    kind: Kind
    reason: str = ""


def system_folder(name: str) -> str | None:
    """Describes a folder that a system or a program keeps for itself, by its name; ``None`` for any other.

    >>> system_folder(".ipynb_checkpoints"), system_folder("NORMAL")
    ('copies that Jupyter made', None)
    """
    lower = name.lower()
    if lower in _SYSTEM_NAMES:
        return _SYSTEM_NAMES[lower]
    return next((what for pattern, what in _SYSTEM_PATTERNS if pattern.fullmatch(lower)), None)


def system_file(name: str) -> str | None:
    """Describes a file that a system or a program keeps for itself, by its name; ``None`` for any other.

    >>> system_file("._a.jpeg"), system_file("a.jpeg")
    ("macOS's attributes of another file", None)
    """
    what = system_folder(name)
    return what or next((what for pattern, what in _SYSTEM_FILE_PATTERNS if pattern.fullmatch(name.lower())), None)


def walk(folder: str, *, look: bool = True) -> Iterator[Found]:
    """Everything in a folder and the folders below it, in an order that every machine agrees on.

    Only the names of one folder at a time are held. A link to a folder that leads back to one on the way to it, or to
    one above ``folder``, is not followed.

    Args:
        folder: Where to begin; its own name may be any.
        look: Whether files without a known ending are opened; else they count as no films.
    """
    failed: list[OSError] = []
    ancestors: dict[str, frozenset[tuple[int, int]]] = {folder: _above(folder)}
    for root, names, files in os.walk(folder, onerror=failed.append, followlinks=True):
        yield from _unopened(failed)
        state = os.stat(root)  # noqa: PTH116 - half a million of them: a Path costs as much as the call
        above = ancestors.pop(root, frozenset())
        if (state.st_dev, state.st_ino) in above:
            names.clear()
            continue
        system = sorted(name for name in names if system_folder(name) is not None)
        names[:] = sorted(set(names) - set(system))
        here = above | {(state.st_dev, state.st_ino)}
        ancestors.update((os.path.join(root, name), here) for name in names)  # noqa: PTH118
        for name in system:
            yield Found(os.path.join(root, name), "system", system_folder(name) or "")  # noqa: PTH118
        for name in sorted(files):
            yield _file(os.path.join(root, name), name, look=look)  # noqa: PTH118
    yield from _unopened(failed)


def _above(folder: str) -> frozenset[tuple[int, int]]:
    """The folders above a folder, as the system numbers them."""
    try:
        states = [parent.stat() for parent in Path(folder).resolve().parents]
    except OSError:
        return frozenset()
    return frozenset((state.st_dev, state.st_ino) for state in states)


def _unopened(failed: list[OSError]) -> Iterator[Found]:
    while failed:
        error = failed.pop(0)
        reason = error.strerror or os.strerror(error.errno or errno.EIO)
        yield Found(str(error.filename), "unopened", f"the folder cannot be opened: {reason}")


def _file(path: str, name: str, *, look: bool) -> Found:
    what = system_file(name)
    if what is not None:
        return Found(path, "system", what)
    if is_film_name(name):
        return Found(path, "film")
    ending = PurePosixPath(name).suffix.lower()
    if not look or ending in _NO_FILM_ENDINGS:
        return Found(path, "file", "no film's ending")
    if is_other_picture_name(name):
        return Found(path, "picture", what_it_is(_head(path)) or "is in a format that is not read")
    return _by_content(path, ending)


def _by_content(path: str, ending: str) -> Found:
    try:
        head = _head(path)
    except OSError:
        # A link that leads nowhere may have been a film: reading it names the reason.
        may_be = not ending and os.path.islink(path)  # noqa: PTH114 - paths are text here
        return Found(path, "film") if may_be else Found(path, "file", "no film's ending")
    if is_film_content(head, ending):
        return Found(path, "film")
    form = _format(head)
    if form is not None:
        return Found(path, "picture", f"is {form}, but its name does not end like a film's")
    return Found(path, "file", "no film's ending")


def is_film_content(head: bytes, ending: str) -> bool:
    """Whether a file whose name is no film's is one by its content.

    Args:
        head: Its first :data:`pneumocli.data.formats.HEAD_BYTES` bytes.
        ending: What its name ends in, in lower case, with the dot; empty where it has no ending.
    """
    if ending in _NO_FILM_ENDINGS:
        return False
    form = _format(head)
    return form == "DICOM" or (form is not None and not ending)


def _format(head: bytes) -> str | None:
    form = format_of(head)
    if form == "BMP" and head[6:10] != bytes(4):  # reserved, always zero; two letters alone are no proof
        return None
    return form


def _head(path: str) -> bytes:
    if not os.path.isfile(path):  # noqa: PTH113 - a pipe would wait for its writer
        raise FileNotFoundError(errno.ENOENT, "is no file", path)
    with open(path, "rb") as file:  # noqa: PTH123 - paths are text here
        return file.read(HEAD_BYTES)


def film_content(path: Path) -> bytes:
    """The bytes of a film's file.

    Raises:
        UnreadableFilm: It cannot be opened, is no file, or holds more than any film does.
    """
    try:
        return read_file(path, MOST_FILM_BYTES)
    except OSError as error:
        raise UnreadableFilm(why_unopened(path, error)) from error


def why_unopened(path: Path, error: OSError) -> str:
    """Why a film cannot be opened, as the reason of an unreadable film."""
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return (
            f"cannot be opened: it is a link to {path.readlink()}, which is not there (datalad get, git annex get or "
            "the disk that holds it)"
        )
    return f"cannot be opened: {error.strerror}"


def left_out(number: int, example: str) -> str:
    """A remark on hidden and system files that were left out."""
    if number == 1:
        return f"1 hidden or system file or folder is left out: {example}"
    return f"{number:,} hidden or system files and folders are left out, such as {example}"
