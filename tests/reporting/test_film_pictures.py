"""The films that pages show: which are chosen."""

from pathlib import Path

import numpy as np

from pneumocli.metrics.scores import ScoreArrays
from pneumocli.reporting.film_pictures import shown_films


def scored(probabilities: list[float], labels: list[int]) -> ScoreArrays:
    given = np.array(probabilities)
    names = tuple(f"{probability:g}" for probability in probabilities)
    with np.errstate(divide="ignore"):
        logits = np.log(given / (1 - given))
    return ScoreArrays(names, np.array(names), np.array(["unknown"] * len(names)), np.array(labels), logits, 1.0, given)


def test_uncertain_is_who_is_nearest_in_odds_not_in_points(tmp_path: Path):
    films = shown_films(None, scored([0.99, 0.97, 0.86, 0.8, 0.2, 0.0], [1, 1, 0, 0, 0, 0]), 0.9, tmp_path)
    assert [film.image for film in films.uncertain] == ["0.86", "0.8", "0.97", "0.99", "0.2", "0"]
    assert films.num_wrong == 0


def test_a_threshold_that_nothing_exceeds_has_its_nearest_films_too(tmp_path: Path):
    films = shown_films(None, scored([0.3, 1.0, 0.9], [0, 1, 1]), 1.0, tmp_path)
    assert films.uncertain[0].image == "1"
    assert [film.image for film in films.worst] == ["0.9"]
