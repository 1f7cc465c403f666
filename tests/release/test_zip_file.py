"""The zip on this disk: the user's own or a fetched one, its room, and what becomes of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pneumocli.core.errors import DownloadError
from pneumocli.core.events import Event
from pneumocli.release import sources
from tests.helpers.downloads import Serve, get, left_beside, remarks
from tests.helpers.zips import films_of, kaggle_zip, mendeley_zip


def test_damaged_zip_is_deleted_and_fetched_anew_by_the_next_call(
    serve: Serve, target: Path, films: dict[str, bytes]
) -> None:
    good = kaggle_zip(films)
    middle = len(good) // 3
    server = serve(good[:middle] + b"\0" * 300 + good[middle + 300 :])
    with pytest.raises(DownloadError, match=r"damaged at .*; the zip was deleted") as caught:
        get(target)
    assert "run the same command again" in str(caught.value.hint)
    assert left_beside(target) == []
    server.content = good
    get(target)
    assert films_of(target) == films


def test_mendeley_with_another_hash(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    content = mendeley_zip(films)
    serve(content, num_bytes=len(content), sha256="0" * 64)
    with pytest.raises(DownloadError, match=r"SHA-256 .*, expected 0{64}; it was deleted"):
        get(target, source="mendeley")
    assert left_beside(target) == []


def test_own_archive_is_never_deleted(target: Path, tmp_path: Path, films: dict[str, bytes]) -> None:
    file = tmp_path / "mine.zip"
    file.write_bytes(kaggle_zip(films))
    before = file.stat()
    events: list[Event] = []
    get(target, events.append, archive=file, keep_archive=True)
    assert films_of(target) == films
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert any("--keep-archive has no effect" in text for text in remarks(events, "note"))
    file.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DownloadError, match="is cut off") as caught:
        get(target, archive=file, force=True)
    assert "deleted" not in caught.value.message
    assert file.exists()
    assert films_of(target) == films


def test_own_archive_in_the_folder_of_unfinished_work_is_kept(target: Path, films: dict[str, bytes]) -> None:
    """Where an earlier call, stopped after fetching, keeps what it fetched."""
    work = target.with_name(".chest_xray.download")
    work.mkdir(parents=True)
    (work / "rest.zip.part").write_bytes(b"PK")
    file = work / "fetched.zip"
    file.write_bytes(kaggle_zip(films))
    get(target, archive=file)
    assert films_of(target) == films
    assert sorted(item.name for item in work.iterdir()) == ["fetched.zip", "lock"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"7z\xbc\xaf'\x1c"), "is no zip"),
        (lambda path: path.write_bytes(b""), "is no zip"),
    ],
)
def test_archive_that_is_none(target: Path, tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    make(tmp_path / "mine.zip")
    with pytest.raises(DownloadError, match=words) as caught:
        get(target, archive=tmp_path / "mine.zip")
    assert caught.value.hint
    assert not target.parent.exists()


@pytest.mark.parametrize("keep", [True, False])
def test_keep_archive(serve: Serve, target: Path, films: dict[str, bytes], keep: bool) -> None:
    content = kaggle_zip(films)
    serve(content)
    target.parent.mkdir()
    own = target.parent / sources.KAGGLE.file_name
    own.write_bytes(b"somebody's")
    result = get(target, keep_archive=keep)
    assert own.read_bytes() == b"somebody's"
    if keep:
        assert left_beside(target) == ["chest-xray-pneumonia-2.zip", "chest-xray-pneumonia.zip"]
        assert Path(str(result.archive)).read_bytes() == content
    else:
        assert result.archive is None
        assert left_beside(target) == ["chest-xray-pneumonia.zip"]


def test_an_archive_is_kept_beside_the_set_that_a_link_leads_to(
    serve: Serve, target: Path, tmp_path: Path, films: dict[str, bytes]
) -> None:
    """The set may lie on another disk, to which no file can be renamed."""
    serve(kaggle_zip(films))
    (tmp_path / "disk").mkdir()
    target.parent.mkdir(exist_ok=True)
    target.symlink_to(tmp_path / "disk" / "set")
    result = get(target, keep_archive=True)
    assert Path(str(result.archive)) == tmp_path / "disk" / sources.KAGGLE.file_name


def test_too_little_room_is_reported_before_fetching(
    serve: Serve, target: Path, films: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(kaggle_zip(films))
    usage = shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match=r"too little room in .* for the zip and the films: 1\.0 MB free") as caught:
        get(target)
    assert "--data DIR" in str(caught.value.hint)
    assert server.body_bytes < 300_000
    assert not target.parent.exists()


def test_disk_that_fills_up(
    serve: Serve, target: Path, films: dict[str, bytes], full_disk: Callable[[str, int], None]
) -> None:
    content = kaggle_zip(films)
    serve(content)
    full_disk(".part", 150_000)
    with pytest.raises(DownloadError, match=r"no space left on the disk; .* are there") as caught:
        get(target)
    assert "it continues" in str(caught.value.hint)
    full_disk(".jpeg", 0)
    with pytest.raises(DownloadError, match="no space left on the disk; nothing was left of the unpacked films"):
        get(target)
    assert not target.exists()
    full_disk("", -1)
    events: list[Event] = []
    result = get(target, events.append)
    assert result.num_bytes_fetched == 0, "the zip was fetched before"
    assert films_of(target) == films
    assert left_beside(target) == []


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Lets writing to files of an ending fail with ENOSPC after so many bytes; -1 for never."""
    real = Path.open
    limit = {"ending": "", "bytes": -1}

    class Full:
        def __init__(self, file) -> None:
            self.file, self.left = file, limit["bytes"]

        def __enter__(self):
            return self

        def __exit__(self, *args: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> None:
            self.left -= len(data)
            if self.left < 0:
                raise OSError(28, "No space left on device")
            self.file.write(data)

    def opened(path: Path, mode: str = "r", *args, **settings):
        file = real(path, mode, *args, **settings)
        writes = limit["bytes"] >= 0 and mode in ("ab", "xb") and path.name.endswith(limit["ending"])
        return Full(file) if writes else file

    monkeypatch.setattr(Path, "open", opened)
    return lambda ending, count: limit.update(ending=ending, bytes=count)
