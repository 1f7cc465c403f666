"""The zip of a release on this disk: the user's own or a fetched one, how much room it needs, what becomes of it."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from pneumocli.core.config import DownloadConfig
from pneumocli.core.errors import DownloadError
from pneumocli.core.events import Listener, Remark, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.release.http import Fetched, Remote, WebFile, fetch, partial_record
from pneumocli.release.http_errors import megabytes
from pneumocli.release.sources import RemoteArchive
from pneumocli.release.staging import Workplace
from pneumocli.release.unzip import BadArchive

_BLOCK_BYTES = 1 << 20
_SPARE_BYTES = 50_000_000  # beyond what the films need: file systems round up, and a full disk hurts others


@dataclass(frozen=True, slots=True)
class ReleaseZip:
    """A zip to unpack.

    Attributes:
        file: Where it is.
        own: Whether the user brought it: then it is never deleted.
        sha256: Its hash, once it was taken.
        num_bytes: Fetched over the network for it.
        num_breaks: Connections that broke on the way.
    """

    file: Path
    own: bool
    sha256: str
    num_bytes: int = 0
    num_breaks: int = 0


def given(file: Path, listener: Listener) -> ReleaseZip:
    """The user's own zip, hashed.

    Raises:
        DownloadError: There is no such file.
    """
    refuse_missing(file)
    return ReleaseZip(file, own=True, sha256=_sha256(file, listener))


def refuse_missing(file: Path) -> None:
    """Refuses a zip of the user's that is not there.

    Raises:
        DownloadError: There is no such file.
    """
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise DownloadError(f"{file} {what}, expected the zip of a release", "give the zip's path to --archive")


def fetched(remote: RemoteArchive, config: DownloadConfig, place: Workplace, listener: Listener) -> ReleaseZip:
    """The release's zip in the work folder, whole; what earlier calls fetched of it is used.

    Raises:
        DownloadError: It could not be had, or is not the release that is known.
    """
    whole = place.work / remote.file_name
    part = place.work / f"{remote.file_name}.part"
    if config.force:
        whole.unlink(missing_ok=True)
    took = Fetched(0, 0)
    if whole.exists():
        listener(Remark(f"using the zip that an earlier call fetched, {whole}"))
    else:

        def room(size: int) -> None:
            check_room(place.work, size + round(size * remote.unpacked_share), "for the zip and the films")

        web: Remote
        if remote.dataset:
            from pneumocli.release.kaggle import KaggleFile

            web = KaggleFile(remote)
        else:
            web = WebFile(remote.title, remote.urls, remote.page)
        took = fetch(web, part, num_bytes=remote.num_bytes, room=room, listener=listener)
        part.rename(whole)
        partial_record(part).unlink(missing_ok=True)
    sha256 = _sha256(whole, listener)
    if remote.sha256 is not None and sha256 != remote.sha256:
        whole.unlink()
        raise DownloadError(
            f"the zip from {remote.title} is not the known release: SHA-256 {sha256}, expected {remote.sha256}; it was "
            "deleted",
            f"run the same command again; if it repeats, fetch the zip by hand at {remote.page}",
        )
    return ReleaseZip(whole, own=False, sha256=sha256, num_bytes=took.num_bytes, num_breaks=took.num_breaks)


def _sha256(file: Path, listener: Listener) -> str:
    task = f"hashing {file.name}"
    digest, done = hashlib.sha256(), 0
    try:
        listener(TaskStarted(task, file.stat().st_size, "bytes"))
        with file.open("rb") as content:
            while block := content.read(_BLOCK_BYTES):
                digest.update(block)
                done += len(block)
                listener(TaskAdvanced(task, done))
    except OSError as error:
        raise DownloadError(f"cannot read {file}: {error.strerror}") from error
    listener(TaskFinished(task))
    return digest.hexdigest()


def check_room(folder: Path, need: int, purpose: str) -> None:
    """Refuses to begin what the disk has no room for.

    Raises:
        DownloadError: Fewer than ``need`` bytes, and some to spare, are free.
    """
    free = shutil.disk_usage(folder).free
    if free < need + _SPARE_BYTES:
        raise DownloadError(
            f"too little room in {folder.parent} {purpose}: {megabytes(free)} free, "
            f"expected {megabytes(need + _SPARE_BYTES)}",
            "make room, or choose another disk with --data DIR",
        )


def after_fault(archive: ReleaseZip, error: BadArchive) -> DownloadError:
    """The error for a zip that is at fault; a fetched one is deleted, so that the next call fetches it anew."""
    if archive.own:
        return error
    archive.file.unlink(missing_ok=True)
    return DownloadError(f"{error.message}; the zip was deleted", "run the same command again to fetch it anew")


def dispose(archive: ReleaseZip, config: DownloadConfig) -> Path | None:
    """Deletes a fetched zip, or moves it beside the set; returns where it is kept."""
    if archive.own:
        return None
    if not config.keep_archive:
        archive.file.unlink(missing_ok=True)
        return None
    kept, number = config.data.resolve().parent / archive.file.name, 2  # of a link, on the disk that it leads to
    while kept.exists():  # a file of that name may be the user's own
        kept = kept.with_stem(f"{archive.file.stem}-{number}")
        number += 1
    archive.file.rename(kept)
    return kept
