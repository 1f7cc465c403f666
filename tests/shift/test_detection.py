"""Whether films as a whole differ from a model's validation films: found, named, and not seen where it is not."""

from dataclasses import replace

import numpy as np
import pytest

from pneumocli.inference.shift_page import age_and_view
from pneumocli.model.card import ModelCard, OperatingPoint, ValidationSummary
from pneumocli.model.reference import FilmRows, Reference, StoredRows
from pneumocli.shift.detection import detect_shift, matched
from pneumocli.shift.sample import FilmSample, Look, StoredSample

CARD = ModelCard(
    package_version="0", image_size=64, fit="crop", initial_weights="scratch", temperature=2.0, data_fingerprint="",
    operating_point=OperatingPoint(threshold=0.5, rule="0.5", chosen_on="fixed", sensitivity=None, specificity=None),
    num_train_images=1, best_epoch=1,
    validation=ValidationSummary(
        method="patient", num_images=1, num_patients=1, fraction=0.1, loss=0.1, accuracy=1.0, auroc=None
    ),
)  # fmt: skip
ENCODER = "JPEG Q-sum 330"


def films(count: int, seed: int, ill: float = 0.7) -> tuple[FilmRows, np.ndarray]:
    """Films whose features, brightness and logit depend on the class."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) < ill * count).astype(int)[random.permutation(count)]
    features = random.normal(size=(count, 6)) + 2 * labels[:, None]
    numbers = random.normal([1000, 1.3, 120, 50, 4], [100, 0.1, 15, 8, 0.5], (count, 5))
    numbers[:, 2] += 30 * labels
    logits = random.normal(4 * labels - 2, 1)
    rows = FilmRows(*(part.astype(np.float32) for part in (features, logits, numbers)), (ENCODER,) * count)
    return rows, labels


def reference(count: int = 200, ill: float = 0.7) -> Reference:
    rows, labels = films(count, 1, ill)
    return Reference(films=StoredRows.of(rows), labels=tuple(labels.tolist()))


def sample(rows: FilmRows) -> FilmSample:
    found = FilmSample()
    for place, encoder in enumerate(rows.encoders):
        look = Look(place, place, tuple(map(float, rows.numbers[place])), encoder)
        found.add(look, rows.features[place], float(rows.logits[place]))
    return found


def sample_of_rows(rows: FilmRows) -> FilmSample:
    """As :func:`sample`, with ages and views."""
    found = FilmSample()
    for place, film in enumerate(sample(rows).kept()):
        look = replace(film.look, age=rows.ages[place], view=rows.views[place])
        found.add(look, rows.features[place], film.logit)
    return found


def changed(rows: FilmRows, number: int, by: float) -> FilmRows:
    rows.numbers[:, number] += by
    return rows


def test_films_like_the_validation_films_are_not_flagged():
    shifts = [detect_shift(sample(films(50, seed)[0]), reference(), CARD) for seed in range(2, 22)]
    assert sum(shift is not None and shift.detected for shift in shifts) <= 1
    assert shifts[0] is not None
    assert shifts[0].strength == "none"
    assert shifts[0].sentence.startswith("These 50 films do not differ from the training films more than chance")


def test_the_validation_films_themselves_are_not_flagged():
    shift = detect_shift(sample(films(200, 1)[0]), reference(), CARD)
    assert shift is not None
    assert not shift.detected


@pytest.mark.parametrize("ill", [0.0, 0.15, 1.0])
def test_another_share_of_the_classes_is_no_shift(ill: float):
    shift = detect_shift(sample(films(100, 7, ill)[0]), reference(400), CARD)
    assert shift is not None
    assert not shift.detected
    assert shift.prevalence_estimate == pytest.approx(ill, abs=0.05)


@pytest.mark.parametrize(
    ("number", "by", "word"),
    [(2, -40, "darker"), (4, 2.0, "sharper"), (0, 500, "larger"), (1, 0.4, "wider"), (3, -20, "lower in contrast")],
)
def test_what_has_moved_is_named(number: int, by: float, word: str):
    shift = detect_shift(sample(changed(films(60, 3)[0], number, by)), reference(), CARD)
    assert shift is not None
    assert shift.detected
    assert [item.word for item in shift.properties if item.moved] == [word]
    assert f"; {word})" in shift.sentence


def test_square_films_are_called_so():
    rows, _ = films(60, 3)
    rows.numbers[:, 1] = 1
    shift = detect_shift(sample(rows), reference(), CARD)
    assert shift is not None
    assert "square" in shift.sentence


def test_films_of_another_kind_are_told_in_the_strongest_words():
    rows, _ = films(60, 3)
    rows.features[:, 3] += 9
    other = FilmRows(rows.features, rows.logits, rows.numbers, ("PNG 8-bit",) * 60)
    shift = detect_shift(sample(other), reference(), CARD)
    assert shift is not None
    assert shift.strength == "strong"
    assert shift.auroc > 0.95
    assert shift.unlike_share > 0.9
    assert "made by other software" in shift.sentence
    assert shift.sentence.endswith("the sensitivity and specificity stored with this model do not hold here.")


def test_few_films_and_models_without_a_reference_are_not_compared():
    assert detect_shift(sample(films(19, 3)[0]), reference(), CARD) is None
    assert detect_shift(sample(films(50, 3)[0]), reference(19), CARD) is None
    assert detect_shift(sample(films(50, 3)[0]), None, CARD) is None


def test_reference_films_are_taken_in_the_share_of_the_classes():
    labels = np.array([1] * 60 + [0] * 40)
    assert labels[matched(labels, 0.5)].mean() == 0.5
    assert len(matched(labels, 0.5)) == 80
    assert labels[matched(labels, 0.0)].tolist() == [0] * 40
    assert len(matched(np.array([1] * 60 + [0] * 5), 0.0)) == 65  # five films are too few to compare with


def of_patients(rows: FilmRows, age: float, view: str, known: int | None = None) -> FilmRows:
    """The same films from files that give age and view, or ``known`` of them."""
    count = len(rows)
    ages = [age + place % 7 if known is None or place < known else None for place in range(count)]
    return replace(rows, ages=tuple(ages), views=tuple(view if one is not None else "" for one in ages))


def test_age_and_view_are_compared_where_both_say_so():
    rows, labels = films(200, 1)
    children = Reference(films=StoredRows.of(of_patients(rows, 3, "AP")), labels=tuple(labels.tolist()))
    children = Reference.read(children.model_dump_json())  # as a model file keeps it
    here = sample_of_rows(of_patients(films(60, 2)[0], 50, "PA"))
    found = detect_shift(StoredSample.of(here).sample(), children, CARD)
    assert found is not None
    assert "of older patients, more PA views" in found.sentence
    assert {item.name for item in found.properties if item.moved} == {"age", "view"}
    assert (found.age_here, found.age_reference) == (53, 6)
    assert (found.views_here, found.views_reference) == ({"PA": 1.0}, {"AP": 1.0})
    like = detect_shift(sample_of_rows(of_patients(films(60, 2)[0], 3, "AP")), children, CARD)
    assert like is not None
    assert not like.detected
    assert age_and_view(found) == (
        "Age and view as DICOM files give them: here 53 years in the median, 100% PA; validation films 6 years in the "
        "median, 100% AP."
    )


@pytest.mark.parametrize("known", [0, 19])
def test_age_and_view_of_few_films_are_shown_and_not_tested(known: int):
    found = detect_shift(sample_of_rows(of_patients(films(60, 2)[0], 50, "PA", known)), reference(), CARD)
    assert found is not None
    assert not {"age", "view"} & {item.name for item in found.properties}
    assert not found.detected
    assert (found.age_here is None, found.views_here) == (known == 0, {"PA": 1.0} if known else {})
    assert ("no file says" in age_and_view(found)) == (known > 0)


def test_features_do_not_decide_for_a_group_whose_films_its_networks_have_seen():
    group = CARD.model_copy(update={"members": ("a", "b")})
    moved = films(80, 2)[0]
    moved.features[:, :4] += 1
    alone, of_group = (detect_shift(sample(moved), reference(), card) for card in (CARD, group))
    assert alone is not None
    assert of_group is not None
    assert (alone.detected, of_group.detected) == (True, False)
    assert alone.p_value == of_group.p_value < 0.01
    darker = detect_shift(sample(changed(films(80, 2)[0], 2, -40)), reference(), group)
    assert darker is not None
    assert darker.detected
