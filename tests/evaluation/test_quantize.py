"""A model file on 8-bit integers: made, proven, refused, and used beside the float32 one."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from pneumocli.cli.app import app
from pneumocli.core.config import EvaluateConfig, PredictConfig, QuantizeConfig
from pneumocli.core.errors import CheckFailed, ModelFileError, RunError, SettingError
from pneumocli.core.events import Event, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.core.settings import validated
from pneumocli.evaluation import quantize as module
from pneumocli.evaluation.evaluate import evaluate
from pneumocli.evaluation.quantize import Quantized, quantize
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.predict import predict
from pneumocli.inference.scoring import score_films
from pneumocli.model.card import GroupFigure, Int8Card, Int8Proof
from pneumocli.model.onnx_file import card_text, int8_text
from pneumocli.run_folder import RunFolder
from pneumocli.shift.conformal import refer_limits
from tests.conftest import change_card, copy_of

# Pictures are drawn in tests/reporting, and whole evaluations in the fixture "evaluated" and in the slow tests.
pytestmark = pytest.mark.usefixtures("saved", "nearly_tied")


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """What the quantisation of ``made`` reported."""
    return []


@pytest.fixture(scope="module")
def made(
    trained: RunFolder, tmp_path_factory: pytest.TempPathFactory, events: list[Event], nearly_tied: None
) -> tuple[RunFolder, Quantized]:
    """A run with its file on integers: read it, never change it."""
    run = copy_of(trained, tmp_path_factory.mktemp("quantized") / "scratch")
    limits = refer_limits([-2.0, -1, -3, -4] * 5 + [2.0, 1, 3, 4] * 5, [0] * 20 + [1] * 20, 0.2)
    change_card(run, refer=limits)
    return run, quantize(QuantizeConfig(run=run.path), events.append)


def test_the_file_is_smaller_and_proven(made: tuple[RunFolder, Quantized]):
    run, done = made
    file = run.path / "model-int8.onnx"
    assert done.size_bytes == file.stat().st_size < run.onnx_file.stat().st_size / 3
    card = Int8Card.model_validate_json(int8_text(file) or "")
    assert card == done.card
    assert card.parent_sha256 == run.model_sha256
    assert 0 < card.proof.mean_difference <= module.LARGEST_MEAN_DIFFERENCE
    assert card.proof.map_correlation > 0.99
    assert int8_text(run.onnx_file) is None
    old, new = json.loads(card_text(run.onnx_file)), json.loads(card_text(file))
    assert {name for name in old if old[name] != new[name]} == {"refer"}  # limits hold for the scores they came from
    assert new["refer"]["alpha"] == old["refer"]["alpha"]


def test_each_wait_is_a_task_that_comes_to_its_end(made: tuple[RunFolder, Quantized], events: list[Event]):
    started = [event for event in events if isinstance(event, TaskStarted)]
    assert [(event.task, event.total, event.unit) for event in started if event.task != "hashing films"] == [
        ("reading validation films", 26, "films"),
        ("correcting layers", 19, "layers"),
        ("comparing with float32", 52, "films"),
    ]
    for event in started:
        done = [one.completed for one in events if isinstance(one, TaskAdvanced) and one.task == event.task]
        assert done == sorted(set(done))
        assert done[-1] == event.total
        assert TaskFinished(event.task) in events


def test_its_logits_are_what_the_proof_states(made: tuple[RunFolder, Quantized]):
    run, done = made
    films = run.manifest().of("val")
    paths = [films.path(row) for row in films.rows]
    pair = [Classifier.of_run(run.in_precision(precision), throughput=True) for precision in ("fp32", "int8")]
    before, after = ([item.logit for item in score_films(one, paths)] for one in pair)
    difference = np.abs(np.subtract(after, before))
    assert difference.max() == pytest.approx(done.card.proof.largest_difference, abs=1e-4)
    assert difference.mean() == pytest.approx(done.card.proof.mean_difference, abs=1e-4)
    reference = pair[1].reference
    assert reference is not None
    stored = reference.films.rows().logits
    assert all(np.abs(np.array(after, np.float32) - logit).min() < 1e-4 for logit in stored)


def test_evaluations_are_kept_apart(made: tuple[RunFolder, Quantized], tmp_path: Path, saved: object):
    run = copy_of(made[0], tmp_path / "run")
    before = run.card_file.read_bytes()
    found = evaluate(EvaluateConfig(run=run.path, precision="int8"))
    assert (found.precision, found.run) == ("int8", "run (int8)")
    assert found.model_sha256 == run.in_precision("int8").model_sha256 != run.model_sha256
    assert (run.path / "evaluations-int8" / "test" / "metrics.json").is_file()
    assert not (run.path / "evaluations").exists()
    assert run.card_file.read_bytes() == before


def test_predictions_and_heat_maps(made: tuple[RunFolder, Quantized], phantoms: Path, tmp_path: Path):
    film = min((phantoms / "test").rglob("*.jpeg"))
    config = PredictConfig(inputs=(str(film),), run=made[0].path, precision="int8", explain=tmp_path / "maps")
    predictions = predict(config)
    assert predictions.classifier.file.name == "model-int8.onnx"
    (answer,) = predictions
    (named,) = predict(PredictConfig(inputs=(str(film),), model=made[0].path / "model-int8.onnx"))
    assert answer == named
    assert (tmp_path / "maps" / f"{film.name}.png").is_file()


def test_the_run_records_the_file_of_integers_beside_the_others(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    (run.path / "model-int8.onnx").write_bytes(b"any")
    run.record_int8_file()
    assert run.result().sha256.keys() == {*trained.result().sha256, "model-int8.onnx"}
    assert run.result().finished_utc == trained.result().finished_utc  # the latest finished run is found by it


def test_a_run_without_the_file_says_how_to_make_it(trained: RunFolder):
    for use in (
        lambda: evaluate(EvaluateConfig(run=trained.path, precision="int8")),
        lambda: predict(PredictConfig(inputs=("film.png",), run=trained.path, precision="int8")),
    ):
        with pytest.raises(ModelFileError, match=r"has no model-int8.onnx: expected a quantized run") as error:
            use()
        assert error.value.hint == f"pneumo quantize {trained.path}"


def test_another_file_in_its_place_is_refused(made: tuple[RunFolder, Quantized], tmp_path: Path):
    run = copy_of(made[0], tmp_path / "run")
    file = run.path / "model-int8.onnx"
    file.write_bytes(file.read_bytes() + b"\x00")
    for use in (lambda: run.in_precision("int8"), lambda: Classifier.load(file)):
        with pytest.raises(ModelFileError, match=r"is not the file that pneumo quantize .* wrote") as error:
            use()
        assert error.value.hint == f"pneumo quantize {run.path}"


@pytest.mark.slow
def test_beyond_the_bounds_nothing_is_written(trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = copy_of(trained, tmp_path / "run")
    before = sorted((file, file.stat().st_mtime_ns) for file in run.path.rglob("*"))
    monkeypatch.setattr(module, "LARGEST_DIFFERENCE", 1e-6)
    with pytest.raises(CheckFailed, match=r"largest difference of a logit: .* expected at most 1e-06"):
        quantize(QuantizeConfig(run=run.path))
    assert sorted((file, file.stat().st_mtime_ns) for file in run.path.rglob("*")) == before


@pytest.mark.parametrize(
    ("pairs", "changed", "refused"),
    [
        (3, 1, None),
        (4, 0, r"difference in AUROC, in points: 2\.778, expected at most 2\.08333\."),
        (0, 2, r"films that change sides: 2, expected at most 1\."),
    ],
)
def test_among_few_films_one_may_change_sides_and_three_pairs_their_order(
    trained: RunFolder, pairs: int, changed: int, refused: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "LARGEST_AUROC_DIFFERENCE", 0.002)
    monkeypatch.setattr(module, "LARGEST_SHARE_CHANGED", 0.01)
    films = trained.manifest().of("val")
    num_pairs = (num_pneumonia := sum(row.label for row in films.rows)) * (len(films) - num_pneumonia)
    assert num_pairs == 144
    difference = 53 / num_pairs - (53 - pairs) / num_pairs
    assert difference > 3 / num_pairs or pairs == 0  # three pairs are too many for floats
    proof = Int8Proof(
        num_films=len(films), mean_difference=0.01, largest_difference=0.02, num_changed=changed, map_correlation=1,
        auroc=GroupFigure(value=-difference, low=-0.1, high=0.1), speed=2,
    )  # fmt: skip
    with pytest.raises(CheckFailed, match=refused) if refused else nullcontext():
        module._check(proof, trained, films)


def test_groups_are_refused(trained: RunFolder, tmp_path: Path):
    group = copy_of(trained, tmp_path / "group")
    group.write_config(group.config().model_copy(update={"folds": 2, "val_fraction": 0.1}))
    with pytest.raises(RunError, match=r"the group .* cannot be quantized: expected a single run"):
        quantize(QuantizeConfig(run=group.path))
    with pytest.raises(RunError, match=r"the group .* cannot be run as int8"):
        group.in_precision("int8")


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (PredictConfig, {"inputs": ("a",), "precision": "int8", "device": "cuda"}, "runs on the CPU, not on --device"),
        (PredictConfig, {"inputs": ("a",), "precision": "int8", "model": "m.onnx"}, "--model names one"),
        (EvaluateConfig, {"run": "r", "precision": "int8", "device": "mps"}, "runs on the CPU, not on --device mps"),
    ],
)
def test_what_contradicts_int8_is_refused(config, values, message: str):
    with pytest.raises(SettingError, match=message):
        validated(config, values)


@pytest.mark.slow
def test_the_command_prints_the_proof_and_where_int8_is_not_faster(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run = copy_of(trained, tmp_path / "run")
    monkeypatch.setattr(module, "_WORTHWHILE", 1000.0)
    with pytest.raises(SystemExit) as stop:
        app(["quantize", str(run.path)])
    assert stop.value.code == 0
    printed = capsys.readouterr()
    assert "films that change sides" in printed.out
    assert f"pneumo predict FILMS --run {run.path} --precision int8" in printed.out.replace("\n", "")
    assert "int8 is not faster on this machine" in printed.err
