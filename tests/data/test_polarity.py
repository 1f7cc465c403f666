"""Negatives are noticed, films are not."""

from pathlib import Path

import numpy as np
import pytest

from pneumocli.data.film import Film, FilmWarning
from pneumocli.data.images import is_film_name, read_film
from pneumocli.data.phantom import draw_phantom
from pneumocli.data.polarity import LOOKS_INVERTED, looks_inverted, warnings_of


def test_phantoms_are_right_way_up_and_their_negatives_are_not():
    rng = np.random.default_rng(0)
    films = [draw_phantom(rng, kind, short_side=96) for kind in ("normal", "bacteria", "virus") for _ in range(8)]
    assert not any(looks_inverted(film) for film in films)
    assert all(looks_inverted(255 - film) for film in films)


def test_a_large_film_needs_no_look_at_each_pixel():
    """Of an original film every fourth row and column is enough, and what lies between them changes nothing."""
    film = draw_phantom(np.random.default_rng(3), "bacteria", short_side=96).repeat(12, axis=0).repeat(12, axis=1)
    assert min(film.shape) == 1152
    assert not looks_inverted(film)
    assert looks_inverted(255 - film)
    between = 255 - film
    between[::4, ::4] = film[::4, ::4]
    assert not looks_inverted(between)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((40, 50), np.uint8),
        np.full((40, 50), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (90, 80)).astype(np.uint8),
        np.tile(np.arange(128, dtype=np.uint8), (100, 1)),
        np.tile(np.arange(128, dtype=np.uint8), (100, 1)).T,
    ],
    ids=["black", "white", "noise", "across", "down"],
)
def test_what_shows_nothing_is_not_called_inverted(pixels: np.ndarray):
    assert not looks_inverted(np.ascontiguousarray(pixels))


def test_the_warning_joins_those_of_the_reader():
    film = draw_phantom(np.random.default_rng(1), "normal", short_side=96)
    odd = FilmWarning("odd", "is odd")
    assert warnings_of(Film(film, coloured=False, mode="L", warnings=(odd,))) == (odd,)
    assert warnings_of(Film(255 - film, coloured=False, mode="L", warnings=(odd,))) == (odd, LOOKS_INVERTED)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["chest_xray_mini", "external_nih"])
def test_real_films_and_their_negatives(shared: Path, name: str):
    paths = sorted(path for path in (shared / "data" / name).rglob("*") if is_film_name(path.name))
    films = [read_film(path).pixels for path in paths]
    called = sum(looks_inverted(film) for film in films)
    found = sum(looks_inverted(255 - film) for film in films)
    print(f"{name}: {len(films)} films, {called} called inverted; {found} of their negatives found")  # noqa: T201 - the figures of docs/inference.md
    assert called == 0
    assert found >= 0.99 * len(films)
