"""A data folder as a table: one row per film, with its label, kind, patient, split and hash."""

import csv
import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from pneumocli.core.errors import DataError, PneumoError, RunError, first_few, shell_word
from pneumocli.core.events import Listener, Remark, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.files import cache_folder, read_csv, sha256_of, write_csv, write_json
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import Kind, ManifestRow, Split
from pneumocli.data.film_files import left_out
from pneumocli.data.images import UnreadableFilm, read_film
from pneumocli.data.layout import PHANTOM_MARK, Placed, Survey, by_folder, check_folder, refuse_without_films, survey
from pneumocli.data.patients import identify, unidentified
from pneumocli.data.table import TableRow, read_table

COLUMNS = tuple(ManifestRow.model_fields)


def is_manifest(file: Path) -> bool:
    """Whether a file begins as the manifest of a run does."""
    with file.open("rb") as opened:
        return opened.readline(1000).strip() == ",".join(COLUMNS).encode()


@dataclass(frozen=True)
class Manifest:
    """The films of a data folder, or some of them.

    Attributes:
        folder: Data folder that the rows' paths are relative to.
        rows: One per film, sorted by image.
    """

    folder: Path
    rows: tuple[ManifestRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def path(self, row: ManifestRow) -> Path:
        """Where a film is."""
        return self.folder / row.image

    def of(self, split: Split) -> "Manifest":
        """The films of one split."""
        return replace(self, rows=tuple(row for row in self.rows if row.split == split))

    @property
    def num_patients(self) -> int:
        """Different patients among the films."""
        return len({row.patient for row in self.rows})

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the films' names, labels and hashes, whatever their order and split; 64 digits."""
        lines = sorted(f"{row.image}\t{row.label}\t{row.sha256}\n" for row in self.rows)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def write(self, file: Path) -> None:
        """Writes the table."""
        write_csv(file, COLUMNS, (row.model_dump() for row in self.rows))

    @classmethod
    def read(cls, file: Path, folder: Path) -> "Manifest":
        """Reads what :meth:`write` wrote.

        Raises:
            RunError: The file is missing or damaged.
        """
        try:
            rows = tuple(ManifestRow.model_validate({**row, "label": int(row["label"])}) for row in read_csv(file))
        except OSError as error:
            raise RunError(f"cannot read {file}: {error.strerror}") from error
        except (ValidationError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise RunError(f"{file} is damaged: it is no manifest with the columns {', '.join(COLUMNS)}") from error
        return cls(folder, rows)


def scan(folder: Path, table: Path | None = None, listener: Listener = ignore) -> Manifest:
    """Lists the films of a data folder, without reading them.

    Args:
        folder: Laid out ``train|val|test / NORMAL|PNEUMONIA``; ``val`` and ``test`` may be missing. A folder that holds
            the classes alone is a test set.
        table: A table with the columns image, label and perhaps patient and split, to be used instead of the layout;
            images are relative to ``folder``.
        listener: Gets what is not used, and how patients are identified.

    Returns:
        The films, sorted by image; their hashes are empty. A link that leads nowhere is a film, too: reading it gives
        the reason.

    Raises:
        DataError: The folder is missing, empty or laid out otherwise, or the table is at fault.
    """
    if table is None:
        found = survey(folder)
        _remark_on_rest(found, listener)
        return listed(found, listener)
    check_folder(folder)
    rows = sorted(read_table(table, folder, listener), key=lambda row: row.image)
    films = [Placed(row.image, row.split, row.label) for row in rows]
    manifest = _identified(folder, films, ignore)
    kept = tuple(_by_table(given, row) for given, row in zip(rows, manifest.rows, strict=True))
    unknown = sum(row.patient == f"film:{row.image}" for row in kept)
    if unknown:
        listener(unidentified(unknown, len(kept)))
    return replace(manifest, rows=kept)


def listed(found: Survey, listener: Listener = ignore) -> Manifest:
    """The films of a data folder that was walked, see :func:`scan`.

    Raises:
        DataError: It holds none in the layout.
    """
    refuse_without_films(found)
    return _identified(found.folder, sorted(found.films, key=lambda film: film.image), listener)


def _identified(folder: Path, films: Sequence[Placed], listener: Listener) -> Manifest:
    people, remarks = identify(films, drawn=(folder / PHANTOM_MARK).is_file())
    for remark in remarks:
        listener(remark)
    rows = tuple(
        ManifestRow(image=film.image, label=film.label, kind=kind, patient=patient, split=film.split, sha256="")
        for film, (patient, kind) in zip(films, people, strict=True)
    )
    return Manifest(folder, rows)


def _by_table(given: TableRow, row: ManifestRow) -> ManifestRow:
    """A row with what the table gives; the name's kind stands where it does not contradict the label."""
    positive = given.label == 1
    kind: Kind = row.kind if (row.kind == "normal") != positive else "unknown" if positive else "normal"
    return row.model_copy(update={"kind": kind, "patient": given.patient or row.patient})


def _remark_on_rest(found: Survey, listener: Listener) -> None:
    """Remarks on what in a data folder is not used."""
    if found.unused and found.films:
        number = len(found.unused)
        verb = "film is not used, being" if number == 1 else "films are not used, being"
        where = f"in no folder of the layout or in a format that is not read: {by_folder(found.unused)}"
        listener(Remark(f"{number:,} {verb} {where}; pneumo verify-data names all", "warning"))
    for path, reason in found.unopened.items():
        listener(Remark(f"{path}: {reason}: films in it are not used", "warning"))
    if found.system:
        listener(Remark(left_out(len(found.system), next(iter(found.system)))))


def with_hashes(manifest: Manifest, listener: Listener = ignore, *, remembered: bool = True) -> Manifest:
    """Adds each film's SHA-256.

    A film is read once and remembered by its path, size, times of change and place on the disk. One that cannot be
    opened gets a hash that no content has: reading it gives the reason.

    Args:
        manifest: The films.
        listener: Gets progress.
        remembered: Whether what is remembered is good enough; else every film is read.
    """
    store = _HashStore(manifest.folder)
    hashes = {row.image: store.get(manifest.path(row)) if remembered else None for row in manifest.rows}
    todo = [row for row in manifest.rows if hashes[row.image] is None]
    if todo:
        task = "hashing films"
        listener(TaskStarted(task, len(todo)))
        found = ordered_map(lambda row: store.add(manifest.path(row)), todo)
        for done, (row, sha256) in enumerate(zip(todo, found, strict=True), start=1):
            hashes[row.image] = sha256
            listener(TaskAdvanced(task, done))
        listener(TaskFinished(task))
        store.save()
    rows = tuple(
        row.model_copy(update={"sha256": hashes[row.image] or _hash_of_unopened(row.image)}) for row in manifest.rows
    )
    return replace(manifest, rows=rows)


def _hash_of_unopened(image: str) -> str:
    return hashlib.sha256(f"cannot be opened: {image}".encode("utf-8", "surrogateescape")).hexdigest()


def prove_unchanged(recorded: Manifest, whose: str, hint: str, listener: Listener = ignore) -> Manifest:
    """The films of a recorded manifest, hashed anew and found to be those that were recorded.

    Args:
        recorded: With hashes.
        whose: The films, as a message names them: "the test films of runs/scratch".
        hint: What to do where they have changed.
        listener: Gets progress.

    Raises:
        RunError: Films are gone, or have another content.
    """
    changed, what = [row.image for row in recorded.rows if not recorded.path(row).is_file()], "are gone"
    if not changed:
        bare = replace(recorded, rows=tuple(row.model_copy(update={"sha256": ""}) for row in recorded.rows))
        now = with_hashes(bare, listener, remembered=False)
        what = "have another content"
        changed = [was.image for was, row in zip(recorded.rows, now.rows, strict=True) if was.sha256 != row.sha256]
        if not changed:
            return now
    raise RunError(
        f"{whose} have changed since the training: {len(changed)} of {len(recorded)} {what} in {recorded.folder} "
        f"({first_few(changed)})",
        hint,
    )


class _HashStore:
    """Known hashes of a folder's films, by all that the system knows of a file without reading it.

    A copy that keeps the size and the time of change (cp -p, rsync, tar) still gets a time of its own when it is made,
    and mostly another place on the disk.
    """

    def __init__(self, folder: Path) -> None:
        name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]
        self._file = cache_folder() / "hashes" / f"{name}.json"
        self._known: dict[str, str] = {}
        self._resolved: dict[str, str] = {}  # folders of films, without links
        try:
            loaded = json.loads(self._file.read_bytes())
        except (OSError, ValueError):  # missing or damaged: it is only a cache
            loaded = {}
        if isinstance(loaded, dict):
            self._known = {
                str(key): value for key, value in loaded.items() if isinstance(value, str) and len(value) == 64
            }

    def _key(self, path: Path) -> str | None:
        try:
            state = path.lstat()
            if stat.S_ISLNK(state.st_mode):
                state, place = path.stat(), str(path.resolve())
            else:  # following each part of each film's path would take most of the time
                folder = os.path.dirname(path)  # noqa: PTH120
                if folder not in self._resolved:
                    self._resolved[folder] = os.path.realpath(folder)
                place = os.path.join(self._resolved[folder], os.path.basename(path))  # noqa: PTH118, PTH119
        except OSError:
            return None
        return f"{place}\t{state.st_size}\t{state.st_mtime_ns}\t{state.st_ctime_ns}\t{state.st_ino}"

    def get(self, path: Path) -> str | None:
        """The film's hash, if it is known."""
        key = self._key(path)
        return None if key is None else self._known.get(key)

    def add(self, path: Path) -> str | None:
        """Reads the film and gives its hash; one that cannot be opened stays unknown."""
        key = self._key(path)
        if key is None:
            return None
        self._known.pop(key, None)
        with suppress(OSError):
            self._known[key] = sha256_of(path)
        return self._known.get(key)

    def save(self) -> None:
        """Writes the store; a cache that cannot be written is done without."""
        try:
            write_json(self._file, self._known)
        except PneumoError:
            return


def find_unreadable(manifest: Manifest, listener: Listener = ignore) -> dict[str, str]:
    """Decodes every film in full.

    Returns:
        The reason for each film that is damaged or no film, by image.
    """

    def reason(row: ManifestRow) -> str | None:
        try:
            read_film(manifest.path(row))
        except UnreadableFilm as error:
            return error.reason
        return None

    task = "decoding films"
    listener(TaskStarted(task, len(manifest)))
    found = {}
    for done, (row, fault) in enumerate(zip(manifest.rows, ordered_map(reason, manifest.rows), strict=True), start=1):
        if fault is not None:
            found[row.image] = fault
        listener(TaskAdvanced(task, done))
    listener(TaskFinished(task))
    return found


def readable_films(
    manifest: Manifest, unreadable: Mapping[str, str], *, skip: bool, listener: Listener = ignore
) -> Manifest:
    """The films without the unreadable ones.

    Args:
        manifest: The films.
        unreadable: The reason for each film that cannot be read, by image.
        skip: Leave them out with a warning instead of raising.
        listener: Gets the warning.

    Raises:
        DataError: There are unreadable films and ``skip`` is false, or all films are unreadable.
    """
    if not unreadable:
        return manifest
    named = first_few([f"{image}: {reason}" for image, reason in unreadable.items()], "; ")
    if not skip:
        raise DataError(
            f"{len(unreadable)} of {len(manifest)} films in {manifest.folder} cannot be read: {named}",
            "remove or replace them (pneumo verify-data names all), or leave them out: --skip-unreadable",
        )
    kept = replace(manifest, rows=tuple(row for row in manifest.rows if row.image not in unreadable))
    if not kept.rows:
        raise DataError(
            f"none of the {len(manifest)} films in {manifest.folder} can be read: {named}",
            f"pneumo verify-data {shell_word(manifest.folder)} names the fault of each",
        )
    listener(Remark(f"left out {len(unreadable)} unreadable of {len(manifest)} films: {named}", "warning"))
    return kept
