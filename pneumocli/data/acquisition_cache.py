"""How many films were made, each measured once and remembered by its content."""

import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path

from pneumocli.core.errors import PneumoError
from pneumocli.core.events import Listener, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.files import cache_folder, write_json
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import ManifestRow
from pneumocli.data.acquisition import ACQUISITION_VERSION, Acquisition, read_acquisition
from pneumocli.data.film import still_there
from pneumocli.data.film_files import film_content
from pneumocli.data.images import READER_VERSION
from pneumocli.data.manifest import Manifest


def acquisitions(manifest: Manifest, listener: Listener = ignore) -> list[Acquisition]:
    """How each film was made, in the order of the manifest.

    Args:
        manifest: The films with their hashes, see :func:`pneumocli.data.manifest.with_hashes`.
        listener: Gets progress where films have to be read.

    Raises:
        DataError: A film cannot be read any more.
        ValueError: A film has no hash: it could be taken for another.
    """
    if not all(row.sha256 for row in manifest.rows):
        raise ValueError("the films have no hashes: with_hashes adds them")
    store = _Store(manifest.folder)
    todo = [row for row in manifest.rows if row.sha256 not in store.known]

    def measured(row: ManifestRow) -> Acquisition:
        path = manifest.path(row)
        with still_there(path):
            return read_acquisition(film_content(path))

    if todo:
        task = "measuring films"
        listener(TaskStarted(task, len(todo)))
        for done, (row, found) in enumerate(zip(todo, ordered_map(measured, todo), strict=True), start=1):
            store.known[row.sha256] = found
            listener(TaskAdvanced(task, done))
        listener(TaskFinished(task))
        store.save()
    return [store.known[row.sha256] for row in manifest.rows]


class _Store:
    """The films of a folder that were measured before, by their SHA-256."""

    def __init__(self, folder: Path) -> None:
        name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]
        # Another version reads the same file into other numbers: it keeps a file of its own.
        self._file = cache_folder() / "acquisitions" / f"{name}-{ACQUISITION_VERSION}-{READER_VERSION}.json"
        self.known: dict[str, Acquisition] = {}
        try:
            loaded = json.loads(self._file.read_bytes())
            self.known = {str(key): _acquisition(value) for key, value in loaded.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):  # missing or damaged: it is only a cache
            self.known = {}

    def save(self) -> None:
        """Writes the store; a cache that cannot be written is done without."""
        try:
            write_json(self._file, {key: asdict(made) for key, made in self.known.items()})
        except PneumoError:
            return


def _acquisition(value: dict[str, object]) -> Acquisition:
    values = {item.name: value[item.name] for item in fields(Acquisition)}
    markers = values["markers"]
    if not isinstance(markers, list):
        raise TypeError("markers is no list")
    return Acquisition(**values | {"markers": tuple(markers)})  # type: ignore[arg-type]  # JSON this module wrote
