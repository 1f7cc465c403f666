"""Films that show the same picture."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from pneumocli.core.records import ManifestRow
from pneumocli.data.images import read_film
from pneumocli.verification import duplicates
from pneumocli.verification.duplicates import (
    NEAR_BITS,
    Fingerprint,
    find_duplicates,
    fingerprint,
    near_pairs,
    perceptual_hash,
)
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


def test_groups_show_whether_they_cross_splits_or_classes():
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


@pytest.mark.parametrize(
    ("seed", "height", "width", "bits"),
    [
        (0, 70, 90, "a0fda23d5de087458afbfb58a070f3c54a0bd3d7820ff3df23a0768ce4010dc3"),
        (1, 256, 256, "807f2d730c262d7c7ae171b22d7f7192080770ec018e53fcf668d2fc5789b323"),
        (2, 300, 900, "aad23184673c9184ef1d01c4be0381c68baf59c8831f66bf5dfa77b2f520327a"),
        (3, 1200, 800, "a2d3e791affd7d01ea02df8280380ad19c869ac9809b787e728f243ed1e351fe"),
        (4, 64, 64, "ea00f71f0e95e52e8e057d3e77d477392c61684b48d71dab0a5530dfea02c08f"),
        (5, 40, 700, "c2ba3118172f311cc0c19714ea5dc2d7883d92e33ddcfbe4f16483fcb6a97483"),
    ],
)
def test_the_perceptual_hash_is_that_of_imagehash(seed: int, height: int, width: int, bits: str):
    """Recorded from imagehash 4.3's ``phash(reduced, hash_size=16)``, which NEAR_BITS was measured with."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    waves = sum(
        rng.normal() * np.cos(2 * np.pi * (rng.integers(0, 9) * x + rng.integers(0, 9) * y) + rng.uniform(0, 6))
        for _ in range(20)
    )
    film = (128 + 25 * waves).clip(0, 255).astype(np.uint8)
    assert perceptual_hash(film).tobytes().hex() == bits


def test_near_pairs_are_those_that_comparing_every_pair_finds():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, (400, 4), dtype=np.uint64)
    hashes[300:350] = hashes[0]  # many alike
    bits = np.unpackbits(hashes.view(np.uint8), axis=1)
    for number in range(200):  # copies that differ in 0 to 40 bits
        bits[200 + number] = bits[number]
        bits[200 + number, rng.choice(256, number % 41, replace=False)] ^= 1
    hashes = np.packbits(bits, axis=1).view(np.uint64)
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2)
    expected = [
        (one, other, int(apart[one, other]))
        for one in range(len(hashes))
        for other in range(one + 1, len(hashes))
        if apart[one, other] <= NEAR_BITS
    ]
    assert len(expected) > 100
    assert list(near_pairs(hashes)) == expected


def test_pairs_that_do_not_fit_in_memory_at_once_are_found_in_parts(monkeypatch: pytest.MonkeyPatch):
    hashes = np.zeros((40, 4), np.uint64)
    expected = list(near_pairs(hashes))
    monkeypatch.setattr(duplicates, "_PAIRS_AT_ONCE", 7)
    assert list(near_pairs(hashes)) == expected
    assert len(expected) == 40 * 39 // 2
