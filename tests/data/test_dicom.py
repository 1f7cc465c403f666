"""DICOM radiographs: the right way up, refused for a reason, and silent about the patient."""

import io
import warnings

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
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
        (
            {"PhotometricInterpretation": "RGB"},
            "is DICOM in RGB with 1 samples a pixel, expected MONOCHROME or PALETTE COLOR with 1, RGB or YBR with 3",
        ),
        ({"BitsStored": 17}, "is DICOM whose header contradicts itself: 17 bits up to bit 15 of 16"),
        (
            {"BitsStored": 8, "HighBit": 7},
            "is DICOM whose values use more than the 8 bits that its header allows (BitsStored)",
        ),
        (
            {"PresentationLUTShape": "INVERSE"},
            "is DICOM that contradicts itself: MONOCHROME2 with the PresentationLUTShape INVERSE",
        ),
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
    with pytest.raises(UnreadableFilm, match="is truncated: it holds 1,500 of 2,000 pixel values"):
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


def without_meta(dataset: FileDataset, *, implicit: bool, little: bool = True, preamble: bool = False) -> bytes:
    """The data set alone, as old programs send and store it."""
    content = io.BytesIO()
    if not little:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    bare = pydicom.Dataset(dataset)
    pydicom.dcmwrite(content, bare, implicit_vr=implicit, little_endian=little, force_encoding=True)
    return (bytes(128) + b"DICM" if preamble else b"") + content.getvalue()


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_a_file_without_preamble_and_meta_is_read(implicit: bool, little: bool):
    expected = read_film(saved(radiograph(ramp()))).pixels
    for preamble in (False, True):
        content = without_meta(radiograph(ramp()), implicit=implicit, little=little, preamble=preamble)
        np.testing.assert_array_equal(read_film(content).pixels, expected)


def test_a_file_without_its_first_128_bytes_or_its_syntax_is_read():
    expected = read_film(saved(radiograph(ramp()))).pixels
    content = saved(radiograph(ramp()))
    np.testing.assert_array_equal(read_film(content[128:]).pixels, expected)  # begins with DICM
    np.testing.assert_array_equal(read_film(content[132:]).pixels, expected)  # begins with group 2
    place = content.index(b"\x02\x00\x10\x00UI")
    length = int.from_bytes(content[place + 6 : place + 8], "little")
    np.testing.assert_array_equal(read_film(content[:place] + content[place + 8 + length :]).pixels, expected)


def test_pixels_that_cannot_be_plain_need_a_syntax():
    dataset = radiograph(ramp())
    dataset.compress(RLELossless)
    content = saved(dataset).replace(RLELossless.encode(), b"\0" * len(RLELossless))
    with pytest.raises(UnreadableFilm, match="does not name its transfer syntax"):
        read_film(content)
    cut = without_meta(radiograph(ramp()), implicit=True)[:-500]
    with pytest.raises(UnreadableFilm, match=r"does not name its transfer syntax|damaged"):
        read_film(cut)


def test_a_private_syntax_is_refused_by_its_uid():
    content = saved(radiograph(ramp())).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0")
    with pytest.raises(UnreadableFilm, match=r"in the private transfer syntax 1\.2\.840\.113619\.5\.2, which"):
        read_film(content)


def test_deflated_files_are_read_and_bombs_refused(monkeypatch: pytest.MonkeyPatch):
    dataset = radiograph(ramp())
    expected = read_film(saved(dataset)).pixels
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(read_film(saved(dataset)).pixels, expected)
    monkeypatch.setattr("pneumocli.data.dicom._MOST_BYTES", 1000)
    with pytest.raises(UnreadableFilm, match="unpacks to more than 1,000 bytes"):
        read_film(saved(dataset))


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"BodyPartExamined": "HAND"}, "of the body part HAND"),
        ({"BodyPartExamined": "CHEST", "ViewPosition": "LL"}, "in the view LL"),
        ({"BodyPartExamined": "KNEE", "ViewPosition": "LATERAL"}, "of the body part KNEE and in the view LATERAL"),
        ({"BodyPartExamined": NAME}, "of another body part than the chest"),
        ({"BodyPartExamined": "CHEST", "ViewPosition": "PA"}, None),
        ({"BodyPartExamined": "THORAX", "ViewPosition": "AP"}, None),
        ({"BodyPartExamined": "", "ViewPosition": ""}, None),
        ({}, None),
    ],
)
def test_what_is_no_frontal_chest_film_is_read_with_a_warning(elements: dict[str, str], words: str | None):
    film = read_film(saved(radiograph(ramp(), **elements)))
    found = [warning.text for warning in film.warnings]
    assert found == ([] if words is None else [f"is no frontal chest film by its DICOM header: {words}"])


def test_overlays_are_ignored():
    values = ramp() | (np.arange(2000, dtype=np.uint16).reshape(40, 50) % 2 << 12)
    dataset = radiograph(values, BitsStored=12, HighBit=11)
    dataset.add_new((0x6000, 0x0102), "US", 12)
    np.testing.assert_array_equal(read_film(saved(dataset)).pixels, read_film(saved(radiograph(ramp()))).pixels)


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_8_bits_are_taken_as_they_are_as_in_any_other_file(interpretation: str):
    values = ramp(np.uint8, 60, 120)
    pixels = read_film(saved(radiograph(values, PhotometricInterpretation=interpretation))).pixels
    np.testing.assert_array_equal(pixels, 255 - values if interpretation == "MONOCHROME1" else values)


def test_8_bits_with_a_window_are_shown_through_it():
    pixels = read_film(saved(radiograph(ramp(np.uint8, 60, 120), WindowCenter=90, WindowWidth=60))).pixels
    assert (pixels[0, 0], pixels[-1, -1]) == (0, 255)


@pytest.mark.parametrize(
    "name", ["SamplesPerPixel", "PhotometricInterpretation", "Rows", "BitsAllocated", "PixelRepresentation"]
)
def test_an_element_that_the_pixels_need_is_named(name: str):
    dataset = radiograph(ramp())
    delattr(dataset, name)
    assert refused_dataset(dataset) == f"is DICOM without {name}, which its pixels need"


def test_a_number_of_frames_that_is_none_is_named():
    content = saved(radiograph(ramp(), NumberOfFrames="1"))
    at = content.index(b"1 ", content.index(b"\x28\x00\x08\x00"))
    with pytest.raises(UnreadableFilm, match="whose NumberOfFrames is no number"):
        read_film(content[:at] + b"x " + content[at + 2 :])


@pytest.mark.parametrize("share", [0.7, 0.9])
def test_a_jpeg_that_ends_early_is_refused_within_dicom_as_it_is_alone(share: float):
    """The container is whole, and the decoder fills up with grey."""
    values = ramp(np.uint8, 0, 255)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", quality=95)
    whole = stream.getvalue()
    dataset = radiograph(values)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    for content, readable in ((whole, True), (whole[: int(share * len(whole))], False)):
        dataset.PixelData = pydicom.encaps.encapsulate([content])
        dataset["PixelData"].VR = "OB"
        if readable:
            assert np.abs(read_film(saved(dataset)).pixels.astype(int) - values).max() < 8
        else:
            assert refused_dataset(dataset) == "is truncated: the file ends before the picture does"


def refused_dataset(dataset: FileDataset) -> str:
    with pytest.raises(UnreadableFilm) as caught:
        read_film(saved(dataset))
    return caught.value.reason


def in_jpeg(picture: Image.Image, interpretation: str, **how: object) -> FileDataset:
    """A film as baseline JPEG within DICOM."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=95, **how)
    dataset = radiograph(np.asarray(picture), PhotometricInterpretation=interpretation)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.SamplesPerPixel = len(picture.getbands())
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = encapsulate([content.getvalue()])
    dataset["PixelData"].VR = "OB"
    return dataset


GREY = Image.fromarray(ramp(np.uint8, 0, 255))


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("interpretation", ["RGB", "YBR_FULL_422", "rgb"])
@pytest.mark.parametrize("keep_rgb", [False, True])
def test_a_jpeg_in_colour_is_what_its_stream_says(interpretation: str, planar: int, keep_rgb: bool):
    """JFIF means YCbCr, Adobe's mark 0 RGB, and samples are interleaved, whatever the header says."""
    dataset = in_jpeg(GREY.convert("RGB"), interpretation, keep_rgb=keep_rgb)
    dataset.PlanarConfiguration = planar
    film = read_film(saved(dataset))
    assert not film.coloured
    assert np.abs(film.pixels.astype(int) - np.asarray(GREY)).max() <= 3


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({"Rows": 39}, r"its JPEG has 50 x 40 pixels of 1 x 8 bits, its header gives 50 x 39 pixels of 1 x 8 bits"),
        ({"BitsAllocated": 16}, r"its header gives 50 x 40 pixels of 1 x 16 bits"),
    ],
)
def test_a_jpeg_of_another_shape_than_the_header_announces(elements: dict[str, int], found: str):
    dataset = in_jpeg(GREY, "MONOCHROME2")
    for name, value in elements.items():
        setattr(dataset, name, value)
    with pytest.raises(UnreadableFilm, match=found):
        read_film(saved(dataset))


def test_small_letters_are_as_good():
    plain = read_film(saved(radiograph(ramp())))
    small = read_film(saved(radiograph(ramp(), Modality="dx", PhotometricInterpretation="monochrome2")))
    np.testing.assert_array_equal(small.pixels, plain.pixels)


def test_pixels_in_floating_point_are_named():
    dataset = radiograph(ramp())
    del dataset.PixelData
    dataset.add_new("FloatPixelData", "OF", ramp(np.float32).tobytes())
    with pytest.raises(UnreadableFilm, match="pixels in floating point, expected whole numbers"):
        read_film(saved(dataset))
