"""TIFF files of any layout, written tag by tag: what Pillow cannot write, others do."""

import struct
import zlib

import numpy as np

PHOTOMETRIC, WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 262, 0, 1, 2, 3
FORMATS = {"u": 1, "b": 1, "i": 2, "f": 3}


def packed(samples: np.ndarray, bits: int, order: str) -> bytes:
    """Samples of (H,N) as rows of bytes."""
    if bits in (8, 16, 32, 64):
        return samples.astype(f"{order}{samples.dtype.kind}{bits // 8}").tobytes()
    places = np.arange(bits - 1, -1, -1)
    rows = (samples[..., None].astype(np.int64) >> places & 1).astype(np.uint8).reshape(len(samples), -1)
    return np.packbits(rows, axis=1).tobytes()


def packbits(content: bytes) -> bytes:
    parts = [content[start : start + 128] for start in range(0, len(content), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def predicted(samples: np.ndarray, order: str, predictor: int) -> np.ndarray:
    """Rows of (H,W,N) as the differences that a predictor leaves, (H,W*N)."""
    if predictor == 2:
        first, differences = samples[:, :1], np.diff(samples, axis=1)
        return np.concatenate([first, differences], axis=1).reshape(len(samples), -1)
    stride, size = samples.shape[2], samples.dtype.itemsize
    planes = samples.astype(samples.dtype.newbyteorder(">")).view(np.uint8).reshape(len(samples), -1, size)
    planes = np.ascontiguousarray(planes.swapaxes(1, 2)).reshape(len(samples), -1)
    planes[:, stride:] = planes[:, stride:] - planes[:, :-stride].copy()
    return planes


def encoded_part(part: np.ndarray, bits: int, order: str, compression: int, predictor: int) -> bytes:
    """A strip or tile, (H,W,N)."""
    if predictor == 1:
        content = packed(part.reshape(len(part), -1), bits, order)
    else:
        rows = predicted(part, order, predictor)
        content = packed(rows, 8 if predictor == 3 else bits, order)
    return {1: bytes, 8: zlib.compress, 32946: zlib.compress, 32773: packbits}[compression](content)


def page(
    samples: np.ndarray, *, order: str = "<", bits: int = 0, photometric: int = BLACK_IS_ZERO, compression: int = 1,
    predictor: int = 1, planar: int = 1, rows: int = 16, tile: int = 0, extra: dict[int, tuple[int, ...]] | None = None,
) -> tuple[dict[int, tuple[int, ...]], list[bytes]]:  # fmt: skip
    """Tags and data of samples, (H,W) or (H,W,N); ``extra`` adds tags of 16-bit numbers."""
    pixels = samples if samples.ndim == 3 else samples[..., None]
    height, width, count = pixels.shape
    bits = bits or pixels.dtype.itemsize * 8
    parts = []
    for plane in [pixels] if planar == 1 else [pixels[..., [number]] for number in range(count)]:
        for top in range(0, height, tile or rows):
            band = plane[top : top + (tile or rows)]
            if tile:
                band = np.pad(band, ((0, tile - len(band)), (0, -width % tile), (0, 0)))
            blocks = [band[:, left : left + (tile or width)] for left in range(0, band.shape[1], tile or width)]
            parts += [encoded_part(block, bits, order, compression, predictor) for block in blocks]
    tags = {
        256: (width,), 257: (height,), 258: (bits,) * count, 259: (compression,), 262: (photometric,),
        277: (count,), 284: (planar,), 317: (predictor,), 339: (FORMATS[pixels.dtype.kind],) * count,
    }  # fmt: skip
    tags |= {322: (tile,), 323: (tile,)} if tile else {278: (rows,)}
    return tags | (extra or {}), parts


def tiff(*pages: tuple[dict[int, tuple[int, ...]], list[bytes]], order: str = "<", big: bool = False) -> bytes:
    """A file of these pages."""
    word, size = ("Q", 8) if big else ("I", 4)
    content = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}H", 43 if big else 42)
    content += struct.pack(f"{order}HHQ", 8, 0, 0) if big else struct.pack(f"{order}I", 0)
    link = len(content) - size
    for tags, parts in pages:
        places = []
        for part in parts:
            places.append(len(content))
            content += part + bytes(len(part) % 2)
        data = {324: places, 325: [len(part) for part in parts]} if 322 in tags else None
        data = data or {273: places, 279: [len(part) for part in parts]}
        entries = b""
        every = {**tags, **{tag: tuple(values) for tag, values in data.items()}}
        for tag in sorted(every):
            values, wide = every[tag], tag in data
            raw = struct.pack(f"{order}{len(values)}{word if wide else 'H'}", *values)
            if len(raw) > size:
                place, content = len(content), content + raw + bytes(len(raw) % 2)
                raw = struct.pack(f"{order}{word}", place)
            kind = (16 if big else 4) if wide else 3
            entries += struct.pack(f"{order}HH{word}", tag, kind, len(values)) + raw.ljust(size, b"\0")
        content = content[:link] + struct.pack(f"{order}{word}", len(content)) + content[link + size :]
        content += struct.pack(f"{order}{'Q' if big else 'H'}", len(every)) + entries
        link = len(content)
        content += bytes(size)
    return content
