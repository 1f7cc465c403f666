"""The whole way from a source to a data folder, over real HTTP with the real kaggle client."""

import hashlib
from pathlib import Path

import pytest

from pneumocli.core.errors import DownloadError, SettingError
from pneumocli.core.events import Event, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.core.files import read_record
from pneumocli.release import installed
from pneumocli.release.records import DataSource
from tests.helpers.downloads import Serve, get, left_beside, remarks
from tests.helpers.kaggle_server import Fault
from tests.helpers.zips import films_of, kaggle_zip, mendeley_zip, zip_of


def test_kaggle_without_an_account(serve: Serve, target: Path, films: dict[str, bytes], home: Path, capfd) -> None:
    content = kaggle_zip(films)
    server = serve(content)
    events: list[Event] = []
    result = get(target, events.append)
    assert films_of(target) == films
    assert left_beside(target) == []
    assert result.num_bytes_fetched == len(content) == server.body_bytes
    assert installed.counts_of(result.check) == {
        split: {"NORMAL": 4, "PNEUMONIA": 4} for split in ("train", "val", "test")
    }
    assert result.num_identical_copies == len(films)
    assert result.check.title == "a part of the Kaggle release (24 of 5,856 films)"
    assert [seen.authorization for seen in server.seen] == [""]
    assert capfd.readouterr() == ("", ""), "the kaggle client's words reached the user"
    assert list(home.iterdir()) == [], "the kaggle client made a folder"
    started = next(event for event in events if isinstance(event, TaskStarted))
    assert (started.unit, started.total) == ("bytes", len(content))
    progress = [event.completed for event in events if isinstance(event, TaskAdvanced) and event.task == started.task]
    assert progress == sorted(progress)
    assert progress[-1] == len(content)
    assert TaskFinished(started.task) in events
    (warning,) = remarks(events)
    assert "a part of the Kaggle release (24 of 5,856 films): numbers measured on it do not compare" in warning


def test_source_record(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    content = kaggle_zip(films)
    serve(content)
    get(target)
    source = read_record(target / installed.SOURCE_FILE, DataSource)
    assert source.archive_sha256 == hashlib.sha256(content).hexdigest()
    assert source.source == "kaggle"
    assert source.licence == "CC BY 4.0"
    assert "10.17632/rscbjbr9sj" in source.citation


@pytest.mark.parametrize("source", ["kaggle", "mendeley"])
def test_login_page_in_place_of_the_zip(serve: Serve, target: Path, source: str) -> None:
    page = b"<!doctype html><title>Welcome to the hotel</title>"
    server = serve(b"")
    server.faults.append(Fault(status=200, headers={"Content-Type": "text/html; charset=utf-8"}, body=page))
    with pytest.raises(DownloadError, match="sent no zip but text/html that begins with '<!doctype html>"):
        get(target, source=source)
    assert left_beside(target) == []


def test_mendeley(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    content = mendeley_zip(films)
    serve(content, num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()).faults.append(
        Fault(drop_after=len(content) // 2)
    )
    result = get(target, source="mendeley")
    assert set(installed.counts_of(result.check)) == {"train", "test"}
    assert not (target / "val").exists()
    assert result.num_bytes_fetched == len(content)
    assert result.num_breaks == 1


def test_mendeley_of_another_size(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    serve(mendeley_zip(films), num_bytes=1_235_512_464)
    with pytest.raises(DownloadError, match="expected 1,235,512,464: it is not the known release"):
        get(target, source="mendeley")
    assert left_beside(target) == []


def test_unrecognised_archive_warns(target: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.zip"
    file.write_bytes(zip_of({"x/train/NORMAL/a.png": b"1", "x/train/PNEUMONIA/b.png": b"2", "x/readme.md": b""}))
    events: list[Event] = []
    result = get(target, events.append, archive=file)
    assert result.check.release == "foreign"
    assert "films of neither release" in remarks(events)[0]
    assert read_record(target / installed.SOURCE_FILE, DataSource).licence == "unknown"
    assert "left out" in remarks(events, "note")[0]


def test_what_was_not_simply_unpacked_is_reported(target: Path, tmp_path: Path, films: dict[str, bytes]) -> None:
    file = tmp_path / "mine.zip"
    changed = sorted(films)[0]
    names = films | {"train/NORMAL/con.jpeg": b"reserved on Windows"}
    file.write_bytes(kaggle_zip(names, names | {changed: b"another"}))
    events: list[Event] = []
    result = get(target, events.append, archive=file)
    warned = "\n".join(remarks(events))
    assert f"two versions of 1 film; the second was kept apart: second-copy/{changed}" in warned
    assert "'chest_xray/train/NORMAL/con.jpeg' was renamed to train/NORMAL/_con.jpeg" in warned
    assert result.differing == (f"second-copy/{changed}",)
    source = read_record(target / installed.SOURCE_FILE, DataSource)
    assert source.differing == result.differing
    assert source.renamed == {"chest_xray/train/NORMAL/con.jpeg": "train/NORMAL/_con.jpeg"}


def test_archive_beside_phantoms_contradicts_itself(target: Path) -> None:
    with pytest.raises(SettingError):
        get(target, archive=Path("x.zip"), source="phantom")


def test_phantoms(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pneumocli.data import phantom

    real = phantom.write_phantoms

    def few(folder: Path, **settings: object) -> None:
        real(folder, **{**settings, "num_train": 8, "num_val": 4, "num_test": 4, "short_sides": (64, 80)})

    monkeypatch.setattr(phantom, "write_phantoms", few)
    result = get(target, source="phantom", seed=3)
    assert result.check.release == "phantom"
    assert result.check.num_images == 16
    assert get(target, source="phantom").already_complete
    assert get(target, source="phantom", seed=3).already_complete
    with pytest.raises(DownloadError, match="holds another set than phantom's --seed 7: synthetic films") as refusal:
        get(target, source="phantom", seed=7)
    assert f"pneumo download --source phantom --seed 7 --data {target} --force" in (refusal.value.hint or "")
    with pytest.raises(DownloadError, match="holds another set than kaggle's: synthetic films"):
        get(target)
