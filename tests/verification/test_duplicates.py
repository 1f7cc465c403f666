"""Films that show the same picture."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from pneumocli.core.records import ManifestRow
from pneumocli.data.images import read_film
from pneumocli.verification.duplicates import NEAR_BITS, Fingerprint, find_duplicates, fingerprint
from tests.helpers.released import film_bytes


def row(number: int, split: str = "train", label: int = 0) -> ManifestRow:
    return ManifestRow(
        image=f"{split}/{number}.png", label=label, kind="unknown", patient=str(number), split=split, sha256=""
    )


def printed(content: bytes) -> Fingerprint:
    return fingerprint(hashlib.sha256(content).digest(), read_film(content).pixels)


def again(content: bytes, form: str = "PNG", **options: object) -> bytes:
    saved = io.BytesIO()
    Image.open(io.BytesIO(content)).save(saved, form, **options)
    return saved.getvalue()


def test_identical_files_identical_pixels_and_similar_pictures():
    one, other = film_bytes(1), film_bytes(2)
    contents = [one, one, again(one), again(one, "JPEG", quality=40), other]
    groups = find_duplicates([row(number) for number in range(5)], [printed(content) for content in contents])
    assert [(group.kind, group.images) for group in groups] == [
        ("bytes", ("train/0.png", "train/1.png")),
        ("pixels", ("train/0.png", "train/1.png", "train/2.png")),
        ("near", ("train/0.png", "train/1.png", "train/2.png", "train/3.png")),
    ]
    assert groups[0].distance == 0
    assert 0 <= groups[2].distance <= NEAR_BITS


def test_groups_tell_whether_they_cross_splits_or_classes():
    content = printed(film_bytes(1))
    (group,) = find_duplicates([row(0), row(1, "test")], [content, content])
    assert (group.across_splits, group.across_classes) == (True, False)
    (group,) = find_duplicates([row(0), row(1, label=1)], [content, content])
    assert (group.across_splits, group.across_classes) == (False, True)


def test_different_films_are_no_duplicates():
    prints = [printed(film_bytes(seed)) for seed in range(30)]
    assert find_duplicates([row(number) for number in range(30)], prints) == []


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_films_to_compare(count: int):
    assert find_duplicates([row(0)] * count, [printed(film_bytes(0))] * count) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda film: film.resize((film.width // 2, film.height // 2)),
        lambda film: film.resize((224, 224)),
        lambda film: ImageEnhance.Brightness(film).enhance(0.9),
    ],
)
def test_a_changed_copy_of_a_film_is_near(change: object, phantoms):
    path = next(iter(sorted((phantoms / "train" / "NORMAL").iterdir())))
    pixels = read_film(path).pixels
    changed = np.asarray(change(Image.fromarray(pixels)))
    prints = [fingerprint(b"a", pixels), fingerprint(b"b", changed)]
    assert [group.kind for group in find_duplicates([row(0), row(1)], prints)] == ["near"]


def test_shape_belongs_to_the_pixels():
    flat, tall = np.zeros((40, 80), np.uint8), np.zeros((80, 40), np.uint8)
    assert fingerprint(b"", flat).pixels_sha256 != fingerprint(b"", tall).pixels_sha256
