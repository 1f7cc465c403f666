"""Gets the data set: fetch or draw, check, unpack beside the target, rename. What is at the target is always whole.

Everything half-done lives in one folder beside the target, ``.NAME.download``, under a lock that dies with the
process. Whatever a killed process left there is continued (a part of a zip) or cleaned up (all else) by the next call.
"""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pneumocli.config import DownloadConfig
from pneumocli.data import sources
from pneumocli.data.holdings import SOURCE_FILE, Holding, Recognised, counts_of, holding_at, recognise
from pneumocli.data.sources import CITATION, LICENCE, RemoteArchive
from pneumocli.data.workplace import Workplace
from pneumocli.errors import DownloadError, SettingError
from pneumocli.events import Listener, Remark, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.files import write_json
from pneumocli.records import DataSource, DownloadResult

_BLOCK_BYTES = 1 << 20
_SPARE_BYTES = 50_000_000  # beyond what the films need: file systems round up, and a full disk hurts others


def download(config: DownloadConfig, listener: Listener = ignore) -> DownloadResult:
    """Gets the set into ``config.data``, laid out ``train|val|test / NORMAL|PNEUMONIA``.

    A folder that holds the whole set is left alone unless ``config.force``; then the old set stays until the new one
    is whole. Mendeley's release has no ``val``.

    Args:
        config: The settings.
        listener: Gets progress in bytes and films, and remarks.

    Returns:
        What is on disk now, and what it took.

    Raises:
        DownloadError: The set could not be had; the target is as it was, and what was fetched is kept for the next
            call.
        RunError: Another process is at work on the same folder.
        SettingError: Settings contradict each other.
    """
    if config.archive is not None and config.source == "phantom":
        raise SettingError("--archive cannot stand beside --source phantom, which needs no zip")
    target = config.data.resolve()
    place = Workplace(target)
    if not config.force and not place.work.exists():
        holding = holding_at(target)
        if holding is not None:
            return _nothing_to_do(config, holding, listener)
    with place.taken():
        holding = holding_at(target)
        if holding is not None and not config.force:
            return _nothing_to_do(config, holding, listener)
        place.refuse_others(config)
        if config.source == "phantom":
            return _draw(config, place, listener)
        return _get(config, place, listener)


def _nothing_to_do(config: DownloadConfig, holding: Holding, listener: Listener) -> DownloadResult:
    """The answer for a folder that holds a whole set.

    Raises:
        DownloadError: It is another set than the one that was asked for.
    """
    if config.archive is None and not holding.answers(config.source):
        raise DownloadError(
            f"{config.data} holds another set than {config.source}'s: {holding.words}",
            f"choose another folder with --data DIR; pneumo download --source {config.source} "
            f"--data {config.data} --force replaces it",
        )
    listener(Remark(f"{config.data} is complete ({holding.words}): nothing to do; --force starts over"))
    return DownloadResult(
        folder=str(config.data),
        release=holding.release,
        already_complete=True,
        counts=holding.counts,
        num_patients=holding.num_patients,
    )


def _draw(config: DownloadConfig, place: Workplace, listener: Listener) -> DownloadResult:
    from pneumocli.data.phantom import write_phantoms

    write_phantoms(place.new, seed=config.seed, listener=listener)
    source = DataSource(
        source="phantom",
        release="phantom",
        licence="none: drawn by pneumo",
        citation="none",
        retrieved_utc=_now(),
        archive_sha256=None,
        counts=counts_of(place.new),
    )
    return _finish(config, place, source)


@dataclass(frozen=True, slots=True)
class _Zip:
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


def _get(config: DownloadConfig, place: Workplace, listener: Listener) -> DownloadResult:
    """From a zip, the user's or the network's, to the set."""
    remote = sources.MENDELEY if config.source == "mendeley" else sources.KAGGLE
    if config.archive is not None:
        if config.keep_archive:
            listener(Remark("--keep-archive has no effect beside --archive: your own zip is always kept"))
        archive = _given(config.archive, listener)
    else:
        archive = _fetched(remote, config, place, listener)
    from pneumocli.data.archive import contents, opened, unpack

    try:
        with opened(archive.file) as zip_file:
            found = contents(archive.file, zip_file)
            _check_room(place.work, found.num_bytes, "to unpack the films")
            recognised = recognise(found.films)
            _warn(recognised, len(found.films), found.others, listener)
            unpacked = unpack(archive.file, zip_file, found, place.new, listener)
    except DownloadError as error:
        raise _after_fault(archive, error) from error
    for text in _remarks(unpacked.num_identical, unpacked.differing, found.num_litter, found.renamed):
        listener(text)
    source = DataSource(
        source=config.source if config.archive is None else config.archive.name,
        release=recognised.release,
        licence=LICENCE,
        citation=CITATION,
        retrieved_utc=_now(),
        archive_sha256=archive.sha256,
        counts=counts_of(place.new),
        differing=unpacked.differing,
        renamed=found.renamed,
    )
    _check_counts(source, unpacked.num_films, place.new)
    result = _finish(config, place, source)
    kept = _dispose(archive, remote, config)
    return result.model_copy(
        update={
            "num_bytes_fetched": archive.num_bytes,
            "num_breaks": archive.num_breaks,
            "num_identical_copies": unpacked.num_identical,
            "differing": unpacked.differing,
            "archive": kept and str(kept),
        }
    )


def _given(file: Path, listener: Listener) -> _Zip:
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise DownloadError(f"{file} {what}, expected the zip of a release", "give the zip's path to --archive")
    return _Zip(file, own=True, sha256=_sha256(file, listener))


def _fetched(remote: RemoteArchive, config: DownloadConfig, place: Workplace, listener: Listener) -> _Zip:
    """The release's zip in the work folder, whole; what earlier calls fetched of it is used."""
    from pneumocli.data.transfer import Fetched, Remote, WebFile, fetch, partial_record

    whole = place.work / remote.file_name
    part = place.work / f"{remote.file_name}.part"
    if config.force:
        whole.unlink(missing_ok=True)
    took = Fetched(0, 0)
    if whole.exists():
        listener(Remark(f"using the zip that an earlier call fetched, {whole}"))
    else:

        def room(size: int) -> None:
            _check_room(place.work, size + round(size * remote.unpacked_share), "for the zip and the films")

        web: Remote
        if remote.dataset:
            from pneumocli.data.kaggle_client import KaggleFile

            web = KaggleFile(remote)
        else:
            web = WebFile(remote.title, remote.url, remote.page)
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
    return _Zip(whole, own=False, sha256=sha256, num_bytes=took.num_bytes, num_breaks=took.num_breaks)


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


def _check_room(folder: Path, need: int, purpose: str) -> None:
    from pneumocli.data.network_errors import megabytes

    free = shutil.disk_usage(folder).free
    if free < need + _SPARE_BYTES:
        raise DownloadError(
            f"too little room in {folder.parent} {purpose}: {megabytes(free)} free, "
            f"expected {megabytes(need + _SPARE_BYTES)}",
            "make room, or choose another disk with --data DIR",
        )


def _after_fault(archive: _Zip, error: DownloadError) -> DownloadError:
    """What to say of a zip that could not be unpacked; a fetched one that is itself at fault is deleted."""
    if archive.own or error.hint is None or "room" in error.hint:
        return error
    archive.file.unlink(missing_ok=True)
    return DownloadError(f"{error.message}; the zip was deleted", "run the same command again to fetch it anew")


def _warn(recognised: Recognised, num_films: int, others: list[str], listener: Listener) -> None:
    if recognised.release == "subset":
        moved = f", {recognised.num_moved:,} of them in another split than there" if recognised.num_moved else ""
        listener(
            Remark(
                f"the zip holds {num_films:,} of the release's {num_films + recognised.num_missing:,} films{moved}: "
                "numbers measured on them do not compare with those of the whole",
                "warning",
            )
        )
    elif recognised.release == "unrecognised":
        listener(
            Remark(
                f"the zip is neither the Kaggle nor the Mendeley release: {recognised.num_unknown:,} of its "
                f"{num_films:,} films have names that these do not; pneumo verify-data says more",
                "warning",
            )
        )
    if others:
        listener(Remark(f"{len(others):,} files were left out, being no films of the layout, such as {others[0]}"))


def _remarks(
    num_identical: int, differing: tuple[str, ...], num_litter: int, renamed: dict[str, str]
) -> Iterator[Remark]:
    if num_identical:
        yield Remark(
            f"the zip held {num_identical:,} films twice: proven identical by SHA-256, the copies were dropped"
        )
    if num_litter:
        yield Remark(f"{num_litter:,} files of macOS and Windows, such as ._*.jpeg and .DS_Store, were left out")
    if differing:
        yield Remark(
            f"{len(differing):,} films of the zip's second copy differ from the first, and were kept aside: "
            f"{differing[0]}" + (" ..." if len(differing) > 1 else ""),
            "warning",
        )
    for old, new in renamed.items():
        yield Remark(f"{old!r} was renamed to {new}: not every system can have the old name", "warning")


def _check_counts(source: DataSource, expected: int, folder: Path) -> None:
    found = sum(count for by_class in source.counts.values() for count in by_class.values())
    if found != expected:
        raise DownloadError(
            f"unpacking into {folder} went wrong: found {found:,} films, expected {expected:,}",
            "run the same command again; does another program write there?",
        )


def _finish(config: DownloadConfig, place: Workplace, source: DataSource) -> DownloadResult:
    write_json(place.new / SOURCE_FILE, source)
    place.put_in_place()
    holding = holding_at(place.target)
    if holding is None:
        raise DownloadError(f"{config.data} was changed while it was made", "run the same command again")
    return DownloadResult(
        folder=str(config.data),
        release=holding.release,
        already_complete=False,
        counts=holding.counts,
        num_patients=holding.num_patients,
    )


def _dispose(archive: _Zip, remote: RemoteArchive, config: DownloadConfig) -> Path | None:
    """Deletes a fetched zip, or moves it beside the set; returns where it is kept."""
    if archive.own:
        return None
    if not config.keep_archive:
        archive.file.unlink(missing_ok=True)
        return None
    kept, number = config.data.parent / remote.file_name, 2
    while kept.exists():  # a file of that name may be the user's own
        kept = kept.with_stem(f"{Path(remote.file_name).stem}-{number}")
        number += 1
    archive.file.rename(kept)
    return kept


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
