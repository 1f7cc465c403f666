"""What a model file keeps of its validation films."""

import json
from pathlib import Path

import numpy as np
import pytest

from pneumocli.core.errors import ModelFileError
from pneumocli.inference.classifier import Classifier, logit_of
from pneumocli.inference.scoring import score_films
from pneumocli.model.onnx_file import reference_text
from pneumocli.model.reference import Reference
from pneumocli.model.weights import load_best, load_reference, save_best
from pneumocli.run_folder import RunFolder


def test_both_model_files_keep_the_reference_of_one_film_for_each_patient(trained: RunFolder):
    text = reference_text(trained.onnx_file)
    assert text is not None
    assert text == load_reference(trained.best_file)
    val = trained.manifest().of("val")
    reference = Reference.read(text)
    rows = reference.films.rows()
    assert len(rows) == len(reference.labels) == val.num_patients
    found = {round(float(logit), 3) for logit in rows.logits}
    scored = score_films(Classifier.of_run(trained), [val.path(row) for row in val.rows])
    assert found <= {round(film.logit or 0, 3) for film in scored}


def test_the_reference_names_no_film_and_no_patient(trained: RunFolder):
    text = reference_text(trained.onnx_file) or ""
    assert len(text) < 100_000
    for row in trained.manifest().rows:
        assert Path(row.image).stem not in text
        assert row.patient not in text
        assert row.sha256 not in text


def test_a_model_file_of_version_0_1_0_keeps_none(trained: RunFolder, tmp_path: Path):
    weights, card = load_best(trained.best_file)
    save_best(tmp_path / "best.pt", weights, card)
    assert load_reference(tmp_path / "best.pt") is None
    assert Classifier.load(tmp_path / "best.pt").reference is None


@pytest.mark.parametrize(
    "damage",
    [
        {"logits": "no base64!"},
        {"logits": "AAAA"},
        {"features": "AAAA"},
        {"features": ""},
        {"encoder": []},
        {"encoders": []},
        {"numbers": ""},
    ],
)
def test_a_damaged_reference_is_refused(trained: RunFolder, damage: dict):
    document = json.loads(reference_text(trained.onnx_file) or "")
    document["films"] |= damage
    with pytest.raises(ModelFileError, match="damaged"):
        Reference.read(json.dumps(document)).films.rows()


def test_other_text_is_refused():
    for text in ("{", "[]", "{}"):
        with pytest.raises(ModelFileError, match="damaged"):
            Reference.read(text)


def test_features_keep_three_digits(trained: RunFolder):
    """Sixteen bits: a stored film lies as near to itself as a thousandth of its distance."""
    classifier = Classifier.of_run(trained)
    reference = classifier.reference
    assert reference is not None
    val = trained.manifest().of("val")
    from pneumocli.data.images import fit_film, read_film

    pixels = np.stack([fit_film(read_film(val.path(row)).pixels, 64, "crop") for row in val.rows])[:, None]
    output = classifier.run(pixels)
    own = classifier.familiarity.coordinates(output.features)
    logits = logit_of(output.logits)
    for row, logit in zip(reference.films.rows().features, reference.films.rows().logits, strict=True):
        nearest = own[np.abs(logits - logit).argmin()]
        assert np.abs(row - nearest).max() < 0.01 * max(1.0, float(np.abs(nearest).max()))
