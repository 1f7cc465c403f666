"""Films unlike the training films get a warning, films like them do not."""

import numpy as np
import pytest

from pneumocli.core.errors import ModelFileError
from pneumocli.model.card import FeatureModel, InputRange
from pneumocli.model.out_of_distribution import Appearance, Familiarity, fit


def features(rng: np.random.Generator, count: int) -> np.ndarray:
    """Non-negative, correlated, as pooled activations are."""
    mixing = np.random.default_rng(7).normal(size=(20, 512))
    mixed = 8 + rng.normal(size=(count, 20)) @ mixing + rng.normal(size=(count, 512))
    return np.maximum(mixed, 0).astype(np.float32)


def appearance(rng: np.random.Generator, count: int) -> Appearance:
    return Appearance(
        aspect=rng.uniform(1.1, 1.6, count).astype(np.float32),
        brightness=rng.uniform(90, 160, count).astype(np.float32),
        contrast=rng.uniform(30, 70, count).astype(np.float32),
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[InputRange, FeatureModel]:
    rng = np.random.default_rng(0)
    return fit(features(rng, 600), features(rng, 200), appearance(rng, 600))


def test_films_like_the_training_films_pass_and_others_do_not(fitted: tuple[InputRange, FeatureModel]):
    familiarity = Familiarity(*fitted)
    rng = np.random.default_rng(1)
    grey = np.zeros(400, bool)
    like = familiarity.warnings(features(rng, 400), appearance(rng, 400), grey)
    assert sum(map(bool, like)) <= 4
    shuffled = rng.permuted(features(rng, 400), axis=1)  # the same values, but not their correlations
    assert all(familiarity.warnings(shuffled, appearance(rng, 400), grey))


def test_what_is_unusual_is_said(fitted: tuple[InputRange, FeatureModel]):
    familiarity = Familiarity(*fitted)
    odd = Appearance(*(np.array([value], np.float32) for value in (3.0, 250.0, 1.0)))
    (warnings,) = familiarity.warnings(features(np.random.default_rng(2), 1), odd, np.array([True]))
    assert [warning.split()[0:4] for warning in warnings] == [
        ["is", "a", "colour", "picture,"],
        ["has", "an", "aspect", "(width"],
        ["has", "a", "brightness", "of"],
        ["has", "a", "contrast", "of"],
    ]


def test_the_distance_is_that_of_the_shrunk_covariance(fitted: tuple[InputRange, FeatureModel]):
    """With all directions but the few kept ones equal in variance, the compressed form is close to the full one."""
    from sklearn.covariance import LedoitWolf

    rng = np.random.default_rng(0)
    train, new = features(rng, 600), features(rng, 50)
    full = LedoitWolf().fit(np.sqrt(train))
    distances = Familiarity(*fitted).distances(new)
    assert np.corrcoef(distances, np.sqrt(full.mahalanobis(np.sqrt(new))))[0, 1] > 0.9


def test_appearance_of_pixels():
    pixels = np.zeros((2, 1, 8, 8), np.uint8)
    pixels[1, :, :4] = 200
    found = Appearance.of(pixels, np.array([1.5, 0.5]))
    assert found.brightness.tolist() == [0, 100]
    assert found.contrast.tolist() == [0, 100]
    assert found.aspect.tolist() == [1.5, 0.5]


def test_without_a_fit_only_colour_is_told():
    familiarity = Familiarity(None, None)
    odd = Appearance(*(np.array([9.0, 9.0], np.float32) for _ in range(3)))
    assert familiarity.warnings(np.zeros((2, 512), np.float32), odd, np.array([False, True]))[0] == ()


@pytest.mark.parametrize(
    "damage",
    [
        {"mean": "no base64!"},
        {"mean": "AAAA"},
        {"variances": ""},
        {"residual_variance": 0.0},
        {"directions": "AAAAAA=="},
    ],
)
def test_damaged_numbers_are_refused(fitted: tuple[InputRange, FeatureModel], damage: dict):
    with pytest.raises(ModelFileError, match="damaged"):
        Familiarity(None, fitted[1].model_copy(update=damage))


def test_features_that_never_vary_give_no_undefined_distance():
    same = np.ones((10, 512), np.float32)
    ranges, model = fit(same, same, appearance(np.random.default_rng(0), 10))
    assert np.isfinite(Familiarity(ranges, model).distances(same * 2)).all()
