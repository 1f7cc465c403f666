"""Takes the films, and only the films, out of a release's zip; a hostile zip is refused before a byte is written.

The Kaggle zip holds the set twice (``chest_xray/`` and again ``chest_xray/chest_xray/``) and macOS's litter
(``__MACOSX/``, ``._*.jpeg``, ``.DS_Store``). The second copy is compared film by film and dropped where it is the
same; what differs is kept aside.
"""

import errno
import hashlib
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from pneumocli.core.errors import DownloadError, bytes_text
from pneumocli.core.events import Listener, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.files import write_failure
from pneumocli.core.records import CLASS_NAMES
from pneumocli.data.film_files import is_film_content, system_file, system_folder
from pneumocli.data.formats import HEAD_BYTES, is_film_name
from pneumocli.data.layout import place_in_splits

ASIDE = "second-copy"
"""Folder, beside train, val and test, for films of a second copy that differ from the first."""

MOST_MEMBERS = 200_000
MOST_MEMBER_BYTES = 1 << 30
MOST_TOTAL_BYTES = 32 << 30
MOST_RATIO = 200
"""Unpacked / packed bytes of a member. Films hardly shrink; an uncompressed DICOM with an empty border by some 50."""

_SMALL_BYTES = 1 << 20  # below this the ratio means nothing: an empty text shrinks a thousand times and does no harm
_BLOCK_BYTES = 1 << 20
_ENCRYPTED = 0x1

# What zipfile raises for damaged members.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)

# What Windows cannot have as a file name; the set must be movable.
_HOSTILE = re.compile(r'[<>:"|?*\x00-\x1f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)


class BadArchive(DownloadError):  # noqa: N818 - named after what it is, as its siblings are
    """A zip is no zip, cut off, damaged, unsafe, or holds no films."""


@dataclass(frozen=True, slots=True)
class _Film:
    """A member to unpack to ``place``, relative to the data folder."""

    member: zipfile.ZipInfo
    place: PurePosixPath


@dataclass(frozen=True, slots=True)
class _Copy:
    """A member that seems to be the film at ``twin`` again: dropped if so, else unpacked to ``place``."""

    member: zipfile.ZipInfo
    twin: PurePosixPath | None
    place: PurePosixPath


@dataclass
class Contents:
    """What a zip holds.

    Attributes:
        planned: The films and where they go.
        copies: Films that seem to be there already.
        renamed: New name by old name in the zip, where a system could not have had the old one.
        num_litter: Files of macOS and Windows that are no films.
        others: Files that are no films of the layout.
    """

    planned: list[_Film] = field(default_factory=list)
    copies: list[_Copy] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    num_litter: int = 0
    others: list[str] = field(default_factory=list)

    @property
    def films(self) -> tuple[str, ...]:
        """Relative places of the films, such as ``train/NORMAL/IM-0115-0001.jpeg``."""
        return tuple(str(film.place) for film in self.planned)

    @property
    def num_bytes(self) -> int:
        """Of the films when unpacked."""
        return sum(film.member.file_size for film in self.planned)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What became of a zip.

    Attributes:
        num_films: Films in the splits.
        num_identical: Films of a second copy that were proven identical, by SHA-256, and dropped.
        differing: Places of those that differ, in the data folder.
    """

    num_films: int
    num_identical: int
    differing: tuple[str, ...]


@contextmanager
def opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Opens a zip.

    Raises:
        BadArchive: It is no zip, or not all of one.
        DownloadError: It cannot be read.
    """
    try:
        file = zipfile.ZipFile(archive)
    except IsADirectoryError as error:
        raise DownloadError(f"{archive} is a folder, expected a zip", "name the zip itself") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # its end points to before its beginning
            raise _not_whole(archive) from error
        raise DownloadError(f"cannot read {archive}: {error.strerror}") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise _not_whole(archive) from error
    with file:
        yield file


def _not_whole(archive: Path) -> BadArchive:
    size = archive.stat().st_size
    with archive.open("rb") as file:
        start = file.read(4)
    if start.startswith(b"PK"):
        return BadArchive(
            f"{archive} is cut off: it begins as a zip and ends after {size:,} bytes without a sound table of contents",
            "fetch it again",
        )
    return BadArchive(f"{archive} is no zip: it begins with {bytes_text(start)}", "name the zip of a release")


def contents(archive: Path, zip_file: zipfile.ZipFile) -> Contents:
    """Looks through a zip's table of contents; nothing is unpacked.

    Args:
        archive: Its path, for messages.
        zip_file: The open zip.

    Raises:
        BadArchive: A member is hostile or encrypted, sizes are absurd, or there are no films.
    """
    for member in zip_file.infolist():
        _refuse_hostile(archive, member)
    members = [member for member in zip_file.infolist() if not member.is_dir()]
    _refuse_absurd_sizes(archive, members)
    found = Contents()
    by_root: dict[PurePosixPath, list[tuple[zipfile.ZipInfo, PurePosixPath]]] = {}
    for member in members:
        path = _path_of(member)
        place = _place_in_layout(zip_file, member, path)
        if _is_litter(path):
            found.num_litter += 1
        elif place is None:
            found.others.append(member.filename)
        else:
            by_root.setdefault(PurePosixPath(*path.parts[:-3]), []).append((member, place))
    if not by_root:
        raise BadArchive(
            f"{archive} holds no films: expected train|val|test / NORMAL|PNEUMONIA, found {_listing(members)}",
            "name the zip of the Kaggle or of the Mendeley release",
        )
    _sort_out(by_root, found)
    return found


def _refuse_absurd_sizes(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MOST_MEMBERS:
        raise _unsafe(archive, f"it holds {len(members):,} files, at most {MOST_MEMBERS:,} are taken")
    total = sum(member.file_size for member in members)
    if total > MOST_TOTAL_BYTES:
        raise _unsafe(archive, f"it unpacks to {total:,} bytes, at most {MOST_TOTAL_BYTES:,} are taken")
    packed, size = sum(member.compress_size for member in members), archive.stat().st_size
    if packed > size:  # the same packed bytes serve several members: https://www.bamsoftware.com/hacks/zipbomb/
        raise _unsafe(archive, f"its members claim {packed:,} packed bytes of {size:,}: they overlap")


def _refuse_hostile(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    if not name:
        raise BadArchive(f"{archive} is damaged: a member has no name", "fetch it again")
    path = name.replace("\\", "/")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        raise _unsafe(archive, f"member {name!r} has an absolute path")
    if ".." in path.split("/"):
        raise _unsafe(archive, f"member {name!r} climbs out of the folder")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "a special file"
        raise _unsafe(archive, f"member {name!r} is {what}")
    if member.flag_bits & _ENCRYPTED:
        raise _unsafe(archive, f"member {name!r} is encrypted, which no release is")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadArchive(
            f"{archive} packs {name!r} by method {member.compress_type}, expected stored or deflated",
            "unpack it by other means and pack it again, or fetch the release's zip",
        )
    if member.file_size > MOST_MEMBER_BYTES:
        raise _unsafe(archive, f"member {name!r} unpacks to {member.file_size:,} bytes, which no film has")
    if member.file_size > max(_SMALL_BYTES, MOST_RATIO * member.compress_size):
        raise _unsafe(
            archive,
            f"member {name!r} grows from {member.compress_size:,} to {member.file_size:,} bytes, as a bomb does",
        )


def _unsafe(archive: Path, reason: str) -> BadArchive:
    return BadArchive(
        f"{archive} is not safe to unpack: {reason}", "fetch the release's zip from Kaggle or Mendeley Data"
    )


def _path_of(member: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(member.filename.replace("\\", "/"))  # some Windows programs write backslashes


def _is_litter(path: PurePosixPath) -> bool:
    return system_file(path.name) is not None or any(system_folder(part) is not None for part in path.parts[:-1])


def _place_in_layout(zip_file: zipfile.ZipFile, member: zipfile.ZipInfo, path: PurePosixPath) -> PurePosixPath | None:
    """``split/CLASS/name`` of a film, spelled as the layout spells it; ``None`` for anything else."""
    place = place_in_splits("/".join(path.parts[-3:]))
    if place is None or not (is_film_name(path.name) or _is_film_by_content(zip_file, member, path)):
        return None
    return PurePosixPath(place.split, CLASS_NAMES[place.label], path.name)


def _is_film_by_content(zip_file: zipfile.ZipFile, member: zipfile.ZipInfo, path: PurePosixPath) -> bool:
    """Whether a member is a film by its first bytes; one that cannot be read is none, and is named as left out."""
    try:
        with zip_file.open(member) as content:
            head = content.read(HEAD_BYTES)
    except (*_UNREADABLE, OSError):
        return False
    return is_film_content(head, path.suffix.lower())


def _listing(members: list[zipfile.ZipInfo]) -> str:
    tops = sorted({_path_of(member).parts[0] for member in members if _path_of(member).parts})
    return ", ".join(tops[:4]) + (f" and {len(tops) - 4} more" if len(tops) > 4 else "") if tops else "nothing"


def _sort_out(by_root: dict[PurePosixPath, list[tuple[zipfile.ZipInfo, PurePosixPath]]], found: Contents) -> None:
    """Decides for each film whether it is unpacked, or compared with one that is."""
    roots = sorted(by_root, key=lambda root: (-len(by_root[root]), len(root.parts), root))
    taken: dict[str, PurePosixPath] = {}
    for member, original in by_root[roots[0]]:
        place = _portable(original)
        twin = taken.get(_key(place))
        if twin is not None:  # the same name again, or one that differs in case: one file on many systems
            place = _free(place, taken)
            found.copies.append(_Copy(member, twin, place))
        else:
            found.planned.append(_Film(member, place))
        taken[_key(place)] = place
        if place != original:
            found.renamed[member.filename] = str(place)
    for root in roots[1:]:
        for member, original in by_root[root]:
            place = _portable(original)
            aside = _free(PurePosixPath(ASIDE) / place, taken)
            taken[_key(aside)] = aside
            found.copies.append(_Copy(member, taken.get(_key(place)), aside))


def _key(place: PurePosixPath) -> str:
    """Equal for names that are one file on systems that fold case or compose accents."""
    return unicodedata.normalize("NFC", str(place)).casefold()


def _free(place: PurePosixPath, taken: dict[str, PurePosixPath]) -> PurePosixPath:
    """``place``, or the first of ``name_2``, ``name_3`` ... that is not taken."""
    candidate, number = place, 2
    while _key(candidate) in taken:
        candidate = place.with_name(f"{place.stem}_{number}{place.suffix}")
        number += 1
    return candidate


def _portable(place: PurePosixPath) -> PurePosixPath:
    """The place with a name that Windows can have, too."""
    name = _HOSTILE.sub("_", place.name).rstrip(". ")
    return place.with_name(f"_{name}" if _RESERVED.match(name) else name)


def unpack(
    archive: Path, zip_file: zipfile.ZipFile, found: Contents, folder: Path, listener: Listener = ignore
) -> Unpacked:
    """Unpacks the films; every byte is checked against the zip's checksums on the way.

    Args:
        archive: Path of the zip, for messages.
        zip_file: The open zip.
        found: What :func:`contents` found in it.
        folder: Data folder to make; must not exist.
        listener: Gets progress.

    Raises:
        BadArchive: A member is damaged.
        DownloadError: ``folder`` cannot be written. What was unpacked is left to the caller.
    """
    task = "unpacking films"
    listener(TaskStarted(task, len(found.planned) + len(found.copies)))
    hashes: dict[PurePosixPath, bytes] = {}
    for number, film in enumerate(found.planned, start=1):
        hashes[film.place] = _write(archive, zip_file, film.member, folder / film.place)
        listener(TaskAdvanced(task, number))
    differing = []
    for number, copy in enumerate(found.copies, start=len(found.planned) + 1):
        if copy.twin is None or _hash(archive, zip_file, copy.member) != hashes.get(copy.twin):
            hashes[copy.place] = _write(archive, zip_file, copy.member, folder / copy.place)
            differing.append(str(copy.place))
        listener(TaskAdvanced(task, number))
    listener(TaskFinished(task))
    in_splits = sum(not place.startswith(ASIDE) for place in differing)
    return Unpacked(len(found.planned) + in_splits, len(found.copies) - len(differing), tuple(differing))


def _write(archive: Path, zip_file: zipfile.ZipFile, member: zipfile.ZipInfo, file: Path) -> bytes:
    """Unpacks a member and returns its SHA-256."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as out:
            return _hash(archive, zip_file, member, out)
    except OSError as error:
        failure = write_failure(file, error)
        raise DownloadError(
            f"{failure.message}; nothing was left of the unpacked films",
            "make room and run the same command again, or choose another disk with --data DIR",
        ) from error


def _hash(archive: Path, zip_file: zipfile.ZipFile, member: zipfile.ZipInfo, out: IO[bytes] | None = None) -> bytes:
    """The SHA-256 of a member, whose bytes go to ``out`` on the way."""
    digest = hashlib.sha256()
    for block in _blocks(archive, zip_file, member):
        digest.update(block)
        if out is not None:
            out.write(block)
    return digest.digest()


def _blocks(archive: Path, zip_file: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """A member's bytes; the library compares the checksum at the end."""
    try:
        with zip_file.open(member) as source:
            count = 0
            while block := source.read(_BLOCK_BYTES):
                count += len(block)
                yield block
    except _UNREADABLE as error:
        reason = str(error).split(" for file")[0]  # zipfile adds the name that stands in front already
        raise _damaged(archive, member, reason or "it ends early") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # the table of contents points to before the zip's beginning
            raise _damaged(archive, member, "it is not where it should be") from error
        raise DownloadError(f"cannot read {archive}: {error.strerror or error}") from error
    if count != member.file_size:
        raise _damaged(archive, member, f"{count:,} bytes, expected {member.file_size:,}")


def _damaged(archive: Path, member: zipfile.ZipInfo, reason: str) -> BadArchive:
    return BadArchive(f"{archive} is damaged at {member.filename}: {reason}", "fetch it again")
