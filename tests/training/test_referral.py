"""``train --refer``: refused before training where patients are too few, else limits in the card and answers."""

from pathlib import Path

import numpy as np
import pytest

from pneumocli.core.config import EvaluateConfig, PredictConfig, TrainConfig
from pneumocli.core.errors import DataError, SettingError
from pneumocli.core.records import ManifestRow
from pneumocli.core.settings import validated
from pneumocli.evaluation.evaluate import evaluate
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.predict import predict
from pneumocli.inference.records import ReferringPrediction
from pneumocli.shift.conformal import answer_of
from pneumocli.training.referral import limits_of, refuse_too_few_patients
from pneumocli.training.train import train
from tests.conftest import tiny


def rows(normal: int, pneumonia: int, films: int = 1) -> list[ManifestRow]:
    """Validation films of so many patients of each class."""
    return [
        ManifestRow(
            image=f"{label}-{patient}-{film}", label=label, patient=f"{label}-{patient}", kind="unknown", split="val",
            sha256=f"{label}{patient:04}{film:02}".rjust(64, "0"),
        )
        for label, count in ((0, normal), (1, pneumonia))
        for patient in range(count)
        for film in range(films)
    ]  # fmt: skip


def config(**settings: object) -> TrainConfig:
    return TrainConfig.model_validate({"refer": 0.05} | settings)


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({}, "--val-fraction 0.25 or --refer 0.12"),
        ({"val_fraction": 0.3}, "--folds 5 or --refer 0.12"),
        ({"val": "official"}, "--val patient or --refer 0.12"),
        ({"val_fraction": 0.5}, "--refer 0.12"),
        ({"folds": 5}, "--refer 0.12"),
    ],
)
def test_too_few_patients_are_refused_with_their_number(settings: dict[str, object], hint: str):
    with pytest.raises(DataError, match=r"--refer 0\.05 needs 19 .* of each class, found 8 of NORMAL") as caught:
        refuse_too_few_patients(config(**settings), rows(8, 30, films=3))
    assert caught.value.hint == hint


def test_a_hint_of_another_share_is_enough():
    for patients in range(2, 60):
        films = rows(patients, patients)
        try:
            refuse_too_few_patients(config(refer=0.01, val_fraction=0.5), films)
        except DataError as error:
            assert error.hint is not None
            refuse_too_few_patients(config(refer=float(error.hint.rpartition("--refer ")[2])), films)


def test_without_a_patient_the_hint_is_to_leave_it_out():
    with pytest.raises(DataError, match="found 0 of NORMAL and 30 of PNEUMONIA") as caught:
        refuse_too_few_patients(config(val_fraction=0.5), rows(0, 30))
    assert caught.value.hint == "leave --refer out"


def test_enough_patients_or_no_wish_pass():
    refuse_too_few_patients(config(), rows(19, 19))
    refuse_too_few_patients(config(refer=None), rows(0, 0))


@pytest.mark.parametrize("share", [0, 0.5, float("nan")])
def test_a_share_outside_of_its_bounds_is_refused(share: float):
    with pytest.raises(SettingError, match="--refer"):
        validated(TrainConfig, {"refer": share})


def test_films_of_one_patient_count_as_one():
    films = rows(19, 24, films=5)
    found = limits_of(config(), films, np.arange(len(films)))
    assert found is not None
    assert (found.num_normal, found.num_pneumonia) == (19, 24)
    assert limits_of(config(refer=None), films, np.arange(len(films))) is None


def test_a_training_on_too_few_patients_leaves_no_run(phantoms: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"--refer 0\.01 needs 99 validation patients"):
        train(tiny(phantoms, tmp_path / "run", refer=0.01))
    assert not (tmp_path / "run" / "config.json").exists()


def test_folds_on_too_few_patients_leave_no_group(phantoms: Path, tmp_path: Path):
    group = tmp_path / "group"
    with pytest.raises(DataError, match=r"--refer 0\.005 needs 199 patients of each class"):
        train(tiny(phantoms, group, folds=2, val_fraction=0.1, refer=0.005))
    assert not (group / "config.json").exists()


@pytest.mark.slow
def test_a_run_with_limits_refers_and_is_measured(phantoms: Path, tmp_path: Path):
    run = train(tiny(phantoms, tmp_path / "run", refer=0.3))
    card = Classifier.of_run(run).card
    limits = card.refer
    assert limits is not None
    val = run.manifest().of("val")
    assert limits.num_normal + limits.num_pneumonia == val.num_patients
    assert "--refer 0.3" in run.card_file.read_text(encoding="utf-8")

    answers = list(predict(PredictConfig(inputs=(str(phantoms / "test"),), run=run.path)))
    referred = 0
    for film in answers:
        assert isinstance(film, ReferringPrediction)
        assert film.probability is not None
        logit = card.temperature * float(np.log(film.probability / (1 - film.probability)))
        assert film.answer == answer_of(limits, logit)
        referred += film.answer == "REFER"

    evaluation = evaluate(EvaluateConfig(run=run.path))
    assert evaluation.refer is not None
    assert evaluation.refer.num_referred == referred
    page = run.evaluation_folder("test").report_file.read_text(encoding="utf-8")
    assert "Which films should a person look at?" in page
    assert "At --refer 0.3 it refers" in run.card_file.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_group_takes_its_limits_from_all_folds(phantoms: Path, tmp_path: Path):
    values = {"image_size": 32, "epochs": 1, "val_fraction": 0.1, "folds": 2, "refer": 0.1}
    group = train(tiny(phantoms, tmp_path / "group", **values))
    card = Classifier.of_run(group).card
    assert card.refer is not None
    assert card.refer.num_normal + card.refer.num_pneumonia == group.manifest().num_patients
    assert [Classifier.of_run(fold).card.refer for fold in group.folds] == [None, None]
