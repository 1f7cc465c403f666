"""The one rule for which files are films."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumocli.data.film_files import Found, system_file, system_folder, walk, why_unopened
from pneumocli.data.images import UnreadableFilm, read_film
from tests.data.test_dicom import radiograph, ramp, saved


def picture(form: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(content, form)
    return content.getvalue()


def put(folder: Path, name: str, content: bytes = b"x") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def seen(folder: Path, **options: bool) -> dict[str, str]:
    """The kind of everything in a folder, by path."""
    return {Path(item.path).relative_to(folder).as_posix(): item.kind for item in walk(str(folder), **options)}


SYSTEM_FOLDERS = [
    *(".ipynb_checkpoints", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "RECYCLER"),
    *(".Spotlight-V100", ".Trashes", ".Trash-1000", ".fseventsd", "lost+found", ".snapshot", ".zfs", ".AppleDouble"),
    *(".git", ".svn", "CVS", "@Recycle", "@Recently-Snapshot", ".@__thumb", "~snapshot", "FOUND.000", "__pycache__"),
    *("#snapshot", "Network Trash Folder", "Temporary Items", ".TemporaryItems", ".stversions"),
]
SYSTEM_FILES = [
    *("._a.jpeg", ".DS_Store", "Thumbs.db", "desktop.ini", "~$films.xlsx", "a.jpeg.part", "a.jpeg~", "Icon\r"),
    *("ehthumbs.db", ".nfs0000000000a1", ".fuse_hidden0001", "a.jpeg.crdownload", "a.jpeg@SynoEAStream", "DICOMDIR"),
    *("a.jpeg:Zone.Identifier", "#a.jpeg#", ".a.jpeg.swp", ".~lock.films.csv#", "Picasa.ini", "a.jpeg.tmp"),
]


@pytest.mark.parametrize("name", SYSTEM_FOLDERS)
def test_system_folders_are_left_out_whatever_lies_in_them(tmp_path: Path, name: str):
    put(tmp_path, f"{name}/a.jpeg")
    put(tmp_path, "b.jpeg")
    assert seen(tmp_path) == {name: "system", "b.jpeg": "film"}
    assert system_folder(name.upper()) == system_folder(name)


@pytest.mark.parametrize("name", SYSTEM_FILES)
def test_system_files_are_left_out(tmp_path: Path, name: str):
    put(tmp_path, name)
    assert seen(tmp_path) == {name: "system"}
    assert system_file(name)


@pytest.mark.parametrize("name", ["NORMAL.old", "NORMAL~", "train.tmp", "recycle", "snapshots", "MACOSX", "part"])
def test_folders_that_may_hold_films_are_no_system_folders(tmp_path: Path, name: str):
    put(tmp_path, f"{name}/a.jpeg")
    assert seen(tmp_path) == {f"{name}/a.jpeg": "film"}


def test_the_folder_itself_may_have_any_name(tmp_path: Path):
    put(tmp_path, ".cache/@eaDir/a.jpeg")
    assert seen(tmp_path / ".cache" / "@eaDir") == {"a.jpeg": "film"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("IM000001", "film"), ("1.2.840.113619.2.55", "film"), ("a.ima", "film"), ("a.0001", "film"), ("a.txt", "file")],
)
def test_dicom_is_recognised_by_content(tmp_path: Path, name: str, kind: str):
    put(tmp_path, name, saved(radiograph(ramp())))
    put(tmp_path, "other.dcm")
    assert seen(tmp_path) == {name: kind, "other.dcm": "film"}
    assert seen(tmp_path, look=False)[name] == "file"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("IM0001", picture("JPEG"), "film"),
        ("a.jpg_original", picture("JPEG"), "picture"),
        ("a.webp", picture("WEBP"), "picture"),
        ("a.gif", picture("GIF"), "picture"),
        ("README", b"BMI and age of 52 patients", "file"),
        ("notes", b"II, MM and other initials", "file"),
        ("empty", b"", "file"),
        ("logo.svg", b"<svg/>", "file"),
        ("scan.nii.gz", b"\x1f\x8b", "picture"),
    ],
)
def test_other_files_by_content(tmp_path: Path, name: str, content: bytes, kind: str):
    put(tmp_path, name, content)
    assert seen(tmp_path) == {name: kind}


def test_the_reason_names_the_format(tmp_path: Path):
    put(tmp_path, "a.webp", picture("WEBP"))
    put(tmp_path, "b.jpg_original", picture("JPEG"))
    reasons = [item.reason for item in walk(str(tmp_path))]
    assert reasons[0].startswith("is WebP, expected JPEG")
    assert reasons[1] == "is JPEG, but its name does not end like a film's"


def test_links_to_folders_are_followed(tmp_path: Path):
    put(tmp_path, "store/a.jpeg")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "store")
    assert seen(tmp_path / "data") == {"linked/a.jpeg": "film"}


def test_links_in_a_circle_or_to_a_folder_above_are_not(tmp_path: Path):
    put(tmp_path, "data/train/NORMAL/a.jpeg")
    put(tmp_path, "data/train/PNEUMONIA/b.jpeg")
    for number, target in enumerate(("data/train", "data", "", "data/train/NORMAL")):
        (tmp_path / "data/train/NORMAL" / f"back{number}").symlink_to(tmp_path / target)
    assert set(seen(tmp_path / "data")) == {"train/NORMAL/a.jpeg", "train/PNEUMONIA/b.jpeg"}


def test_links_that_lead_nowhere_are_films_with_their_reason(tmp_path: Path):
    (tmp_path / "a.jpeg").symlink_to("../.git/annex/objects/a")
    (tmp_path / "IM0001").symlink_to("gone")
    assert list(walk(str(tmp_path))) == [
        Found(str(tmp_path / "IM0001"), "film"), Found(str(tmp_path / "a.jpeg"), "film")
    ]  # fmt: skip
    with pytest.raises(UnreadableFilm, match=r"link to \.\./\.git/annex/objects/a, which is not there .*git annex get"):
        read_film(tmp_path / "a.jpeg")
    assert (
        why_unopened(tmp_path / "b", PermissionError(13, "Permission denied")) == "cannot be opened: Permission denied"
    )


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    put(tmp_path, "a.png")
    assert seen(tmp_path) == {"a.png": "film", "pipe": "file"}
