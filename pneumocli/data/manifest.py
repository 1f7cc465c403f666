"""A data folder as a table: one row per film, with its label, kind, patient, split and hash."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from pneumocli.core.errors import DataError, PneumoError, RunError, first_few, shell_word
from pneumocli.core.events import Listener, Remark, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.files import cache_folder, sha256_of, write_csv, write_json
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import CLASS_NAMES, SPLITS, Kind, ManifestRow, Split
from pneumocli.data.images import UnreadableFilm, is_film_name, read_film
from pneumocli.data.patients import patient_of
from pneumocli.data.table import TableRow, read_table

COLUMNS = tuple(ManifestRow.model_fields)

_LAYOUT = "train|val|test / NORMAL|PNEUMONIA"


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
            with file.open(encoding="utf-8", newline="") as lines:
                rows = tuple(
                    ManifestRow.model_validate({**row, "label": int(row["label"])}) for row in csv.DictReader(lines)
                )
        except OSError as error:
            raise RunError(f"cannot read {file}: {error.strerror}") from error
        except (ValidationError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise RunError(f"{file} is damaged: it is no manifest with the columns {', '.join(COLUMNS)}") from error
        return cls(folder, rows)


def check_folder(folder: Path) -> None:
    """Refuses a data folder that is not there.

    Raises:
        DataError: There is no such folder.
    """
    if not folder.is_dir():
        raise DataError(
            f"no data folder at {folder}",
            f"pneumo download --data {shell_word(folder)} gets the set; --source phantom makes a synthetic one",
        )


def scan(folder: Path, table: Path | None = None, listener: Listener = ignore) -> Manifest:
    """Lists the films of a data folder, without opening them.

    Args:
        folder: Laid out ``train|val|test / NORMAL|PNEUMONIA``; ``val`` and ``test`` may be missing.
        table: A CSV with the columns image, label and perhaps patient and split, to be used instead of the layout;
            images are relative to ``folder``.
        listener: Gets a warning where file names do not identify patients.

    Returns:
        The films, sorted by image; their hashes are empty.

    Raises:
        DataError: The folder is missing, empty or laid out otherwise, or the table is at fault.
    """
    check_folder(folder)
    rows = tuple(
        sorted(_rows_of_table(folder, table, listener) if table else _rows_of_folder(folder), key=lambda row: row.image)
    )
    unknown = sum(row.patient == f"film:{row.image}" for row in rows)
    if unknown:
        listener(
            Remark(
                f"{unknown:,} of {len(rows):,} file names do not identify the patient: each such film counts as a "
                "patient of its own, and intervals are too narrow if a patient has several",
                "warning",
            )
        )
    return Manifest(folder, rows)


def _rows_of_folder(folder: Path) -> list[ManifestRow]:
    rows = [
        _row(folder, file, label, split)
        for split in SPLITS
        for label, name in enumerate(CLASS_NAMES)
        for file in _films_below(folder / split / name)
    ]
    if not rows:
        inner = folder / "chest_xray"
        if (inner / "train").is_dir():
            raise DataError(f"{folder} holds no films, but {inner} looks like the set", f"name {inner} instead")
        raise DataError(
            f"no films in {folder}: expected {_LAYOUT}, found {_listing(folder)}",
            f"pneumo download --data {shell_word(folder)} gets the set",
        )
    return rows


def _films_below(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (file for file in folder.rglob("*") if is_film_name(file.name) and file.is_file())


def _listing(folder: Path) -> str:
    names = sorted(item.name for item in folder.iterdir())
    if not names:
        return "an empty folder"
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _row(folder: Path, file: Path, label: int, split: Split) -> ManifestRow:
    image = file.relative_to(folder).as_posix()
    patient, kind = patient_of(file.name) or (f"film:{image}", "normal" if label == 0 else "unknown")
    return ManifestRow(image=image, label=label, kind=kind, patient=patient, split=split, sha256="")


def _rows_of_table(folder: Path, table: Path, listener: Listener) -> list[ManifestRow]:
    return [_row_of_line(folder, line) for line in read_table(table, folder, listener)]


def _row_of_line(folder: Path, line: TableRow) -> ManifestRow:
    row, positive = _row(folder, folder / line.image, line.label, line.split), line.label == 1
    kind: Kind = row.kind if (row.kind == "normal") != positive else "unknown" if positive else "normal"
    return row.model_copy(update={"kind": kind, "patient": line.patient or row.patient})


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
    todo = [row for row in manifest.rows if not remembered or store.get(manifest.path(row)) is None]
    if todo:
        task = "hashing films"
        listener(TaskStarted(task, len(todo)))
        for done, _ in enumerate(ordered_map(lambda row: store.add(manifest.path(row)), todo), start=1):
            listener(TaskAdvanced(task, done))
        listener(TaskFinished(task))
        store.save()
    rows = tuple(
        row.model_copy(update={"sha256": store.get(manifest.path(row)) or _hash_of_unopened(row.image)})
        for row in manifest.rows
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
        try:
            loaded = json.loads(self._file.read_bytes())
        except (OSError, ValueError):  # missing or damaged: it is only a cache
            loaded = {}
        if isinstance(loaded, dict):
            self._known = {
                str(key): value for key, value in loaded.items() if isinstance(value, str) and len(value) == 64
            }

    @staticmethod
    def _key(path: Path) -> str | None:
        try:
            state = path.stat()
        except OSError:
            return None
        return f"{path.resolve()}\t{state.st_size}\t{state.st_mtime_ns}\t{state.st_ctime_ns}\t{state.st_ino}"

    def get(self, path: Path) -> str | None:
        """The film's hash, if it is known."""
        key = self._key(path)
        return None if key is None else self._known.get(key)

    def add(self, path: Path) -> None:
        """Reads the film; one that cannot be opened stays unknown."""
        key = self._key(path)
        if key is not None:
            self._known.pop(key, None)
            with suppress(OSError):
                self._known[key] = sha256_of(path)

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
        raise DataError(f"none of the {len(manifest)} films in {manifest.folder} can be read: {named}")
    listener(Remark(f"left out {len(unreadable)} unreadable of {len(manifest)} films: {named}", "warning"))
    return kept
