"""Films are measured once, and again only where their content is another."""

import shutil
from pathlib import Path

import pytest

from pneumocli.core.errors import DataError
from pneumocli.core.events import Event, TaskStarted
from pneumocli.core.files import cache_folder
from pneumocli.data.acquisition import read_acquisition
from pneumocli.data.acquisition_cache import acquisitions
from pneumocli.data.manifest import Manifest, scan, with_hashes
from tests.helpers.released import film_bytes, write_films


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.setenv("PNEUMO_CACHE", str(tmp_path / "cache"))
    names = [f"train/{name}/{number}.jpeg" for name in ("NORMAL", "PNEUMONIA") for number in range(3)]
    return with_hashes(scan(write_films(tmp_path / "data", names)))


def read_now(manifest: Manifest) -> int:
    """How many films had to be read."""
    events: list[Event] = []
    acquisitions(manifest, events.append)
    return sum(event.total or 0 for event in events if isinstance(event, TaskStarted))


def test_films_are_measured_once_in_the_order_of_the_manifest(films: Manifest):
    expected = [read_acquisition(films.path(row).read_bytes()) for row in films.rows]
    assert acquisitions(films) == expected
    assert read_now(films) == 0
    assert acquisitions(films) == expected


def test_another_content_is_another_film(films: Manifest):
    acquisitions(films)
    films.path(films.rows[0]).write_bytes(film_bytes(99))
    assert read_now(with_hashes(scan(films.folder))) == 1


def test_a_damaged_cache_is_made_anew(films: Manifest):
    acquisitions(films)
    (file,) = (cache_folder() / "acquisitions").iterdir()
    file.write_text('{"0": {"format": 3}}')
    assert read_now(films) == 6
    assert read_now(films) == 0


def test_a_film_that_is_gone_is_named(films: Manifest):
    shutil.rmtree(films.folder / "train" / "NORMAL")
    with pytest.raises(DataError, match=r"NORMAL/0.jpeg cannot be opened: No such file"):
        acquisitions(films)
