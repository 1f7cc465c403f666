"""How a film was made, read from real files of each kind."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image

from pneumocli.data.acquisition import Acquisition, appearance, read_acquisition
from tests.data.test_dicom import NAME, radiograph, ramp, saved
from tests.helpers.released import film_bytes

GREY = Image.fromarray(np.tile(np.arange(96, dtype=np.uint8), (64, 1)))


def encoded(form: str, image: Image.Image = GREY, **options: object) -> Acquisition:
    content = io.BytesIO()
    image.save(content, form, **options)
    return read_acquisition(content.getvalue())


@pytest.mark.parametrize(("quality", "table"), [(75, 1858), (90, 736), (50, 3688), (100, 64)])
def test_the_quantisation_table_gives_the_quality_it_was_saved_with(quality: int, table: int):
    made = encoded("JPEG", quality=quality)
    assert (made.quantisation_sum, made.quality) == (table, quality)
    assert made.encoder == f"JPEG Q-sum {table}, JFIF 1x1"
    assert (made.width, made.height, made.bits, made.mode, made.sides_of_eight) == (96, 64, 8, "L", True)


def test_a_header_shows_density_markers_and_scan_order():
    exif = Image.Exif()
    exif[0x0131] = "an editor"
    made = encoded("JPEG", quality=96, dpi=(72, 72), exif=exif, icc_profile=b"\0" * 200, progressive=True)
    assert made.markers == ("JFIF", "EXIF", "ICC")
    assert made.encoder == f"JPEG Q-sum {made.quantisation_sum}, JFIF 72x72 dpi, progressive"


def test_without_jfif_a_film_has_no_density():
    content = io.BytesIO()
    GREY.save(content, "JPEG")
    whole = content.getvalue()
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    made = read_acquisition(whole[:2] + adobe + whole[2 + 18 :])  # in the place of JFIF's 18 bytes
    assert (made.markers, made.density, made.encoder) == (("Adobe",), "", "JPEG Q-sum 1858, Adobe")


def test_the_luminance_table_of_a_colour_film_counts():
    assert encoded("JPEG", GREY.convert("RGB"), quality=75).encoder == encoded("JPEG", quality=75).encoder


@pytest.mark.parametrize(
    ("form", "image", "encoder"),
    [
        ("PNG", GREY, "PNG 8-bit"),
        ("PNG", Image.fromarray(np.arange(96 * 64, dtype=np.uint16).reshape(64, 96)), "PNG 16-bit"),
        ("TIFF", GREY, "TIFF 8-bit"),
        ("BMP", GREY, "BMP 8-bit"),
        ("JPEG2000", GREY, "JPEG 2000 8-bit"),
    ],
)
def test_other_formats_are_encoders_by_format_and_depth(form: str, image: Image.Image, encoder: str):
    made = encoded(form, image)
    assert (made.encoder, made.quantisation_sum, made.quality, made.markers) == (encoder, None, None, ())


def test_of_a_dicom_file_the_device_and_nothing_of_the_patient():
    film = radiograph(ramp(), BitsStored=12, HighBit=11, Manufacturer="Ray\nWorks ", ManufacturerModelName="X 1")
    made = read_acquisition(saved(film))
    assert (made.encoder, made.bits, made.mode) == ("DICOM Ray Works X 1", 12, "DICOM")
    assert NAME not in repr(made)
    assert "4711" not in repr(made)
    plain = read_acquisition(saved(radiograph(ramp())))
    assert (plain.encoder, plain.age, plain.view) == ("DICOM of unnamed device", None, "")


@pytest.mark.parametrize(
    ("age", "view", "found"),
    [
        ("045Y", "PA", (45, "PA")),
        ("018M", "ll", (1.5, "lateral")),
        ("010D", "AP ", (0.027, "AP")),
        ("45", "RLD", (None, "")),
        ("0x5Y", NAME, (None, "")),
    ],
)
def test_of_a_dicom_file_age_and_view(age: str, view: str, found: tuple[float | None, str]):
    with pydicom.config.disable_value_validation():
        made = read_acquisition(saved(radiograph(ramp(), PatientAge=age, ViewPosition=view)))
    assert (made.age, made.view) == found


def test_sharpness_is_measured_at_one_size():
    """A film of twice the sides that shows the same has about the same sharpness, a blurred one less."""
    large = Image.open(io.BytesIO(film_bytes(1, width=900, height=700))).convert("L")
    half = appearance(np.asarray(large.resize((450, 350), Image.Resampling.BILINEAR)))
    blurred = large.resize((112, 88), Image.Resampling.BILINEAR).resize((900, 700), Image.Resampling.BILINEAR)
    whole, soft = appearance(np.asarray(large)), appearance(np.asarray(blurred))
    assert whole == pytest.approx(half, rel=0.05)
    assert soft[2] < 0.95 * whole[2]
    assert soft[0] == pytest.approx(whole[0], rel=0.01)


def test_a_film_already_read_is_not_read_again():
    from pneumocli.data.images import read_film

    content = film_bytes(3)
    assert read_acquisition(content, read_film(content)) == read_acquisition(content)
