"""Synthetic films: the same for the same seed, the release's layout and names, a task that can be learnt."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pneumocli.core.events import Event, TaskFinished, TaskStarted
from pneumocli.data.images import read_film
from pneumocli.data.layout import PHANTOM_MARK
from pneumocli.data.manifest import scan
from pneumocli.data.patients import patient_of
from pneumocli.data.phantom import draw_phantom, write_phantoms


def digests(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_counts_shares_and_names(phantoms: Path):
    manifest = scan(phantoms)
    assert [len(manifest.of(split)) for split in ("train", "val", "test")] == [72, 8, 40]
    assert sum(row.label for row in manifest.of("train").rows) == 54
    assert {row.kind for row in manifest.rows} == {"normal", "bacteria", "virus"}
    assert all(patient_of(Path(row.image).name) is not None for row in manifest.rows)
    assert (phantoms / PHANTOM_MARK).is_file()


def test_no_patient_in_two_splits_and_some_with_several_films(phantoms: Path):
    manifest = scan(phantoms)
    splits = {}
    for row in manifest.rows:
        splits.setdefault(row.patient, set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert manifest.num_patients < len(manifest)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    sizes = {"num_train": 6, "num_val": 2, "num_test": 4, "short_sides": (60, 80)}
    write_phantoms(tmp_path / "a", seed=3, **sizes)
    write_phantoms(tmp_path / "b", seed=3, **sizes)
    write_phantoms(tmp_path / "c", seed=4, **sizes)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


def test_progress_is_told(tmp_path: Path):
    events: list[Event] = []
    write_phantoms(tmp_path, num_train=4, num_val=0, num_test=0, short_sides=(60, 61), listener=events.append)
    assert events[0] == TaskStarted("drawing phantoms", 4)
    assert isinstance(events[-1], TaskFinished)


@pytest.mark.parametrize("kind", ["normal", "bacteria", "virus"])
def test_a_phantom_looks_like_a_radiograph(kind: str):
    pixels = draw_phantom(np.random.default_rng(0), kind, short_side=120)
    assert pixels.dtype == np.uint8
    assert min(pixels.shape) == 120
    assert pixels.std() > 20
    height, width = pixels.shape
    lungs = pixels[height * 3 // 10 : height // 2, [width * 3 // 10, width * 7 // 10]]
    middle = pixels[height * 3 // 10 : height // 2, width // 2]
    assert lungs.mean() < middle.mean()  # air is dark between the ribs, the spine is bright


def test_films_can_be_read(phantoms: Path):
    manifest = scan(phantoms)
    film = read_film(manifest.path(manifest.rows[0]))
    assert film.mode == "L"
    assert 90 <= min(film.pixels.shape) < 130
