"""From the numbers that a DICOM file stores to grey values: which bits count, padding, rescale, window, polarity."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pneumocli.data.film import FilmWarning, UnreadableFilm
from pneumocli.data.grey import Numbers

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["after_modality", "after_window", "number_of", "padding_mask", "stored_values"]

NO_WINDOW = FilmWarning("window-ignored", "its DICOM window shows nothing of the film and was ignored")

# A placeholder such as 1/1, or the window of 8 bits on a film of 12, leaves next to no pixel between black and white.
_LEAST_BETWEEN = 0.05
_FEW_LEVELS = 32  # with fewer of them a film has little between its ends, whatever the window

Mask = NDArray[np.bool_]


def number_of(dataset: "Dataset", name: str) -> float | None:
    """The first value of an element as a finite number; ``None`` for an absent, empty or garbled one."""
    numbers = _numbers_of(dataset, name)
    return numbers[0] if numbers else None


def _numbers_of(dataset: "Dataset", name: str) -> list[float | None]:
    try:
        value = dataset.get(name)
    except (ValueError, TypeError, ArithmeticError):
        # Such as the decimal comma of some exports, which the standard does not know.
        raw = dataset.get_item(name).value
        value = raw.decode("ascii", "replace").split("\\") if isinstance(raw, bytes) else []
    values = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    return [_finite(item) for item in values]


def _finite(value: object) -> float | None:
    try:
        number = float(str(value).strip("\0 ").replace(",", "."))
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def padding_mask(dataset: "Dataset", words: Numbers) -> Mask | None:
    """Where a film is padding: PixelPaddingValue up to PixelPaddingRangeLimit, in either order.

    Args:
        dataset: The file's elements.
        words: The stored numbers, as many bits as the file allocates; compared with the sign that the file gives them.
    """
    value = number_of(dataset, "PixelPaddingValue")
    if value is None or words.dtype.kind not in "iu":
        return None
    limit = number_of(dataset, "PixelPaddingRangeLimit")
    # Written with the other sign, or as a number of the stored bits alone: the bits are meant.
    bits = words.dtype.itemsize * 8
    first = _as_word(int(value), words, bits)
    last = first if limit is None else _as_word(int(limit), words, bits)
    mask: Mask = (words >= min(first, last)) & (words <= max(first, last))
    return mask if mask.any() else None


def _as_word(value: int, words: Numbers, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if words.dtype.kind == "i" and value >> (bits - 1) else value


def stored_values(dataset: "Dataset", words: Numbers, padding: Mask | None) -> Numbers:
    """The numbers in the bits that the file says are used, with their sign.

    Overlays in unused bits, an old habit, are left out.

    Raises:
        UnreadableFilm: Values use more bits than the header allows, or the header contradicts itself.
    """
    allocated = words.dtype.itemsize * 8
    used = int(number_of(dataset, "BitsStored") or allocated)
    high = int(highest if (highest := number_of(dataset, "HighBit")) is not None else used - 1)
    if words.dtype.kind not in "iu":
        return words
    if not 1 <= used <= allocated or not used - 1 <= high < allocated:
        raise UnreadableFilm(f"is DICOM whose header contradicts itself: {used} bits up to bit {high} of {allocated}")
    if used == allocated:
        return words
    unsigned = words.view(f"u{words.dtype.itemsize}").astype(np.int64)
    values = unsigned >> (high + 1 - used) & ((1 << used) - 1)
    signed = words.dtype.kind == "i"
    if signed:
        values -= (values >> (used - 1)) << used
    unused = unsigned >> (high + 1)
    fine = unused == 0
    if signed:  # the sign may be repeated in the unused bits
        fine |= (unused == (1 << (allocated - high - 1)) - 1) & (values < 0)
    if padding is not None:
        fine |= padding
    if not fine.all() and not _has_embedded_overlay(dataset):
        raise UnreadableFilm(f"is DICOM whose values use more than the {used} bits that its header allows (BitsStored)")
    return values.astype(np.int32) if allocated <= 16 else values


def _has_embedded_overlay(dataset: "Dataset") -> bool:
    """Whether an overlay lies in bits of the pixels: groups 6000, 6002 ... with a bit position above zero."""
    return any(
        int(dataset[group, 0x0102].value or 0) > 0 for group in range(0x6000, 0x6020, 2) if (group, 0x0102) in dataset
    )


def after_modality(dataset: "Dataset", values: Numbers) -> Numbers:
    """Modality look-up table, or rescale slope and intercept; empty ones and a slope of zero change nothing."""
    table = dataset.get("ModalityLUTSequence")
    if table and table[0].get("LUTDescriptor") and table[0].get("LUTData") is not None:
        return _through_table(dataset, table[0], values)
    slope, intercept = number_of(dataset, "RescaleSlope") or 1.0, number_of(dataset, "RescaleIntercept") or 0.0
    if slope == 1 and intercept == 0:
        return values
    return np.asarray(values.astype(np.float64) * slope + intercept)


def after_window(
    dataset: "Dataset", values: Numbers, shown: Mask | None
) -> tuple[Numbers, bool, tuple[FilmWarning, ...]]:
    """The first VOI look-up table or window of a file that is one and shows something.

    Returns:
        Values; whether a window or table was applied; warnings.
    """
    counting = values if shown is None else values[shown]
    varied = counting.size > 0 and counting.min() != counting.max()
    ignored = False
    for candidate in _windowed(dataset, values):
        seen = candidate if shown is None else candidate[shown]
        if not varied or _shows_something(counting, seen):
            return candidate, True, ()
        ignored = True
    return values, False, (NO_WINDOW,) if ignored else ()


def _shows_something(values: Numbers, seen: Numbers) -> bool:
    """Whether a window leaves enough of a film between its two ends."""
    low, high = seen.min(), seen.max()
    if low == high:
        return False
    between = np.count_nonzero((seen > low) & (seen < high))
    return bool(between >= _LEAST_BETWEEN * seen.size) or np.unique(values).size < _FEW_LEVELS


def _through_table(dataset: "Dataset", table: "Dataset", values: Numbers) -> Numbers:
    """Values through a modality or VOI look-up table (PS3.3 C.11.1.1): uint8 or uint16, as the table has bits.

    pydicom's own counts places in as many bits as the table's entries have: in a table of 8 bits from 256 on anew.

    Raises:
        UnreadableFilm: The table has fewer entries than its descriptor gives.
    """
    number, first, bits = (int(item) for item in table.LUTDescriptor)
    number = number & 0xFFFF or 0x10000
    if first > 0x7FFF and values.min() < 0:  # a negative number, written as an unsigned one
        first -= 0x10000
    entries = _entries(dataset, table.LUTData, number, bits)
    if entries.size < number:
        raise UnreadableFilm(f"is DICOM whose look-up table has {entries.size:,} entries, not {number:,} as it says")
    places = np.clip(np.rint(values).astype(np.int64) - first, 0, number - 1)
    return np.asarray(entries[places].astype(np.uint8 if bits <= 8 else np.uint16))


def _entries(dataset: "Dataset", content: object, number: int, bits: int) -> NDArray[np.int64]:
    """The entries of a table: words, or bytes of 8 bits, two to a word."""
    order = "<" if dataset.original_encoding[1] is not False else ">"
    if isinstance(content, bytes):
        packed = content
        words = np.frombuffer(content[: len(content) // 2 * 2], f"{order}u2").astype(np.int64)
    else:
        words = np.atleast_1d(np.asarray(content, np.int64)) & 0xFFFF
        packed = words.astype(f"{order}u2").tobytes()
    if bits <= 8 and words.size < number <= len(packed):
        return np.frombuffer(packed, np.uint8)[:number].astype(np.int64)
    return words[:number]


def _windowed(dataset: "Dataset", values: Numbers) -> Iterator[Numbers]:
    """Values through each table and window that the file holds, in the order of preference."""
    for table in dataset.get("VOILUTSequence") or ():
        is_there = table.get("LUTDescriptor") and table.get("LUTData") is not None
        if is_there and (values.dtype.kind in "iu" or (values == np.rint(values)).all()):
            yield _through_table(dataset, table, values)
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    for centre, width in zip(_numbers_of(dataset, "WindowCenter"), _numbers_of(dataset, "WindowWidth"), strict=False):
        if centre is not None and width is not None and width > 0:
            yield _through_window(values.astype(np.float64), centre, width, function)


def _through_window(values: NDArray[np.float64], centre: float, width: float, function: str) -> Numbers:
    """0-1, after PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if function != "LINEAR_EXACT":
        if width < 1:
            return np.asarray((values > centre - 0.5).astype(np.float64))
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return np.asarray((values > centre).astype(np.float64))
    return np.asarray(np.clip((values - centre) / width + 0.5, 0, 1))
