"""DICOM radiographs as 8-bit grey pixels; nothing else of the file is handed on, no patient's name least of all."""

import io
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pneumocli.data.film import Pixels, UnreadableFilm, stretch

if TYPE_CHECKING:
    from pydicom import Dataset

# Projection radiographs: computed, digital, and secondary captures of them that say so; RG and RF are older names.
_MODALITIES = frozenset({"CR", "DX", "RG", "RF", "OT", ""})


def read_dicom(content: bytes) -> Pixels:
    """The radiograph in a DICOM file: modality and VOI look-up applied, MONOCHROME1 inverted, stretched to 8 bits.

    Returns:
        uint8 (H,W).

    Raises:
        UnreadableFilm: Damaged, another modality, several frames, colour, or compressed in a way that needs more
            packages than there are.
    """
    try:
        dataset = pydicom.dcmread(io.BytesIO(content))
        _check_is_radiograph(dataset)
        values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    except UnreadableFilm:
        raise
    except InvalidDicomError as error:
        raise UnreadableFilm("is no DICOM file that can be read") from error
    except (RuntimeError, NotImplementedError, ImportError) as error:  # pydicom: no decoder for this compression
        raise UnreadableFilm(
            "is compressed DICOM that the installed packages cannot decode", "pip install 'pneumocli[dicom]'"
        ) from error
    except Exception as error:
        # pydicom raises whatever a damaged element leads to. Its message could quote the header: it is not shown.
        raise UnreadableFilm(f"is a damaged DICOM file ({type(error).__name__})") from error
    pixels = stretch(np.asarray(values))
    return 255 - pixels if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels


def _check_is_radiograph(dataset: "Dataset") -> None:
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
    if "PixelData" not in dataset:
        raise UnreadableFilm("is DICOM without pixels")
