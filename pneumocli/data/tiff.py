"""TIFF pictures at their full depth: what the tags say about samples decides, for every depth and both byte orders.

Pillow knows certain combinations of depth, interpretation and layout, drops the low byte of 16-bit colour and ignores
"white is zero" beyond 8 bits. Here its decoders only unpack bytes: the raster is described to them as 8-bit grey of
the same number of bytes, and the samples are made of these bytes by the tags.
"""

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from pneumocli.data.film import UnreadableFilm, check_size
from pneumocli.data.grey import Numbers, Samples
from pneumocli.data.jpeg import check_jpeg

__all__ = ["read_tiff"]

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION = 254, 255, 256, 257, 258, 259
_INTERPRETATION, _FILL_ORDER, _ORIENTATION, _SAMPLES, _PLANAR = 262, 266, 274, 277, 284
_STRIPS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279
_PREDICTOR, _COLOUR_MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 317, 320, 322, 323, 324, 325
_SUB_DIRECTORIES, _EXTRA, _FORMAT, _DNG_VERSION = 330, 338, 339, 50706

# None, LZW, deflate (two numbers), PackBits, LZMA, zstd: they pack bytes and do not care what these mean. JPEG and the
# fax codes do; Pillow reads those, at 8 bits and 1.
_BYTE_CODECS = frozenset({1, 5, 8, 32946, 32773, 34925, 50000})
_FAX_CODES = frozenset({2, 3, 4})
_JPEG, _JPEG_TABLES = 7, 347
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE = 0, 1, 2, 3
_SENSOR = frozenset({32803, 34892})  # what a camera's sensor measured
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3

_MOST_PAGES = 1000
_MOST_BYTES = 800_000_000


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a page stores its samples."""

    width: int
    height: int
    bits: int
    kind: int
    samples: int
    planes: int
    interpretation: int
    order: str

    @property
    def per_plane(self) -> int:
        return self.samples // self.planes

    @property
    def mode(self) -> str:
        """As Pillow names it, where it has a name."""
        if self.kind == _FLOAT:
            return "F"
        colour = {_RGB: "RGB", _PALETTE: "P"}.get(self.interpretation, "L")
        if self.bits > 8:
            return f"{colour.replace('L', 'I')};{self.bits}"
        return "1" if self.bits == 1 and colour == "L" else colour


def read_tiff(content: bytes) -> Samples | int:
    """The one picture of a TIFF file.

    Pages that are marked as reduced copies or as masks do not count. Orientation (tag 274) is applied. Channels beyond
    colour are ignored unless they are marked as opacity.

    Returns:
        Its samples; or the number of its page, from 0, where its samples are JPEG, fax or of another colour space:
        Pillow reads it.

    Raises:
        UnreadableFilm: Several pictures or none, a camera's raw file, absurdly large or tiny.
        Exception: What Pillow raises for damaged files.
    """
    number, page = _the_page(_pages(content))
    width, height = _one(page, _WIDTH, 0), _one(page, _HEIGHT, 0)
    check_size(width, height)
    if _DNG_VERSION in page or _one(page, _INTERPRETATION, -1) in _SENSOR:
        raise UnreadableFilm("is a camera's raw file (DNG), expected a picture: export it as TIFF or PNG")
    layout = _layout_of(page, content)
    if layout is None:
        if _one(page, _COMPRESSION, 1) == _JPEG:
            _check_jpeg_blocks(content, page)
        return number
    planes = [_plane(content, page, layout, plane) for plane in range(layout.planes)]
    samples = planes[0] if layout.planes == 1 else np.concatenate(planes, axis=2)
    return _interpreted(samples, page, layout)


def _pages(content: bytes) -> list[Directory]:
    """The chain of directories, each once: a chain that bites its tail ends there."""
    file = io.BytesIO(content)
    header = file.read(8)
    if header[2:4] == b"\x00+":  # Pillow has no reader for it
        raise UnreadableFilm("is BigTIFF in big-endian order: write it as TIFF, or in little-endian order")
    if header[2:4] == b"+\x00":
        header += file.read(8)
    directory = Directory(header)
    pages: list[Directory] = []
    seen = {0}
    while directory.next not in seen:
        if len(pages) == _MOST_PAGES:
            raise UnreadableFilm(f"holds {_MOST_PAGES} pictures or more, expected one")
        seen.add(directory.next)
        file.seek(directory.next)
        page = Directory(header)
        page.load(file)
        directory = page
        if _WIDTH in page:
            pages.append(page)
    if not pages:
        raise UnreadableFilm("is damaged: a TIFF file without a picture")
    return pages


def _the_page(pages: list[Directory]) -> tuple[int, Directory]:
    full = [
        (number, page)
        for number, page in enumerate(pages)
        if not _one(page, _SUBFILE, 0) & 0b101 and _one(page, _OLD_SUBFILE, 1) != 2
    ]
    if not full:
        raise UnreadableFilm("holds no picture but a reduced copy, as a camera's raw file does")
    if len(full) != 1:
        raise UnreadableFilm(f"holds {len(full)} pictures, expected one")
    return full[0]


def _all(page: Directory, tag: int) -> tuple[Any, ...]:
    value = page.get(tag, ())
    return value if isinstance(value, tuple) else (value,)


def _one(page: Directory, tag: int, default: int) -> int:
    value = _all(page, tag)
    return int(value[0]) if value else default


def _check_jpeg_blocks(content: bytes, page: Directory) -> None:
    """Refuses strips or tiles that their decoder finds damaged; tables that they share stand in a tag of their own."""
    tables = b"".join(part for part in _all(page, _JPEG_TABLES) if isinstance(part, bytes))
    offsets = _all(page, _STRIPS) or _all(page, _TILES)
    lengths = _all(page, _STRIP_BYTES) or _all(page, _TILE_BYTES)
    for offset, length in zip(offsets, lengths, strict=False):
        block = content[offset : offset + length]
        check_jpeg(tables[:-2] + block[2:] if tables else block)


def _layout_of(page: Directory, content: bytes) -> _Layout | None:
    """What the tags say; ``None`` where only Pillow's decoders know what the bytes mean."""
    samples = _one(page, _SAMPLES, 1)
    bits, kinds = set(_all(page, _BITS)) or {1}, set(_all(page, _FORMAT)) or {_UNSIGNED}
    compression = _one(page, _COMPRESSION, 1)
    interpretation = _one(page, _INTERPRETATION, -1)
    if interpretation == -1:  # required, and yet left out: as libtiff guesses
        interpretation = _RGB if samples >= 3 else _WHITE_IS_ZERO if compression in _FAX_CODES else _BLACK_IS_ZERO
    known = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE)
    if compression not in _BYTE_CODECS or interpretation not in known or len(bits) != 1 or len(kinds) != 1:
        return None
    layout = _Layout(
        width=_one(page, _WIDTH, 0),
        height=_one(page, _HEIGHT, 0),
        bits=int(bits.pop()),
        kind=kind if (kind := int(kinds.pop())) in (_SIGNED, _FLOAT) else _UNSIGNED,
        samples=samples,
        planes=samples if _one(page, _PLANAR, 1) == 2 else 1,
        interpretation=interpretation,
        order="<" if content[:2] == b"II" else ">",
    )
    if not 1 <= samples <= 64 or samples < {_RGB: 3}.get(interpretation, 1):
        raise UnreadableFilm(f"is damaged: TIFF of {samples} samples a pixel")
    if layout.bits not in ((16, 32, 64) if layout.kind == _FLOAT else (*range(1, 17), 32, 64)):
        raise UnreadableFilm(f"is TIFF of {layout.bits} bits a sample, expected 1 to 16, 32 or 64")
    if layout.width * layout.height * samples * layout.bits > _MOST_BYTES * 8:
        raise UnreadableFilm(f"unpacks to more than {_MOST_BYTES:,} bytes")
    return layout


def _plane(content: bytes, page: Directory, layout: _Layout, plane: int) -> Numbers:
    """The samples of one plane, (H,W,N)."""
    row_samples = layout.width * layout.per_plane
    row_bytes = -(-row_samples * layout.bits // 8)
    block_bytes = row_bytes
    if _TILE_WIDTH in page:
        block_bytes = _one(page, _TILE_WIDTH, 0) * layout.per_plane * layout.bits // 8
        if block_bytes <= 0 or (_one(page, _TILE_WIDTH, 0) * layout.per_plane * layout.bits) % 8:
            raise UnreadableFilm("is damaged: TIFF tiles of no size")
    blocks = -(-row_bytes // block_bytes)
    if blocks * block_bytes * layout.height > _MOST_BYTES:
        raise UnreadableFilm(f"unpacks to more than {_MOST_BYTES:,} bytes")
    raster = _unpacked(content, page, (layout, plane), blocks * block_bytes, block_bytes)
    predictor = _one(page, _PREDICTOR, 1) if _one(page, _COMPRESSION, 1) not in (1, 32773) else 1
    order = layout.order
    if predictor != 1:
        raster = _without_predictor(raster.reshape(layout.height, blocks, block_bytes), layout, predictor)
        order = ">" if predictor == 3 else order
    rows = np.ascontiguousarray(raster.reshape(layout.height, -1)[:, :row_bytes])
    return _numbers(rows, layout, order).reshape(layout.height, layout.width, layout.per_plane)


def _unpacked(
    content: bytes, page: Directory, part: tuple[_Layout, int], raster_bytes: int, block_bytes: int
) -> NDArray[np.uint8]:
    """A plane's bytes, uint8 (H,B): the file with another directory at its end, of 8-bit grey."""
    layout, plane = part
    tiled = _TILE_WIDTH in page
    places, sizes = _all(page, _TILES if tiled else _STRIPS), _all(page, _TILE_BYTES if tiled else _STRIP_BYTES)
    each = len(places) // layout.planes
    places, sizes = places[plane * each : (plane + 1) * each], sizes[plane * each : (plane + 1) * each]
    if not places:
        raise UnreadableFilm("is damaged: TIFF without data")
    tags: dict[int, tuple[int, ...]] = {
        _WIDTH: (raster_bytes,),
        _HEIGHT: (layout.height,),
        _BITS: (8,),
        _COMPRESSION: (_one(page, _COMPRESSION, 1),),
        _INTERPRETATION: (_BLACK_IS_ZERO,),
        _FILL_ORDER: (_one(page, _FILL_ORDER, 1),),
        _SAMPLES: (1,),
        _TILES if tiled else _STRIPS: tuple(map(int, places)),
    }
    if tiled:
        tags |= {_TILE_WIDTH: (block_bytes,), _TILE_HEIGHT: (_one(page, _TILE_HEIGHT, 0),)}
    else:
        tags[_ROWS_PER_STRIP] = (min(_one(page, _ROWS_PER_STRIP, layout.height), layout.height),)
    if sizes:
        tags[_TILE_BYTES if tiled else _STRIP_BYTES] = tuple(map(int, sizes))
    with TiffImagePlugin.TiffImageFile(io.BytesIO(_with_directory(content, tags))) as image:
        return np.array(image)


def _with_directory(content: bytes, tags: dict[int, tuple[int, ...]]) -> bytes:
    """A file whose one directory is this; all values as 32-bit numbers, 64-bit in BigTIFF."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] == b"+\x00"
    size, kind, word = (8, 16, "Q") if big else (4, 4, "I")
    start = len(content) + len(content) % 2
    directory = struct.pack(f"{order}{'Q' if big else 'H'}", len(tags))
    entry_bytes = 20 if big else 12
    after = start + len(directory) + entry_bytes * len(tags) + size
    values = b""
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}{word}", *numbers)
        if len(numbers) > 1:
            packed, values = struct.pack(f"{order}{word}", after + len(values)), values + packed
        directory += struct.pack(f"{order}HH{word}", tag, kind, len(numbers)) + packed
    directory += bytes(size)
    first = content[:8] + struct.pack(f"{order}Q", start) if big else content[:4] + struct.pack(f"{order}I", start)
    return first + content[len(first) :] + bytes(start - len(content)) + directory + values


def _without_predictor(raster: NDArray[np.uint8], layout: _Layout, predictor: int) -> NDArray[np.uint8]:
    """Undoes the differences that a writer stored instead of samples; (H,blocks,bytes), a block has its own sums."""
    height, blocks, length = raster.shape
    if predictor == 2 and layout.bits in (8, 16, 32, 64):
        differences = raster.view(f"{layout.order}u{layout.bits // 8}").reshape(height, blocks, -1, layout.per_plane)
        sums = np.cumsum(differences, axis=2, dtype=differences.dtype.newbyteorder("="))
        return sums.astype(differences.dtype).view(np.uint8).reshape(height, -1)
    if predictor == 3 and layout.kind == _FLOAT:
        differences = raster.reshape(height, blocks, -1, layout.per_plane)
        sums = np.cumsum(differences, axis=2, dtype=np.uint8).reshape(height, blocks, layout.bits // 8, -1)
        return np.ascontiguousarray(sums.swapaxes(2, 3)).reshape(height, blocks * length)
    raise UnreadableFilm(f"is TIFF with predictor {predictor} at {layout.bits} bits, expected 1, 2 or 3")


def _numbers(rows: NDArray[np.uint8], layout: _Layout, order: str) -> Numbers:
    """Samples of rows of bytes, (H,N), in the machine's byte order."""
    if layout.bits in (8, 16, 32, 64):
        letter = {_UNSIGNED: "u", _SIGNED: "i", _FLOAT: "f"}[layout.kind]
        stored = rows.view(f"{order}{letter}{layout.bits // 8}")
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    count = layout.width * layout.per_plane
    weights = 1 << np.arange(layout.bits - 1, -1, -1, dtype=np.int32)
    numbers = np.empty((len(rows), count), np.int32)
    for start in range(0, len(rows), 64):  # unpacked, a bit takes a byte
        part = np.unpackbits(rows[start : start + 64], axis=1)[:, : count * layout.bits]
        numbers[start : start + 64] = part.reshape(len(part), count, layout.bits) @ weights
    if layout.kind == _SIGNED:
        numbers -= (numbers >> (layout.bits - 1)) << layout.bits
        return numbers
    return numbers.astype(np.uint16)


def _interpreted(samples: Numbers, page: Directory, layout: _Layout) -> Samples:
    colours = 3 if layout.interpretation == _RGB or (layout.samples == 3 and _EXTRA not in page) else 1
    extra = _all(page, _EXTRA)
    opacity, premultiplied = None, False
    for number, meaning in enumerate(extra[: layout.samples - colours]):
        if meaning in (1, 2):
            opacity, premultiplied = samples[..., colours + number], meaning == 1
            break
    values = samples[..., :3] if colours == 3 else samples[..., 0]
    is_palette, orientation = layout.interpretation == _PALETTE, _one(page, _ORIENTATION, 1)
    values = _through_palette(values, page) if is_palette else _to_8_bits_at_most(values, layout)
    if opacity is not None:
        opacity = _upright(opacity, orientation)
    return Samples(_upright(values, orientation), opacity, premultiplied, layout.mode)


def _through_palette(indices: Numbers, page: Directory) -> Numbers:
    table = np.asarray(_all(page, _COLOUR_MAP), np.int64)
    if len(table) < 3 or len(table) % 3:
        raise UnreadableFilm("is damaged: TIFF palette of no size")
    table = table.reshape(3, -1).T
    if table.max() > 255:  # 16 bits, as the standard asks; some writers store 8
        table = table >> 8
    if int(indices.max()) >= len(table):
        raise UnreadableFilm("is damaged: TIFF with colours that are not in its palette")
    colours: Numbers = table.astype(np.uint8)[indices]
    return colours


def _to_8_bits_at_most(values: Numbers, layout: _Layout) -> Numbers:
    """Black as zero; up to 8 bits as uint8 of 0-255, more as they are."""
    bits = layout.bits
    white_is_zero = layout.interpretation == _WHITE_IS_ZERO
    if layout.kind == _FLOAT:
        return -values if white_is_zero else values
    most = (1 << bits) - 1
    if layout.kind == _SIGNED:
        values = ~values if white_is_zero else values
        return ((values.astype(np.int32) + (1 << (bits - 1))) * 255 // most).astype(np.uint8) if bits <= 8 else values
    if white_is_zero:
        values = values.dtype.type(most) - values
    if bits < 8:
        values = np.rint(values * (255 / most))
    return values.astype(np.uint8) if bits <= 8 else values


def _upright(values: Numbers, orientation: int) -> Numbers:
    """Applies tag 274: where the file's first row and column belong."""
    if 5 <= orientation <= 8:
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values
