"""Draws of real films: another hospital's are flagged, validation films are not. ``$PNEUMO_RUN`` names a run to use."""

import os
from pathlib import Path

import numpy as np
import pytest

from pneumocli.inference.classifier import Classifier
from pneumocli.inference.scoring import score_films
from pneumocli.model.reference import Reference, StoredRows
from pneumocli.run_folder import RunFolder
from pneumocli.shift.detection import detect_shift
from pneumocli.shift.sample import FilmSample, Sampled
from tests.conftest import tiny

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

DRAWS = 200


@pytest.fixture(scope="module")
def run(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    if os.environ.get("PNEUMO_RUN"):
        return RunFolder.open_finished(Path(os.environ["PNEUMO_RUN"]))
    from pneumocli.training.train import train

    folder = tmp_path_factory.mktemp("real") / "scratch"
    train(tiny(shared / "data" / "chest_xray_224", folder, epochs=1, batch_size=32, val_fraction=0.1))
    return RunFolder(folder)


def sample_of(films: list[Sampled]) -> FilmSample:
    sample = FilmSample()
    for film in films:
        look = film.look
        sample.add(look, film.features.astype(np.float32), film.logit)
    return sample


@pytest.mark.long
def test_draws(run: RunFolder, shared: Path):
    classifier = Classifier.of_run(run, throughput=True)
    val = run.manifest().of("val")
    patients = {val.path(row): row.patient for row in val.rows}
    own, other = FilmSample(lambda source: patients[source], most=9999), FilmSample(most=9999)
    list(score_films(classifier, list(patients), sample=own))
    list(score_films(classifier, sorted((shared / "data" / "external_nih").rglob("*.jpeg")), sample=other))
    # Every film of a patient has one label, so that the patient's hash leads to it.
    labels = {FilmSample().look_of(row.patient, *_any_film()).patient: row.label for row in val.rows}
    random = np.random.default_rng(0)
    flagged = {"own": 0, "held out": 0, "other": 0}
    ours, theirs = own.kept(), other.kept()
    for _ in range(DRAWS):
        mixed = random.permutation(len(ours))
        drawn, rest = [ours[i] for i in mixed[:50]], [ours[i] for i in mixed[50:]]
        reference = _reference(sorted(rest, key=lambda film: film.patient), labels)
        elsewhere = [theirs[i] for i in random.permutation(len(theirs))[:50]]
        for name, films, against in (
            ("own", drawn, classifier.reference),
            ("held out", drawn, reference),
            ("other", elsewhere, classifier.reference),
        ):
            shift = detect_shift(sample_of(films), against, classifier.card)
            assert shift is not None
            flagged[name] += shift.detected
    assert flagged["other"] >= 0.99 * DRAWS
    assert max(flagged["own"], flagged["held out"]) <= 0.05 * DRAWS


def _any_film():
    from tests.shift.test_sample import SQUARES, made

    return made(), SQUARES[0]


def _reference(films: list[Sampled], labels: dict[int, int]) -> Reference:
    rows = sample_of(films).rows()
    return Reference.model_validate({"films": StoredRows.of(rows), "labels": [labels[film.patient] for film in films]})
