"""evaluation.py: from a run and films to numbers, tables and pictures on disk."""

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from pneumocli import run_folder
from pneumocli.cli.evaluate import evaluation_tables
from pneumocli.core.config import CompareConfig, EvaluateConfig
from pneumocli.core.errors import DataError, ModelFileError, RunError
from pneumocli.core.events import Event, Remark, ignore
from pneumocli.data.acquisition_cache import acquisitions
from pneumocli.data.manifest import Manifest
from pneumocli.evaluation.compare import compare
from pneumocli.evaluation.evaluate import evaluate
from pneumocli.evaluation.store import current_evaluation, read_evaluation
from pneumocli.evaluation.subject import _test_films, subject_of
from pneumocli.inference import classifier
from pneumocli.metrics.records import Evaluation
from pneumocli.model.card import OperatingPoint, Shortcut, ShortcutModel
from pneumocli.model.weights import load_best
from pneumocli.run_folder import RunFolder
from tests.conftest import change_card, copy_of

# Pictures are drawn in tests/reporting, and whole evaluations in the fixture "evaluated" and in the slow tests.
pytestmark = pytest.mark.usefixtures("saved")

CONTRACT = [
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "mcc", "auroc",
    "average_precision", "brier_score", "log_loss", "calibration_error",
]  # fmt: skip
PAGE_FILES = {
    "calibration.png", "confusion.png", "histogram.png", "metrics.json", "mistakes.png", "pr.png", "predictions.csv",
    "report.html", "roc.png",
}  # fmt: skip


def own_films(run: RunFolder, **settings: object) -> Manifest:
    return subject_of(run, EvaluateConfig(run=run.path, **settings)).films


def test_an_evaluation_writes_what_the_contract_says(evaluated: tuple[RunFolder, Evaluation]):
    run, evaluation = evaluated
    folder = run.evaluation_folder("test").path
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
    shortcuts = load_best(run.best_file)[1].shortcut_model
    assert shortcuts is not None
    assert set(stored["subgroups"]) == {"bacteria", "virus"} | ({"hard", "easy"} if shortcuts.shortcuts else set())
    assert all(set(metric) == {"value", "low", "high", "method"} for metric in stored["metrics"].values())
    assert set(stored) >= {"operating_point", "at_half", "temperature", "bootstrap_seed", "data_flow"}
    assert stored["model_sha256"] == run.model_sha256
    assert stored["data_fingerprint"] == own_films(run).fingerprint
    assert read_evaluation(run, "test")[0] == evaluation
    with (folder / "predictions.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["image", "patient", "kind", "label", "logit", "probability", "prediction"]
    assert len(rows) == evaluation.num_images == 40
    assert sum(row["label"] == row["prediction"] for row in rows) == evaluation.confusion.tp + evaluation.confusion.tn
    for name in ("roc", "confusion", "mistakes"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    card = run.card_file.read_text()
    assert "### test: 40 films" in card
    assert card.index("**On test it misses ") < card.index("## Model")
    assert "[Report on test](evaluations/test/report.html)." in card


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a model file is hashed, and how often one is loaded."""
    counts: Counter[str] = Counter()

    def counted(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: object, **kwargs: object) -> Any:
            counts[what] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(run_folder, "sha256_of", counted("hashed", run_folder.sha256_of))
    monkeypatch.setattr(classifier, "sha256_of", counted("hashed", classifier.sha256_of))
    monkeypatch.setattr(classifier, "OnnxBackend", counted("loaded", classifier.OnnxBackend))
    monkeypatch.setattr(classifier, "card_text", counted("card read", classifier.card_text))
    return counts


@pytest.mark.slow
def test_an_evaluation_opens_the_model_once_and_draws_each_figure_once(
    saved: dict[Figure, list[str]], opened: Counter[str], trained: RunFolder, tmp_path: Path
):
    run = copy_of(trained, tmp_path / "run")
    evaluation = evaluate(EvaluateConfig(run=run.path))
    assert opened == {"hashed": 1, "loaded": 1, "card read": 1}
    assert sorted(saved.values()) == [*[["png"]] * 2, *[["png", "svg"]] * 4, *[["svg"]] * 3]
    assert "### test: 40 films" in run.card_file.read_text()
    opened.clear()
    other = copy_of(run, tmp_path / "other", evaluations=True)
    comparison = compare(CompareConfig(runs=(run.path, other.path), output=tmp_path / "comparison"))
    assert opened == {"hashed": 2, "card read": 2}, "stored predictions are used, and each model file is checked"
    assert comparison.runs[0].metrics["auroc"] == evaluation.metrics["auroc"]


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers only: the pictures of an evaluation take longer than all else."""
    monkeypatch.setattr("pneumocli.evaluation.evaluate.write_evaluation", lambda *_: None)


def test_a_damaged_evaluation_does_not_stop_another(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run = copy_of(evaluated[0], tmp_path / "run", evaluations=True)
    for place in ("test", "ward-3"):
        run.evaluation_folder(place).path.mkdir(exist_ok=True)
        run.evaluation_folder(place).metrics_file.write_text('{"schema_version": 99}')
    events: list[Event] = []
    found = evaluate(EvaluateConfig(run=run.path), events.append)
    assert found.metrics == evaluated[1].metrics
    assert json.loads(run.evaluation_folder("test").metrics_file.read_text())["run"] == "run"
    texts = [event.text for event in events if isinstance(event, Remark) and event.level == "warning"]
    assert [text for text in texts if "left out" in text] == [
        next(text for text in texts if "ward-3/metrics.json is damaged" in text)
    ]


def test_validation_films_score_as_they_did_during_training(unwritten: None, trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    evaluation = evaluate(EvaluateConfig(run=run.path, split="val"))
    best = run.history()[run.result().best_epoch - 1]
    assert evaluation.num_images == len(run.manifest().of("val"))
    auroc = evaluation.metrics["auroc"]
    assert auroc.value == pytest.approx(best.val_auroc)
    assert run.result().val_intervals["val_auroc"] == pytest.approx((auroc.low, auroc.high))
    card = load_best(run.best_file)[1]
    assert evaluation.operating_point == card.operating_point


@pytest.mark.slow
def test_a_given_threshold_and_prevalence(saved: dict[Figure, list[str]], trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    evaluation = evaluate(EvaluateConfig(run=run.path, threshold=0.0, prevalence=0.1))
    assert evaluation.threshold.chosen_on == "given"
    assert evaluation.confusion.fn == evaluation.confusion.tn == 0
    assert evaluation.metrics["npv"].value is None
    assert evaluation.at_prevalence == {"prevalence": 0.1, "ppv": 0.1, "npv": None}
    sentence = "At a prevalence of 10.0%: ppv 10.0%, npv undefined."
    assert sentence in run.evaluation_folder("test").report_file.read_text()
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(evaluation_tables(evaluation))
    assert sentence in console.export_text()
    assert evaluation.at_half is not None
    assert not current_evaluation(run, own_films(run), "test"), "a comparison uses the stored threshold"


def test_stale_predictions_are_recognised(evaluated: tuple[RunFolder, Evaluation], phantoms: Path, tmp_path: Path):
    run, _ = evaluated
    assert current_evaluation(run, own_films(run), "test")
    shutil.copytree(phantoms, tmp_path / "other")
    next((tmp_path / "other" / "test" / "NORMAL").iterdir()).unlink()
    assert not current_evaluation(run, own_films(run, data=tmp_path / "other"), "test")
    assert not current_evaluation(run, own_films(run, split="val"), "val")


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
    assert not run.evaluation_folder("val").path.exists()


@pytest.mark.slow
def test_unreadable_films_are_refused_or_counted(unwritten: None, trained: RunFolder, phantoms: Path, tmp_path: Path):
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


@pytest.mark.slow
def test_test_films_from_the_training_raise_a_warning(
    unwritten: None, trained: RunFolder, phantoms: Path, tmp_path: Path
):
    run = copy_of(trained, tmp_path / "run")
    shutil.copytree(phantoms, tmp_path / "data")
    seen = run.manifest().of("train").rows[0]
    shutil.copy(phantoms / seen.image, tmp_path / "data" / "test" / Path(seen.image).parent.name)
    events = []
    evaluate(EvaluateConfig(run=run.path, data=tmp_path / "data"), events.append)
    (warning,) = [event for event in events if isinstance(event, Remark) and "the numbers are too good" in event.text]
    assert warning.level == "warning"
    assert warning.text.startswith("the run was trained or validated on 1 test film and 1 test patient: ")
    evaluate(EvaluateConfig(run=run.path), events.clear() or events.append)
    assert not [event for event in events if isinstance(event, Remark) and event.level == "warning"]


@pytest.mark.slow
def test_the_stored_threshold_is_used_and_doubted(unwritten: None, trained: RunFolder, tmp_path: Path):
    """A run whose operating point was chosen on a handful of validation films warns each time."""
    run = copy_of(trained, tmp_path / "run")
    chosen = OperatingPoint(threshold=0.3, rule="youden", chosen_on="val", sensitivity=0.9, specificity=0.8)
    change_card(run, operating_point=chosen)
    events: list[object] = []
    evaluation = evaluate(EvaluateConfig(run=run.path), events.append)
    assert evaluation.threshold.model_dump() == {"value": 0.3, "rule": "youden", "chosen_on": "val"}
    assert set(evaluation.at_half) == {"accuracy", "sensitivity", "specificity", "ppv", "npv"}
    assert evaluation.operating_point == chosen
    (warning,) = [event for event in events if isinstance(event, Remark) and event.level == "warning"]
    assert "too few to carry over" in warning.text
    given = evaluate(EvaluateConfig(run=run.path, threshold=0.5), events.clear() or events.append)
    assert given.threshold.model_dump() == {"value": 0.5, "rule": "given", "chosen_on": "given"}
    assert given.at_half is None
    assert not [event for event in events if isinstance(event, Remark) and event.level == "warning"]


def test_every_film_unreadable_is_refused(unwritten: None, trained: RunFolder, phantoms: Path, tmp_path: Path):
    shutil.copytree(phantoms / "test", tmp_path / "data" / "test")
    for film in (tmp_path / "data").rglob("*.jpeg"):
        film.write_bytes(b"no film")
    with pytest.raises(DataError, match="none of the 40 films"):
        evaluate(EvaluateConfig(run=trained.path, data=tmp_path / "data", skip_unreadable=True))


def test_no_test_films_are_refused(trained: RunFolder, phantoms: Path, tmp_path: Path):
    shutil.copytree(phantoms / "train", tmp_path / "data" / "train")
    with pytest.raises(DataError, match="no test films") as caught:
        evaluate(EvaluateConfig(run=trained.path, data=tmp_path / "data"))
    assert (
        caught.value.hint == "--split val scores the run's validation films, --manifest FILE.csv or --data DIR others"
    )
    table = tmp_path / "data" / "own.csv"
    film = next(table.parent.rglob("*.jpeg")).relative_to(table.parent)
    table.write_text(f"image,label,split\n{film.as_posix()},0,train\n")
    with pytest.raises(DataError, match=r"own\.csv has no test films"):
        _test_films(table.parent, table, ignore)


def test_predictions_that_are_not_those_of_the_metrics(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run = copy_of(evaluated[0], tmp_path / "run", evaluations=True)
    films = own_films(run)
    assert current_evaluation(run, films, "test")
    file = run.evaluation_folder("test").predictions_file
    whole = file.read_text(encoding="utf-8")
    for damaged in (
        whole[: whole.rindex("\n", 0, -1) + 1],
        whole.splitlines()[0] + "\n",
        "",
        whole + whole[-40:],
        "\0",
    ):
        file.write_text(damaged, encoding="utf-8")
        with pytest.raises(RunError):
            read_evaluation(run, "test")
        assert not current_evaluation(run, films, "test")
    file.unlink()
    assert not current_evaluation(run, films, "test")


def test_another_model_makes_an_evaluation_stale(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run = copy_of(evaluated[0], tmp_path / "run", evaluations=True)
    change_card(run, initial_weights="elsewhere")
    assert not current_evaluation(run, own_films(run), "test")


def test_a_model_file_that_was_swapped_is_refused(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    run.onnx_file.write_bytes(run.onnx_file.read_bytes() + b"x")
    with pytest.raises(ModelFileError, match="is not the file that the training wrote"):
        evaluate(EvaluateConfig(run=run.path))
    run.result_file.unlink()
    with pytest.raises(RunError, match="has not finished"):
        evaluate(EvaluateConfig(run=run.path))


@pytest.mark.slow
def test_hard_films_are_shown_by_report_card_and_comparison(trained: RunFolder, tmp_path: Path):
    """The test films by the sharpness of the median film: a shortcut that calls the less sharp half PNEUMONIA."""
    made = acquisitions(own_films(trained))
    median = float(np.median([film.sharpness for film in made]))
    shortcut = Shortcut(
        name="picture", properties=("sharpness",), means=(median,), scales=(1.0,), weights=(-1.0,), encoders={},
        intercept=0.0, auroc=0.9,
    )  # fmt: skip
    run = copy_of(trained, tmp_path / "run")
    change_card(run, shortcut_model=ShortcutModel(shortcuts=(shortcut,)))
    evaluation = evaluate(EvaluateConfig(run=run.path))
    hard, easy = evaluation.subgroups["hard"], evaluation.subgroups["easy"]
    against = [
        (film.sharpness < median) != (row.label == 1)
        for film, row in zip(made, own_films(trained).rows, strict=True)
        if film.sharpness != median
    ]
    assert hard.num_images == sum(against)
    assert hard.num_images + easy.num_images == 40
    report = (run.evaluation_folder("test").report_file).read_text()
    assert "Does it hold on hard films?" in report
    assert f"| hard | {hard.num_normal} | {hard.num_pneumonia} |" in run.card_file.read_text()
    other = copy_of(run, tmp_path / "other", evaluations=True)
    plain = copy_of(trained, tmp_path / "plain")
    change_card(plain, shortcut_model=None)
    comparison = compare(CompareConfig(runs=(run.path, other.path, plain.path), output=tmp_path / "comparison"))
    assert comparison.runs[0].subgroups["hard"] == hard
    page = (tmp_path / "comparison" / "comparison.html").read_text()
    assert "Which one holds on hard films?" in page
    assert "Without: plain. Hard films are known where" in page
