"""DICOM radiographs as 8-bit grey pixels; nothing else of the file is handed on, no patient's name least of all."""

import io
import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import RLELossless

from pneumocli.data.film import Film, UnreadableFilm
from pneumocli.data.grey import stretch

if TYPE_CHECKING:
    from pydicom import Dataset

# Projection radiographs: computed, digital, and secondary captures of them that say so; RG and RF are older names.
_MODALITIES = frozenset({"CR", "DX", "RG", "RF", "OT", ""})

# All that is read of a file: what the pixels need. Names, dates and addresses are not even parsed.
_TAGS = [
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
]

_LEAST_SIDE, _MOST_PIXELS = 32, 100_000_000  # as for other films, see images.py

# pydicom logs and warns of odd elements with their content, which may be a patient's.
logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
# But this one is the only word that RLE data is damaged.
warnings.filterwarnings("error", message="The decoded RLE segment contains non-conformant padding")


def read_dicom(content: bytes) -> Film:
    """The radiograph in a DICOM file: modality and VOI look-up applied, MONOCHROME1 inverted, stretched to 8 bits.

    Returns:
        uint8 (H,W).

    Raises:
        UnreadableFilm: Damaged, another modality, several frames, colour, or compressed in a way that needs more
            packages than there are.
    """
    try:
        dataset = pydicom.dcmread(io.BytesIO(content), specific_tags=_TAGS)
        _check_is_radiograph(dataset)
        if dataset.file_meta.TransferSyntaxUID == RLELossless:
            # pylibjpeg's decoder of RLE panics on damaged data, and a panic of Rust is no Exception.
            dataset.pixel_array_options(decoding_plugin="pydicom")
        values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    except UnreadableFilm:
        raise
    except InvalidDicomError as error:
        raise UnreadableFilm("is no DICOM file that can be read") from error
    except (RuntimeError, NotImplementedError, ImportError) as error:
        raise _no_decoder(error) from error
    except Exception as error:
        # pydicom raises whatever a damaged element leads to. Its message could quote the header: it is not shown.
        raise UnreadableFilm(f"is a damaged DICOM file ({type(error).__name__})") from error
    if values.ndim != 2:  # more pixels than the header speaks of
        raise UnreadableFilm(f"is DICOM with {values.shape[0]} frames, expected one")
    pixels, _ = stretch(np.asarray(values))
    pixels = 255 - pixels if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels
    return Film(pixels, coloured=False, mode="DICOM")


def read_device(content: bytes) -> tuple[int | None, str]:
    """Bits per sample of a DICOM file, and the manufacturer and model it names, empty where it names none.

    These three elements alone are parsed; a damaged one counts as none, the film's reader is the one to refuse.
    """
    try:
        dataset = pydicom.dcmread(
            io.BytesIO(content),
            specific_tags=["BitsStored", "Manufacturer", "ManufacturerModelName"],
            stop_before_pixels=True,
            force=True,
        )
        named = [str(dataset.get(name, "") or "") for name in ("Manufacturer", "ManufacturerModelName")]
        bits = dataset.get("BitsStored", None)
        return bits if isinstance(bits, int) else None, " ".join(filter(None, named))
    except Exception:  # noqa: BLE001 - pydicom raises whatever a damaged element leads to
        return None, ""


def _no_decoder(error: Exception) -> UnreadableFilm:
    """pydicom raises the same errors for missing packages and for data that no decoder takes."""
    if "missing dependencies" in str(error) or "plugins are missing" in str(error):
        return UnreadableFilm(
            "is compressed DICOM that the installed packages cannot decode", "pip install 'pneumocli[dicom]'"
        )
    return UnreadableFilm("is a DICOM file whose compressed pixels are damaged or of an unknown kind")


def _check_is_radiograph(dataset: "Dataset") -> None:
    if "PixelData" not in dataset:  # or before them an element that no longer ends where it should
        raise UnreadableFilm("is DICOM without pixels, or damaged before them")
    modality = str(dataset.get("Modality", ""))
    if modality not in _MODALITIES:
        raise UnreadableFilm(f"is DICOM of modality {modality[:8]!r}, expected a radiograph (CR or DX)")
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise UnreadableFilm(f"is DICOM with {frames} frames, expected one")
    interpretation = str(dataset.get("PhotometricInterpretation", ""))
    if interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnreadableFilm(
            f"is DICOM in {interpretation[:16] or 'an unknown colour space'}, expected MONOCHROME1 or 2"
        )
    height, width = int(dataset.get("Rows", 0)), int(dataset.get("Columns", 0))
    if width * height > _MOST_PIXELS:
        raise UnreadableFilm(f"claims {width} x {height} pixels, more than {_MOST_PIXELS:,}")
    if min(width, height) < _LEAST_SIDE:
        raise UnreadableFilm(f"is {width} x {height} pixels, too small for a film")
