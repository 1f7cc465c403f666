"""What a file is: by name, by content, and what a file that is no film is called."""

import io

import numpy as np
import pytest
from PIL import Image

from pneumocli.data.formats import format_of, format_of_name, is_film_name, is_other_picture_name, what_it_is
from pneumocli.data.images import UnreadableFilm, read_film

READ = "expected JPEG, PNG, TIFF, BMP, JPEG 2000 or DICOM"
MAGICK = "convert it to PNG (magick FILE film.png)"


def saved(form: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)).convert("RGB").save(content, form)
    return content.getvalue()


@pytest.mark.parametrize("name", ["a.jpeg", "a.JPG", "a.jfif", "a.png", "a.TIF", "a.tiff", "a.bmp", "a.dcm", "a.DICOM"])
def test_film_names(name: str):
    assert is_film_name(name)
    assert not is_other_picture_name(name)


@pytest.mark.parametrize("name", ["._a.jpeg", ".DS_Store", "a.txt", "a", ".jpeg", "a.jpeg.part", "Thumbs.db"])
def test_names_that_are_no_films(name: str):
    assert not is_film_name(name)
    assert not is_other_picture_name(name)


@pytest.mark.parametrize(
    "name", ["a.webp", "a.HEIC", "a.avif", "a.gif", "a.nii.gz", "a.nii", "a.dng", "b.npy", "a.jxl"]
)
def test_names_of_pictures_that_are_not_read(name: str):
    assert not is_film_name(name)
    assert is_other_picture_name(name)
    assert not is_other_picture_name(f"._{name}")


@pytest.mark.parametrize(
    ("name", "form"), [("x/a.JPEG", "JPEG"), ("a.jp2", "JPEG 2000"), ("a.dcm", "DICOM"), ("a", None)]
)
def test_the_format_that_a_name_promises(name: str, form: str | None):
    assert format_of_name(name) == form


@pytest.mark.parametrize(
    ("form", "found"), [("JPEG", "JPEG"), ("PNG", "PNG"), ("TIFF", "TIFF"), ("BMP", "BMP"), ("JPEG2000", "JPEG 2000")]
)
def test_the_format_of_a_content(form: str, found: str):
    assert format_of(saved(form)) == found
    assert what_it_is(saved(form)) is None


@pytest.mark.parametrize(
    ("form", "name"), [("WEBP", "WebP"), ("AVIF", "AVIF"), ("GIF", "GIF"), ("PPM", "a portable pixmap (PNM)")]
)
def test_other_pictures_are_named_with_the_way_to_convert_them(form: str, name: str):
    with pytest.raises(UnreadableFilm) as caught:
        read_film(saved(form))
    assert caught.value.reason == f"is {name}, {READ}: {MAGICK}"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x00\x00\x00\x18ftypheic", "HEIC"),
        (b"\x00\x00\x00\x18ftypmif1", "HEIC"),
        (b"\x00\x00\x00\x18ftypcrx ", "a camera's raw file"),
        (b"\xff\x0a\xfa", "JPEG XL"),
        (b"8BPS\x00\x01", "a Photoshop file"),
        (b"%PDF-1.4", "a PDF document"),
        (b"\x5c\x01\x00\x00" + bytes(340) + b"n+1\x00", "NIfTI"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (b"\n<!DOCTYPE html><html>", "a web page (HTML), perhaps of a failed download"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer, whose picture was not fetched"),
        (b"../.git/annex/objects/W8/x", "a git-annex pointer, whose picture was not fetched"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X", "a macOS side file (AppleDouble)"),
        (b"image,label,patient\n", "text"),
        (bytes(300), "no picture: it begins with zeros, as an interrupted copy does"),
        (b"\x00\x00\x00\x18ftypisom", "a video"),
    ],
)
def test_what_else_stands_where_films_are_expected(head: bytes, name: str):
    reason = what_it_is(head)
    assert reason is not None
    assert reason.startswith(f"is {name}")
    assert READ in reason
    with pytest.raises(UnreadableFilm) as caught:
        read_film(head)
    assert caught.value.reason == reason
    assert format_of(head) is None


@pytest.mark.parametrize(
    "head",
    [
        bytes(128) + b"DICM\x02\x00",
        b"DICM\x02\x00\x00\x00UL",
        b"\x02\x00\x10\x00UI\x14\x00",
        b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100",
        b"\x08\x00\x16\x00\x1a\x00\x00\x001.2.840.10008",
        b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100",
    ],
)
def test_dicom_is_recognised_with_and_without_its_preamble(head: bytes):
    assert format_of(head) == "DICOM"


@pytest.mark.parametrize("head", [b"", b"\x08", b"random bytes \x00\x01", b"\x08\x00\x00\x00\xff\xff\xff\xff"])
def test_other_beginnings_are_no_dicom(head: bytes):
    assert format_of(head) is None
