"""A data folder, or a table, as rows."""

import csv
import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from pneumocli.core.errors import DataError, RunError
from pneumocli.core.events import Event, Remark
from pneumocli.core.files import cache_folder, sha256_of
from pneumocli.data.manifest import (
    Manifest,
    find_unreadable,
    prove_unchanged,
    readable_films,
    scan,
    with_hashes,
)


def touch(folder: Path, *images: str) -> Path:
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).write_bytes(image.encode())
    return folder


def test_a_folder_becomes_rows(tmp_path: Path):
    touch(
        tmp_path,
        "train/NORMAL/IM-0001-0001.jpeg",
        "train/PNEUMONIA/person1_virus_2.jpeg",
        "test/PNEUMONIA/deeper/person1_bacteria_2.PNG",
        "train/NORMAL/._IM-0001-0001.jpeg",
        "train/NORMAL/.DS_Store",
        "train/NORMAL/notes.txt",
    )
    manifest = scan(tmp_path)
    assert [(row.image, row.label, row.kind, row.patient, row.split) for row in manifest.rows] == [
        ("test/PNEUMONIA/deeper/person1_bacteria_2.PNG", 1, "bacteria", "bacteria:1", "test"),
        ("train/NORMAL/IM-0001-0001.jpeg", 0, "normal", "normal:IM-0001", "train"),
        ("train/PNEUMONIA/person1_virus_2.jpeg", 1, "virus", "virus:1", "train"),
    ]
    assert manifest.num_patients == 3  # bacteria 1 and virus 1 are two children


def test_unknown_names_are_patients_of_their_own_with_a_warning(tmp_path: Path):
    touch(tmp_path, "train/NORMAL/a.png", "train/PNEUMONIA/a.png", "train/NORMAL/IM-0001-0001.jpeg")
    events: list[Event] = []
    manifest = scan(tmp_path, listener=events.append)
    assert manifest.num_patients == 3
    assert {row.kind for row in manifest.rows if row.label} == {"unknown"}
    (remark,) = events
    assert isinstance(remark, Remark)
    assert remark.level == "warning"
    assert remark.text.startswith("3 of 3 file names do not identify the patient")


@pytest.mark.parametrize(
    ("images", "message", "hint"),
    [
        ((), "expected train|val|test / NORMAL|PNEUMONIA, found an empty folder", "pneumo download --data {}"),
        (("pictures/a.png", "b.txt"), "found b.txt, pictures (1 film elsewhere)", "--manifest FILE.csv"),
        (("NORMAL.old/a.png", "films.csv"), "found NORMAL.old, films.csv (1 film", "--manifest {}/films.csv"),
        (("notes.txt", ".DS_Store"), "found .DS_Store, notes.txt", "list them in a table: --manifest FILE.csv"),
        ((".DS_Store",), "found an empty folder", "pneumo download --data {}"),
        (("chest_xray/train/NORMAL/IM-0001-0001.jpeg",), "chest_xray looks like the set", "{}/chest_xray"),
    ],
)
def test_folders_that_are_no_data(tmp_path: Path, images: tuple[str, ...], message: str, hint: str):
    touch(tmp_path, *images)
    with pytest.raises(DataError) as caught:
        scan(tmp_path)
    assert message in caught.value.message
    assert hint.format(tmp_path) in (caught.value.hint or "")


def test_a_missing_folder(tmp_path: Path):
    with pytest.raises(DataError, match="no data folder at") as caught:
        scan(tmp_path / "gone")
    assert "pneumo download --data" in (caught.value.hint or "")


def write_table(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    table = folder / "films.csv"
    table.write_text("\n".join(lines) + "\n", encoding=encoding)
    return table


def test_a_table_decides_label_patient_and_split(tmp_path: Path):
    touch(tmp_path, "a.png", "sub/b.png", "c.dcm", "IM-0001-0001.jpeg")
    table = write_table(
        tmp_path,
        "image,label,patient,split",
        "a.png,PNEUMONIA,p1,train",
        "sub\\b.png,normal,p1,VAL",
        "c.dcm,1,,test",
        "IM-0001-0001.jpeg,0,,",
        encoding="utf-8-sig",  # as Excel writes it
    )
    rows = {row.image: row for row in scan(tmp_path, table).rows}
    assert [(rows[name].label, rows[name].patient, rows[name].split, rows[name].kind) for name in sorted(rows)] == [
        (0, "film:IM-0001-0001.jpeg", "train", "normal"),
        (1, "p1", "train", "unknown"),
        (1, "film:c.dcm", "test", "unknown"),
        (0, "p1", "val", "normal"),
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("file,label", "a.png,0"), "lacks the column image: found file, label"),
        (("",), "lacks the column image and label: found nothing"),
        (("image,label",), "lists no films"),
        (("image,label", "a.png,SICK"), "line 2: label 'SICK', expected NORMAL or PNEUMONIA (or 0 or 1)"),
        (("image,label,split", "a.png,0,validate"), "line 2: split 'validate', expected train, val or test"),
        (("image,label", "gone.png,0"), "line 2: no file at"),
        (("image,label", "../a.png,0"), "line 2: image '../a.png' is no path below"),
        (("image,label", "/etc/passwd,0"), "line 2: image '/etc/passwd' is no path below"),
        (("image,label", "C:\\a.png,0"), "line 2: image 'C:/a.png' is no path below"),
        (("image,label", "a.png,0", "a.png,1"), "lists a.png more than once"),
        (("image,label", ",0"), "line 2: image '' is no path below"),
        (("image,label", "a.png"), "line 2: label '', expected NORMAL or PNEUMONIA"),
    ],
)
def test_tables_at_fault(tmp_path: Path, lines: tuple[str, ...], message: str):
    touch(tmp_path, "a.png")
    with pytest.raises(DataError) as caught:
        scan(tmp_path, write_table(tmp_path, *lines))
    assert message in caught.value.message


def test_a_missing_table_and_one_that_is_no_text(tmp_path: Path):
    with pytest.raises(DataError, match=r"cannot read .*gone\.csv"):
        scan(tmp_path, tmp_path / "gone.csv")
    (tmp_path / "zip.csv").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(DataError, match=r"cannot read .*zip\.csv"):
        scan(tmp_path, tmp_path / "zip.csv")


def test_written_and_read_is_the_same(phantoms: Path, tmp_path: Path):
    manifest = with_hashes(scan(phantoms))
    manifest.write(tmp_path / "manifest.csv")
    assert Manifest.read(tmp_path / "manifest.csv", phantoms) == manifest
    with (tmp_path / "manifest.csv").open() as lines:
        assert next(csv.reader(lines)) == ["image", "label", "kind", "patient", "split", "sha256"]


@pytest.mark.parametrize("content", ["", "image,label\na,2\n", "image,label,kind,patient,split,sha256\na,x,y,z,w,v\n"])
def test_a_damaged_manifest(tmp_path: Path, content: str):
    file = tmp_path / "manifest.csv"
    file.write_text(content)
    if not content:
        assert len(Manifest.read(file, tmp_path)) == 0
        return
    with pytest.raises(RunError, match="is damaged"):
        Manifest.read(file, tmp_path)


def test_hashes_are_those_of_the_files_and_remembered(phantoms: Path):
    manifest = with_hashes(scan(phantoms))
    assert all(row.sha256 == sha256_of(manifest.path(row)) for row in manifest.rows)
    events: list[Event] = []
    assert with_hashes(scan(phantoms), events.append) == manifest
    assert not events  # nothing was read again


def test_a_changed_film_is_hashed_anew(tmp_path: Path):
    touch(tmp_path, "train/NORMAL/IM-0001-0001.jpeg")
    before = with_hashes(scan(tmp_path))
    file = tmp_path / before.rows[0].image
    file.write_bytes(b"other")
    os.utime(file, ns=(1, 1))
    after = with_hashes(scan(tmp_path))
    assert after.rows[0].sha256 == sha256_of(file) != before.rows[0].sha256


def replaced_unnoticed(file: Path, content: bytes) -> None:
    """Gives a film another content of the same size, and its old time of change."""
    state = file.stat()
    assert len(content) == state.st_size
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_film_replaced_with_the_same_size_and_time_is_hashed_anew(tmp_path: Path):
    touch(tmp_path, "train/NORMAL/IM-0001-0001.jpeg")
    file = tmp_path / "train/NORMAL/IM-0001-0001.jpeg"
    file.write_bytes(b"one film")
    before = with_hashes(scan(tmp_path))
    time.sleep(0.02)  # longer than a tick of the file system's clock
    replaced_unnoticed(file, b"another!")
    assert with_hashes(scan(tmp_path)).rows[0].sha256 == sha256_of(file) != before.rows[0].sha256


def test_a_proof_reads_every_film_whatever_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    touch(tmp_path, "train/NORMAL/a.png", "train/PNEUMONIA/b.png")
    (tmp_path / "train/NORMAL/a.png").write_bytes(b"one film")
    recorded = with_hashes(scan(tmp_path))
    # A system whose files have neither a number nor a time of creation that changes.
    key = "pneumocli.data.manifest._HashStore._key"
    monkeypatch.setattr(key, lambda self, path: f"{path}\t{path.stat().st_size}\t{path.stat().st_mtime_ns}")
    recorded = with_hashes(scan(tmp_path))
    replaced_unnoticed(tmp_path / "train/NORMAL/a.png", b"another!")
    with pytest.raises(RunError, match="1 of 2 have another content"):
        prove_unchanged(recorded, "the films", "restore them")


@pytest.mark.parametrize("damage", ["{", "[]", json.dumps({"x": 1})])
def test_a_damaged_hash_cache_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str):
    monkeypatch.setenv("PNEUMO_CACHE", str(tmp_path / "cache"))
    touch(tmp_path / "data", "train/NORMAL/IM-0001-0001.jpeg")
    first = with_hashes(scan(tmp_path / "data"))
    (store,) = (cache_folder() / "hashes").iterdir()
    store.write_text(damage)
    assert with_hashes(scan(tmp_path / "data")) == first


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("PNEUMO_CACHE", str(tmp_path / "cache" / "below"))
    touch(tmp_path / "data", "train/NORMAL/IM-0001-0001.jpeg")
    assert len(with_hashes(scan(tmp_path / "data")).rows[0].sha256) == 64


def test_a_film_that_vanished_while_hashing(tmp_path: Path):
    touch(tmp_path, "train/NORMAL/IM-0001-0001.jpeg")
    manifest = scan(tmp_path)
    (tmp_path / manifest.rows[0].image).unlink()
    (row,) = with_hashes(manifest).rows
    assert row.sha256 not in ("", hashlib.sha256(b"").hexdigest())
    assert find_unreadable(manifest) == {row.image: "cannot be opened: No such file or directory"}


def test_unreadable_films_are_found_with_their_reason(phantoms: Path, tmp_path: Path):
    manifest = scan(phantoms)
    good = manifest.path(manifest.rows[0]).read_bytes()
    touch(
        tmp_path, "train/NORMAL/IM-0001-0001.jpeg", "train/NORMAL/IM-0002-0001.jpeg", "train/NORMAL/IM-0003-0001.jpeg"
    )
    (tmp_path / "train/NORMAL/IM-0001-0001.jpeg").write_bytes(good)
    (tmp_path / "train/NORMAL/IM-0002-0001.jpeg").write_bytes(b"")
    (tmp_path / "train/NORMAL/IM-0003-0001.jpeg").write_bytes(good[:-500])
    assert find_unreadable(scan(tmp_path)) == {
        "train/NORMAL/IM-0002-0001.jpeg": "is empty (0 bytes)",
        "train/NORMAL/IM-0003-0001.jpeg": "is truncated: the file ends before the picture does",
    }


def test_the_fingerprint_depends_on_films_and_labels_alone(phantoms: Path):
    manifest = with_hashes(scan(phantoms))
    resplit = tuple(row.model_copy(update={"split": "test"}) for row in reversed(manifest.rows))
    assert Manifest(Path("elsewhere"), resplit).fingerprint == manifest.fingerprint
    relabelled = (manifest.rows[0].model_copy(update={"label": 1 - manifest.rows[0].label}), *manifest.rows[1:])
    assert Manifest(phantoms, relabelled).fingerprint != manifest.fingerprint


def test_recorded_films_are_proven_or_named(tmp_path: Path):
    touch(tmp_path, "train/NORMAL/a.png", "train/NORMAL/b.png", "train/PNEUMONIA/c.png")
    recorded = with_hashes(scan(tmp_path))
    assert prove_unchanged(recorded, "the films", "restore them") == recorded
    (tmp_path / "train/NORMAL/a.png").write_bytes(b"another")
    with pytest.raises(RunError) as caught:
        prove_unchanged(recorded, "the films of runs/x", "restore them")
    where = f"in {tmp_path} (train/NORMAL/a.png)"
    assert caught.value.message == (
        f"the films of runs/x have changed since the training: 1 of 3 have another content {where}"
    )
    assert caught.value.hint == "restore them"
    (tmp_path / "train/NORMAL/a.png").unlink()
    with pytest.raises(RunError) as caught:
        prove_unchanged(recorded, "the films of runs/x", "restore them")
    assert f"1 of 3 are gone {where}" in caught.value.message


def test_unreadable_films_are_refused_or_left_out_by_name(tmp_path: Path):
    touch(tmp_path, "train/NORMAL/a.png", "train/PNEUMONIA/c.png")
    films, events = scan(tmp_path), []
    assert readable_films(films, {}, skip=False) is films
    damaged = {"train/NORMAL/a.png": "is empty (0 bytes)"}
    named = "train/NORMAL/a.png: is empty (0 bytes)"
    with pytest.raises(DataError) as caught:
        readable_films(films, damaged, skip=False)
    assert caught.value.message == f"1 of 2 films in {tmp_path} cannot be read: {named}"
    assert "--skip-unreadable" in (caught.value.hint or "")
    kept = readable_films(films, damaged, skip=True, listener=events.append)
    assert [row.image for row in kept.rows] == ["train/PNEUMONIA/c.png"]
    (warning,) = [event for event in events if isinstance(event, Remark)]
    assert (warning.text, warning.level) == (f"left out 1 unreadable of 2 films: {named}", "warning")
    with pytest.raises(DataError, match="none of the 2 films"):
        readable_films(films, damaged | {"train/PNEUMONIA/c.png": "is empty (0 bytes)"}, skip=True)
