"""files.py: what is on disk is always whole."""

import errno
import os
import sys
from pathlib import Path

import pytest

from pneumocli.core.errors import DriveLost, PneumoError, RunError
from pneumocli.core.files import (
    again_if_stale,
    atomic_write,
    cache_folder,
    dump_json,
    read_csv,
    read_file,
    read_record,
    sha256_of,
    write_csv,
    write_failure,
    write_text,
)
from pneumocli.core.records import Environment
from pneumocli.metrics.records import Metric
from tests.helpers import faulty_share


def test_a_crash_inside_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    file = tmp_path / "result.json"
    write_text(file, "old")
    with pytest.raises(RuntimeError, match="crash"), atomic_write(file) as handle:
        handle.write("half of the new")
        raise RuntimeError("crash")
    assert file.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["result.json"]


def test_the_new_file_appears_whole_with_usual_permissions(tmp_path: Path):
    file = tmp_path / "deep" / "result.json"
    write_text(file, "new")
    assert file.read_text() == "new"
    mask = os.umask(0)
    os.umask(mask)
    assert file.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no space left on the disk"), (errno.EROFS, "Read-only file system"), (errno.EIO, "Input/output")],
)
def test_a_failed_write_says_what_and_why(number: int, words: str):
    error = write_failure(Path("runs/a/last.pt"), OSError(number, os.strerror(number)))
    assert "runs/a/last.pt" in error.message
    assert words in error.message


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError) as caught, Path("/dev/full").open("w") as file:
        file.write("x")
        file.flush()
    assert "no space left" in write_failure(Path("x"), caught.value).message
    # The disk of what could not be written, by its nearest folder that is there.
    assert write_failure(Path("/dev/none/at/all/x"), caught.value).hint == "df -h /dev shows what is full"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(PneumoError, match=r"cannot write .*loop/x"):
        write_text(tmp_path / "loop" / "x", "new")


def test_an_error_of_the_block_itself_is_not_taken_for_a_failed_write(tmp_path: Path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "x"):
        (tmp_path / "missing").read_text()


def test_not_a_number_never_reaches_a_json_file():
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_json({"value": float("nan")})


def test_a_damaged_record_names_the_file_and_the_field(tmp_path: Path):
    file = tmp_path / "metric.json"
    file.write_text('{"value": 1, "low": 0, "high": "much", "method": "x"}')
    with pytest.raises(RunError, match=r"metric\.json is damaged or from another version: high: expected a number$"):
        read_record(file, Metric)
    file.write_text('{"value": 1,')
    with pytest.raises(RunError, match=r"metric\.json is damaged: it is no whole JSON document$"):
        read_record(file, Metric)
    with pytest.raises(RunError, match="cannot read"):
        read_record(tmp_path / "none.json", Metric)


def test_csv_has_a_header_and_empty_cells_for_none(tmp_path: Path):
    write_csv(tmp_path / "t.csv", ("a", "b"), [{"a": 1, "b": None}])
    assert (tmp_path / "t.csv").read_bytes() == b"a,b\n1,\n"


def test_sha256_of_known_content(tmp_path: Path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_errors_keep_their_hint_through_a_worker_process():
    import pickle

    error = pickle.loads(pickle.dumps(PneumoError("what", "hint")))
    assert (error.message, error.hint) == ("what", "hint")


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PNEUMO_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("PNEUMO_CACHE")
    assert cache_folder().name == "pneumo"


linux = pytest.mark.skipif(sys.platform != "linux", reason="the faults are injected by way of /proc")


@linux
@pytest.mark.parametrize("fault", ["chmod:EPERM", "fsync-folder:EINVAL", "fsync-folder:EACCES", "fsync:ENOTSUP"])
def test_a_share_that_does_without_a_courtesy_still_takes_files(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    faulty_share.install(tmp_path, fault, monkeypatch.setattr)
    write_text(tmp_path / "result.json", "new")
    assert (tmp_path / "result.json").read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 1


@linux
@pytest.mark.parametrize("error", ["ENOTCONN", "ESTALE", "EIO", "EHOSTDOWN", "ENODEV"])
@pytest.mark.parametrize("call", ["fsync", "fsync-folder"])
def test_a_drive_that_vanishes_is_one_sentence_and_leaves_nothing_half(
    call: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "last.pt"
    file.write_text("old")
    faulty_share.install(tmp_path, f"{call}:{error}", monkeypatch.setattr)
    with pytest.raises(DriveLost, match=r"cannot write .*last\.pt: its drive does not answer any more"):
        write_text(file, "new")
    assert file.read_text() == ("old" if call == "fsync" else "new")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_stale_handle_is_opened_again_once(times: int):
    """As a share answers whose other machine has replaced the file."""
    faults = [OSError(errno.ESTALE, os.strerror(errno.ESTALE))] * times

    def read() -> bytes:
        if faults:
            raise faults.pop()
        return b"new"

    if times == 1:
        assert again_if_stale(read) == b"new"
    else:
        with pytest.raises(OSError, match="tale"):
            again_if_stale(read)
    assert not faults


def test_a_handle_that_stays_stale_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def stale(_: Path) -> bytes:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(Path, "read_bytes", stale)
    with pytest.raises(RunError, match=r"cannot read .*x.json: Stale file handle"):
        read_record(tmp_path / "x.json", Environment)


def test_a_carriage_return_in_a_cell_comes_back(tmp_path: Path):
    rows = [{"image": "Icon\r.jpeg", "label": "0"}, {"image": 'a, "b"\n.jpeg', "label": "1"}]
    write_csv(tmp_path / "t.csv", ("image", "label"), rows)
    assert list(read_csv(tmp_path / "t.csv")) == rows


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
@pytest.mark.timeout(20)
def test_a_pipe_or_a_device_is_no_file(tmp_path: Path):
    os.mkfifo(tmp_path / "film.jpeg")
    for path in (tmp_path / "film.jpeg", Path(os.devnull)):
        with pytest.raises(OSError, match="it is a pipe or a device, expected a file"):
            read_file(path, 100)
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 100)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path):
    (tmp_path / "film.jpeg").write_bytes(bytes(101))
    with pytest.raises(OSError, match="it holds more than 100 bytes"):
        read_file(tmp_path / "film.jpeg", 100)
    assert read_file(tmp_path / "film.jpeg", 101) == bytes(101)
