"""Which release films are, and every difference to it."""

from pathlib import PurePosixPath

from pneumocli.core.records import ManifestRow
from pneumocli.verification.release_match import mislabelled_by_name, recognise
from tests.helpers.released import kaggle_rows

ROWS = kaggle_rows()


def moved(row: ManifestRow, split: str, label: int | None = None, **changes: str) -> ManifestRow:
    label = row.label if label is None else label
    image = f"{split}/{('NORMAL', 'PNEUMONIA')[label]}/{PurePosixPath(row.image).name}"
    return row.model_copy(update={"split": split, "label": label, "image": image, **changes})


def of(split: str) -> list[ManifestRow]:
    return [row for row in ROWS if row.split == split]


def test_the_kaggle_release():
    found = recognise(ROWS)
    assert found is not None
    assert found.release == "kaggle"
    assert found.is_whole
    assert found.known == 5856


def test_the_mendeley_release():
    found = recognise([moved(row, "train") if row.split == "val" else row for row in ROWS])
    assert found is not None
    assert found.release == "mendeley"
    assert found.is_whole


def test_a_part_without_val_is_a_part_of_kaggle():
    found = recognise(of("train") + of("test"))
    assert found is not None
    assert (found.release, len(found.missing), found.moved, found.extra) == ("kaggle", 16, {}, ())


def test_films_in_another_split_are_moved_and_not_missing():
    swapped = [moved(row, "test") if number < 5 else row for number, row in enumerate(of("train"))]
    found = recognise(swapped + of("val") + of("test"))
    assert found is not None
    assert len(found.moved) == 5
    assert found.missing == found.extra == ()
    image, place = next(iter(found.moved.items()))
    assert image.startswith("test/")
    assert place == image.replace("test/", "train/")


def test_a_film_in_the_other_class_is_mislabelled():
    wrong = moved(ROWS[0], ROWS[0].split, 1 - ROWS[0].label)
    found = recognise([wrong, *ROWS[1:]])
    assert found is not None
    assert found.mislabelled == {wrong.image: ROWS[0].image}
    assert mislabelled_by_name([wrong, *ROWS[1:]]) == {wrong.image: "NORMAL"}


def test_a_second_copy_is_extra_whichever_comes_first():
    for rows in ((*ROWS, moved(of("train")[0], "test")), (moved(of("train")[0], "test"), *ROWS)):
        found = recognise(rows)
        assert found is not None
        assert len(found.extra) == 1
        assert found.missing == ()
        assert not found.moved


def test_foreign_films_among_those_of_the_release_are_extra():
    stranger = ROWS[0].model_copy(update={"image": "train/NORMAL/stranger.jpeg", "split": "train", "label": 0})
    found = recognise([*ROWS, stranger])
    assert found is not None
    assert found.extra == ("train/NORMAL/stranger.jpeg",)


def test_a_copy_with_another_ending_and_case_is_recognised():
    found = recognise([row.model_copy(update={"image": row.image[:-5].upper() + ".PNG"}) for row in ROWS])
    assert found is not None
    assert found.is_whole


def test_other_films_are_no_release():
    assert recognise([row.model_copy(update={"image": f"{row.split}/x/{n}.png"}) for n, row in enumerate(ROWS)]) is None


def test_a_hospitals_own_films_that_share_some_names_are_no_release():
    rows = [row.model_copy(update={"image": f"train/PNEUMONIA/person{n}_virus_{n}.jpeg"}) for n, row in enumerate(ROWS)]
    assert recognise(rows) is None
