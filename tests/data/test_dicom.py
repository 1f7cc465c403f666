"""DICOM radiographs: the right way up, refused for a reason, and silent about the patient."""

import io
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from pneumocli.data.images import UnreadableFilm, read_film

NAME = "Mustermann^Erika"


def radiograph(values: np.ndarray, **elements: object) -> FileDataset:
    """A DX image with these pixel values, and a patient's name."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("film.dcm", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID = NAME, "4711"
    dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 1
    dataset.BitsAllocated = dataset.BitsStored = values.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    for key, value in elements.items():
        setattr(dataset, key, value)
    dataset.PixelData = values.tobytes()
    return dataset


def saved(dataset: FileDataset) -> bytes:
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def ramp(kind: type = np.uint16, low: int = 0, high: int = 4095) -> np.ndarray:
    return np.linspace(low, high, 40 * 50).reshape(40, 50).astype(kind)


def test_12_bits_in_16_become_8():
    pixels = read_film(saved(radiograph(ramp(), BitsStored=12, HighBit=11))).pixels
    assert (pixels.shape, pixels.dtype) == ((40, 50), np.uint8)
    assert (pixels[0, 0], pixels[-1, -1]) == (0, 255)


def test_monochrome1_is_inverted():
    upright = read_film(saved(radiograph(ramp()))).pixels
    inverted = read_film(saved(radiograph(ramp(), PhotometricInterpretation="MONOCHROME1"))).pixels
    np.testing.assert_array_equal(inverted, 255 - upright)


def test_the_window_is_applied():
    pixels = read_film(saved(radiograph(ramp(), WindowCenter=2048, WindowWidth=1000))).pixels
    assert (pixels[:10] == 0).all()
    assert (pixels[-10:] == 255).all()
    assert 100 < pixels[20, 0] < 155


def test_signed_values_with_a_rescale():
    dataset = radiograph(ramp(np.int16, -1000, 1000), RescaleSlope="2", RescaleIntercept="-5")
    pixels = read_film(saved(dataset)).pixels
    assert (pixels[0, 0], pixels[-1, -1]) == (0, 255)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_uncompressed_syntaxes(syntax: str):
    dataset = radiograph(ramp())
    expected = read_film(saved(dataset)).pixels
    content = io.BytesIO()
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = ramp().astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(
        content,
        dataset,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        force_encoding=True,
    )
    np.testing.assert_array_equal(read_film(content.getvalue()).pixels, expected)


def test_compressed_pixels_are_decoded():
    dataset = radiograph(ramp())
    expected = read_film(saved(dataset)).pixels
    dataset.compress(RLELossless)
    np.testing.assert_array_equal(read_film(saved(dataset)).pixels, expected)


def test_jpeg2000_is_decoded_with_the_extra():
    pytest.importorskip("openjpeg")
    dataset = radiograph(ramp())
    expected = read_film(saved(dataset)).pixels
    dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")
    np.testing.assert_array_equal(read_film(saved(dataset)).pixels, expected)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless])
def test_a_film_whose_compression_nobody_knows_says_so(syntax: str, monkeypatch: pytest.MonkeyPatch):
    from pydicom.pixels.decoders import JPEGLosslessSV1Decoder, JPEGLSLosslessDecoder

    dataset = radiograph(ramp())
    dataset.compress(RLELossless)
    dataset.file_meta.TransferSyntaxUID = syntax
    for decoder in (JPEGLosslessSV1Decoder, JPEGLSLosslessDecoder):
        monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(UnreadableFilm, match="the installed packages cannot decode") as caught:
        read_film(saved(dataset))
    assert caught.value.hint == "pip install 'pneumocli[dicom]'"


@pytest.mark.filterwarnings("ignore:The number of bytes of pixel data is sufficient")
def test_more_frames_than_the_header_says_are_refused():
    dataset = radiograph(ramp())
    dataset.PixelData = ramp().tobytes() * 2
    with pytest.raises(UnreadableFilm, match="is DICOM with 2 frames, expected one"):
        read_film(saved(dataset))


def test_rle_data_of_the_wrong_length_is_refused():
    from pydicom.encaps import encapsulate
    from pydicom.pixels.encoders import RLELosslessEncoder

    long = np.zeros((45, 50), np.uint16)
    frame = RLELosslessEncoder.encode(
        long, rows=45, columns=50, samples_per_pixel=1, bits_allocated=16, bits_stored=16, pixel_representation=0,
        photometric_interpretation="MONOCHROME2", number_of_frames=1,
    )  # fmt: skip
    dataset = radiograph(ramp())
    dataset.compress(RLELossless)
    dataset.PixelData = encapsulate([frame])
    with pytest.raises(UnreadableFilm, match="damaged"):
        read_film(saved(dataset))


def test_damaged_compressed_pixels_are_refused():
    dataset = radiograph(ramp())
    dataset.compress(RLELossless)
    content = bytearray(saved(dataset))
    content[-60:] = bytes(60)
    with pytest.raises(UnreadableFilm, match="damaged"):
        read_film(bytes(content))


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT"}, "is DICOM of modality 'CT', expected a radiograph (CR or DX)"),
        ({"NumberOfFrames": "3"}, "is DICOM with 3 frames, expected one"),
        ({"PhotometricInterpretation": "RGB"}, "is DICOM in RGB, expected MONOCHROME1 or 2"),
        ({"Rows": 31}, "is 50 x 31 pixels, too small for a film"),
        ({"Rows": 20_000, "Columns": 20_000}, "claims 20000 x 20000 pixels, more than 100,000,000"),
    ],
)
def test_what_is_no_radiograph_is_refused_with_its_reason(elements: dict[str, object], reason: str):
    with pytest.raises(UnreadableFilm) as caught:
        read_film(saved(radiograph(ramp(), **elements)))
    assert caught.value.reason == reason


def test_a_file_without_pixels():
    dataset = radiograph(ramp())
    del dataset.PixelData
    with pytest.raises(UnreadableFilm, match="is DICOM without pixels"):
        read_film(saved(dataset))


def test_a_truncated_file_is_refused():
    content = saved(radiograph(ramp()))
    with pytest.raises(UnreadableFilm, match="is a damaged DICOM file"):
        read_film(content[: len(content) - 1000])


def test_the_patients_name_is_nowhere(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture):
    content = saved(radiograph(ramp()))
    assert NAME.encode() in content
    broken = content.replace(b"DX", NAME[:2].encode())
    for candidate in (content, content[:-1000], broken, content.replace(b"PN", b"IS"), content.replace(b"PN", b"ZZ")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                told = repr(read_film(candidate))
            except UnreadableFilm as error:
                told = f"{error} {error.hint}"
        assert "Muster" not in told
        assert "Erika" not in told
    out, err = capfd.readouterr()
    assert "Muster" not in out + err + caplog.text
