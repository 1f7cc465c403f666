"""Views of a film inside the network are those that its caller could make by hand; outputs are their mean."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pneumocli.data.images import fit_film
from pneumocli.model.network import DeployableNet, build_network
from pneumocli.model.views import delivered, deployable, reduction


def drawn(side: int) -> np.ndarray:
    """Whole frames: smooth pictures, bright on one side."""
    random = np.random.default_rng(0).integers(0, 256, (3, 9, 9), np.uint8)
    random[:, :, :3] //= 4
    return np.stack(
        [np.asarray(Image.fromarray(film).resize((side, side), Image.Resampling.BICUBIC)) for film in random]
    )


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Frames of 73 pixels, for a network that sees 64."""
    return drawn(73)


def batch(films: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(films))[:, None]


@torch.no_grad()
def outputs(views: int, films: np.ndarray) -> list[Tensor]:
    net = deployable(build_network(3), films.shape[-1], views).eval()
    return list(net(batch(films)))


def test_one_view_is_the_plain_module():
    assert type(deployable(build_network(0), 64, 1)) is DeployableNet


def test_two_views_are_the_film_and_its_mirror_image(frames: np.ndarray):
    logits, cam, features = outputs(2, frames)
    plain, mirrored = outputs(1, frames), outputs(1, frames[..., ::-1])
    for found, one, other in zip((logits, features), plain[::2], mirrored[::2], strict=True):
        torch.testing.assert_close(found, (one + other) / 2, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cam, (plain[1] + mirrored[1].flip(3)) / 2, atol=1e-5, rtol=1e-5)
    assert (plain[0] - mirrored[0]).abs().max() > 1e-3  # else the test could not tell


def test_four_views_are_the_centre_crop_and_the_whole_frame_with_their_mirror_images(frames: np.ndarray):
    logits, cam, features = outputs(4, frames)
    crops = np.stack([fit_film(frame, 64, "crop") for frame in frames])
    wholes = np.stack([np.asarray(Image.fromarray(f).resize((64, 64), Image.Resampling.LANCZOS)) for f in frames])
    each = [outputs(2, crops), outputs(2, wholes)]
    torch.testing.assert_close(features, (each[0][2] + each[1][2]) / 2, atol=0.01, rtol=0.01)  # whole grey levels
    torch.testing.assert_close(logits, (each[0][0] + each[1][0]) / 2, atol=0.01, rtol=0.01)
    assert cam.shape == (3, 2, 2, 2)
    assert (each[0][0] - each[1][0]).abs().max() > 0.02


@pytest.mark.parametrize("views", [2, 4])
def test_the_mean_of_the_map_and_the_bias_are_the_logit(views: int, frames: np.ndarray):
    logits, cam, features = outputs(views, frames)
    head = build_network(3).fc
    torch.testing.assert_close(cam.mean((2, 3)) + head.bias, logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(head(features), logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("views", [2, 4])
def test_a_mirrored_film_has_the_same_logits_and_the_mirrored_map(views: int):
    frames = drawn(110)  # for 96, with edges of 7 on both sides: an odd number of pixels is not cut off evenly
    one, other = outputs(views, frames), outputs(views, frames[..., ::-1])
    torch.testing.assert_close(one[0], other[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one[1], other[1].flip(3), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_four_views_take_the_whole_frame_whatever_the_fit(fit: str):
    assert delivered(224, fit, 1) == delivered(224, fit, 2) == (224, fit)
    assert delivered(224, fit, 4) == (256, "pad" if fit == "pad" else "squash")


def test_every_image_size_gives_a_frame_that_gives_the_image_size_back():
    for size in range(32, 1025):
        assert round(delivered(size, "crop", 4)[0] * 224 / 256) == size


def test_the_reduction_is_pillows_lanczos():
    row = np.random.default_rng(1).uniform(0, 255, 256).astype(np.float32)
    expected = np.asarray(Image.fromarray(row[None]).resize((224, 1), Image.Resampling.LANCZOS))[0]
    np.testing.assert_allclose(reduction(256, 224) @ row, expected, atol=0.01)
