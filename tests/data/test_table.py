"""Tables of films as spreadsheets and data frames write them."""

import os
import unicodedata
from pathlib import Path

import pytest

from pneumocli.core.errors import DataError
from pneumocli.core.events import Event, Remark
from pneumocli.data.table import column_names, read_table

FILMS = ("a.png", "b.png", "sub/c.dcm")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with three films."""
    for name in FILMS:
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / name).touch()
    return tmp_path / "films"


def written(folder: Path, text: str, encoding: str = "utf-8", name: str = "films.csv") -> Path:
    table = folder.parent / name
    table.write_bytes(text.encode(encoding))
    return table


def read(folder: Path, text: str, encoding: str = "utf-8") -> list[tuple[str, int, str, str]]:
    rows = read_table(written(folder, text, encoding), folder)
    return [(row.image, row.label, row.patient, row.split) for row in rows]


EXPECTED = [("a.png", 0, "p1", "train"), ("b.png", 1, "p2", "val"), ("sub/c.dcm", 1, "p3", "test")]
PLAIN = "image,label,patient,split\na.png,0,p1,train\nb.png,1,p2,val\nsub/c.dcm,1,p3,test\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        "sep=;\n" + PLAIN.replace(",", ";"),
        "Table 1\n" + PLAIN,
        "# exported, by ward 3\nfilms, 2026\n" + PLAIN,
        "Films; ward 3\n" + PLAIN.replace(",", ";"),
        "films of 2026,,,\n\n" + PLAIN,
        PLAIN + ",,,\n,,,\n",
        PLAIN.replace("\nb", "\n\n,,,\nb"),
        PLAIN.replace("image,label,patient,split", "Image,LABEL, Patient ,Split"),
        PLAIN.replace(",0,", ",0.0,").replace(",1,", ",1.0,"),
        PLAIN.replace(",0,", ",False,").replace(",1,", ",True,"),
        PLAIN.replace(",0,", ",FALSE,").replace(",1,", ",TRUE,"),
        PLAIN.replace(",0,", ", normal ,").replace(",1,", ",Pneumonia,"),
        PLAIN.replace(",val", ",Validation").replace(",train", ",nan"),
        PLAIN.replace(",train", ", "),
        PLAIN.replace("a.png", "./a.png").replace("sub/c", "sub\\c"),
        PLAIN.replace("\n", ",\n"),
        "".join(f"{number},{line}\n" for number, line in enumerate(PLAIN.splitlines())).replace("0,image", ",image"),
        PLAIN + "a.png,0.0,p1,train\n",
    ],
    ids=str,
)
def test_what_is_unambiguous_is_read(folder: Path, text: str):
    assert read(folder, text) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "mac_roman"])
def test_encodings_of_excel(folder: Path, encoding: str):
    name = unicodedata.normalize("NFC", "Müller_café.png")
    (folder / name).touch()
    assert read(folder, f"image,label,patient\n{name},1,Grün\n", encoding) == [(name, 1, "Grün", "train")]
    assert column_names(written(folder, f"Image;Label;{name}\n", encoding))[:2] == ("image", "label")


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC"), ("NFD", "NFD")])
def test_names_in_another_unicode_form(folder: Path, on_disk: str, in_table: str):
    there, named = (unicodedata.normalize(form, "Müller_café.png") for form in (on_disk, in_table))
    (folder / "sub" / there).touch()
    assert read(folder, f"image,label\nsub/{named},1\n") == [(f"sub/{there}", 1, "", "train")]


def test_absolute_paths_into_the_folder(folder: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(folder)
    for root in (folder, tmp_path / "link"):
        assert read(folder, f"image,label\n{root / 'sub/c.dcm'},1\n") == [("sub/c.dcm", 1, "", "train")]
    assert read_table(written(folder, f"image,label\n{folder / 'a.png'},0\n"), tmp_path / "link")[0].image == "a.png"


def test_paths_from_the_tables_own_folder_into_the_data_folder(folder: Path):
    assert read(folder, "image,label\nfilms/a.png,0\n./films/sub\\c.dcm,1\n") == [
        ("a.png", 0, "", "train"),
        ("sub/c.dcm", 1, "", "train"),
    ]
    (folder / "films").mkdir()
    (folder / "films/a.png").touch()
    assert read(folder, "image,label\nfilms/a.png,0\n")[0][0] == "films/a.png"


def test_numbers_of_patients_from_a_column_with_gaps(folder: Path):
    rows = read(folder, "image,label,patient\na.png,0,17.0\nb.png,1,nan\nsub/c.dcm,1,17\n")
    assert [patient for _, _, patient, _ in rows] == ["17", "", "17"]


def test_repeated_rows_that_agree_count_once_with_a_note(folder: Path):
    events: list[Event] = []
    table = written(folder, "image,label,x\na.png,0,1\na.png,NORMAL,2\nb.png,1,3\n./b.png,1,4\n")
    assert [row.image for row in read_table(table, folder, events.append)] == ["a.png", "b.png"]
    assert [event.text for event in events if isinstance(event, Remark)] == [
        f"{table} repeats 2 rows with the same content: each film counts once"
    ]


def test_a_link_that_leads_nowhere_is_a_film_to_be_named_later(folder: Path):
    (folder / "gone.png").symlink_to("annexed")
    assert read(folder, "image,label\ngone.png,1\n") == [("gone.png", 1, "", "train")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,label\na.png,0\nb.png,1\na.png,1\n",
            "lists a.png more than once: line 2 gives the label NORMAL, line 4 PNEUMONIA",
        ),
        (
            "image,label,split\na.png,0,train\na.png,0,test\n",
            "lists a.png more than once: line 2 gives the split train, line 3 test",
        ),
        (
            "image,label,patient\na.png,0,p1\na.png,0,\n",
            "lists a.png more than once: line 2 gives the patient p1, line 3 none",
        ),
        ("image,label\na.png,0,x\n", "line 2: 3 cells, expected 2"),
        ("image,label,Image\na.png,0,b.png\n", "has the column image twice"),
        ("image,label\n\na.png,\n", "line 3: label '', expected NORMAL or PNEUMONIA"),
        ("image,label\na.png,0.5\n", "line 2: label '0.5', expected NORMAL or PNEUMONIA"),
        ("image,label\na.png,2\n", "line 2: label '2', expected NORMAL or PNEUMONIA"),
        ("image,label,patient\na.png,0,1.23E+12\n", "line 2: patient '1.23E+12' was shortened by a spreadsheet"),
        ("image,label,patient\na.png,0,#REF!\n", "line 2: patient '#REF!' is a spreadsheet's error"),
        ("image,label\nsub,0\n", "line 2: no file at"),
        ("image,label\nA.PNG,0\n", "line 2: no file at"),
        ("name;Label\na.png;0\n", "lacks the column image: found name, label"),
        ("image,label\n,,\n", "lists no films"),
    ],
)
def test_what_is_ambiguous_is_refused_by_its_line(folder: Path, text: str, message: str):
    with pytest.raises(DataError) as caught:
        read(folder, text)
    assert message in caught.value.message
    assert "films.csv" in caught.value.message


def test_another_case_is_named_in_the_hint(folder: Path):
    with pytest.raises(DataError) as caught:
        read(folder, "image,label\nSub/C.dcm,0\n")
    assert caught.value.hint == "is sub/c.dcm meant?"


def test_a_film_named_in_two_cases_counts_once_where_the_disk_knows_no_case(folder: Path):
    (folder / "A.png").hardlink_to(folder / "a.png")  # one file under both names, as there
    assert read(folder, "image,label\na.png,0\nA.png,0\n") == [("a.png", 0, "", "train")]
    with pytest.raises(DataError, match=r"lists A\.png more than once: line 2 gives the split train, line 3 test"):
        read(folder, "image,label,split\na.png,0,train\nA.png,0,test\n")


def test_films_whose_names_differ_in_case_are_two_where_it_counts(folder: Path):
    (folder / "A.png").touch()
    if (folder / "A.png").samefile(folder / "a.png"):
        pytest.skip("this disk knows no case")
    assert [row[0] for row in read(folder, "image,label\na.png,0\nA.png,1\n")] == ["a.png", "A.png"]


def test_two_spellings_of_one_name_are_ambiguous(folder: Path):
    mixed = unicodedata.normalize("NFC", "ü") + unicodedata.normalize("NFD", "é.png")
    for form in ("NFC", "NFD"):
        (folder / unicodedata.normalize(form, mixed)).touch()
    with pytest.raises(DataError, match="fits several files in"):
        read(folder, f"image,label\n{mixed},1\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04...", "an Excel or Numbers workbook, expected a table as text"),
        (b"\xd0\xcf\x11\xe0...", "an old Excel workbook"),
        (b"image,label\n\0\0", "is no table of films: it is no text"),
        (b"\xff\xfe\x00", "it is no text in UTF-16"),
    ],
)
def test_files_that_are_no_tables(folder: Path, content: bytes, message: str):
    table = folder.parent / "films.csv"
    table.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(table, folder)
    assert caught.value.hint


def test_columns_that_are_meant_by_other_names_are_named(folder: Path):
    table = folder.parent / "films.csv"
    table.write_text("image,label,Patient ID,set\na.png,0,7,test\n")
    events: list[Event] = []
    assert [(row.patient, row.split) for row in read_table(table, folder, events.append)] == [("", "train")]
    assert [event.text for event in events if isinstance(event, Remark) and event.level == "warning"] == [
        f"{table}: the column patient id is not read, expected the name patient",
        f"{table}: the column set is not read, expected the name split",
    ]


def test_what_excel_writes_for_a_missing_patient_is_none(folder: Path):
    assert [row[2] for row in read(folder, "image,label,patient\na.png,0,#N/A\n")] == [""]


def test_a_quote_that_nobody_closed_is_named_by_its_line_and_in_few_words(folder: Path):
    lines = [f"SECRET-{number}" for number in range(1000)]
    lines[0] = '"a.png,0,' + lines[0]
    with pytest.raises(DataError, match=r"line 2: the image .* runs over 1,001 lines") as caught:
        read(folder, "\n".join(["image,label,patient", *lines, '",0,p']))
    assert len(caught.value.message) < 300
    assert "SECRET-9" not in caught.value.message


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ['a.png,0,p1,"no end', "b.png,1,p2,fine", "sub/c.dcm,1,p3,fine"],
            "line 2: .* takes line 3 in, which is a row",
        ),
        (['a.png,0,p1,"no end', "b.png,1,p2,fine", 'sub/c.dcm,1,p3,an"', ""], "line 2: .* takes line 3 in"),
        (
            ["a.png,0,p1,fine", "b.png,1,p2,fine", 'sub/c.dcm,1,p3,"no', "end", ""],
            "line 4: .* before the end of the file",
        ),
    ],
)
def test_a_quote_that_nobody_closed_in_a_column_that_is_not_read(folder: Path, rows: list[str], message: str):
    """It would take further films in without a word."""
    with pytest.raises(DataError, match=message) as caught:
        read(folder, "\n".join(["image,label,patient,report", *rows]))
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("close the quote in line")


def test_reports_of_several_lines_are_left_alone(folder: Path):
    report = '"Heart, lungs: normal.\r\n\r\nNo ""effusion"", 1 week later:\nunchanged, 0, none"'
    text = (
        f"image,label,patient,split,report\na.png,0,p1,train,{report}\nb.png,1,p2,val,{report}\nsub/c.dcm,1,p3,test,\n"
    )
    assert read(folder, text) == EXPECTED


@pytest.mark.parametrize("cell", ["#BEZUG!", "#NOME?", "########", "#DIV/0!", "#REF!"])
def test_what_a_spreadsheet_could_not_compute_is_no_patient(folder: Path, cell: str):
    with pytest.raises(DataError, match="is a spreadsheet's error"):
        read(folder, PLAIN.replace("p1", cell))
    assert read(folder, PLAIN.replace("p1", "#12"))[0][2] == "#12"


def test_a_pipe_is_no_table(folder: Path):
    pipe = folder.parent / "films.csv"
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="is a pipe or a device, expected a file"):
        read_table(pipe, folder)


@pytest.mark.parametrize(
    ("patients", "words"),
    [
        (("007", "7", "P3"), "the patients '007' and '7' differ in leading zeros or in case alone: they count"),
        (("p-01", "P-1", "P3"), "the patients 'P-1' and 'p-01' differ"),
        (("a1", "A1", "a10"), "the patients 'A1' and 'a1' differ"),
        (("10", "100", "1000"), None),
        (("0", "00", "x0"), "the patients '0' and '00' differ"),
    ],
)
def test_patients_that_differ_in_leading_zeros_or_case_alone_are_named(
    folder: Path, patients: tuple[str, str, str], words: str | None
):
    text = PLAIN
    for key, patient in zip(("p1", "p2", "p3"), patients, strict=True):
        text = text.replace(key, patient)
    events: list[Event] = []
    rows = read_table(written(folder, text), folder, events.append)
    assert [row.patient for row in rows] == list(patients)
    warnings = [event.text for event in events if isinstance(event, Remark) and event.level == "warning"]
    assert len(warnings) == (words is not None)
    assert words is None or words in warnings[0]
