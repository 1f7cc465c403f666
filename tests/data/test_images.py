"""The one reader and the one evaluation preprocessing."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from pneumocli.data.images import (
    UnreadableFilm,
    crop_frame,
    fit_film,
    make_square,
    read_film,
    shrink,
)


def picture(height: int = 60, width: int = 80, seed: int = 0) -> np.ndarray:
    """Smooth noise with detail, so that every transform shows."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(coarse, np.int16) + rng.integers(-20, 20, (height, width)), 0, 255).astype(np.uint8)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


@pytest.mark.parametrize("size", [32, 64, 128, 224, 225, 299])
@pytest.mark.parametrize("shape", [(32, 32), (127, 384), (2713, 2916), (1000, 1001), (333, 500), (640, 480), (57, 91)])
def test_crop_equals_torchvision_bit_for_bit(shape: tuple[int, int], size: int):
    from torchvision.transforms import CenterCrop, Compose, Resize

    pixels = picture(*shape)
    theirs = Compose([Resize(round(size * 256 / 224)), CenterCrop(size)])(Image.fromarray(pixels))
    np.testing.assert_array_equal(fit_film(pixels, size, "crop"), np.asarray(theirs))


def test_crop_equals_torchvision_for_many_odd_sizes():
    from torchvision.transforms import CenterCrop, Compose, Resize

    rng = np.random.default_rng(1)
    for _ in range(60):
        height, width, size = (int(side) for side in rng.integers([32, 32, 32], [400, 400, 200]))
        pixels = picture(height, width)
        theirs = Compose([Resize(round(size * 256 / 224)), CenterCrop(size)])(Image.fromarray(pixels))
        ours = fit_film(pixels, size, "crop")
        assert np.array_equal(ours, np.asarray(theirs)), (height, width, size)


def test_squash_shows_the_whole_film():
    pixels = np.zeros((60, 120), np.uint8)
    pixels[:, 90:] = 200
    fitted = fit_film(pixels, 32, "squash")
    assert fitted.shape == (32, 32)
    assert fitted[:, -4:].min() == 200
    assert fitted[:, :4].max() == 0


def test_pad_adds_black_on_both_sides_and_keeps_the_aspect():
    fitted = fit_film(np.full((50, 100), 180, np.uint8), 40, "pad")
    assert fitted.shape == (40, 40)
    assert fitted[20].min() == 180
    assert fitted[:8].max() == fitted[-8:].max() == 0


def test_make_square_leaves_crops_and_squares_alone():
    wide, square = picture(40, 60), picture(50, 50)
    assert make_square(wide, "crop") is wide
    assert make_square(square, "pad") is square
    assert make_square(wide, "squash").shape == make_square(wide, "pad").shape == (60, 60)


def test_shrink_reduces_the_short_side_and_never_enlarges():
    assert shrink(picture(300, 200), 100).shape == (150, 100)
    small = picture(60, 50)
    assert shrink(small, 100) is small


@pytest.mark.parametrize("shape", [(100, 100), (80, 120), (120, 80)])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_crop_frame_tells_where_the_fitted_pixels_come_from(shape: tuple[int, int], fit: str):
    y, x = np.mgrid[: shape[0], : shape[1]]
    pixels = (127 + 60 * np.sin(x / 20) + 60 * np.cos(y / 17)).astype(np.uint8)
    left, top, right, bottom = crop_frame(*shape, fit)
    padded = np.pad(pixels, 60)
    box = (left + 60, top + 60, right + 60, bottom + 60)
    seen = Image.fromarray(padded).resize((64, 64), Image.Resampling.BILINEAR, box=box)
    difference = np.abs(np.asarray(seen, np.int16) - fit_film(pixels, 64, fit))
    assert difference.mean() < 3  # half a pixel of rounding at most


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "JPEG2000"])
def test_lossless_grey_comes_back_as_it_was(form: str):
    pixels = picture()
    film = read_film(encoded(Image.fromarray(pixels), form))
    np.testing.assert_array_equal(film.pixels, pixels)
    assert (film.mode, film.coloured) == ("L", False)


@pytest.mark.parametrize("shape", [(33, 33), (64, 61), (127, 384), (501, 333)])
@pytest.mark.parametrize("options", [{"quality": 50}, {"quality": 97}, {"quality": 80, "progressive": True}])
@pytest.mark.parametrize("draft", [None, 40, 100])
def test_grey_jpeg_is_what_pillow_decodes(shape: tuple[int, int], options: dict[str, object], draft: int | None):
    content = encoded(Image.fromarray(picture(*shape)), "JPEG", **options)
    with Image.open(io.BytesIO(content)) as image:
        if draft is not None:
            image.draft("L", (draft, draft))
        theirs = np.asarray(image)
    np.testing.assert_array_equal(read_film(content, draft_side=draft).pixels, theirs)


def test_16_bits_are_stretched_from_darkest_to_brightest():
    values = np.linspace(1000, 30000, 60 * 80).reshape(60, 80).astype(np.uint16)
    for form in ("PNG", "TIFF", "JPEG2000"):
        pixels = read_film(encoded(Image.fromarray(values), form)).pixels
        assert (pixels.min(), pixels.max()) == (0, 255)
        assert (np.diff(pixels.ravel().astype(int)) >= 0).all()


def test_float_tiff_is_stretched_and_must_be_finite():
    values = np.linspace(-1, 1, 60 * 80).reshape(60, 80).astype(np.float32)
    pixels = read_film(encoded(Image.fromarray(values), "TIFF")).pixels
    assert (pixels.min(), pixels.max()) == (0, 255)
    values[3, 3] = np.nan
    with pytest.raises(UnreadableFilm, match="not finite"):
        read_film(encoded(Image.fromarray(values), "TIFF"))


def test_a_uniform_16_bit_film_is_black():
    assert read_film(encoded(Image.fromarray(np.full((40, 40), 700, np.uint16)), "PNG")).pixels.max() == 0


def test_palette_transparency_cmyk_and_1_bit_become_luminance():
    grey = Image.fromarray(picture())
    pixels = np.asarray(grey)
    np.testing.assert_array_equal(read_film(encoded(grey.convert("P"), "PNG")).pixels, pixels)
    np.testing.assert_array_equal(read_film(encoded(grey.convert("RGB"), "PNG")).pixels, pixels)
    cmyk = read_film(encoded(grey.convert("RGB").convert("CMYK"), "JPEG", quality=95))
    assert cmyk.mode == "CMYK"
    assert np.abs(cmyk.pixels.astype(int) - pixels).mean() < 4
    assert set(np.unique(read_film(encoded(grey.convert("1"), "PNG")).pixels)) == {0, 255}


def test_opacity_is_relative_and_lies_over_black():
    grey = Image.fromarray(picture())
    pixels = np.asarray(grey)
    film = grey.convert("RGBA")
    for opacity in (1, 128, 255):  # the same everywhere: no part of the film is meant to vanish
        film.putalpha(opacity)
        np.testing.assert_array_equal(read_film(encoded(film, "PNG")).pixels, pixels)
    mask = np.full(pixels.shape, 200, np.uint8)
    mask[:, :20], mask[:, 20:40] = 0, 100
    film.putalpha(Image.fromarray(mask))
    seen = read_film(encoded(film, "PNG")).pixels
    assert seen[:, :20].max() == 0
    np.testing.assert_array_equal(seen[:, 20:40], np.rint(pixels[:, 20:40] / 2))
    np.testing.assert_array_equal(seen[:, 40:], pixels[:, 40:])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_wholly_transparent_film_is_refused(mode: str):
    film = Image.fromarray(picture()).convert(mode)
    film.putalpha(0)
    assert refused(encoded(film, "PNG")) == "is wholly transparent"


def test_a_phones_second_picture_does_not_count():
    films = [Image.fromarray(picture(seed=seed)).convert("RGB") for seed in (0, 1)]
    content = encoded(films[0], "MPO", save_all=True, append_images=films[1:], quality=95)
    film = read_film(content)
    assert np.abs(film.pixels.astype(int) - picture()).mean() < 4
    np.testing.assert_array_equal(read_film(content, draft_side=60).pixels, film.pixels)


def test_an_animation_is_refused_with_its_number_of_pictures():
    films = [Image.fromarray(picture(seed=seed)) for seed in range(3)]
    assert refused(encoded(films[0], "PNG", save_all=True, append_images=films[1:])) == "holds 3 pictures, expected one"


def without_adobe_marker(content: bytes) -> bytes:
    place = content.index(b"\xff\xee\x00\x0eAdobe")
    return content[:place] + content[place + 16 :]


def test_cmyk_jpeg_is_right_way_up_as_adobe_stores_it_and_as_others_do():
    grey = Image.fromarray(picture())
    inks = grey.convert("RGB").convert("CMYK")
    adobes = encoded(inks, "JPEG", quality=95)
    others = without_adobe_marker(encoded(ImageChops.invert(inks), "JPEG", quality=95))
    for content in (adobes, others):
        assert np.abs(read_film(content).pixels.astype(int) - np.asarray(grey)).mean() < 4


@pytest.mark.parametrize("form", ["L", "RGB"])
def test_exif_rotation_is_applied(form: str):
    pixels = picture(60, 90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees for display
    content = encoded(Image.fromarray(pixels).convert(form), "JPEG", quality=95, exif=exif)
    film = read_film(content)
    assert film.pixels.shape == (90, 60)
    assert np.abs(film.pixels.astype(int) - np.rot90(pixels, -1)).mean() < 6


def test_a_photograph_is_told_from_a_grey_film_saved_in_colour():
    grey = Image.fromarray(picture())
    assert not read_film(encoded(grey.convert("RGB"), "JPEG")).coloured
    red = np.stack([picture(), picture(seed=1), picture(seed=2)], axis=2)
    assert read_film(encoded(Image.fromarray(red), "JPEG", quality=90)).coloured


def refused(content: bytes) -> str:
    with pytest.raises(UnreadableFilm) as caught:
        read_film(content)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


def test_files_that_are_no_films():
    assert refused(b"") == "is empty (0 bytes)"
    assert refused(b"hello world" * 10).startswith("is text, expected JPEG")
    assert refused(b"\x01hello \x02" * 10) == "is no picture that can be read: it begins with '\\x01hello \\x02'"
    assert refused(encoded(Image.fromarray(picture(31, 60)), "PNG")) == "is 60 x 31 pixels, too small for a film"


def test_a_jpeg_of_12_bits_is_named_as_one():
    content = bytearray(encoded(Image.fromarray(picture(200, 200)), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 4] = 12
    expected = "is a JPEG of 12 bits a sample, expected 8: keep it in its DICOM file, or save it as PNG"
    assert refused(bytes(content)) == expected
    # too short for its frame, and for any segment
    assert refused(bytes(content[:20])).startswith("is no picture that can be read")
    assert refused(b"\xff\xd8\xff").startswith("is no picture that can be read")


def test_a_missing_file_and_a_folder(tmp_path: Path):
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(UnreadableFilm, match="cannot be opened"):
            read_film(path)


def test_several_frames_are_no_film():
    frames = [Image.fromarray(picture(seed=seed)) for seed in range(3)]
    content = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert refused(content) == "holds 3 pictures, expected one"


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_bomb_is_refused_by_its_header():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(99)))
    assert refused(content + png_chunk(b"IEND", b"")) == "claims more than 100,000,000 pixels"


@pytest.mark.parametrize("form", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("lost", [1, 2, 300])
def test_a_truncated_jpeg_is_refused_though_libjpeg_would_fill_it_up(form: str, lost: int):
    content = encoded(Image.fromarray(picture(200, 200)).convert(form), "JPEG")
    assert refused(content[:-lost]) == "is truncated: the file ends before the picture does"


def test_a_truncated_jpeg_with_a_thumbnail_is_refused():
    exif = Image.Exif()
    exif[0x010E] = "\xff\xd9"  # an end marker inside the header must not pass for the picture's
    content = encoded(Image.fromarray(picture(200, 200)), "JPEG", exif=exif)
    assert "truncated" in refused(content[: len(content) // 2])


@pytest.mark.parametrize("form", ["L", "RGB"])
def test_corrupt_entropy_data_is_refused_though_pillow_drops_the_warning(form: str):
    content = bytearray(encoded(Image.fromarray(picture(200, 200)).convert(form), "JPEG"))
    middle = len(content) // 2
    content[middle : middle + 40] = b"\xff\x00" * 20
    with Image.open(io.BytesIO(content)) as image:
        image.load()  # Pillow passes it
    assert refused(bytes(content)).startswith("is damaged: ")


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "JPEG2000"])
def test_other_truncated_files_are_refused(form: str):
    content = encoded(Image.fromarray(picture(200, 200)), form)
    assert refused(content[: len(content) // 2]).startswith("is damaged: ")


def test_a_png_with_a_wrong_checksum_is_refused():
    content = bytearray(encoded(Image.fromarray(picture()), "PNG"))
    place = content.index(b"IDAT") + 4
    length = struct.unpack(">I", content[place - 8 : place - 4])[0]
    content[place + length] ^= 1
    assert refused(bytes(content)).startswith("is damaged: ")
