"""The picture that shows where a prediction comes from."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumocli.data.images import Fit
from pneumocli.inference.heat_map import INFERNO, Answer, evidence, is_drawn, overlay, picture


def test_the_colour_map_is_matplotlibs():
    import matplotlib

    expected = matplotlib.colormaps["inferno"](np.arange(256))[:, :3] * 255
    assert np.array_equal(INFERNO, np.rint(expected).astype(np.uint8))


def cam(rows: int = 7) -> np.ndarray:
    """Evidence for pneumonia in one cell, upper left of the middle."""
    maps = np.zeros((2, rows, rows), np.float32)
    maps[1, 2, 1] = 8
    return maps


def redness(image: np.ndarray) -> np.ndarray:
    return image[..., 0].astype(int) - image[..., 2]


def test_evidence_is_for_the_predicted_class():
    assert evidence(cam(), "PNEUMONIA").max() == 8
    assert evidence(cam(), "NORMAL").min() == -8


@pytest.mark.parametrize(
    ("fit", "centre"),
    # Where the middle of cell (2, 1) of 7 lies on a film of 800 x 600: in the whole film, in the middle square of
    # 600 * 224 / 256 pixels, in the square of 800 pixels around the film.
    [
        ("squash", (800 * 1.5 / 7, 600 * 2.5 / 7)),
        ("crop", (137.5 + 525 * 1.5 / 7, 37.5 + 525 * 2.5 / 7)),
        ("pad", (800 * 1.5 / 7, 800 * 2.5 / 7 - 100)),
    ],
)
def test_the_map_lies_where_the_network_looked(fit: Fit, centre: tuple[float, float]):
    film = np.full((600, 800), 100, np.uint8)
    image = overlay(film, cam(), fit, "PNEUMONIA")
    scale = image.shape[1] / 800
    assert image.shape[0] / image.shape[1] == pytest.approx(0.75, abs=0.01)
    red = redness(image)
    rows, columns = np.nonzero(red > red.max() * 0.5)
    assert columns.mean() / scale == pytest.approx(centre[0], abs=8)
    assert rows.mean() / scale == pytest.approx(centre[1], abs=8)


def test_what_the_network_did_not_see_is_dimmed_and_framed():
    film = np.full((300, 400), 200, np.uint8)
    image = overlay(film, np.zeros((2, 7, 7), np.float32), "crop", "PNEUMONIA")
    assert tuple(image[2, 2]) == (110, 110, 110)
    assert tuple(image[image.shape[0] // 2, image.shape[1] // 2]) == (200, 200, 200)
    left = round((400 - 300 * 224 / 256) / 2 * image.shape[1] / 400)
    assert tuple(image[image.shape[0] // 2, left]) == (90, 200, 250)


def test_no_evidence_leaves_the_film_as_it_is():
    film = np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8)
    against = -np.abs(cam()) - 1
    against[0] = 0
    image = overlay(film, against, "squash", "PNEUMONIA")
    assert np.array_equal(image[3:-3, 3:-3, 0], film[3:-3, 3:-3])


def test_only_what_was_drawn_is_drawn_over(tmp_path: Path):
    answer = Answer("a.png", "PNEUMONIA", 0.93, 0.5)
    (tmp_path / "own.png").write_bytes(picture(np.zeros((64, 64), np.uint8), cam(), "crop", answer))
    Image.new("L", (64, 64)).save(tmp_path / "film.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "nowhere.png").symlink_to("none")
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for somebody who writes
    names = [*(path.name for path in tmp_path.iterdir()), "new.png", "film.png/below.png"]
    assert {name for name in names if is_drawn(tmp_path / name)} == {"own.png", "new.png", "film.png/below.png"}


@pytest.mark.parametrize(
    "shape", [(32, 32), (32, 3000), (3000, 32), (32, 60000), (60000, 32), (2713, 2916), (127, 384)]
)
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_every_size_of_film_gives_a_picture_of_reasonable_size(shape: tuple[int, int], fit: Fit):
    answer = Answer("films/" + "x" * 300 + "\n🫁.png", "PNEUMONIA", 0.93, 0.5, ("is odd", "has much " * 40))
    content = picture(np.zeros(shape, np.uint8), cam(), fit, answer)
    image = Image.open(io.BytesIO(content))
    assert 320 < image.width < 1100
    assert 120 < image.height < 1400
    assert image.mode == "RGB"
