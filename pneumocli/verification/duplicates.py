"""Films that show the same picture: the same bytes, the same pixels, or nearly the same by a perceptual hash."""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumocli.core.records import ManifestRow
from pneumocli.data.film import Pixels
from pneumocli.verification.records import DuplicateGroup, DuplicateKind

_HASH_SIDE = 16  # 256 bits: chests resemble each other, and the usual 64 bits do not distinguish them
_DCT_SIDE = 4 * _HASH_SIDE
_SMALL = 256  # the hash looks at 64 x 64 pixels; reducing by whole numbers to about this is quick and hides nothing

_PAIRS_AT_ONCE = 1 << 20  # of two positions and two hashes each: 80 MB

NEAR_BITS = 28
"""Perceptual hashes that differ in at most so many of 256 bits make two films near-duplicates.

Measured on the release: among 13.7 million pairs of different films the closest differ in 38 bits. A film saved anew
(quality 50), resized or squashed differs from itself in at most 8, with 1.2 x brightness or 1.3 x contrast in at most
20, cropped by 2 % or turned by 1 degree in 18 to 36, mirrored in 130.
"""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What distinguishes a film from others.

    Attributes:
        bytes_sha256: Of the file.
        pixels_sha256: Of the size and the grey pixels.
        perceptual: uint64 (4,): 256 bits that change little when the picture changes little.
    """

    bytes_sha256: bytes
    pixels_sha256: bytes
    perceptual: NDArray[np.uint64]


def fingerprint(bytes_sha256: bytes, pixels: Pixels) -> Fingerprint:
    """The fingerprint of a film as read, uint8 (H,W)."""
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(pixels.tobytes())
    return Fingerprint(bytes_sha256, digest.digest(), perceptual_hash(pixels))


def perceptual_hash(pixels: Pixels) -> NDArray[np.uint64]:
    """Which of the lowest frequencies of a picture are above their median.

    The bits are those of ``imagehash.phash`` with a hash size of 16: the cosine transform of 64 x 64 pixels, and of
    it the 16 x 16 lowest frequencies (N. Krawetz, "Looks Like It", hackerfactor.com, 2011).

    Args:
        pixels: Grey, uint8 (H,W).

    Returns:
        uint64 (4,): 256 bits that change little when the picture changes little.
    """
    from scipy.fft import dctn

    image = Image.fromarray(pixels).reduce(max(1, min(pixels.shape) // _SMALL))
    small = image.resize((_DCT_SIDE, _DCT_SIDE), Image.Resampling.LANCZOS)
    lowest = dctn(np.asarray(small, np.float64))[:_HASH_SIDE, :_HASH_SIDE]
    bits: NDArray[np.uint64] = np.packbits(lowest > np.median(lowest)).view(np.uint64)
    return bits


def find_duplicates(rows: Sequence[ManifestRow], prints: Sequence[Fingerprint]) -> list[DuplicateGroup]:
    """Groups of films with the same picture, the largest first, identical before similar.

    Args:
        rows: The films.
        prints: Their fingerprints, in the same order.

    Returns:
        Groups by bytes; groups by pixels with at least two different files; groups of near-duplicates with at least
        two different pictures.
    """
    same_bytes = _alike(print_.bytes_sha256 for print_ in prints)
    same_pixels = [
        members
        for members in _alike(print_.pixels_sha256 for print_ in prints)
        if len({prints[number].bytes_sha256 for number in members}) > 1
    ]
    groups = [
        *(_group("bytes", [rows[number] for number in members], 0) for members in same_bytes),
        *(_group("pixels", [rows[number] for number in members], 0) for members in same_pixels),
        *_near_groups(rows, prints),
    ]
    order: dict[DuplicateKind, int] = {"bytes": 0, "pixels": 1, "near": 2}
    return sorted(groups, key=lambda group: (order[group.kind], -len(group.images), group.images))


def _alike(keys: Iterable[Hashable]) -> list[list[int]]:
    """Positions that share a key, where at least two do."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for number, key in enumerate(keys):
        places[key].append(number)
    return [members for members in places.values() if len(members) > 1]


def _group(kind: DuplicateKind, rows: Sequence[ManifestRow], distance: int) -> DuplicateGroup:
    return DuplicateGroup(
        kind=kind,
        images=tuple(sorted(row.image for row in rows)),
        distance=distance,
        across_splits=len({row.split for row in rows}) > 1,
        across_classes=len({row.label for row in rows}) > 1,
    )


def _near_groups(rows: Sequence[ManifestRow], prints: Sequence[Fingerprint]) -> Iterator[DuplicateGroup]:
    by_pixels: dict[bytes, list[int]] = defaultdict(list)
    for number, print_ in enumerate(prints):
        by_pixels[print_.pixels_sha256].append(number)
    pictures = list(by_pixels.values())
    if len(pictures) < 2:
        return
    links = list(near_pairs(np.stack([prints[members[0]].perceptual for members in pictures])))
    leader = list(range(len(pictures)))

    def root(number: int) -> int:
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    for one, other, _ in links:
        leader[root(one)] = root(other)
    widest: dict[int, int] = defaultdict(int)
    for one, _, distance in links:
        widest[root(one)] = max(widest[root(one)], distance)
    members: dict[int, list[int]] = defaultdict(list)
    for number in range(len(pictures)):
        if root(number) in widest:
            members[root(number)].extend(pictures[number])
    for top, numbers in members.items():
        yield _group("near", [rows[number] for number in numbers], widest[top])


def near_pairs(hashes: NDArray[np.uint64]) -> Iterator[tuple[int, int, int]]:
    """Pairs of hashes (n,4) that differ in at most ``NEAR_BITS`` bits, with the number of bits.

    Of 16 words of 16 bits at least one differs in at most 28 // 16 = 1 bit, so only films that share a word but for one
    bit are compared: 2 of 100 pairs of the release's films.

    References:
        Norouzi et al. 2012, Fast search in Hamming space with multi-index hashing, doi:10.1109/CVPR.2012.6248043.
    """
    found: dict[tuple[int, int], int] = {}
    for words in _diagonals(hashes):
        order = np.argsort(words, kind="stable")
        for flipped in (0, *(1 << bit for bit in range(16))):
            for one, other in _sharing(words, order, np.uint16(flipped)):
                distances = np.bitwise_count(hashes[one] ^ hashes[other]).sum(axis=1)
                near = distances <= NEAR_BITS
                pairs = zip(one[near].tolist(), other[near].tolist(), strict=True)
                found.update(zip(pairs, distances[near].tolist(), strict=True))
    yield from ((*pair, found[pair]) for pair in sorted(found))


def _diagonals(hashes: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """The bits of hashes (n,4) as words (16,n), each of all rows and columns of frequencies.

    Chests have much the same low frequencies: words of neighbouring bits would be shared by many more films.
    """
    bits = np.unpackbits(hashes.view(np.uint8), axis=1).reshape(-1, _HASH_SIDE, _HASH_SIDE)
    rows = np.arange(_HASH_SIDE)
    columns = (rows[:, None] - rows) % _HASH_SIDE
    return np.packbits(bits[:, rows, columns], axis=2).view(np.uint16)[..., 0].T


def _sharing(
    words: NDArray[np.uint16], order: NDArray[np.intp], flipped: np.uint16
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of films, the first before the second, whose words are equal once these bits are flipped in one of them.

    Args:
        words: One of each film, (n,).
        order: Sorts them.
        flipped: The bits.

    Yields:
        Positions of the first and of the second film of some pairs, at most so many that they fit in little memory.
    """
    in_order = words[order]
    starts = np.searchsorted(in_order, words ^ flipped, "left")
    counts = np.searchsorted(in_order, words ^ flipped, "right") - starts
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(words):
        before = ends[begin - 1] if begin else 0
        stop = max(begin + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, "right")))
        part = slice(begin, stop)
        one = np.repeat(np.arange(begin, stop), counts[part])
        place = np.arange(len(one)) + np.repeat(starts[part] - (ends[part] - counts[part] - before), counts[part])
        other = order[place]
        yield one[one < other], other[one < other]
        begin = stop
