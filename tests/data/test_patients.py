"""Who is shown in a film."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumocli.data.patients import patient_of


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
