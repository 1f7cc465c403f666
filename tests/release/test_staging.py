"""What stands at the target, what a stopped or killed process left, and who may write there."""

import shutil
from pathlib import Path

import pytest

from pneumocli.core.errors import DownloadError, RunError
from pneumocli.core.events import Event, TaskAdvanced
from pneumocli.core.locks import locked
from tests.helpers.downloads import Serve, get, left_beside
from tests.helpers.kaggle_server import Fault
from tests.helpers.zips import films_of, kaggle_zip


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
    with pytest.raises(DownloadError, match="is not known to be whole: found a part of the Kaggle") as caught:
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
