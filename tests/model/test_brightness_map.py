"""Films that are bright and dark in other places than the training films are found."""

from pathlib import Path

import numpy as np
import pytest

from pneumocli.core.errors import ModelFileError
from pneumocli.data.images import fit_film, read_film
from pneumocli.inference.classifier import Classifier
from pneumocli.model.brightness_map import fit_brightness_map, map_distances, thumbnails
from pneumocli.model.card import BrightnessMap
from pneumocli.model.out_of_distribution import Appearance, Familiarity
from pneumocli.run_folder import RunFolder


@pytest.fixture(scope="module")
def squares(phantoms: Path) -> np.ndarray:
    """uint8 (80,1,64,64)."""
    films = sorted((phantoms / "train").rglob("*.jpeg"))[:60] + sorted((phantoms / "test").rglob("*.jpeg"))[:20]
    return np.stack([fit_film(read_film(film).pixels, 64, "crop") for film in films])[:, None]


@pytest.fixture(scope="module")
def fitted(squares: np.ndarray) -> BrightnessMap:
    return fit_brightness_map(thumbnails(squares[::2]), thumbnails(squares[1::4]))


def test_a_thumbnail_does_not_depend_on_brightness_and_contrast(squares: np.ndarray):
    darker = (squares[:5] // 2 + 20).astype(np.uint8)
    assert np.abs(thumbnails(squares[:5]) - thumbnails(darker)).max() < 0.05
    assert thumbnails(np.full((1, 1, 70, 70), 9, np.uint8)).tolist() == [[0.0] * 64]


def test_films_like_the_training_films_pass_and_altered_ones_do_not(squares: np.ndarray, fitted: BrightnessMap):
    new = squares[3::4]
    familiarity = Familiarity(None, None, fitted)

    def warned(pixels: np.ndarray) -> float:
        appearance = Appearance.of(np.ascontiguousarray(pixels), np.ones(len(pixels)))
        found = familiarity.warnings(np.zeros((len(pixels), 0), np.float32), appearance, np.zeros(len(pixels), bool))
        assert all("bright and dark in other places" in text for texts in found for text in texts)
        return sum(map(bool, found)) / len(found)

    assert warned(new) <= 0.1
    assert warned(255 - new) == 1
    assert warned(np.rot90(new, axes=(2, 3))) == 1
    assert warned(new[..., ::-1, :]) == 1


def test_a_trained_model_carries_the_map_and_an_old_card_goes_without(trained: RunFolder, squares: np.ndarray):
    card = Classifier.of_run(trained).card
    assert card.brightness_map is not None
    assert (map_distances(card.brightness_map, thumbnails(squares)) < card.brightness_map.limit).mean() > 0.9
    old = Familiarity(card.input_range, None)
    appearance = Appearance.of(squares[:1], np.array([1.2]))
    assert old.warnings(np.zeros((1, 512), np.float32), appearance, np.array([False])) == [()]


@pytest.mark.parametrize("damage", [{"mean": "no base64!"}, {"mean": "AAAA"}, {"whitening": ""}])
def test_damaged_numbers_are_refused(squares: np.ndarray, fitted: BrightnessMap, damage: dict):
    with pytest.raises(ModelFileError, match="damaged"):
        map_distances(fitted.model_copy(update=damage), thumbnails(squares))


def test_films_that_are_all_alike_give_no_undefined_distance():
    same = thumbnails(np.full((10, 1, 64, 64), 7, np.uint8))
    assert np.isfinite(map_distances(fit_brightness_map(same, same), same + 1)).all()
