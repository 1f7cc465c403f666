"""DICOM radiographs as 8-bit grey pixels, and how they were made; no patient's name is ever read."""

import io
import logging
import re
import warnings
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from pydicom.uid import (
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGTransferSyntaxes,
    RLELossless,
)

from pneumocli.data.dicom_values import after_modality, after_window, padding_mask, stored_values
from pneumocli.data.film import Film, FilmWarning, UnreadableFilm, check_size
from pneumocli.data.grey import CLIPPED, Numbers, Samples, film_of, stretch
from pneumocli.data.jpeg import JpegHeader, check_jpeg, jpeg_header

if TYPE_CHECKING:
    from pydicom import Dataset

# Projection radiographs: computed, digital, and secondary captures of them that say so; RG and RF are older names.
_MODALITIES = frozenset({"CR", "DX", "RG", "RF", "OT", ""})

# All that is read of a file: what the pixels need. Names, dates and addresses are not even parsed.
_TAGS: list[str | tuple[int, int]] = [
    "Modality",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "BodyPartExamined",
    "ViewPosition",
    "PresentationLUTShape",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    *((group, 0x0102) for group in range(0x6000, 0x6020, 2)),
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
]

# Of these the standard asks that they are there, and they decide what the pixels mean.
_REQUIRED = ["SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "PixelRepresentation"]

_INTERPRETATIONS = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_RCT": 3,
    "YBR_ICT": 3,
}

# Chest, thorax and lung, as far as they are written out in the languages of hospitals.
_CHEST = ("CHEST", "THORA", "TORAX", "TORAC", "LUNG", "POUMON", "PULM", "LUNGE", "RIB", "BRUSTKORB")
_FRONTAL = ("PA", "AP", "FRONT")
_BODY_PARTS = frozenset(
    {
        *("ABDOMEN", "ANKLE", "ARM", "BREAST", "CLAVICLE", "COCCYX", "CSPINE", "ELBOW", "EXTREMITY", "FEMUR", "FINGER"),
        *(
            "FOOT",
            "FOREARM",
            "HAND",
            "HEAD",
            "HEEL",
            "HIP",
            "HUMERUS",
            "JAW",
            "KNEE",
            "LEG",
            "LSPINE",
            "NECK",
            "PELVIS",
        ),
        *("SHOULDER", "SKULL", "SPINE", "SSPINE", "STERNUM", "TOE", "TSPINE", "WRIST"),
    }
)
_VIEWS = frozenset({"LL", "RL", "LLD", "RLD", "LLO", "RLO", "LATERAL", "LAT", "OBLIQUE", "LPO", "RPO", "LAO", "RAO"})
_VIEW_NAMES = {"PA": "PA", "AP": "AP", **dict.fromkeys(("LL", "RL", "LATERAL", "LAT"), "lateral")}
_PER_YEAR = {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}  # units of an age

_READ_AS_THEY_ARE = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)
_KNOWN_SYNTAXES = frozenset(AllTransferSyntaxes)
_INTERLEAVED = frozenset({*JPEGTransferSyntaxes, *JPEG2000TransferSyntaxes})
_MOST_BYTES = 800_000_000
_DEFLATED = b"1.2.840.10008.1.2.1.99"

# pydicom logs and warns of odd elements with their content, which may be a patient's.
logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
# But this one is the only word that RLE data is damaged.
warnings.filterwarnings("error", message="The decoded RLE segment contains non-conformant padding")


def read_dicom(content: bytes) -> Film:
    """The radiograph in a DICOM file.

    Padding is left out and shown black; modality look-up and rescale, then the first VOI look-up table or window that
    shows something are applied; MONOCHROME1 is inverted; the result is stretched to 8 bits. Colour becomes luminance.
    A file without preamble, without group 2 or without a transfer syntax is read where the length of its pixels proves
    that they are not compressed.

    Raises:
        UnreadableFilm: Damaged, another modality, several frames, compressed in a way that needs more packages than
            there are or in a private one, or a header that contradicts itself or the pixels.
    """
    try:
        dataset = _opened(content)
        _check_is_radiograph(dataset)
        _settle_syntax(dataset)
        words = _decoded(dataset)
        return _with_warnings(_film_of(dataset, words), dataset)
    except UnreadableFilm:
        raise
    except InvalidDicomError as error:
        raise UnreadableFilm("is no DICOM file that can be read") from error
    except (RuntimeError, NotImplementedError, ImportError) as error:
        raise _no_decoder(error) from error
    except Exception as error:
        # pydicom raises whatever a damaged element leads to. Its message could quote the header: it is not shown.
        raise UnreadableFilm(f"is a damaged DICOM file ({type(error).__name__})") from error


def _opened(content: bytes) -> "Dataset":
    """The elements that are needed of a file, whether it begins as the standard asks or with its first element."""
    if content.startswith(b"DICM"):
        content = bytes(128) + content
    if _DEFLATED in content[:1024] and _grows_beyond(content, _MOST_BYTES):
        raise UnreadableFilm(f"unpacks to more than {_MOST_BYTES:,} bytes")
    return pydicom.dcmread(io.BytesIO(content), specific_tags=[pydicom.tag.Tag(tag) for tag in _TAGS], force=True)


def _grows_beyond(content: bytes, limit: int) -> bool:
    """Whether the deflated part of a file, which follows group 2, unpacks to more than so many bytes."""
    meta_length = int.from_bytes(content[140:144], "little")
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacker.decompress(content[144 + meta_length :], limit)
    return bool(unpacker.unconsumed_tail)


def _settle_syntax(dataset: "Dataset") -> None:
    """Makes sure of how the pixels are stored: as named, or not compressed where their length proves it."""
    dataset.file_meta = meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    named = str(meta.get("TransferSyntaxUID") or "").strip("\0 ")
    if named in _READ_AS_THEY_ARE:
        return
    if named in _KNOWN_SYNTAXES and not _is_plain(dataset):
        return
    if named not in _KNOWN_SYNTAXES and re.fullmatch(r"[0-9]+(\.[0-9]+)+", named[:64]):
        if named.startswith("1.2.840.10008."):  # DICOM's own
            raise UnreadableFilm(
                f"is DICOM in the transfer syntax {named[:64]}, which is not read here: expected pixels that are not "
                "compressed, RLE, JPEG, JPEG-LS or JPEG 2000"
            )
        raise UnreadableFilm(f"is DICOM in the private transfer syntax {named[:64]}, which only its maker can read")
    if not _is_plain(dataset):
        raise UnreadableFilm(
            "is DICOM that does not name its transfer syntax, and its pixels are compressed or cut off"
        )
    implicit, little = dataset.original_encoding
    meta.TransferSyntaxUID = (
        ExplicitVRBigEndian if little is False else ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )


def _is_plain(dataset: "Dataset") -> bool:
    """Whether the pixels are as many bytes as uncompressed ones are; one is added to an odd number."""
    bits = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated
    needed = -(-bits // 8)
    return len(dataset.PixelData) in (needed, needed + needed % 2)


def _decoded(dataset: "Dataset") -> Numbers:
    """The stored numbers: all bits that the file allocates, (H,W) or (H,W,3)."""
    if dataset.file_meta.TransferSyntaxUID in _READ_AS_THEY_ARE and dataset.BitsAllocated in (8, 16, 32):
        return _native(dataset)
    if dataset.SamplesPerPixel == 3 and dataset.file_meta.TransferSyntaxUID in _INTERLEAVED:
        dataset.PlanarConfiguration = 0  # whatever the header says: it is about pixels that are not compressed
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        # pylibjpeg's decoder of RLE panics on damaged data, and a panic of Rust is no Exception.
        dataset.pixel_array_options(raw=True, decoding_plugin="pydicom")
    else:
        dataset.pixel_array_options(raw=True)
    if dataset.file_meta.TransferSyntaxUID in (JPEGBaseline8Bit, JPEGExtended12Bit):
        _settle_jpeg(dataset, next(iter(generate_frames(dataset.PixelData, number_of_frames=1)), b""))
    return np.asarray(dataset.pixel_array)


def _settle_jpeg(dataset: "Dataset", frame: bytes) -> None:
    """Refuses a stream in lossy JPEG that is damaged or another than announced; its colours are what it says itself."""
    if (header := jpeg_header(frame)) is not None:
        _refuse_another_jpeg(dataset, header)
        if header.samples == 3 and header.is_ycbcr is not None:  # the stream was made so, whatever the header says
            dataset.PhotometricInterpretation = "YBR_FULL_422" if header.is_ycbcr else "RGB"
    if dataset.BitsAllocated == 8:
        check_jpeg(frame)


def _refuse_another_jpeg(dataset: "Dataset", header: JpegHeader) -> None:
    """Refuses a stream of another shape than the header of the film announces."""
    found = f"{header.width} x {header.height} pixels of {header.samples} x {header.bits} bits"
    samples, allocated = int(dataset.SamplesPerPixel), int(dataset.BitsAllocated)
    announced = f"{dataset.Columns} x {dataset.Rows} pixels of {samples} x {allocated} bits"
    same = (header.width, header.height, header.samples) == (dataset.Columns, dataset.Rows, samples)
    if not same or (header.bits <= 8) != (allocated == 8):
        raise UnreadableFilm(f"is DICOM that contradicts itself: its JPEG has {found}, its header gives {announced}")


def _native(dataset: "Dataset") -> Numbers:
    """Pixels that are not compressed, bit for bit: pydicom drops the bits that the header calls unused."""
    height, width, samples = int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel)
    order = ">" if dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian else "<"
    stored = np.dtype(f"{order}{'i' if dataset.PixelRepresentation == 1 else 'u'}{dataset.BitsAllocated // 8}")
    content = dataset.PixelData
    if order == ">" and stored.itemsize == 1 and dataset["PixelData"].VR == "OW":
        content = np.frombuffer(content, ">u2").astype("<u2").tobytes()  # words of two pixels, swapped as words
    count, frame = len(content) // stored.itemsize, height * width * samples
    if str(dataset.PhotometricInterpretation) == "YBR_FULL_422" and count < frame:
        dataset.pixel_array_options(raw=True)
        return np.asarray(dataset.pixel_array)
    if count < frame:
        raise UnreadableFilm(f"is truncated: it holds {count:,} of {frame:,} pixel values")
    if count >= 2 * frame:
        raise UnreadableFilm(f"is DICOM with {count // frame} frames, expected one")
    values = np.frombuffer(content, stored, count=frame).astype(stored.newbyteorder("="), copy=False)
    if samples == 1:
        return values.reshape(height, width)
    if dataset.get("PlanarConfiguration", 0) == 1:
        return np.moveaxis(values.reshape(samples, height, width), 0, 2)
    return values.reshape(height, width, samples)


def _film_of(dataset: "Dataset", words: Numbers) -> Film:
    if dataset.SamplesPerPixel == 3 and words.ndim == 3 and words.shape[2] == 3:
        return film_of(_colour(dataset, words))
    if words.ndim != 2:  # more pixels than the header accounts for
        raise UnreadableFilm(f"is DICOM with {words.shape[0]} frames, expected one")
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return film_of(_through_palette(dataset, words))
    return _grey(dataset, words)


def _grey(dataset: "Dataset", words: Numbers) -> Film:
    padding = padding_mask(dataset, words)
    shown = None if padding is None else ~padding
    if shown is not None and not shown.any():
        raise UnreadableFilm("holds no pixel but padding")
    values = after_modality(dataset, stored_values(dataset, words, padding))
    values, is_windowed, warnings = after_window(dataset, values, shown)
    inverse = dataset.PhotometricInterpretation == "MONOCHROME1"
    # What nothing in the header changes is 8 bits as in any other file: taken as they are.
    is_plain = values.dtype == np.uint8 and not is_windowed
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    if shape == "INVERSE" and not inverse:
        raise UnreadableFilm("is DICOM that contradicts itself: MONOCHROME2 with the PresentationLUTShape INVERSE")
    if is_plain:
        pixels = ~values if inverse else values.copy()
        if shown is not None:
            pixels[~shown] = 0
        return Film(pixels, coloured=False, mode="DICOM", warnings=warnings)
    if inverse:
        values = -values.astype(np.float64) if values.dtype.kind == "u" else -values
    pixels, clipped = stretch(values, shown, robust=not is_windowed)
    warnings = (*warnings, CLIPPED) if clipped else warnings
    return Film(pixels, coloured=False, mode="DICOM", warnings=warnings)


def _colour(dataset: "Dataset", words: Numbers) -> Samples:
    interpretation = str(dataset.PhotometricInterpretation)
    if interpretation.startswith("YBR_FULL") and not _is_converted_by_decoder(dataset):
        words = convert_color_space(words.astype(np.uint8, copy=False), "YBR_FULL", "RGB")
    return Samples(words, None, premultiplied=False, mode="DICOM")


def _is_converted_by_decoder(dataset: "Dataset") -> bool:
    """JPEG 2000's own colour transforms are part of its decoding."""
    return str(dataset.PhotometricInterpretation) in ("YBR_RCT", "YBR_ICT")


def _through_palette(dataset: "Dataset", words: Numbers) -> Samples:
    colours = np.asarray(apply_color_lut(words, dataset))[..., :3]
    if colours.dtype == np.uint16 and colours.max() > 255:
        colours = (colours >> 8).astype(np.uint8)  # 16 bits are a scale of 0-255 here, not a depth to be stretched
    return Samples(colours.astype(np.uint8), None, premultiplied=False, mode="DICOM")


def _with_warnings(film: Film, dataset: "Dataset") -> Film:
    """Adds whether the header names another part of the body, or another view, than a frontal chest film."""
    # Nothing of a header is quoted that is not one of the standard's own words: it could be a patient's name.
    part = re.sub(r"[^A-Z]", "", str(dataset.get("BodyPartExamined") or "").upper())
    view = re.sub(r"[^A-Z]", "", str(dataset.get("ViewPosition") or "").upper())
    found = []
    if part and not any(word in part for word in _CHEST):
        found.append(f"of the body part {part}" if part in _BODY_PARTS else "of another body part than the chest")
    if view and not any(word in view for word in _FRONTAL):
        found.append(f"in the view {view}" if view in _VIEWS else "in another view than PA or AP")
    if not found:
        return film
    warning = FilmWarning("not-frontal-chest", f"is no frontal chest film by its DICOM header: {' and '.join(found)}")
    return replace(film, warnings=(*film.warnings, warning))


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """What a DICOM file says of how it was made; nothing that names the patient.

    Attributes:
        bits: Per sample.
        device: Manufacturer and model; empty where it names none.
        age: Of the patient in years.
        view: ``PA``, ``AP`` or ``lateral``; empty for any other and where it names none.
    """

    bits: int | None = None
    device: str = ""
    age: float | None = None
    view: str = ""


def read_header(content: bytes) -> DicomHeader:
    """What a DICOM file says of how it was made.

    The elements of :class:`DicomHeader` alone are parsed; a damaged one counts as none, the film's reader is the one to
    refuse.
    """
    named = ("BitsStored", "Manufacturer", "ManufacturerModelName", "PatientAge", "ViewPosition")
    try:
        dataset = pydicom.dcmread(io.BytesIO(content), specific_tags=list(named), stop_before_pixels=True, force=True)
        bits = dataset.get("BitsStored", None)
        device, model, age, view = (str(dataset.get(name, "") or "") for name in named[1:])
    except Exception:  # noqa: BLE001 - pydicom raises whatever a damaged element leads to
        return DicomHeader()
    return DicomHeader(
        bits=bits if isinstance(bits, int) else None,
        device=" ".join(filter(None, (device, model))),
        age=_years(age),
        view=_VIEW_NAMES.get(view.strip().upper(), ""),
    )


def _years(age: str) -> float | None:
    """An age as DICOM writes it, three digits and a unit, in years.

    >>> _years("045Y"), _years("018M"), _years("45")
    (45.0, 1.5, None)
    """
    found = re.fullmatch(r"(\d{3})([DWMY])", age.strip(), re.ASCII)
    return None if found is None else round(int(found[1]) / _PER_YEAR[found[2]], 3)


def _no_decoder(error: Exception) -> UnreadableFilm:
    """pydicom raises the same errors for missing packages and for data that no decoder takes."""
    if "missing dependencies" in str(error) or "plugins are missing" in str(error):
        return UnreadableFilm(
            "is compressed DICOM that the installed packages cannot decode", "pip install 'pneumocli[dicom]'"
        )
    return UnreadableFilm("is a DICOM file whose compressed pixels are damaged or of an unknown kind")


def _check_is_radiograph(dataset: "Dataset") -> None:
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise UnreadableFilm("is DICOM with pixels in floating point, expected whole numbers (Pixel Data)")
    for name in ("Modality", "PhotometricInterpretation"):  # some write them in small letters, or padded in front
        if dataset.get(name):
            setattr(dataset, name, str(dataset.get(name)).strip("\0 ").upper())
    if "PixelData" not in dataset:  # or before them an element that no longer ends where it should
        raise UnreadableFilm("is DICOM without pixels, or damaged before them")
    modality = str(dataset.get("Modality", ""))
    if modality not in _MODALITIES:
        raise UnreadableFilm(f"is DICOM of modality {modality[:8]!r}, expected a radiograph (CR or DX)")
    missing = [name for name in _REQUIRED if dataset.get(name) in (None, "")]
    if missing:
        raise UnreadableFilm(f"is DICOM without {' and '.join(missing)}, which its pixels need")
    frames = _number_of_frames(dataset)
    if frames != 1:
        raise UnreadableFilm(f"is DICOM with {frames} frames, expected one")
    interpretation = str(dataset.PhotometricInterpretation)
    samples = int(dataset.SamplesPerPixel)
    if samples != _INTERPRETATIONS.get(interpretation):
        known = interpretation if interpretation in _INTERPRETATIONS else "an unknown colour space"
        raise UnreadableFilm(
            f"is DICOM in {known} with {samples} samples a pixel, expected MONOCHROME or PALETTE COLOR with 1, RGB or "
            "YBR with 3"
        )
    check_size(int(dataset.Columns), int(dataset.Rows))


def _number_of_frames(dataset: "Dataset") -> int:
    try:
        return int(dataset.get("NumberOfFrames", 1) or 1)
    except ValueError as error:
        raise UnreadableFilm("is DICOM whose NumberOfFrames is no number") from error
