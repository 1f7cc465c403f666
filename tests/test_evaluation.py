"""evaluation.py, comparison.py, report.py: from runs to numbers, tables and pages."""

import csv
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from pneumocli.comparison import assignment_results, compare
from pneumocli.config import CompareConfig, EvaluateConfig
from pneumocli.errors import DataError, ModelFileError, RunError
from pneumocli.evaluation import evaluate, evaluate_predictions, films_of
from pneumocli.evaluation_files import is_current, read_evaluation
from pneumocli.events import Remark
from pneumocli.metrics import verdict
from pneumocli.plots import png, svg
from pneumocli.records import Evaluation, ScoredFilm
from pneumocli.report import comparison_page, evaluation_page
from pneumocli.runs import RunFolder
from pneumocli.weights import load_best

CONTRACT = [
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "mcc", "auroc",
    "average_precision", "brier_score", "log_loss", "calibration_error",
]  # fmt: skip
PAGE_FILES = {
    "calibration.png", "confusion.png", "histogram.png", "metrics.json", "mistakes.png", "pr.png", "predictions.csv",
    "report.html", "roc.png",
}  # fmt: skip


def copy_of(run: RunFolder, folder: Path) -> RunFolder:
    shutil.copytree(run.path, folder, ignore=shutil.ignore_patterns("evaluations"))
    return RunFolder(folder)


@pytest.fixture(scope="module")
def evaluated(trained: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Evaluation]:
    """A copy of the trained run with its test films evaluated."""
    run = copy_of(trained, tmp_path_factory.mktemp("evaluated") / "scratch")
    return run, evaluate(EvaluateConfig(run=run.path))


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


HOSTILE = "test/NORMAL/<img src=x onerror=alert(1)>.jpeg"


@pytest.fixture(scope="module")
def page(evaluated: tuple[RunFolder, Evaluation], phantoms: Path) -> str:
    """A report with a film whose name is an attack."""
    run, evaluation = evaluated
    _, films = read_evaluation(run, "test")
    worst = film(HOSTILE, "NORMAL", 12.0, "hostile").model_copy(update={"prediction": "PNEUMONIA"})
    return evaluation_page(run, evaluation, [worst, *films], phantoms)


def test_a_page_escapes_names_and_asks_nobody(page: str):
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)


def test_every_picture_has_words_and_every_figure_its_data(page: str):
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) > 8
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)
    assert page.count("Data of this figure") == 7
    assert "misses" in page
    assert "Not a medical device" in page


def test_figures_can_be_had_twice_and_without_positives(evaluated: tuple[RunFolder, Evaluation], trained: RunFolder):
    from pneumocli import plots
    from pneumocli.scores import Scores

    run, evaluation = evaluated
    _, films = read_evaluation(run, "test")
    scores = Scores.of(films, 1.7)
    assert svg(plots.roc_figure(evaluation, scores)).startswith("<svg")
    assert png(plots.calibration_figure(evaluation, scores)).startswith(b"\x89PNG")
    card = load_best(trained.best_file)[1]
    healthy = [row for row in films if row.label == "NORMAL"]
    lonely = evaluate_predictions(healthy, card=card, split="test", run="x")
    for draw in (plots.roc_figure, plots.pr_figure, plots.histogram_figure, plots.calibration_figure):
        assert png(draw(lonely, Scores.of(healthy, 1.0))).startswith(b"\x89PNG")


def test_a_comparison_of_three_runs(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    first, _ = evaluated
    runs = [first, *(copy_of(first, tmp_path / name) for name in ("second", "third"))]
    for number, run in enumerate(runs[1:], start=1):  # two more seeds of the same settings, as far as config.json tells
        stored = json.loads(run.config_file.read_text())
        run.config_file.write_text(json.dumps(stored | {"seed": number}))
    output = tmp_path / "comparison"
    comparison = compare(CompareConfig(runs=tuple(run.path for run in runs), output=output))
    assert {file.name for file in output.iterdir()} == {"comparison.json", "comparison.png", "comparison.html"}
    stored = json.loads((output / "comparison.json").read_text())
    assert set(stored["differences"][0]) == {
        "run_a", "run_b", "metric", "a", "b", "difference", "low", "high", "p_value", "method",
    }  # fmt: skip
    assert {row.method.split(",")[0] for row in comparison.differences} >= {"exact McNemar", "DeLong"}
    assert all(row.difference in (0, None) for row in comparison.differences)
    assert "equally accurate" in comparison.sentence
    assert comparison.holm_p_values is not None
    assert len(comparison.holm_p_values) == 3
    (group,) = comparison.seed_groups
    assert group.runs == ("scratch", "second", "third")
    assert group.metrics["accuracy"]["sd"] == 0
    assert assignment_results(comparison) is None
    assert "Films that changed sides" in comparison_page(comparison, _compared(runs))


def _compared(runs: list[RunFolder]):
    from pneumocli.comparison import Compared
    from pneumocli.scores import Scores

    found = []
    for run in runs:
        evaluation, films = read_evaluation(run, "test")
        found.append(Compared(run.name, run, evaluation, films, Scores.of(films, evaluation.temperature)))
    return found


def test_a_comparison_refuses_what_cannot_be_paired(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run, _ = evaluated
    with pytest.raises(RunError, match="named twice"):
        compare(CompareConfig(runs=(run.path, run.path)))
    a, b = _compared([run, run])
    from dataclasses import replace

    from pneumocli.comparison import _check_same_films

    b = replace(b, name="other")
    fewer = replace(b, films=b.films[1:])
    with pytest.raises(RunError, match=r"only scratch has 1 \("):
        _check_same_films(a, fewer)
    other = replace(b, evaluation=b.evaluation.model_copy(update={"data_fingerprint": "0" * 64}))
    with pytest.raises(RunError, match="have another content"):
        _check_same_films(a, other)


def test_the_assignments_file_is_in_percent(evaluated: tuple[RunFolder, Evaluation]):
    from pneumocli.comparison import _described
    from pneumocli.records import Comparison, Metric

    run, _ = evaluated
    described = _described(_compared([run])[0])
    scratch = described.model_copy(
        update={"metrics": {"accuracy": Metric(value=0.8974, low=None, high=None, method="x")}}
    )
    transfer = described.model_copy(
        update={
            "initial_weights": "IMAGENET1K_V1",
            "metrics": {"accuracy": Metric(value=0.9519, low=None, high=None, method="x")},
        }
    )
    comparison = Comparison(
        runs=(transfer, scratch), split="test", num_images=1, num_patients=1, data_fingerprint="", sentence="",
        differences=(), holm_p_values=None, seed_groups=(), bootstrap_seed=0,
    )  # fmt: skip
    results = assignment_results(comparison)
    assert results is not None
    assert results.model_dump() == {
        "from_scratch_accuracy": 89.74, "transfer_learning_accuracy": 95.19, "improvement": 5.45,
    }  # fmt: skip


def test_the_sentence_says_whether_it_could_be_chance():
    from pneumocli.comparison import sentence
    from pneumocli.records import Difference

    def row(low: float, high: float, p: float) -> Difference:
        return Difference(
            run_a="a", run_b="b", metric="accuracy", a=0.9, b=0.92, difference=0.02, low=low, high=high, p_value=p,
            method="x",
        )  # fmt: skip

    chance = sentence(["a", "b"], [row(-0.01, 0.05, 0.2)])
    assert chance.startswith(
        "b is more accurate than a by 2.0 percentage points (95 % interval -1.0 to 5.0), p = 0.200"
    )
    assert chance.endswith("which could be chance.")
    assert "more than chance" in sentence(["a", "b"], [row(0.01, 0.03, 0.0005)])
    assert "p < 0.001" in sentence(["a", "b"], [row(0.01, 0.03, 0.0005)])


@pytest.mark.slow
@pytest.mark.parametrize("size", ["1280,900", "390,844"])
def test_the_page_opens_in_a_browser_without_a_complaint(size: str, page: str, tmp_path: Path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        flags += ["--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--v=0"]
        flags += [f"--user-data-dir={profile}", f"--window-size={size}", f"--screenshot={tmp_path / 'page.png'}"]
        argv = [browser, *flags, file.as_uri()]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert (tmp_path / "page.png").stat().st_size > 20_000, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    assert np.frombuffer((tmp_path / "page.png").read_bytes()[16:20], ">u4")[0] == int(size.split(",", maxsplit=1)[0])
