"""Gets the data set: fetch or draw, check, unpack beside the target, rename. What is at the target is always whole.

Everything half-done lives in one folder beside the target, ``.NAME.download``, under a lock that dies with the
process. Whatever a killed process left there is continued (a part of a zip) or cleaned up (all else) by the next call.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pneumocli.core.amounts import counted
from pneumocli.core.config import DownloadConfig
from pneumocli.core.errors import DownloadError, SettingError, shell_word
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.core.files import write_json
from pneumocli.core.records import Count, Record
from pneumocli.release import sources
from pneumocli.release.installed import SOURCE_FILE, Holding, checked, counts_of, holding_at
from pneumocli.release.records import DataSource
from pneumocli.release.sources import CITATION, LICENCE
from pneumocli.release.staging import Workplace
from pneumocli.verification.records import Verification

if TYPE_CHECKING:
    from pneumocli.release.unzip import Contents, Unpacked


class DownloadResult(Record):
    """What a download did."""

    folder: str
    already_complete: bool
    """Whether the set was there and nothing was done."""
    check: Verification
    """The quick check of ``verify-data``: names and counts."""
    num_bytes_fetched: Count = 0
    """Over the network in this call."""
    num_breaks: Count = 0
    """Connections that broke and were made anew."""
    num_identical_copies: Count = 0
    """Films of a second copy inside the zip, proven identical and dropped."""
    differing: tuple[str, ...] = ()
    """Films of a second copy that were kept aside: their places in the folder."""
    archive: str | None = None
    """Where the downloaded zip was kept."""


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
    if not target.name:
        raise DownloadError(f"{config.data} is the root of the disk", "choose a folder with --data DIR")
    if config.archive is not None:
        from pneumocli.release.zip_file import refuse_missing

        refuse_missing(config.archive)
    place = Workplace(target)
    if not config.force and not place.work.exists():
        holding = holding_at(config.data)
        if holding is not None:
            return _nothing_to_do(config, holding, listener)
    with place.taken():
        holding = holding_at(config.data)
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
    if config.archive is not None:
        other = f"that of {config.archive}" if _is_of_another_zip(holding, config.archive, listener) else None
        what = f"--archive {shell_word(config.archive)}"
    else:
        seed = f" --seed {config.seed}" if config.source == "phantom" else ""
        other = None if holding.answers(config.source, config.seed) else f"{config.source}'s{seed}"
        what = f"--source {config.source}{seed}"
    if other is not None:
        raise DownloadError(
            f"{config.data} holds another set than {other}: {holding.check.title}",
            f"choose another folder with --data DIR; pneumo download {what} "
            f"--data {shell_word(config.data)} --force replaces it",
        )
    listener(Remark(f"{config.data} is complete ({holding.check.title}): nothing to do; --force starts over"))
    return DownloadResult(folder=str(config.data), already_complete=True, check=holding.check)


def _is_of_another_zip(holding: Holding, archive: Path, listener: Listener) -> bool:
    """Whether a set is known to have come from another zip."""
    from pneumocli.release.zip_file import given

    return holding.archive_sha256 is not None and holding.archive_sha256 != given(archive, listener).sha256


def _draw(config: DownloadConfig, place: Workplace, listener: Listener) -> DownloadResult:
    from pneumocli.data.phantom import write_phantoms

    write_phantoms(place.new, seed=config.seed, listener=listener)
    check = checked(place.new)
    source = DataSource(
        source="phantom",
        title=check.title,
        licence="none: drawn by pneumo",
        citation="none",
        retrieved_utc=_now(),
        archive_sha256=None,
        seed=config.seed,
        counts=counts_of(check),
    )
    return _finish(config, place, source, check)


def _get(config: DownloadConfig, place: Workplace, listener: Listener) -> DownloadResult:
    """From a zip, the user's or the network's, to the set."""
    from pneumocli.release import zip_file
    from pneumocli.release.unzip import BadArchive, contents, opened, unpack

    if config.archive is not None:
        if config.keep_archive:
            listener(Remark("--keep-archive has no effect beside --archive: your own zip is always kept"))
        archive = zip_file.given(config.archive, listener)
    else:
        remote = sources.MENDELEY if config.source == "mendeley" else sources.KAGGLE
        archive = zip_file.fetched(remote, config, place, listener)
    try:
        with opened(archive.file) as opened_zip:
            found = contents(archive.file, opened_zip)
            zip_file.check_room(place.work, found.num_bytes, "to unpack the films")
            unpacked = unpack(archive.file, opened_zip, found, place.new, listener)
    except BadArchive as error:
        raise zip_file.after_fault(archive, error) from error
    check = checked(place.new)
    if check.num_images != unpacked.num_films:
        raise DownloadError(
            f"unpacking into {place.new} went wrong: found {check.num_images:,} films, expected {unpacked.num_films:,}",
            "run the same command again; does another program write there?",
        )
    for remark in (*_doubts(check), *_remarks(found, unpacked)):
        listener(remark)
    known = check.release != "foreign"
    source = DataSource(
        source=config.source if config.archive is None else config.archive.name,
        title=check.title,
        licence=LICENCE if known else "unknown",
        citation=CITATION if known else "unknown",
        retrieved_utc=_now(),
        archive_sha256=archive.sha256,
        counts=counts_of(check),
        differing=unpacked.differing,
        renamed=found.renamed,
    )
    result = _finish(config, place, source, check)
    kept = zip_file.dispose(archive, config)
    place.clear(keep=config.archive)
    return result.model_copy(
        update={
            "num_bytes_fetched": archive.num_bytes,
            "num_breaks": archive.num_breaks,
            "num_identical_copies": unpacked.num_identical,
            "differing": unpacked.differing,
            "archive": None if kept is None else str(kept),
        }
    )


def _doubts(check: Verification) -> Iterator[Remark]:
    """Warns of films that are not a whole release."""
    if check.complete:
        return
    meaning = (
        "patients and kinds read from the names may be wrong"
        if check.release == "foreign"
        else "numbers measured on it do not compare with those of the whole release"
    )
    yield Remark(f"the zip holds {check.title}: {meaning}", "warning")


def _remarks(found: "Contents", unpacked: "Unpacked") -> Iterator[Remark]:
    """Remarks on what of a zip was not simply unpacked."""
    if unpacked.num_identical:
        yield Remark(
            f"the zip held {unpacked.num_identical:,} films twice: proven identical by SHA-256, the copies were dropped"
        )
    if found.num_litter:
        yield Remark(f"{found.num_litter:,} files of macOS and Windows, such as ._*.jpeg and .DS_Store, were left out")
    if found.others:
        yield Remark(
            f"{len(found.others):,} files were left out, being no films of the layout, such as {found.others[0]}"
        )
    if unpacked.differing:
        more = " ..." if len(unpacked.differing) > 1 else ""
        yield Remark(
            f"the zip holds two versions of {counted(len(unpacked.differing), 'film')}; the second was kept apart: "
            f"{unpacked.differing[0]}{more}",
            "warning",
        )
    for old, new in found.renamed.items():
        yield Remark(f"{old!r} was renamed to {new}: not every system can have the old name", "warning")


def _finish(config: DownloadConfig, place: Workplace, source: DataSource, check: Verification) -> DownloadResult:
    write_json(place.new / SOURCE_FILE, source)
    place.put_in_place()
    folder = str(config.data)
    return DownloadResult(folder=folder, already_complete=False, check=check.model_copy(update={"folder": folder}))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
