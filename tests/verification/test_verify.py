"""verify_data: what it recognises, what it calls a problem, and what merely a note."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumocli.cli.verify_data_tables import counts_table
from pneumocli.core.config import VerifyDataConfig
from pneumocli.core.errors import DataError, RunError
from pneumocli.core.events import Event, Remark, TaskFinished, TaskStarted
from pneumocli.data.grey import CLIPPED
from pneumocli.data.manifest import scan
from pneumocli.data.phantom import draw_phantom
from pneumocli.data.polarity import LOOKS_INVERTED
from pneumocli.run_folder import RunFolder
from pneumocli.verification.records import Finding, Verification
from pneumocli.verification.verify import verify_data
from tests.helpers.released import empty_films, film_bytes, kaggle_rows, some_of, write_films


def verified(data: Path, **settings: object) -> Verification:
    return verify_data(VerifyDataConfig.model_validate({"data": data, **settings}))


def codes(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.code for finding in findings}


def only(findings: tuple[Finding, ...], code: str) -> Finding:
    (found,) = [finding for finding in findings if finding.code == code]
    return found


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every name of the Kaggle release, without content: copy it before changing it."""
    return empty_films(tmp_path_factory.mktemp("release"), (row.image for row in kaggle_rows()))


@pytest.fixture
def subset(tmp_path: Path) -> Path:
    """Sixty films of the release, in their places, with pictures."""
    images = [*some_of("train", "NORMAL", 20), *some_of("train", "PNEUMONIA", 20)]
    images += [*some_of("test", "NORMAL", 10), *some_of("test", "PNEUMONIA", 10)]
    return write_films(tmp_path / "data", images)


def test_the_perfect_release_has_no_problem(release: Path):
    result = verified(release, quick=True)
    assert result.problems == ()
    assert (result.release, result.complete, result.title) == ("kaggle", True, "the Kaggle release")
    assert (result.num_images, result.num_patients) == (5856, 4097)
    assert [cell.num_images for cell in result.cells] == [1341, 3875, 8, 8, 234, 390]
    assert all(cell.num_images == cell.expected == cell.num_files for cell in result.cells)
    assert result.class_weights == pytest.approx({"NORMAL": 5216 / 2682, "PNEUMONIA": 5216 / 7750})
    assert codes(result.notes) == {"imbalance", "small-val", "known-figures"}
    assert result.resized is result.shortcut_probe is None


def test_a_split_of_one_class_is_a_note(tmp_path: Path):
    images = [*some_of("train", "NORMAL", 2), *some_of("train", "PNEUMONIA", 2), *some_of("test", "PNEUMONIA", 3)]
    result = verified(empty_films(tmp_path, images), quick=True)
    assert only(result.notes, "one-class").text == "test holds PNEUMONIA alone (3 films): AUROC is undefined there"


@pytest.mark.slow
def test_the_mendeley_release_has_no_problem(tmp_path: Path):
    images = (row.image.replace("val/", "train/", 1) for row in kaggle_rows())
    result = verified(empty_films(tmp_path, images), quick=True)
    assert (result.release, result.complete, result.problems) == ("mendeley", True, ())


def test_a_part_of_the_release_names_every_missing_film(subset: Path):
    result = verified(subset, quick=True)
    missing = only(result.problems, "missing")
    assert codes(result.problems) == {"missing"}
    assert len(missing.images) == 5856 - 60
    assert missing.text == "5,796 films of the Kaggle release are missing"
    assert result.title == "a part of the Kaggle release (60 of 5,856 films)"
    assert not result.complete


def test_litter_explains_counts_that_are_one_too_many(subset: Path):
    (subset / "train/NORMAL/.DS_Store").touch()
    (subset / "train/NORMAL/._IM-0115-0001.jpeg").touch()
    (subset / "test/PNEUMONIA/readme.txt").touch()
    (subset / "chest_xray/train").mkdir(parents=True)
    (subset / "__MACOSX").mkdir()
    result = verified(subset, quick=True)
    note = only(result.notes, "other-files")
    assert note.text.startswith(
        "5 files are no films and are ignored: train/NORMAL holds 22 files, 20 of them films; test/PNEUMONIA holds 11"
    )
    assert note.detail["train/NORMAL/.DS_Store"] == "macOS's view of the folder"
    assert note.detail["chest_xray/"] == "the set a second time, as in the zip"
    assert {(cell.num_images, cell.num_files) for cell in result.cells if cell.split == "train"} == {
        (20, 22),
        (20, 20),
    }


def test_a_film_in_another_split_or_class_or_twice(subset: Path):
    first, second, third = some_of("train", "PNEUMONIA", 20)[-3:]
    (subset / first).rename(subset / first.replace("train", "test"))
    (subset / second).rename(subset / second.replace("PNEUMONIA", "NORMAL"))
    shutil.copy(subset / third, subset / third.replace("train", "test"))
    result = verified(subset)
    assert {"moved", "mislabelled", "extra", "missing", "identical-across-splits"} <= codes(result.problems)
    assert only(result.problems, "moved").detail == {first.replace("train", "test"): first}
    wrong = second.replace("PNEUMONIA", "NORMAL")
    assert only(result.problems, "mislabelled").detail == {wrong: second}
    assert only(result.problems, "extra").images == (third.replace("train", "test"),)
    assert set(only(result.problems, "identical-across-splits").images) == {third, third.replace("train", "test")}
    assert "split differently, with labels changed, with other films added" in result.title


def test_unreadable_films_are_problems_with_their_reason(subset: Path):
    broken, empty = some_of("train", "NORMAL", 2)
    content = (subset / broken).read_bytes()
    (subset / broken).write_bytes(content[: len(content) // 2])
    (subset / empty).write_bytes(b"")
    found = only(verified(subset).problems, "unreadable")
    assert found.text == "2 films cannot be read"
    assert found.detail == {broken: "is truncated: the file ends before the picture does", empty: "is empty (0 bytes)"}


def test_identical_pictures_across_classes_are_a_problem_and_within_one_a_note(subset: Path):
    normal, twin = some_of("train", "NORMAL", 2)
    ill = some_of("train", "PNEUMONIA", 1)[0]
    shutil.copy(subset / normal, subset / twin)
    result = verified(subset)
    assert "identical-across-classes" not in codes(result.problems)
    assert only(result.notes, "duplicates").images == (normal, twin)
    shutil.copy(subset / normal, subset / ill)
    result = verified(subset)
    assert set(only(result.problems, "identical-across-classes").images) == {normal, twin, ill}


def test_near_duplicates_are_notes(subset: Path):
    train, test = some_of("train", "NORMAL", 1)[0], some_of("test", "NORMAL", 1)[0]
    Image.open(subset / train).save(subset / test, quality=40)
    result = verified(subset)
    assert set(only(result.notes, "near-across").images) == {train, test}
    assert codes(result.problems) == {"missing"}


def test_files_that_are_not_what_their_ending_says(subset: Path):
    name = some_of("train", "NORMAL", 1)[0]
    (subset / name).write_bytes(film_bytes(99, form="PNG"))
    note = only(verified(subset).notes, "misnamed")
    assert note.detail == {name: "is PNG, named as JPEG"}


def test_a_resized_copy_is_recognised(tmp_path: Path):
    images = [*some_of("train", "NORMAL", 10), *some_of("train", "PNEUMONIA", 10)]
    same = verified(write_films(tmp_path / "a", images, width=64, height=64))
    assert same.resized
    assert same.title.startswith("a resized copy of a part of the Kaggle release")
    assert "64 x 64 pixels" in only(same.notes, "resized").text
    wide = verified(write_films(tmp_path / "b", images, height=64))
    assert "a short side of 64 pixels" in only(wide.notes, "resized").text


def test_colour_is_noted(subset: Path):
    name = some_of("train", "NORMAL", 1)[0]
    Image.merge("RGB", [Image.open(subset / name), *(Image.new("L", (90, 70), level) for level in (0, 200))]).save(
        subset / name
    )
    assert only(verified(subset).notes, "coloured").images == (name,)


@pytest.mark.parametrize("grey", [0, 255])
def test_a_film_of_one_grey_value_is_noted(subset: Path, grey: int):
    name = "train/NORMAL/blank.png"
    Image.new("L", (300, 200), grey).save(subset / name)
    found = only(verified(subset).notes, "blank")
    assert (found.text, found.images) == ("1 film is of one grey value throughout", (name,))


def test_negatives_and_burnt_in_markers_are_noted(subset: Path):
    rng = np.random.default_rng(0)
    inverted, marked = some_of("train", "NORMAL", 2)
    negative = 255 - draw_phantom(rng, "normal", short_side=96)
    Image.fromarray(negative).save(subset / inverted)
    values = draw_phantom(rng, "normal", short_side=96).astype(np.uint16) * 16
    values[:3, :3] = 65535
    Image.fromarray(values).save(subset / marked, "PNG")
    notes = verified(subset).notes
    assert only(notes, "looks-inverted").detail[inverted] == LOOKS_INVERTED.text
    assert marked not in only(notes, "looks-inverted").detail
    assert only(notes, "clipped").detail == {marked: CLIPPED.text}


def test_foreign_films_have_no_release_to_miss(tmp_path: Path):
    images = [
        f"{split}/{name}/film{n}.png"
        for split in ("train", "test")
        for name in ("NORMAL", "PNEUMONIA")
        for n in range(6)
    ]
    result = verified(write_films(tmp_path, images, form="PNG"))
    assert (result.release, result.problems) == ("foreign", ())
    assert result.title == "films of neither release"
    assert len(only(result.notes, "unknown-patients").images) == 24
    assert result.cells[0].expected is None


def test_phantoms_are_called_phantoms(phantoms: Path):
    result = verified(phantoms)
    assert (result.release, result.problems) == ("phantom", ())
    assert result.title == "synthetic films drawn by pneumo"
    assert {item.num_images for item in result.properties} == {18, 54, 3, 5, 15, 25}
    assert result.shortcut_probe is not None
    assert result.shortcut_probe.auroc is not None
    assert result.shortcut_probe.folds == 5


@pytest.mark.slow
def test_the_probe_finds_a_planted_shortcut_and_nothing_where_there_is_none(tmp_path: Path):
    normal = [f"train/NORMAL/a{n}.png" for n in range(30)]
    ill = [f"train/PNEUMONIA/b{n}.png" for n in range(30)]
    write_films(tmp_path / "bright", normal, form="PNG", level=60)
    write_films(tmp_path / "bright", ill, form="PNG", level=190)
    planted = verified(tmp_path / "bright").shortcut_probe
    write_films(tmp_path / "same", [name for pair in zip(normal, ill, strict=True) for name in pair], form="PNG")
    clean = verified(tmp_path / "same").shortcut_probe
    assert planted is not None
    assert clean is not None
    assert planted.auroc is not None
    assert clean.auroc is not None
    assert planted.auroc > 0.98
    assert planted.features["brightness"] == pytest.approx(1.0, abs=0.02)
    assert clean.auroc < 0.8


def test_the_probe_needs_two_patients_of_each_class(tmp_path: Path):
    images = ["train/NORMAL/IM-9990-0001.png", "train/PNEUMONIA/p1.png", "train/PNEUMONIA/p2.png"]
    result = verified(write_films(tmp_path, images, form="PNG"))
    assert result.shortcut_probe is not None
    assert result.shortcut_probe.auroc is None
    assert "too few patients" in only(result.notes, "shortcut").text


def test_a_patient_in_two_splits_or_classes_is_a_problem(tmp_path: Path):
    images = ["a.png", "b.png", "c.png", "d.png"]
    write_films(tmp_path, images, form="PNG")
    table = tmp_path / "films.csv"
    table.write_text(
        "image,label,patient,split\na.png,0,p1,train\nb.png,0,p1,test\nc.png,1,p2,train\nd.png,0,p2,train\n"
    )
    result = verified(tmp_path, manifest=table)
    assert only(result.problems, "patient-across-splits").detail == {"a.png": "p1", "b.png": "p1"}
    assert only(result.problems, "patient-across-classes").text == "1 patient has films in several classes (2 films)"
    assert result.manifest == str(table)
    assert verified(table).problems == result.problems  # a table's paths are relative to its folder


def test_a_table_may_choose_films_of_the_release_freely(subset: Path):
    images = [*some_of("train", "NORMAL", 2), *some_of("train", "PNEUMONIA", 2)]
    table = subset / "films.csv"
    table.write_text("image,label,split\n" + "".join(f"{name},{name.split('/')[1]},test\n" for name in images))
    result = verified(subset, manifest=table, quick=True)
    assert result.problems == ()
    assert {"moved", "missing"} <= codes(result.notes)


def test_columns_that_no_film_fills_are_left_out(phantoms: Path, tmp_path: Path):
    own = tmp_path / "own"
    for number, film in enumerate(sorted((phantoms / "train").rglob("*.jpeg"))[::9]):
        name = own / ("sick" if "PNEUMONIA" in film.parts else "well") / f"case{number}.jpeg"
        name.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, name)
    rows = [f"{film},{int(film.parent.name == 'sick')}" for film in sorted(own.rglob("*.jpeg"))]
    table = tmp_path / "own.csv"
    table.write_text("\n".join(["image,label", *rows]) + "\n")
    shown = {}
    for name, where in {"own": table, "phantoms": phantoms}.items():
        page = tmp_path / f"{name}.html"
        headings = [column.header for column in counts_table(verified(where, report=page)).columns]
        shown[name] = headings, re.findall(r'scope="col"[^>]*>([^<]+)<', page.read_text())
    assert shown["own"][0] == ["split", "class", "films", "patients"]
    assert shown["own"][1][:5] == ["split", "class", "films", "patients", "files"]
    assert shown["phantoms"][0] == ["split", "class", "films", "patients", "bacteria", "virus"]
    assert shown["phantoms"][1][:7] == ["split", "class", "films", "patients", "bacteria", "virus", "files"]


def test_a_runs_manifest_proves_that_its_splits_are_disjoint(trained: RunFolder):
    result = verified(trained.manifest_file)
    assert result.problems == ()
    text = only(result.notes, "disjoint").text
    assert text.startswith("the splits are disjoint, no patient and no identical film in two: train ")
    assert "; val " in text
    assert "; test 40 films of " in text  # those of the data folder, which the run never saw
    assert not result.quick
    assert verified(trained.path, quick=True).manifest == str(trained.manifest_file)


def test_a_training_film_that_came_to_stand_in_test_is_found(trained: RunFolder, tmp_path: Path):
    run = changed_run(trained, tmp_path)
    row = run.manifest().of("train").rows[0]
    place = tmp_path / "data" / "test" / Path(row.image).relative_to("train")
    shutil.copy(tmp_path / "data" / row.image, place)
    result = verified(run.manifest_file)
    assert codes(result.problems) == {"patient-across-splits", "identical-across-splits"}
    assert "disjoint" not in codes(result.notes)


def changed_run(trained: RunFolder, folder: Path) -> RunFolder:
    """A copy of a run's manifest and settings, with the films beside it."""
    shutil.copytree(trained.config().data, folder / "data")
    run = RunFolder(folder / "run")
    run.path.mkdir()
    run.write_config(trained.config().model_copy(update={"data": folder / "data"}))
    shutil.copy(trained.manifest_file, run.manifest_file)
    return run


def test_a_run_whose_films_changed_or_vanished(trained: RunFolder, tmp_path: Path):
    run = changed_run(trained, tmp_path)
    rows = run.manifest().rows
    (tmp_path / "data" / rows[0].image).write_bytes(film_bytes(5))
    (tmp_path / "data" / rows[1].image).unlink()
    result = verified(run.manifest_file)
    assert only(result.problems, "changed").images == (rows[0].image,)
    assert only(result.problems, "unreadable").detail == {rows[1].image: "cannot be opened: No such file or directory"}


def test_a_leaking_manifest_is_found_out(trained: RunFolder, tmp_path: Path):
    run = changed_run(trained, tmp_path)
    rows = list(run.manifest().rows)
    train = next(number for number, row in enumerate(rows) if row.split == "train")
    val = next(number for number, row in enumerate(rows) if row.split == "val")
    rows[val] = rows[val].model_copy(update={"sha256": rows[train].sha256, "patient": rows[train].patient})
    from pneumocli.data.manifest import Manifest

    Manifest(tmp_path, tuple(rows)).write(run.manifest_file)
    result = verified(run.manifest_file, quick=True)
    assert codes(result.problems) >= {"patient-across-splits", "identical-across-splits"}
    assert "disjoint" not in codes(result.notes)


def test_a_manifest_alone_is_checked_by_names_and_hashes(trained: RunFolder, tmp_path: Path):
    shutil.copy(trained.manifest_file, tmp_path / "manifest.csv")
    events: list[Event] = []
    result = verify_data(VerifyDataConfig(data=tmp_path / "manifest.csv"), events.append)
    assert result.quick
    assert "disjoint" in codes(result.notes)
    (remark,) = events
    assert isinstance(remark, Remark)
    assert remark.text.startswith("no config.json beside")


def test_a_run_whose_data_is_gone(trained: RunFolder, tmp_path: Path):
    run = changed_run(trained, tmp_path)
    shutil.rmtree(tmp_path / "data")
    events: list[Event] = []
    assert verify_data(VerifyDataConfig(data=run.manifest_file), events.append).quick
    assert [event.text for event in events if isinstance(event, Remark)] == [
        f"the run's data folder {tmp_path / 'data'} is gone: its films are not decoded"
    ]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, DataError, "cannot read .*: No such file"),
        (b"\xff\xfe\x00", DataError, "is no table of films"),
        (b"a,b\n1,2\n", DataError, "lacks the column image and label"),
        (b"image,label,kind,patient,split,sha256\nx,7,y,z,w,v\n", RunError, "is damaged"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, content: bytes | None, error: type[Exception], message: str):
    if content is not None:
        (tmp_path / "films.csv").write_bytes(content)
    with pytest.raises(error, match=message):
        verified(tmp_path / "films.csv")


def test_two_tables_at_once(tmp_path: Path):
    (tmp_path / "films.csv").write_text("image,label\n")
    with pytest.raises(DataError, match="are both tables"):
        verified(tmp_path / "films.csv", manifest=tmp_path / "films.csv")


def test_a_path_that_does_not_exist(tmp_path: Path):
    with pytest.raises(DataError, match="no data folder at"):
        verified(tmp_path / "gone")


def test_progress_is_reported_film_by_film(subset: Path):
    events: list[Event] = []
    verify_data(VerifyDataConfig(data=subset), events.append)
    assert events[0] == TaskStarted("decoding films", 60)
    assert isinstance(events[-1], TaskFinished)
    assert len(events) == 62


@pytest.mark.slow
def test_the_page_holds_everything_and_nothing_from_outside(subset: Path, tmp_path: Path):
    name = "train/NORMAL/IM-0001-<script>alert(1)<script>.jpeg"
    (subset / name).write_bytes(film_bytes(77))
    shutil.copy(subset / some_of("train", "NORMAL", 1)[0], subset / some_of("test", "NORMAL", 1)[0])
    result = verified(subset, report=tmp_path / "deep" / "page.html")
    page = (tmp_path / "deep" / "page.html").read_text()
    assert "Content-Security-Policy" in page
    assert page.count("<script") == 1  # the pages' own
    assert "&lt;script&gt;" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("data:image/jpeg;base64,") >= 40
    assert all(problem.text in page for problem in result.problems)
    assert page.count("<svg") == 7
    assert "2 films, identical files, across splits" in page


def test_a_printed_page_says_how_many_names_it_leaves_out(subset: Path, tmp_path: Path):
    verified(subset, quick=True, report=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    names = [block.count("<li>") for block in re.findall(r'<ul class="names" data-more=.*?</ul>', page, re.DOTALL)]
    said = [int(number.replace(",", "")) for number in re.findall(r'data-more="and ([\d,]+) more:', page)]
    assert said == [count - 24 for count in names] != []


def test_a_quick_page_has_no_pictures(subset: Path, tmp_path: Path):
    verified(subset, quick=True, report=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "data:image" not in page
    assert "names and counts only" in page


def test_the_record_is_plain_json(subset: Path):
    result = verified(subset)
    assert Verification.model_validate_json(json.dumps(result.model_dump(mode="json"))) == result


@pytest.mark.real_data
def test_real_films_as_released(shared: Path):
    result = verified(shared / "data" / "chest_xray_mini")
    assert (result.release, result.resized, result.num_images) == ("kaggle", False, 256)
    assert codes(result.problems) == {"missing", "moved"}
    assert len(only(result.problems, "moved").images) == 80
    assert result.duplicates == ()
    assert result.shortcut_probe is not None
    assert result.shortcut_probe.auroc is not None
    assert result.shortcut_probe.auroc > 0.95


@pytest.mark.real_data
def test_real_films_resized(shared: Path):
    result = verified(shared / "data" / "chest_xray_224")
    assert (result.release, result.resized) == ("kaggle", True)
    assert codes(result.problems) == {"missing", "moved"}
    assert len([group for group in result.duplicates if group.kind == "bytes"]) == 24


def test_the_folder_is_left_as_it_was(subset: Path):
    before = scan(subset)
    verified(subset)
    assert scan(subset) == before
    assert sorted(path.name for path in subset.iterdir()) == ["test", "train"]


def test_films_in_no_class_folder_are_a_problem(subset: Path):
    for place in ("train/COVID19/a.png", "train/COVID19/b.png", "extra/c.dcm", "d.jpeg"):
        (subset / place).parent.mkdir(parents=True, exist_ok=True)
        (subset / place).write_bytes(film_bytes(1))
    found = only(verified(subset, quick=True).problems, "unused-films")
    assert found.text.startswith("4 films are not used, being in no folder of train|val|test / NORMAL|PNEUMONIA")
    assert found.text.endswith("train/COVID19 (2), . (1), extra (1)")
    assert found.images == ("d.jpeg", "extra/c.dcm", "train/COVID19/a.png", "train/COVID19/b.png")


def test_pictures_in_formats_that_are_not_read_are_a_problem(subset: Path):
    (subset / "train/NORMAL/a.webp").write_bytes(film_bytes(1, form="WEBP"))
    (image, reason), = only(verified(subset, quick=True).problems, "unused-films").detail.items()  # fmt: skip
    assert image == "train/NORMAL/a.webp"
    assert reason.startswith("is WebP, expected JPEG")


@pytest.mark.parametrize("quick", [True, False])
def test_links_that_lead_nowhere_are_unreadable_films(subset: Path, quick: bool):
    (subset / "train/NORMAL/annexed.jpeg").symlink_to("../../.git/annex/objects/x")
    found = only(verified(subset, quick=quick).problems, "unreadable")
    (reason,) = found.detail.values()
    assert reason.startswith("cannot be opened: it is a link to ../../.git/annex/objects/x, which is not there")


def test_copies_that_a_notebook_made_are_a_note(subset: Path):
    folder = subset / "train/NORMAL/.ipynb_checkpoints"
    folder.mkdir()
    (folder / "x-checkpoint.jpeg").write_bytes(film_bytes(1))
    result = verified(subset)
    assert only(result.notes, "other-files").detail == {"train/NORMAL/.ipynb_checkpoints/": "copies that Jupyter made"}
    assert codes(result.problems) == {"missing"}


def test_names_like_the_releases_label_nothing_elsewhere(tmp_path: Path):
    people = [f"train/NORMAL/Anon_{n}" for n in range(6)] + [f"train/PNEUMONIA/Anon_{n}" for n in range(6, 12)]
    images = [f"{person}/IM-000{film}-0001.jpg" for person in people for film in (1, 2)]
    result = verified(write_films(tmp_path, images), quick=True)
    assert (result.release, result.problems, result.num_patients) == ("foreign", (), 12)
    assert (
        only(result.notes, "patients-by-folder").text == "folders below the classes count as patients: 12 of 24 films"
    )
    assert not {"patients-numbered-anew", "unknown-patients"} & codes(result.notes)


def test_patients_numbered_anew_in_each_class_are_noted(tmp_path: Path):
    people = [f"train/{name}/Anon_{n}" for name in ("NORMAL", "PNEUMONIA") for n in range(4)]
    images = [f"{person}/IM-000{film}-0001.jpg" for person in people for film in (1, 2)]
    result = verified(empty_films(tmp_path, images), quick=True)
    assert (result.num_patients, result.problems) == (8, ())
    assert only(result.notes, "patients-numbered-anew").text.startswith("4 names of patients' folders stand in both")


def test_a_patients_folder_in_two_splits_is_a_problem(tmp_path: Path):
    images = [f"{split}/NORMAL/Anon_{n}/IM-0001-0001.jpg" for split in ("train", "val") for n in range(4)]
    found = only(verified(empty_films(tmp_path, images), quick=True).problems, "patient-across-splits")
    assert found.text == "4 patients have films in several splits (8 films)"


def test_a_folder_without_splits_is_a_test_set(tmp_path: Path):
    result = verified(empty_films(tmp_path, ["normal/a.png", "Pneumonia/b.png"]), quick=True)
    assert [(cell.split, cell.label, cell.num_images) for cell in result.cells] == [
        ("test", "NORMAL", 1),
        ("test", "PNEUMONIA", 1),
    ]
