"""The page and the table of suspect labels, for films with hostile names, duplicates and missing files."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumocli.core.records import CLASS_NAMES, ManifestRow
from pneumocli.data.manifest import Manifest
from pneumocli.data.table import read_table
from pneumocli.metrics.records import OutOfFoldFilm
from pneumocli.reporting.suspect_page import PAGE_NAME, TABLE_NAME, write_suspect_labels

HOSTILE = "<script>alert('a')<script>,\"b\" & c.png"

# image, label, probability of pneumonia
FILMS = [
    ("n1.png", 0, 0.05),
    ("n2.png", 0, 0.10),
    (HOSTILE, 0, 0.99),
    ("p1.png", 1, 0.95),
    ("p2.png", 1, 0.90),
    ("copy-of-n1.png", 1, 0.97),
]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    folder = tmp_path / "films"
    folder.mkdir()
    for number, (image, _, _) in enumerate(FILMS):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((96, 80)).save(folder / image)
    shutil.copy(folder / "n1.png", folder / "copy-of-n1.png")
    rows = tuple(
        ManifestRow(image=image, label=label, kind="unknown", patient=image, split="train", sha256="0" * 64)
        for image, label, _ in FILMS
    )
    return Manifest(folder, rows)


def scored(changed: dict[str, float] | None = None) -> list[OutOfFoldFilm]:
    return [
        OutOfFoldFilm(
            image=image, patient=image, kind="unknown", label=CLASS_NAMES[label], logit=0.0,
            probability=(changed or {}).get(image, probability), prediction=CLASS_NAMES[probability >= 0.5], fold=1,
        )
        for image, label, probability in FILMS
    ]  # fmt: skip


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE_NAME).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_duplicates_with_two_labels_stand_first_then_what_the_folds_doubt(manifest: Manifest, tmp_path: Path):
    found = write_suspect_labels(tmp_path, scored(), manifest)
    assert {item.film.image for item in found[:2]} == {"n1.png", "copy-of-n1.png"}
    assert [item.film.image for item in found[2:]] == [HOSTILE]
    assert [item.rank for item in found] == [1, 2, 3]
    assert "the same picture, or nearly, is labelled" in found[0].reason
    assert (found[2].suggestion, found[0].suggestion) == ("PNEUMONIA", None)


def test_many_copies_are_counted_and_not_all_named(manifest: Manifest, tmp_path: Path):
    copies = [f"copy-{number}.png" for number in range(5)]
    for name in copies:
        shutil.copy(manifest.folder / "n1.png", manifest.folder / name)
    rows = tuple(manifest.rows[-1].model_copy(update={"image": name, "patient": name}) for name in copies)
    films = [*scored(), *(scored()[-1].model_copy(update={"image": name}) for name in copies)]
    write_suspect_labels(tmp_path, films, replace(manifest, rows=(*manifest.rows, *rows)))
    (reason,) = (row["reason"] for row in table(tmp_path) if row["image"] == "n1.png")
    assert "copy-0.png, copy-1.png, copy-2.png and 3 more" in reason


def test_the_table_holds_every_film_and_is_read_as_a_manifest(manifest: Manifest, tmp_path: Path):
    write_suspect_labels(tmp_path, scored(), manifest)
    rows = table(tmp_path)
    assert list(rows[0]) == ["image", "label", "patient", "suggestion", "probability", "rank", "reason"]
    assert sorted(row["image"] for row in rows) == sorted(image for image, _, _ in FILMS)
    assert [row["rank"] for row in rows] == ["1", "2", "3", "", "", ""]
    read = {row.image: row.label for row in read_table(tmp_path / TABLE_NAME, manifest.folder)}
    assert read == {image: label for image, label, _ in FILMS}


def test_names_are_escaped_and_films_are_shown(manifest: Manifest, tmp_path: Path):
    write_suspect_labels(tmp_path, scored(), manifest)
    page = (tmp_path / PAGE_NAME).read_text(encoding="utf-8")
    assert page.count("<script") == 1  # the pages' own
    assert "&lt;script&gt;" in page
    assert page.count("data:image/jpeg;base64,") == 3 + 2  # two of the three are doubles, each beside the other
    assert page.count("Its double") == 2
    assert f"--data {manifest.folder} --manifest {tmp_path / TABLE_NAME}<" in page


def test_a_film_that_is_gone_is_named_without_a_picture(manifest: Manifest, tmp_path: Path):
    (manifest.folder / HOSTILE).unlink()
    write_suspect_labels(tmp_path, scored(), manifest)
    assert "No longer readable" in (tmp_path / PAGE_NAME).read_text(encoding="utf-8")


def test_nothing_doubted_is_stated(manifest: Manifest, tmp_path: Path):
    (manifest.folder / "copy-of-n1.png").unlink()
    assert write_suspect_labels(tmp_path, scored({HOSTILE: 0.02}), manifest) == ()
    assert "No label of 6 films is doubted" in (tmp_path / PAGE_NAME).read_text(encoding="utf-8")
    assert [row["rank"] for row in table(tmp_path)] == [""] * 6
