"""The whole way from a source to a data folder, over real HTTP with the real kaggle client."""

import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pneumocli.core.config import DownloadConfig
from pneumocli.core.errors import DownloadError, RunError, SettingError
from pneumocli.core.events import Event, Remark, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.core.files import locked, read_record
from pneumocli.release import download as module
from pneumocli.release import installed, sources
from pneumocli.release.download import download
from pneumocli.release.records import DataSource
from pneumocli.verification.release_lists import counts, kaggle_films, mendeley_films
from tests.helpers.kaggle_server import Fault, ReleaseServer
from tests.helpers.zips import films_of, kaggle_zip, mendeley_zip, zip_of

Serve = Callable[..., ReleaseServer]


@pytest.fixture
def target(tmp_path: Path, home: Path) -> Path:
    return tmp_path / "data" / "chest_xray"


def get(target: Path, listener: Callable[[Event], None] = lambda event: None, **settings: object):
    return download(DownloadConfig.model_validate({"data": target, **settings}), listener)


def remarks(events: list[Event], level: str = "warning") -> list[str]:
    return [event.text for event in events if isinstance(event, Remark) and event.level == level]


def left_beside(target: Path) -> list[str]:
    """What lies in the parent beside the set itself."""
    return sorted(item.name for item in target.parent.iterdir() if item != target) if target.parent.exists() else []


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


def test_force_starts_over(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    server = serve(kaggle_zip(films))
    get(target)
    fewer = dict(list(films.items())[:10])
    server.content = kaggle_zip(fewer)
    get(target, force=True)
    assert films_of(target) == fewer
    assert left_beside(target) == []


def test_force_keeps_the_old_set_when_the_new_one_fails(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    server = serve(kaggle_zip(films))
    get(target)
    server.content = kaggle_zip(films)[:-50]
    with pytest.raises(DownloadError, match="is cut off"):
        get(target, force=True)
    assert films_of(target) == films
    assert left_beside(target) == []


def test_interrupted_three_times(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    content = kaggle_zip(films)
    server = serve(content)
    server.redirect = True
    block = 1 << 13
    share = len(content) // 4
    server.faults.extend([Fault(drop_after=share), Fault(drop_after=share), Fault(drop_after=share)])
    result = get(target)
    assert films_of(target) == films
    assert result.num_breaks == 3
    assert result.num_bytes_fetched == len(content)
    assert server.body_bytes <= len(content) + 3 * block


def test_part_of_an_earlier_call_is_continued(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    content = kaggle_zip(films)
    server = serve(content)
    server.faults.extend([Fault(drop_after=len(content) // 2)] + [Fault(status=503)] * 9)
    with pytest.raises(DownloadError, match=r"Kaggle is out of order at the moment \(HTTP 503\)") as caught:
        get(target)
    assert "it continues after" in str(caught.value.hint)
    assert not target.exists()
    server.faults.clear()
    events: list[Event] = []
    result = get(target, events.append)
    assert 0 < result.num_bytes_fetched < len(content) * 0.75
    assert any("continuing after the first" in text for text in remarks(events, "note"))
    assert films_of(target) == films
    assert left_beside(target) == []


def test_file_that_changed_between_two_calls_is_fetched_anew(
    serve: Serve, target: Path, films: dict[str, bytes]
) -> None:
    server = serve(kaggle_zip(films))
    server.faults.extend([Fault(drop_after=100_000)] + [Fault(status=500)] * 9)
    with pytest.raises(DownloadError):
        get(target)
    server.faults.clear()
    other = dict(list(films.items())[:12])
    server.content = kaggle_zip(other)
    events: list[Event] = []
    result = get(target, events.append)
    assert films_of(target) == other
    assert result.num_bytes_fetched == len(server.content)
    assert any("has another file than before: starting over" in text for text in remarks(events, "note"))


def test_file_that_changes_during_the_call(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    server = serve(kaggle_zip(films))
    other = dict(list(films.items())[:12])
    server.faults.extend([Fault(drop_after=100_000), Fault(swap=kaggle_zip(other))])
    get(target)
    assert films_of(target) == other


def test_server_without_ranges_or_validators_or_length(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    server = serve(kaggle_zip(films))
    server.ranges = server.validators = False
    server.faults.append(Fault(drop_after=100_000))
    get(target)
    assert films_of(target) == films
    server.length = False
    get(target, force=True)
    assert films_of(target) == films


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


def test_mendeley_with_another_hash(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    content = mendeley_zip(films)
    serve(content, num_bytes=len(content), sha256="0" * 64)
    with pytest.raises(DownloadError, match=r"SHA-256 .*, expected 0{64}; it was deleted"):
        get(target, source="mendeley")
    assert left_beside(target) == []


def test_known_mendeley_zip() -> None:
    assert sources.MENDELEY.num_bytes == 1_235_512_464
    assert str(sources.MENDELEY.sha256).startswith("13efc0556297")
    assert all(url.startswith("https://data.mendeley.com/") for url in sources.MENDELEY.urls)


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


def test_unrecognised_archive_warns(target: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.zip"
    file.write_bytes(zip_of({"x/train/NORMAL/a.png": b"1", "x/train/PNEUMONIA/b.png": b"2", "x/readme.md": b""}))
    events: list[Event] = []
    result = get(target, events.append, archive=file)
    assert result.check.release == "foreign"
    assert "films of neither release" in remarks(events)[0]
    assert read_record(target / installed.SOURCE_FILE, DataSource).licence == "unknown"
    assert "left out" in remarks(events, "note")[0]


def test_what_was_not_simply_unpacked_is_told(target: Path, tmp_path: Path, films: dict[str, bytes]) -> None:
    file = tmp_path / "mine.zip"
    changed = sorted(films)[0]
    names = films | {"train/NORMAL/con.jpeg": b"reserved on Windows"}
    file.write_bytes(kaggle_zip(names, names | {changed: b"another"}))
    events: list[Event] = []
    result = get(target, events.append, archive=file)
    told = "\n".join(remarks(events))
    assert f"two versions of 1 films; the second was kept apart: second-copy/{changed}" in told
    assert "'chest_xray/train/NORMAL/con.jpeg' was renamed to train/NORMAL/_con.jpeg" in told
    assert result.differing == (f"second-copy/{changed}",)
    source = read_record(target / installed.SOURCE_FILE, DataSource)
    assert source.differing == result.differing
    assert source.renamed == {"chest_xray/train/NORMAL/con.jpeg": "train/NORMAL/_con.jpeg"}


def test_resplit_release_is_a_subset(target: Path, tmp_path: Path, films: dict[str, bytes]) -> None:
    file = tmp_path / "mine.zip"
    file.write_bytes(zip_of({place.replace("test/", "train/"): data for place, data in films.items()}))
    events: list[Event] = []
    get(target, events.append, archive=file)
    assert "split differently" in remarks(events)[0]


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


def test_archive_beside_phantoms_contradicts_itself(target: Path) -> None:
    with pytest.raises(SettingError):
        get(target, archive=Path("x.zip"), source="phantom")


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


def test_too_little_room_is_told_before_fetching(
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


def test_folder_that_cannot_be_written(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target.parent.write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cannot write") as caught:
        get(target, source="phantom")
    assert "--data DIR" in str(caught.value.hint)


def test_foreign_folder_is_never_replaced(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    server = serve(kaggle_zip(films))
    target.mkdir(parents=True)
    (target / "thesis.tex").write_text("years of work")
    for force in (False, True):
        with pytest.raises(DownloadError, match=r"no part of the set \(thesis.tex\), and is not replaced"):
            get(target, force=force)
    assert (target / "thesis.tex").exists()
    assert server.seen == []


def test_incomplete_folder_is_replaced_by_force_only(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    serve(kaggle_zip(films))
    film = target / "train" / "NORMAL" / "IM-0115-0001.jpeg"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"x")
    with pytest.raises(DownloadError, match="nothing says that it is whole: found a part of the Kaggle") as caught:
        get(target)
    assert "--force" in str(caught.value.hint)
    get(target, force=True)
    assert films_of(target) == films


def test_archive_inside_the_target_is_not_swept_away(target: Path, films: dict[str, bytes]) -> None:
    file = target / "train" / "mine.zip"
    file.parent.mkdir(parents=True)
    file.write_bytes(kaggle_zip(films))
    with pytest.raises(DownloadError, match=r"mine\.zip"):
        get(target, archive=file, force=True)
    assert file.exists()


def test_target_that_is_a_file(target: Path) -> None:
    target.parent.mkdir()
    target.write_text("x")
    with pytest.raises(DownloadError, match="is a file, expected a folder"):
        get(target, source="phantom", force=True)
    assert target.read_text() == "x"


def test_target_behind_a_link(target: Path, tmp_path: Path, films: dict[str, bytes]) -> None:
    file = tmp_path / "mine.zip"
    file.write_bytes(kaggle_zip(films))
    (tmp_path / "big disk").mkdir()
    target.parent.mkdir()
    target.symlink_to(tmp_path / "big disk" / "xrays", target_is_directory=True)
    get(target, archive=file)
    assert target.is_symlink()
    assert films_of(tmp_path / "big disk" / "xrays") == films
    assert left_beside(target) == []


def test_two_downloads_do_not_fight(target: Path) -> None:
    work = target.with_name(".chest_xray.download")
    with (
        locked(work / "lock", "held"),
        pytest.raises(RunError, match=r"another pneumo download is at work on .*chest_xray"),
    ):
        get(target, source="phantom")
    assert (work / "lock").exists(), "the other's lock was taken away"


@pytest.mark.parametrize("moment", ["old set moved away", "new set in place", "unpacking"])
def test_what_a_killed_process_left_is_put_right(
    target: Path, tmp_path: Path, films: dict[str, bytes], moment: str
) -> None:
    file = tmp_path / "mine.zip"
    file.write_bytes(kaggle_zip(films))
    get(target, archive=file)
    work = target.with_name(".chest_xray.download")
    work.mkdir()
    (work / "lock").touch()
    if moment == "old set moved away":
        target.rename(work / "old")
        (work / "new" / "train").mkdir(parents=True)
    elif moment == "new set in place":
        shutil.copytree(target / "val", work / "old" / "val")
    else:
        shutil.copytree(target / "val", work / "new" / "val")
    inode = (work / "old").stat().st_ino if moment == "old set moved away" else target.stat().st_ino
    assert get(target, archive=file).already_complete
    assert target.stat().st_ino == inode
    assert left_beside(target) == []


def test_interruption_between_the_two_renames(
    target: Path, tmp_path: Path, films: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.zip"
    file.write_bytes(kaggle_zip(films))
    get(target, archive=file)
    inode = target.stat().st_ino
    real = Path.rename

    def rename(path: Path, to: Path) -> Path:
        if path.name == "new":
            raise KeyboardInterrupt
        return real(path, to)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        get(target, archive=file, force=True)
    assert target.stat().st_ino == inode
    assert films_of(target) == films
    assert left_beside(target) == []


def test_part_of_another_source_is_cleared_once_the_set_is_whole(
    serve: Serve, target: Path, tmp_path: Path, films: dict[str, bytes]
) -> None:
    serve(kaggle_zip(films)).faults.extend([Fault(drop_after=100_000)] + [Fault(status=500)] * 9)
    with pytest.raises(DownloadError):
        get(target)
    assert left_beside(target) == [".chest_xray.download"]
    file = tmp_path / "mine.zip"
    file.write_bytes(kaggle_zip(films))
    get(target, archive=file)
    assert left_beside(target) == []


def test_root_of_the_disk_is_no_target(home: Path) -> None:
    with pytest.raises(DownloadError, match="is the root of the disk"):
        get(Path("/"), source="phantom")


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
    with pytest.raises(DownloadError, match="holds another set than kaggle's: synthetic films"):
        get(target)


def test_interruption_leaves_the_part_and_no_set(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    content = kaggle_zip(films)
    serve(content)

    def stop(event: Event) -> None:
        if isinstance(event, TaskAdvanced) and event.completed > len(content) // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(target, stop)
    assert not target.exists()
    assert left_beside(target) == [".chest_xray.download"]
    result = get(target)
    assert result.num_bytes_fetched < len(content) * 0.6
    assert films_of(target) == films


def test_interrupted_unpacking_leaves_nothing(target: Path, tmp_path: Path, films: dict[str, bytes]) -> None:
    file = tmp_path / "mine.zip"
    file.write_bytes(kaggle_zip(films))

    def stop(event: Event) -> None:
        if isinstance(event, TaskAdvanced) and event.task == "unpacking films" and event.completed == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(target, stop, archive=file)
    assert not target.parent.exists()


def test_known_sources_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        sources.KAGGLE.title = "x"  # type: ignore[misc]
    assert module.download.__doc__
