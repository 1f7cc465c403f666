"""Which set a folder holds, and whether it is whole."""

from pathlib import Path

import pytest

from pneumocli.core.errors import DownloadError
from pneumocli.core.events import Event
from pneumocli.data.release_lists import counts, kaggle_films, mendeley_films
from pneumocli.release import installed
from tests.helpers.downloads import Serve, get, remarks
from tests.helpers.zips import kaggle_zip, zip_of


def test_second_call_does_nothing(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    server = serve(kaggle_zip(films))
    get(target)
    before = {file: file.stat().st_mtime_ns for file in target.rglob("*")}
    asked = len(server.seen)
    events: list[Event] = []
    result = get(target, events.append)
    assert result.already_complete
    assert result.num_bytes_fetched == 0
    assert len(server.seen) == asked
    assert {file: file.stat().st_mtime_ns for file in target.rglob("*")} == before
    assert "nothing to do" in remarks(events, "note")[0]


def test_resplit_release_is_a_subset(target: Path, tmp_path: Path, films: dict[str, bytes]) -> None:
    file = tmp_path / "mine.zip"
    file.write_bytes(zip_of({place.replace("test/", "train/"): data for place, data in films.items()}))
    events: list[Event] = []
    get(target, events.append, archive=file)
    assert "split differently" in remarks(events)[0]


def test_a_zip_is_not_taken_for_another_one(target: Path, tmp_path: Path, films: dict[str, bytes]) -> None:
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    first.write_bytes(kaggle_zip(films))
    second.write_bytes(kaggle_zip({**films, "train/NORMAL/another-1.jpeg": b"another"}))
    get(target, archive=first)
    assert get(target, archive=first).already_complete
    with pytest.raises(DownloadError, match=r"holds another set than that of .*second\.zip"):
        get(target, archive=second)
    second.unlink()
    with pytest.raises(DownloadError, match=r"second\.zip does not exist, expected the zip of a release"):
        get(target, archive=second)


@pytest.mark.slow
def test_whole_releases_are_recognised(target: Path, tmp_path: Path) -> None:
    for release, names in (("kaggle", kaggle_films()), ("mendeley", mendeley_films())):
        file = tmp_path / f"{release}.zip"
        file.write_bytes(zip_of({f"chest_xray/{split}/{name}/{film}": b"x" for split, name, film in names}))
        events: list[Event] = []
        result = get(target, events.append, archive=file, force=True)
        assert result.check.release == release
        assert result.check.complete
        assert remarks(events) == []
        assert {
            (split, name): count
            for split, by in installed.counts_of(result.check).items()
            for name, count in by.items()
        } == counts(names)
    (target / installed.SOURCE_FILE).unlink()  # as unpacked by hand
    assert get(target, source="mendeley").already_complete
    with pytest.raises(DownloadError, match="holds another set than kaggle's: the Mendeley release"):
        get(target)
