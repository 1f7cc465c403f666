"""evaluation.py: from a run and films to numbers, tables and pictures on disk."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from pneumocli.config import EvaluateConfig
from pneumocli.errors import DataError, ModelFileError, RunError
from pneumocli.evaluation import evaluate, evaluate_predictions, films_of
from pneumocli.evaluation_files import is_current, read_evaluation
from pneumocli.events import Remark
from pneumocli.metrics import verdict
from pneumocli.records import Evaluation, ScoredFilm
from pneumocli.runs import RunFolder
from pneumocli.weights import load_best
from tests.conftest import copy_of

CONTRACT = [
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "mcc", "auroc",
    "average_precision", "brier_score", "log_loss", "calibration_error",
]  # fmt: skip
PAGE_FILES = {
    "calibration.png", "confusion.png", "histogram.png", "metrics.json", "mistakes.png", "pr.png", "predictions.csv",
    "report.html", "roc.png",
}  # fmt: skip


def test_an_evaluation_writes_what_the_contract_says(evaluated: tuple[RunFolder, Evaluation]):
    run, evaluation = evaluated
    folder = run.evaluation_folder("test")
    assert {file.name for file in folder.iterdir()} == PAGE_FILES
    stored = json.loads((folder / "metrics.json").read_text())
    assert list(stored["metrics"])[: len(CONTRACT)] == CONTRACT
    for key in (
        "schema_version",
        "model_sha256",
        "data_fingerprint",
        "split",
        "num_images",
        "num_patients",
        "prevalence",
    ):
        assert key in stored
    assert set(stored["threshold"]) == {"value", "rule", "chosen_on"}
    assert set(stored["confusion"]) == {"tp", "fp", "fn", "tn"}
    assert set(stored["classes"]["NORMAL"]) == {"precision", "recall", "f1", "support"}
    assert set(stored["subgroups"]) == {"bacteria", "virus"}
    assert all(set(metric) == {"value", "low", "high", "method"} for metric in stored["metrics"].values())
    assert read_evaluation(run, "test")[0] == evaluation
    with (folder / "predictions.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["image", "patient", "kind", "label", "logit", "probability", "prediction"]
    assert len(rows) == evaluation.num_images == 40
    assert sum(row["label"] == row["prediction"] for row in rows) == evaluation.confusion.tp + evaluation.confusion.tn
    for name in ("roc", "confusion", "mistakes"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "### test: 40 films" in run.card_file.read_text()


def test_validation_films_score_as_they_did_during_training(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    evaluation = evaluate(EvaluateConfig(run=run.path, split="val"))
    best = run.history()[run.result().best_epoch - 1]
    assert evaluation.num_images == len(run.manifest().of("val"))
    assert evaluation.metrics["auroc"].value == pytest.approx(best.val_auroc)
    card = load_best(run.best_file)[1]
    assert evaluation.operating_point == card.operating_point


def test_a_given_threshold_and_prevalence(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    evaluation = evaluate(EvaluateConfig(run=run.path, threshold=0.0, prevalence=0.1))
    assert evaluation.threshold.chosen_on == "given"
    assert evaluation.confusion.fn == evaluation.confusion.tn == 0
    assert evaluation.metrics["npv"].value is None
    assert evaluation.at_prevalence == {"prevalence": 0.1, "ppv": 0.1, "npv": None}
    assert evaluation.at_half is not None
    assert not is_current(run, films_of(run, "test", None), "test"), "a comparison uses the stored threshold"


def test_stale_predictions_are_told(evaluated: tuple[RunFolder, Evaluation], phantoms: Path, tmp_path: Path):
    run, _ = evaluated
    assert is_current(run, films_of(run, "test", None), "test")
    shutil.copytree(phantoms, tmp_path / "other")
    next((tmp_path / "other" / "test" / "NORMAL").iterdir()).unlink()
    assert not is_current(run, films_of(run, "test", tmp_path / "other"), "test")
    assert not is_current(run, films_of(run, "val", None), "val")


def test_films_that_changed_since_training_are_refused(trained: RunFolder, phantoms: Path, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    shutil.copytree(phantoms, tmp_path / "data")
    held = run.manifest().of("val").rows
    shutil.copy(tmp_path / "data" / held[0].image, tmp_path / "data" / held[1].image)
    with pytest.raises(RunError, match="have changed since the training: 1 of"):
        evaluate(EvaluateConfig(run=run.path, data=tmp_path / "data", split="val"))
    (tmp_path / "data" / held[1].image).unlink()
    with pytest.raises(RunError, match="are gone"):
        evaluate(EvaluateConfig(run=run.path, data=tmp_path / "data", split="val"))
    assert not run.evaluation_folder("val").exists()


def test_unreadable_films_are_refused_or_counted(trained: RunFolder, phantoms: Path, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    shutil.copytree(phantoms, tmp_path / "data")
    film = sorted((tmp_path / "data" / "test" / "NORMAL").iterdir())[0]
    film.write_bytes(b"")
    with pytest.raises(DataError, match="1 of 40 films") as caught:
        evaluate(EvaluateConfig(run=run.path, data=tmp_path / "data"))
    assert film.name in caught.value.message
    assert "--skip-unreadable" in (caught.value.hint or "")
    evaluation = evaluate(EvaluateConfig(run=run.path, data=tmp_path / "data", skip_unreadable=True))
    assert (evaluation.num_images, evaluation.data_flow.num_unreadable) == (39, 1)


def test_test_films_that_were_trained_on_are_told(trained: RunFolder, phantoms: Path, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    shutil.copytree(phantoms, tmp_path / "data")
    seen = run.manifest().of("train").rows[0]
    shutil.copy(phantoms / seen.image, tmp_path / "data" / "test" / Path(seen.image).parent.name)
    events = []
    evaluate(EvaluateConfig(run=run.path, data=tmp_path / "data"), events.append)
    assert any(isinstance(event, Remark) and "the numbers are too good" in event.text for event in events)


def test_a_model_file_that_was_swapped_is_refused(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    run.onnx_file.write_bytes(run.onnx_file.read_bytes() + b"x")
    with pytest.raises(ModelFileError, match="is not the file that the training wrote"):
        evaluate(EvaluateConfig(run=run.path))
    run.result_file.unlink()
    with pytest.raises(RunError, match="has not finished"):
        evaluate(EvaluateConfig(run=run.path))


def film(image: str, label: str, logit: float, patient: str = "p") -> ScoredFilm:
    from pneumocli.metrics import sigmoid

    probability = float(sigmoid(logit))
    return ScoredFilm(
        image=image, patient=patient, kind="unknown", label=label, logit=logit, probability=probability,
        prediction="PNEUMONIA" if probability >= 0.5 else "NORMAL",
    )  # type: ignore[arg-type]  # fmt: skip


def test_films_of_one_class_leave_what_is_undefined_null(trained: RunFolder):
    card = load_best(trained.best_file)[1]
    scored = [film(f"{number}.png", "PNEUMONIA", number - 1.0, str(number)) for number in range(4)]
    evaluation = evaluate_predictions(scored, card=card, split="test", run="x")
    assert evaluation.metrics["auroc"].value is None
    assert "undefined" in evaluation.metrics["auroc"].method
    assert evaluation.metrics["specificity"].value is None
    assert "NaN" not in json.dumps(evaluation.model_dump(mode="json"))
    assert "healthy" not in verdict(evaluation)
