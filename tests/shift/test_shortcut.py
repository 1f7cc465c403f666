"""Shortcuts from a film's making to its class, and the films that contradict them."""

from dataclasses import replace

import numpy as np
import pytest

from pneumocli.data.acquisition import Acquisition
from pneumocli.model.card import ShortcutModel
from pneumocli.shift.shortcut import ENCODER, fit_shortcuts, hard_films, held_out_auroc, shortcut_logits

ONE_FILM = Acquisition(
    format="JPEG", num_bytes=90_000, mode="L", bits=8, width=900, height=800, quantisation_sum=736, density="1x1",
    markers=("JFIF",), progressive=False, device="", brightness=120.0, contrast=50.0, sharpness=3.0,
)  # fmt: skip


def films(count: int = 120, **shift: float) -> tuple[list[Acquisition], list[int], list[str]]:
    """Films of both classes in turn, made alike but for noise and what ``shift`` adds to PNEUMONIA."""
    rng = np.random.default_rng(0)
    labels = [number % 2 for number in range(count)]
    made = [
        replace(
            ONE_FILM,
            num_bytes=int(90_000 * rng.lognormal(0, 0.1)),
            brightness=120 + rng.normal(0, 8),
            contrast=50 + rng.normal(0, 4),
            sharpness=3 + rng.normal(0, 0.4) + label * shift.get("sharpness", 0.0),
        )
        for label in labels
    ]
    return made, labels, [f"p{number}" for number in range(count)]


def swapped(made: list[Acquisition], labels: list[int], exceptions: set[int]) -> list[Acquisition]:
    """One encoder for each class, save for the exceptions."""
    tables = {0: 330, 1: 1858}
    return [
        replace(film, quantisation_sum=tables[1 - label if number in exceptions else label])
        for number, (film, label) in enumerate(zip(made, labels, strict=True))
    ]


def test_exactly_the_films_of_the_other_classes_encoder_are_hard():
    made, labels, patients = films()
    exceptions = {10, 11, 30, 31, 50, 51, 77}
    made = swapped(made, labels, exceptions)
    model = fit_shortcuts(made, labels, patients)
    assert [shortcut.name for shortcut in model.shortcuts] == ["file"]
    hard = hard_films(model, made, labels)
    assert hard is not None
    assert set(np.flatnonzero(hard).tolist()) == exceptions


def test_where_every_encoder_is_of_one_class_the_picture_still_contradicts():
    made, labels, patients = films(sharpness=-0.9)
    made = swapped(made, labels, set())
    model = fit_shortcuts(made, labels, patients)
    assert [shortcut.name for shortcut in model.shortcuts] == ["file", "picture"]
    by_file, by_picture = (
        hard_films(ShortcutModel(shortcuts=(shortcut,)), made, labels) for shortcut in model.shortcuts
    )
    assert by_file is not None
    assert by_picture is not None
    assert by_file.sum() == 0
    assert 5 <= by_picture.sum() <= 30
    sharpness, truth = np.array([film.sharpness for film in made]), np.array(labels)
    assert sharpness[by_picture & (truth == 1)].min() > sharpness[~by_picture & (truth == 1)].mean()
    assert np.array_equal(hard_films(model, made, labels), by_file | by_picture)


def test_one_encoder_and_no_property_of_a_class_mark_nothing():
    made, labels, patients = films()
    model = fit_shortcuts(made, labels, patients)
    assert model.shortcuts == ()
    assert hard_films(model, made, labels) is None
    assert hard_films(None, made, labels) is None


@pytest.mark.parametrize("labels", [[0] * 20, [1] * 20, [0] * 19 + [1]])
def test_a_class_without_two_patients_gives_no_shortcut(labels: list[int]):
    made, _, patients = films(20, sharpness=-2)
    assert fit_shortcuts(made, labels, patients).shortcuts == ()
    assert held_out_auroc(made, labels, patients) == (None, 0)


def test_a_patient_never_stands_on_both_sides_of_a_fold():
    """Ten patients, each with an encoder of its own: known within a patient, worth nothing for another."""
    made, labels, _ = films(100)
    labels = [number // 10 % 2 for number in range(100)]
    made = [replace(film, quantisation_sum=100 + number // 10) for number, film in enumerate(made)]
    own, _ = held_out_auroc(made, labels, [f"p{number}" for number in range(100)], (ENCODER,))
    shared, folds = held_out_auroc(made, labels, [f"p{number // 10}" for number in range(100)], (ENCODER,))
    assert (own, shared, folds) == (pytest.approx(1.0), 0.5, 5)


@pytest.mark.parametrize("count", [4, 6, 8])
def test_encoders_of_a_handful_of_films_tell_nothing(count: int):
    """Somebody's first few films: no encoder has enough of them to get a weight."""
    made, labels, patients = films(count)
    assert held_out_auroc(made, labels, patients, (ENCODER,)) == (0.5, min(5, count // 2))
    assert held_out_auroc(made, labels, patients)[0] is not None
    fit_shortcuts(made, labels, patients)


def test_a_film_of_an_unknown_encoder_is_judged_by_the_rest():
    made, labels, patients = films(sharpness=-1.2)
    model = fit_shortcuts(swapped(made, labels, set()), labels, patients)
    other = replace(ONE_FILM, quantisation_sum=999, sharpness=1.0)
    sharp = replace(other, sharpness=5.0)
    hard = hard_films(model, [other, sharp, other, sharp], [1, 1, 0, 0])
    assert hard is not None
    assert hard.tolist() == [False, True, True, False]


def test_a_number_far_out_does_not_decide_alone():
    made, labels, patients = films(sharpness=-1.2)
    (shortcut,) = [part for part in fit_shortcuts(made, labels, patients).shortcuts if part.name == "picture"]
    far = shortcut_logits(shortcut, [replace(ONE_FILM, sharpness=30.0), replace(ONE_FILM, sharpness=3000.0)])
    assert far[0] == far[1]


def test_the_model_is_plain_data_and_the_same_for_the_same_films():
    made, labels, patients = films(sharpness=-0.9)
    model = fit_shortcuts(made, labels, patients)
    again = ShortcutModel.model_validate_json(model.model_dump_json())
    assert again == model == fit_shortcuts(made, labels, patients)
    marks = hard_films(model, made, labels)
    assert marks is not None
    assert np.array_equal(marks, hard_films(again, made, labels))
