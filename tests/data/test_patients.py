"""Who is shown in a film."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumocli.data.layout import Placed
from pneumocli.data.patients import identify, patient_of
from tests.helpers.released import kaggle_rows


@pytest.mark.parametrize(
    ("name", "patient", "kind"),
    [
        ("person12_virus_34.jpeg", "virus:12", "virus"),
        ("person12_bacteria_34.jpeg", "bacteria:12", "bacteria"),
        ("person447_virus_921_1.jpeg", "virus:447", "virus"),
        ("IM-0011-0001-0002.jpeg", "normal:IM-0011", "normal"),
        ("NORMAL2-IM-0246-0001.png", "normal:NORMAL2-IM-0246", "normal"),
        ("BACTERIA-1135262-0004.jpeg", "bacteria:BACTERIA-1135262", "bacteria"),
        ("NORMAL-11419-0001.jpeg", "normal:NORMAL-11419", "normal"),
        ("PERSON007_VIRUS_1.JPG", "virus:7", "virus"),
    ],
)
def test_patients_of_the_releases_names(name: str, patient: str, kind: str):
    assert patient_of(name) == (patient, kind)


@pytest.mark.parametrize(
    "name", ["film.jpeg", "person_virus_1.jpeg", "personal.png", "IM-1.jpeg", "xperson1_virus_2.jpeg"]
)
def test_other_names_identify_no_patient(name: str):
    assert patient_of(name) is None


@given(st.text(string.printable + "äß漢", max_size=40))
def test_any_name_is_taken(name: str):
    found = patient_of(name)
    assert found is None or found[0].split(":")[0] == found[1]


def placed(*images: str) -> list[Placed]:
    films = []
    for image in images:
        split, name, *below = image.split("/")
        films.append(Placed(image, split, int(name == "PNEUMONIA"), tuple(below[:-1])))
    return films


def exported(*, anew: bool = False) -> list[Placed]:
    """Two films of each of 52 people, named as Horos names every person's films."""
    images = []
    for number in range(52):
        split, name = "train" if number % 4 else "val", ("NORMAL", "PNEUMONIA")[number % 2]
        person = number // 2 if anew else number
        images += [f"{split}/{name}/Anon_{person:02}/IM-000{film}-0001.jpg" for film in (1, 2)]
    return placed(*images)


def test_folders_per_patient_identify_patients():
    found, remarks = identify(exported())
    assert len({patient for patient, _ in found}) == 52
    assert found[0] == found[1] == ("folder:Anon_00", "normal")
    assert [(remark.level, remark.text) for remark in remarks] == [
        ("note", "each folder below a class counts as a patient, such as val/NORMAL/Anon_00: 52 patients")
    ]


def test_folders_numbered_anew_in_each_class_are_different_patients_with_a_warning():
    found, remarks = identify(exported(anew=True))
    assert len({patient for patient, _ in found}) == 52
    assert found[0][0] == "folder:NORMAL/Anon_00"
    assert remarks[1].level == "warning"
    assert remarks[1].text.startswith("26 names of patients' folders stand in both classes")


def test_a_patient_in_both_classes_or_splits_keeps_his_key():
    films = exported() + placed("test/PNEUMONIA/Anon_02/IM-0003-0001.jpg")
    found, _ = identify(films)
    assert [patient for patient, _ in found].count("folder:Anon_02") == 3


def test_folders_of_studies_below_those_of_patients_do_not_split_a_patient():
    films = placed(*(f"train/NORMAL/P{p}/study{s}/a.png" for p in range(4) for s in range(3)))
    assert len({patient for patient, _ in identify(films)[0]}) == 4


def test_folders_of_batches_are_no_patients():
    films = placed(*(f"train/NORMAL/batch{b}/{n}.png" for b in range(4) for n in range(60)))
    found, (remark,) = identify(films)
    assert len({patient for patient, _ in found}) == 240
    assert (remark.level, remark.text.split(":")[0]) == ("warning", "240 of 240 file names do not identify the patient")
    within = placed(*(f"train/NORMAL/batch{b}/P{b}{n:02}/{k}.png" for b in range(3) for n in range(30) for k in (0, 1)))
    assert len({patient for patient, _ in identify(within)[0]}) == 90


def test_the_releases_names_identify_patients_where_the_release_is_recognised():
    films = [Placed(row.image, row.split, row.label) for row in kaggle_rows()[:2000]]
    found, remarks = identify(films)
    assert [patient for patient, _ in found] == [row.patient for row in kaggle_rows()[:2000]]
    assert remarks == []


@pytest.mark.parametrize(
    "images",
    [
        [f"train/{name}/IM-{n:04}-0001.jpg" for name in ("NORMAL", "PNEUMONIA") for n in range(200, 260)],
        [f"train/PNEUMONIA/person{n}_virus_{n}.jpg" for n in range(60)],
        ["train/NORMAL/IM-0115-0001.jpeg"] + [f"train/NORMAL/IM-9{n:03}-0001.jpeg" for n in range(20)],
    ],
)
def test_other_films_with_names_like_the_releases_are_patients_of_their_own(images: list[str]):
    found, (remark,) = identify(placed(*images))
    assert len({patient for patient, _ in found}) == len(images)
    assert remark.level == "warning"
    assert {kind for _, kind in found} <= {"normal", "unknown"}


def test_version_3_and_phantoms_are_recognised():
    third = placed(*(f"train/PNEUMONIA/VIRUS-{1_000_000 + n // 2}-000{n % 2}.jpeg" for n in range(20)))
    assert len({patient for patient, _ in identify(third)[0]}) == 10
    phantoms = placed("train/PNEUMONIA/person2_virus_3.jpeg", "train/PNEUMONIA/person2_virus_4.jpeg")
    assert [patient for patient, _ in identify(phantoms, drawn=True)[0]] == ["virus:2", "virus:2"]


def test_folders_of_a_single_film_each_identify_nobody():
    found, (remark,) = identify(placed(*(f"train/NORMAL/1.2.840.{n}/a.dcm" for n in range(9))))
    assert len({patient for patient, _ in found}) == 9
    assert remark.text.startswith("9 of 9 file names do not identify the patient")


def test_folders_of_like_names_may_be_one_patients():
    names = [("train", f"P0{number}") for number in range(3)] + [("test", f"p{number}") for number in range(3)]
    _, remarks = identify(placed(*(f"{split}/NORMAL/{name}/{film}.jpg" for split, name in names for film in "ab")))
    (warning,) = [remark for remark in remarks if remark.level == "warning"]
    assert warning.text == (
        "the patients 'P00' and 'p0' differ in leading zeros or in case alone, and so do those of 2 more: they count "
        "as different ones, write each in one way"
    )
