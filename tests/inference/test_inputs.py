"""Names on the command line become films."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pneumocli.core.events import Event, Remark
from pneumocli.inference.inputs import count_films, find_films, shown
from pneumocli.run_folder import RunFolder
from tests.conftest import obey_permissions


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "films/b.png",
        "films/a.jpeg",
        "films/deep/er/c.TIF",
        "films/notes.txt",
        "films/._a.jpeg",
        "films/.x/d.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def names(*inputs: str) -> list[str]:
    return [film.image for film in find_films(inputs)]


def test_a_folder_gives_its_films_in_order_and_nothing_else(folder: Path):
    assert names("films") == ["films/a.jpeg", "films/b.png", "films/deep/er/c.TIF"]
    assert count_films(["films"]) == 3


def test_a_film_named_twice_comes_once(folder: Path):
    assert names("films/a.jpeg", "./films/a.jpeg", "films") == ["films/a.jpeg", "films/b.png", "films/deep/er/c.TIF"]


def test_links_to_one_film_are_films_of_their_own(folder: Path):
    (folder / "films/z.jpeg").symlink_to("a.jpeg")
    assert "films/z.jpeg" in names("films", "films/a.jpeg")


def test_patterns_that_no_shell_expanded(folder: Path):
    assert names("films/*.png") == ["films/b.png"]
    assert names("**/*.TIF") == ["films/deep/er/c.TIF"]
    assert names("fil*") == ["films/a.jpeg", "films/b.png", "films/deep/er/c.TIF"]
    assert names("**/**/*.png") == ["films/b.png"]


def test_a_name_with_a_bracket_is_a_file_before_it_is_a_pattern(folder: Path):
    (folder / "film[1].png").write_bytes(b"x")
    assert names("film[1].png") == ["film[1].png"]


def test_what_leads_to_no_film_has_its_own_error(folder: Path):
    (folder / "empty").mkdir()
    errors = {film.image: film.error for film in find_films(["no*match", "empty", "films/b.png"])}
    assert errors == {
        "no*match": "no file matches this pattern",
        "empty": "holds no films",
        "films/b.png": None,
    }


def test_a_circle_of_links_ends(folder: Path):
    (folder / "films/deep/back").symlink_to(folder / "films")
    assert names("films") == ["films/a.jpeg", "films/b.png", "films/deep/er/c.TIF"]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work otherwise there")
def test_a_folder_without_permission_is_told_about(folder: Path):
    (folder / "films/deep").chmod(0)
    program = (
        "from pneumocli.inference.inputs import find_films; print({f.image: f.error for f in find_films(['films'])})"
    )
    try:
        errors = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True,
            preexec_fn=obey_permissions,
        ).stdout  # fmt: skip
    finally:
        (folder / "films/deep").chmod(0o755)
    assert "'films/deep': " in errors
    assert "Permission denied" in errors


def test_a_folder_that_cannot_be_listed_is_told_about(folder: Path, monkeypatch: pytest.MonkeyPatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = {film.image: film.error for film in find_films(["films"])}
    assert found == {
        "films/a.jpeg": None,
        "films/b.png": None,
        "films/deep": "the folder cannot be opened: Permission denied",
    }


def test_standard_input_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"film")))
    (film,) = find_films(["-", "-"])
    assert (film.image, film.source, film.error) == ("-", b"film", None)


def test_names_that_are_no_text_become_text():
    assert shown(os.fsdecode(b"a\xff.png")) == r"a\xff.png"
    assert shown("röntgen 🫁\n.png") == "röntgen 🫁\n.png"


def test_what_is_left_out_is_counted(folder: Path):
    (folder / "films/@eaDir").mkdir()
    (folder / "films/@eaDir/SYNOPHOTO_THUMB.jpg").write_bytes(b"x")
    events: list[Event] = []
    assert len(list(find_films(["films"], events.append))) == 3
    assert [event.text for event in events if isinstance(event, Remark)] == [
        "3 hidden or system files and folders are left out, such as films/.x",
        "1 file is no film: films/notes.txt",
    ]
    assert [film.error for film in find_films(["films/**/*.jpg"])] == ["no file matches this pattern"]
    assert names("films/@eaDir/*.jpg") == ["films/@eaDir/SYNOPHOTO_THUMB.jpg"]


def test_pictures_in_runs_below_a_folder_are_left_out(folder: Path):
    for place in ("films/runs/scratch", "alone"):
        run = RunFolder(folder / place)
        run.evaluation_folder("test").path.mkdir(parents=True)
        for file in (run.config_file, run.manifest_file, run.curves_file):
            file.write_bytes(b"x")
        (run.evaluation_folder("test").path / "roc.png").write_bytes(b"x")
    events: list[Event] = []
    assert [film.image for film in find_films(["films/"], events.append)] == names("films/")
    assert names("films/") == ["films/a.jpeg", "films/b.png", "films/deep/er/c.TIF"]
    (text,) = [event.text for event in events if isinstance(event, Remark) and "runs" in event.text]
    assert text == "pictures in runs are left out, such as those in films/runs/scratch"
    assert names("alone") == ["alone/curves.png", "alone/evaluations/test/roc.png"], "it was named"
    assert count_films(["films"]) == 3


def test_pictures_that_are_not_read_and_links_to_nowhere_are_named(folder: Path):
    (folder / "other").mkdir()
    (folder / "other/a.webp").write_bytes(b"RIFF\0\0\0\0WEBPVP8 ")
    (folder / "other/b.jpeg").symlink_to("gone")
    found = {film.image: (film.source, film.error) for film in find_films(["other"])}
    assert found["other/a.webp"][0] is None
    assert str(found["other/a.webp"][1]).startswith("is WebP, expected JPEG")
    assert found["other/b.jpeg"] == (Path("other/b.jpeg"), None)


def test_dicom_without_an_ending_is_a_film(folder: Path):
    (folder / "films/IM0001").write_bytes(bytes(128) + b"DICM")
    assert names("films") == ["films/IM0001", "films/a.jpeg", "films/b.png", "films/deep/er/c.TIF"]
