"""Unpacking: what is taken, what is left out, what is refused."""

import contextlib
import io
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pneumocli.core.errors import DownloadError
from pneumocli.release import unzip
from pneumocli.release.unzip import ASIDE, Contents, Unpacked, contents, opened, unpack
from tests.helpers.zips import films_of, kaggle_layout, kaggle_zip, mendeley_zip, zip_of

PLACE = "chest_xray/train/NORMAL/IM-0115-0001.jpeg"


def unpacked(tmp_path: Path, content: bytes) -> tuple[Path, Contents, Unpacked]:
    file = tmp_path / "release.zip"
    file.write_bytes(content)
    with opened(file) as zip_file:
        found = contents(file, zip_file)
        return tmp_path / "new", found, unpack(file, zip_file, found, tmp_path / "new")


def refusal(tmp_path: Path, content: bytes) -> str:
    with pytest.raises(DownloadError) as caught:
        unpacked(tmp_path, content)
    assert caught.value.hint
    assert not (tmp_path / "new").exists(), "written before the zip was checked"
    return caught.value.message


def with_member(info: zipfile.ZipInfo, data: bytes = b"x") -> bytes:
    """A zip of one good film and one member that is described by ``info``."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(PLACE, b"film")
        file.writestr(info, data)
    return content.getvalue()


def test_double_layout_gives_each_film_once(tmp_path: Path, films: dict[str, bytes]) -> None:
    folder, found, result = unpacked(tmp_path, kaggle_zip(films))
    assert films_of(folder) == films
    assert result == Unpacked(len(films), len(films), ())
    assert found.num_litter == len(films) + 6 + 2
    assert found.others == []
    assert {file.name for file in folder.iterdir()} == {"train", "val", "test"}


def test_second_copy_that_differs_is_kept_aside(tmp_path: Path, films: dict[str, bytes]) -> None:
    changed, missing = sorted(films)[:2]
    second = {place: data for place, data in films.items() if place != missing} | {changed: b"another film"}
    second["train/NORMAL/only-in-the-copy.jpeg"] = b"a third"
    first = films.copy()
    first["train/NORMAL/only-in-the-first.jpeg"] = b"so that the first is the larger one"
    folder, _, result = unpacked(tmp_path, kaggle_zip(first, second))
    assert result.num_films == len(first)
    assert result.num_identical == len(films) - 2
    assert set(result.differing) == {f"{ASIDE}/{changed}", f"{ASIDE}/train/NORMAL/only-in-the-copy.jpeg"}
    assert (folder / ASIDE / changed).read_bytes() == b"another film"
    assert (folder / changed).read_bytes() == films[changed]


def test_mendeley_layout_invents_no_val(tmp_path: Path, films: dict[str, bytes]) -> None:
    folder, _, result = unpacked(tmp_path, mendeley_zip(films))
    assert sorted(file.name for file in folder.iterdir()) == ["test", "train"]
    assert result.num_films == sum(not place.startswith("val/") for place in films)


def test_layout_without_a_top_folder_and_with_other_spelling(tmp_path: Path) -> None:
    folder, found, _ = unpacked(tmp_path, zip_of({"Train\\Normal\\IM-0115-0001.jpeg": b"a", "notes.txt": b"b"}))
    assert films_of(folder) == {"train/NORMAL/IM-0115-0001.jpeg": b"a"}
    assert found.others == ["notes.txt"]


def test_names_that_differ_in_case_only(tmp_path: Path) -> None:
    base = "chest_xray/train/PNEUMONIA/"
    folder, found, result = unpacked(
        tmp_path,
        zip_of(
            {
                base + "person1_virus_6.jpeg": b"a",
                base + "Person1_Virus_6.JPEG": b"b",
                base + "PERSON1_VIRUS_6.jpeg": b"a",
            }
        ),
    )
    names = sorted(file.name for file in (folder / "train/PNEUMONIA").iterdir())
    assert len({name.casefold() for name in names}) == len(names) == 2
    assert (folder / "train/PNEUMONIA/person1_virus_6.jpeg").read_bytes() == b"a"
    assert (folder / "train/PNEUMONIA/Person1_Virus_6_2.JPEG").read_bytes() == b"b"
    assert result.num_films == 2
    assert found.renamed[base + "Person1_Virus_6.JPEG"] == "train/PNEUMONIA/Person1_Virus_6_2.JPEG"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("con.jpeg", "_con.jpeg"),
        ("LPT1.old.jpeg", "_LPT1.old.jpeg"),
        ("a<b>|c?.jpeg", "a_b__c_.jpeg"),
        ("tab\there.jpeg", "tab_here.jpeg"),
    ],
)
def test_windows_hostile_names_are_replaced(tmp_path: Path, name: str, safe: str) -> None:
    member = f"chest_xray/train/NORMAL/{name}"
    folder, found, _ = unpacked(tmp_path, zip_of({member: b"film"}))
    assert [file.name for file in (folder / "train/NORMAL").iterdir()] == [safe]
    assert found.renamed == {member: f"train/NORMAL/{safe}"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../../evil.jpeg", "climbs out"),
        ("chest_xray/train/NORMAL/../../../../evil.jpeg", "climbs out"),
        ("chest_xray\\..\\..\\evil.jpeg", "climbs out"),
        ("/etc/evil.jpeg", "absolute path"),
        ("C:\\evil.jpeg", "absolute path"),
        ("\\\\server\\share\\evil.jpeg", "absolute path"),
    ],
)
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, name: str, words: str) -> None:
    message = refusal(tmp_path, with_member(zipfile.ZipInfo(name)))
    assert "not safe to unpack" in message
    assert words in message
    assert not (tmp_path.parent / "evil.jpeg").exists()


@pytest.mark.parametrize(("kind", "words"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "is a special file")])
def test_links_and_special_files_are_refused(tmp_path: Path, kind: int, words: str) -> None:
    info = zipfile.ZipInfo("chest_xray/train/NORMAL/link.jpeg")
    info.external_attr = (kind | 0o777) << 16
    assert words in refusal(tmp_path, with_member(info, b"/etc/passwd"))


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    content = bytearray(zip_of({PLACE: b"film"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag stands in both headers
        content[content.index(signature) + offset] |= 1
    assert "is encrypted" in refusal(tmp_path, bytes(content))


def test_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    bomb = zip_of({PLACE: bytes(20_000_000)}, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 25_000
    assert "as a bomb does" in refusal(tmp_path, bomb)


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    content = bytearray(zip_of({PLACE: data, PLACE + ".jpeg": b"y"}))
    entry = content.rindex(b"PK\x01\x02")  # the second member claims the packed bytes of the first
    struct.pack_into("<II", content, entry + 20, 3 * len(data), 3 * len(data))
    assert "they overlap" in refusal(tmp_path, bytes(content))


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("MOST_MEMBERS", 1, "holds 2 files"),
        ("MOST_TOTAL_BYTES", 4, "unpacks to 5 bytes"),
        ("MOST_MEMBER_BYTES", 3, "which no film has"),
    ],
)
def test_absurd_sizes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, words: str
) -> None:
    monkeypatch.setattr(unzip, limit, value)
    assert words in refusal(tmp_path, with_member(zipfile.ZipInfo("readme.txt")))


def test_truncated_zip_is_distinguished_from_other_files(tmp_path: Path, films: dict[str, bytes]) -> None:
    assert "is cut off" in refusal(tmp_path, kaggle_zip(films)[:-40])
    assert "is no zip: it begins with 'Rar!'" in refusal(tmp_path, b"Rar!\x1a\x07\x01\x00")


def test_zip_of_something_else(tmp_path: Path) -> None:
    message = refusal(tmp_path, zip_of({"cats/1.jpeg": b"a", "dogs/1.jpeg": b"b"}))
    assert "expected train|val|test / NORMAL|PNEUMONIA, found cats, dogs" in message


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_member_is_named(tmp_path: Path, films: dict[str, bytes], compression: int) -> None:
    members = kaggle_layout(films)
    content = bytearray(zip_of(members, compression=compression))
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        victim = file.getinfo("chest_xray/" + sorted(films)[3])
    middle = victim.header_offset + 30 + len(victim.filename) + victim.compress_size // 2
    content[middle : middle + 8] = b"\xff" * 8
    with pytest.raises(DownloadError, match=r"is damaged at chest_xray/.*jpeg") as caught:
        unpacked(tmp_path, bytes(content))
    assert victim.filename in caught.value.message


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, 97])
def test_member_of_another_method(tmp_path: Path, method: int) -> None:
    content = bytearray(zip_of({PLACE: b"film"}))
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", content, content.index(signature) + offset, method)
    assert f"by method {method}, expected stored or deflated" in refusal(tmp_path, bytes(content))


def test_member_without_a_name(tmp_path: Path) -> None:
    content = zip_of({PLACE: b"film", "n": b"x"})
    assert "a member has no name" in refusal(tmp_path, content.replace(b"n", b"\0"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5),
    cut=st.integers(0, 9),
)
def test_damaged_zip_is_never_a_crash(tmp_path: Path, changes: list[tuple[int, int]], cut: int) -> None:
    films = {
        f"{split}/{name}/{kind}.jpeg": name.encode() * 9
        for split in ("train", "test")
        for name in ("NORMAL", "PNEUMONIA")
        for kind in "ab"
    }
    content = bytearray(zip_of(kaggle_layout(films), compression=zipfile.ZIP_DEFLATED))
    table = content.index(b"PK\x01\x02")
    for position, value in changes:  # two of three in the table of contents, where all the lengths and flags are
        content[(table if position % 3 else 0) + position % (len(content) - (table if position % 3 else 0))] = value
    file = tmp_path / "damaged.zip"
    file.write_bytes(content[: len(content) - cut * 20 if cut > 7 else None])
    shutil.rmtree(tmp_path / "new", ignore_errors=True)
    with contextlib.suppress(DownloadError), opened(file) as zip_file:
        unpack(file, zip_file, contents(file, zip_file), tmp_path / "new")
    assert {item.name for item in tmp_path.iterdir()} <= {"damaged.zip", "new"}, "written outside of the folder"


def test_films_of_other_spellings_and_without_endings_are_taken_and_litter_is_left(tmp_path: Path) -> None:
    members = {
        "set/Train/normal/a.jpeg": b"a",
        "set/validation/Pneumonia/IM0001": bytes(128) + b"DICM...",
        "set/test/NORMAL/notes": b"words, words, words",
        "set/train/NORMAL/.ipynb_checkpoints/a-checkpoint.jpeg": b"a",
        "set/train/NORMAL/@eaDir/a.jpeg": b"a",
        "set/train/NORMAL/b.jpeg.part": b"b",
    }
    file = tmp_path / "mine.zip"
    file.write_bytes(zip_of(members))
    with opened(file) as zip_file:
        found = contents(file, zip_file)
    assert set(found.films) == {"train/NORMAL/a.jpeg", "val/PNEUMONIA/IM0001"}
    assert (found.num_litter, found.others) == (3, ["set/test/NORMAL/notes"])
