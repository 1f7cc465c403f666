"""Which split and class the folders of a data folder stand for, and what in it is not used."""

from pathlib import Path

import pytest

from pneumocli.core.errors import DataError
from pneumocli.core.events import Event, Remark
from pneumocli.data.layout import survey
from pneumocli.data.manifest import scan
from pneumocli.data.splits import training_pool


def touch(folder: Path, *images: str) -> Path:
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).write_bytes(image.encode())
    return folder


def cells(folder: Path) -> set[tuple[str, str, int]]:
    return {(film.image, film.split, film.label) for film in survey(folder).films}


@pytest.mark.parametrize(
    ("image", "split", "label"),
    [
        ("train/normal/a.png", "train", 0),
        ("Train/Pneumonia/a.png", "train", 1),
        ("TEST/PNEUMONIAS/a.png", "test", 1),
        ("valid/Normals/deep/er/a.png", "val", 0),
        ("validation/NORMAL/a.png", "val", 0),
        ("Training/NORMAL/a.png", "train", 0),
        ("testing/NORMAL/a.png", "test", 0),
    ],
)
def test_folders_are_known_whatever_their_case_and_number(tmp_path: Path, image: str, split: str, label: int):
    assert cells(touch(tmp_path, image)) == {(image, split, label)}


def test_classes_without_splits_are_a_test_set(tmp_path: Path):
    touch(tmp_path, "normal/a.png", "Pneumonia/x/b.png")
    assert cells(tmp_path) == {("normal/a.png", "test", 0), ("Pneumonia/x/b.png", "test", 1)}
    with pytest.raises(DataError, match="holds 2 test films and none to train on") as caught:
        training_pool(scan(tmp_path))
    assert f"move the classes into {tmp_path / 'train'}" in (caught.value.hint or "")


def test_the_train_folder_of_a_set_is_named_as_such(tmp_path: Path):
    touch(tmp_path, "train/NORMAL/a.png", "train/PNEUMONIA/b.png", "test/NORMAL/c.png")
    with pytest.raises(DataError, match="is the train folder of a set, expected the folder that holds it") as caught:
        scan(tmp_path / "train")
    assert caught.value.hint == f"name {tmp_path} instead"
    assert len(scan(tmp_path / "test")) == 1


@pytest.mark.parametrize(
    ("images", "named"),
    [
        (("train/NORMAL/a.png", "train/normal/b.png"), "NORMAL in train: train/NORMAL, train/normal; expected one"),
        (("val/NORMAL/a.png", "valid/NORMAL/b.png"), "NORMAL in val: val/NORMAL, valid/NORMAL; expected one"),
        (("Normal/a.png", "Normals/b.png"), "NORMAL in test: Normal, Normals; expected one"),
    ],
)
def test_two_folders_of_one_meaning_are_ambiguous(tmp_path: Path, images: tuple[str, ...], named: str):
    with pytest.raises(DataError) as caught:
        survey(touch(tmp_path, *images))
    assert named in caught.value.message


def test_films_outside_of_the_layout_are_unused_wherever_they_lie(tmp_path: Path):
    touch(tmp_path, "train/NORMAL/a.png", "train/COVID19/b.png", "train/c.png", "d.dcm", "extra/deep/e.jpg")
    touch(tmp_path, "NORMAL/f.png", "train/NORMAL/notes.txt", "train/NORMAL/.ipynb_checkpoints/a-checkpoint.png")
    found = survey(tmp_path)
    assert [film.image for film in found.films] == ["train/NORMAL/a.png"]
    assert set(found.unused) == {"train/COVID19/b.png", "train/c.png", "d.dcm", "extra/deep/e.jpg", "NORMAL/f.png"}
    assert found.others == {"train/NORMAL/notes.txt": "no film's ending"}
    assert found.system == {"train/NORMAL/.ipynb_checkpoints/": "copies that Jupyter made"}
    assert found.cell_of("train/NORMAL/notes.txt") == ("train", 0)


def test_what_is_not_used_is_remarked_on(tmp_path: Path):
    touch(tmp_path, "train/NORMAL/a.png", "train/COVID19/b.png", "train/COVID19/c.png", "train/NORMAL/._a.png")
    events: list[Event] = []
    scan(tmp_path, listener=events.append)
    texts = [(event.level, event.text) for event in events if isinstance(event, Remark)]
    assert texts[0][0] == "warning"
    assert texts[0][1].startswith("2 films are not used, being in no folder of the layout")
    assert "train/COVID19 (2)" in texts[0][1]
    assert texts[1] == ("note", "1 hidden or system file or folder is left out: train/NORMAL/._a.png")


def test_the_set_a_second_time_is_no_film_unused(tmp_path: Path):
    touch(tmp_path, "train/NORMAL/a.png", "chest_xray/train/NORMAL/a.png")
    (tmp_path / "chest_xray/train/NORMAL/a.png").write_bytes((tmp_path / "train/NORMAL/a.png").read_bytes())
    found = survey(tmp_path)
    assert (found.unused, found.others) == ({}, {"chest_xray/": "the set a second time, as in the zip"})
    touch(tmp_path, "chest_xray/train/NORMAL/b.png")
    assert set(survey(tmp_path).unused) == {"chest_xray/train/NORMAL/a.png", "chest_xray/train/NORMAL/b.png"}


def test_names_that_are_no_text_are_unused(tmp_path: Path):
    touch(tmp_path, "train/NORMAL/a.png")
    (tmp_path / "train/NORMAL").joinpath(b"b\xff.png".decode("utf-8", "surrogateescape")).touch()
    assert survey(tmp_path).unused == {r"train/NORMAL/b\xff.png": "its name is no UTF-8 text: rename it"}


def test_a_folder_of_a_set_one_too_deep(tmp_path: Path):
    touch(tmp_path, "unpacked/Train/normal/a.png")
    with pytest.raises(DataError, match=f"but {tmp_path / 'unpacked'} looks like the set"):
        scan(tmp_path)


def test_splits_inside_the_classes_are_splits_and_no_patients(tmp_path: Path):
    touch(tmp_path, "normal/train/a.png", "PNEUMONIA/Test/b.png", "normal/validation/ward-3/c.png", "normal/d.png")
    found = survey(tmp_path)
    assert {(film.image, film.split, film.label, film.below) for film in found.films} == {
        ("normal/train/a.png", "train", 0, ()),
        ("PNEUMONIA/Test/b.png", "test", 1, ()),
        ("normal/validation/ward-3/c.png", "val", 0, ("ward-3",)),
        ("normal/d.png", "test", 0, ()),
    }
    assert found.cell_of("normal/train/notes.txt") == ("train", 0)
