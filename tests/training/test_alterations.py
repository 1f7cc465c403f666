"""alterations.py: each step does what its name promises, and nothing when it is off."""

import numpy as np
import pytest
import torch

from pneumocli.core.config import TrainConfig
from pneumocli.training.alterations import Alteration, Alterations
from pneumocli.training.augmentation import Augmentation, draw, resized

AS_IT_IS = {
    "resolution": 1.0, "sharpness": 0.0, "gamma": 1.0, "contrast": 1.0, "brightness": 0.0, "noise": 0.0,
    "noise_seed": 0, "quality": None,
}  # fmt: skip
EVERYTHING = Alterations(resample=0.5, sharpness=1.5, tone=0.3, noise=6, jpeg_quality=30)


def film(size: int = 64) -> np.ndarray:
    """Soft structures with some grain, as a film has them."""
    row, column = np.mgrid[0:size, 0:size]
    soft = 128 + 60 * np.sin(row / 9) * np.cos(column / 7)
    return (soft + np.random.default_rng(0).normal(0, 5, (size, size))).clip(0, 255).astype(np.uint8)


def altered(**values: object) -> np.ndarray:
    pixels = Alteration(**(AS_IT_IS | values)).applied_to(film())  # type: ignore[arg-type] # of many types
    assert pixels.shape == (64, 64)
    assert pixels.dtype == np.uint8
    return pixels


def sharpness(pixels: np.ndarray) -> float:
    return float(np.abs(np.diff(pixels.astype(float), axis=0)).mean())


def test_an_alteration_of_nothing_changes_nothing():
    assert np.array_equal(altered(), film())


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        ({"resolution": 0.4}, -1), ({"sharpness": -1.5}, -1), ({"sharpness": 1.0}, 1), ({"noise": 8.0}, 1),
        ({"quality": 5}, -1),
    ],
)  # fmt: skip
def test_what_makes_a_film_softer_and_what_sharper(change: dict[str, object], sign: int):
    assert sign * (sharpness(altered(**change)) - sharpness(film())) > 0.2


def test_tones_are_gamma_then_contrast_around_the_middle_then_brightness():
    levels = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)

    def tone(**values: float) -> np.ndarray:
        return Alteration(**(AS_IT_IS | values)).applied_to(levels).ravel()  # type: ignore[arg-type] # of many types

    assert tone(gamma=2.0)[[0, 128, 255]].tolist() == [0, 64, 255]
    assert tone(contrast=0.5)[[0, 128, 255]].tolist() == [64, 128, 191]
    assert tone(brightness=0.1)[[0, 100, 255]].tolist() == [26, 126, 255]
    assert tone(gamma=2.0, contrast=0.5, brightness=0.1)[128] == 121  # 255 * (0.5 * ((128/255)**2 - 0.5) + 0.6)


def test_noise_is_decided_by_its_seed():
    assert np.array_equal(altered(noise=5.0, noise_seed=1), altered(noise=5.0, noise_seed=1))
    difference = altered(noise=5.0, noise_seed=1).astype(float) - film()
    assert difference.std() == pytest.approx(5, rel=0.1)
    assert not np.array_equal(altered(noise=5.0, noise_seed=1), altered(noise=5.0, noise_seed=2))


def test_what_is_drawn_stays_within_the_settings_and_reaches_their_ends():
    torch.manual_seed(0)
    drawn = [EVERYTHING.draw() for _ in range(400)]
    for attribute, lowest, highest in (
        ("resolution", 0.5, 1), ("sharpness", -1.5, 1.5), ("gamma", 2**-0.3, 2**0.3), ("contrast", 0.7, 1.3),
        ("brightness", -0.15, 0.15), ("noise", 0, 6), ("quality", 30, 100),
    ):  # fmt: skip
        values = [getattr(alteration, attribute) for alteration in drawn]
        reach = (highest - lowest) / 20
        assert lowest <= min(values) < lowest + reach, attribute
        assert highest - reach < max(values) <= highest, attribute
    assert len({alteration.noise_seed for alteration in drawn}) == 400


def test_a_film_is_altered_alike_for_the_same_seed_and_off_draws_nothing():
    pixels = film(128)

    def drawn(alterations: Alterations) -> torch.Tensor:
        torch.manual_seed(3)
        return resized(draw(pixels, Augmentation(alterations=alterations)), 64)

    assert torch.equal(drawn(EVERYTHING), drawn(EVERYTHING))
    assert not torch.equal(drawn(EVERYTHING), drawn(Alterations()))
    torch.manual_seed(3)
    draw(pixels)
    untouched = torch.rand(1)
    torch.manual_seed(3)
    draw(pixels, Augmentation(alterations=Alterations()))
    assert torch.rand(1) == untouched


@pytest.mark.parametrize("alone", ["resample", "sharpness", "tone", "noise", "jpeg_quality"])
def test_each_setting_works_alone(alone: str):
    augmentation = Augmentation(alterations=Alterations(**{alone: getattr(EVERYTHING, alone)}))
    changed = 0
    for seed in range(8):
        torch.manual_seed(seed)
        square = resized(draw(film(128), augmentation), 64)
        torch.manual_seed(seed)
        changed += not torch.equal(square, resized(draw(film(128)), 64))
        square += 1  # the batch's owner may write into it
    assert changed >= 5  # a blur of a third of a pixel or a JPEG of quality 100 leaves a film as it is


def test_settings_become_alterations():
    assert not Alterations.of(TrainConfig())
    config = TrainConfig(resample=0.5, sharpness=1.5, tone=0.3, noise=6, jpeg_quality=30)
    assert Alterations.of(config) == EVERYTHING
    assert Augmentation.of(TrainConfig()) == Augmentation()
