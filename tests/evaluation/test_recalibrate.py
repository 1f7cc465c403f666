"""A model recalibrated on labelled films of another place."""

import hashlib
import math
from pathlib import Path

import pytest

from pneumocli.core.config import EvaluateConfig, RecalibrateConfig
from pneumocli.core.errors import DataError, ModelFileError, RunError, SettingError
from pneumocli.core.locks import locked
from pneumocli.data.manifest import scan
from pneumocli.evaluation.evaluate import evaluate
from pneumocli.evaluation.recalibrate import recalibrate
from pneumocli.inference.classifier import Classifier, card_of_run
from pneumocli.inference.scoring import score_films
from pneumocli.model.onnx_file import CARD_KEY, card_text, reference_text, with_metadata
from pneumocli.run_folder import RunFolder
from tests.conftest import copy_of
from tests.helpers.labelled import table_of

# Pictures are drawn in tests/reporting, and whole evaluations in the fixture "evaluated" and in the slow tests.
pytestmark = pytest.mark.usefixtures("saved")


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and "recalibrated" not in file.parts
    }


@pytest.fixture
def run(trained: RunFolder, tmp_path: Path) -> RunFolder:
    return copy_of(trained, tmp_path / "run")


@pytest.mark.slow
def test_a_recalibrated_model_is_used_as_a_run_and_refuses_its_films(run: RunFolder, phantoms: Path, tmp_path: Path):
    before, old = hashes(run.path), Classifier.of_run(run)
    table = table_of(tmp_path / "b.csv", phantoms, old)
    done = recalibrate(
        RecalibrateConfig(run=run.path, data=phantoms, manifest=table, name="b", operating_point="youden")
    )
    assert hashes(run.path) == before
    new_run = RunFolder.open_finished(run.path / "recalibrated" / "b")
    new = Classifier.load(new_run.onnx_file)
    film = phantoms / scan(phantoms).of("test").rows[0].image
    (was,), (now,) = score_films(old, [film]), score_films(new, [film])
    assert now.logit == pytest.approx(was.logit + done.offset, abs=1e-4)
    assert now.probability == pytest.approx(1 / (1 + math.exp(-(was.logit + done.offset) / done.temperature)), abs=1e-5)
    assert old.reference is not None
    assert new.reference != old.reference  # moved with the logits
    text = new.card.model_dump_json()
    assert film.name not in text
    assert len(new.card.recalibrated.films) == new.card.recalibrated.num_normal + new.card.recalibrated.num_pneumonia
    assert "Recalibrated on **b**" in new_run.card_file.read_text(encoding="utf-8")
    assert evaluate(EvaluateConfig(run=new_run.path, split="val")).threshold.value == done.threshold
    with pytest.raises(ModelFileError, match="runs on the CPU only"):
        Classifier.of_run(new_run, "cuda")
    with pytest.raises(DataError, match="were used to recalibrate this model on b"):
        evaluate(EvaluateConfig(run=new_run.path, data=phantoms, manifest=table))
    with pytest.raises(RunError, match="exists already"):
        recalibrate(RecalibrateConfig(run=run.path, data=phantoms, manifest=table, name="b"))


@pytest.mark.slow
def test_the_same_command_replaces_what_a_stopped_one_left(run: RunFolder, phantoms: Path, tmp_path: Path):
    table = table_of(tmp_path / "b.csv", phantoms, Classifier.of_run(run))
    config = RecalibrateConfig(run=run.path, data=phantoms, manifest=table, name="b")
    target = run.recalibrated("b")
    target.path.mkdir(parents=True)
    target.config_file.write_text("{")
    (target.path / ".model.onnx.abc.part").write_bytes(b"half")
    (target.path / "notes.txt").touch()
    with pytest.raises(RunError, match="exists already"):
        recalibrate(config)
    assert target.config_file.read_text() == "{"
    (target.path / "notes.txt").unlink()
    with locked(target.manifest_file, "held"), pytest.raises(RunError, match="another process is writing"):
        recalibrate(config)
    assert not target.finished
    recalibrate(config)
    assert target.config() == run.config()
    assert Classifier.of_run(target).card.recalibrated is not None
    assert not list(target.path.glob(".*"))
    assert "reference of" in target.card_file.read_text()


def test_films_that_are_not_told_apart_are_refused(run: RunFolder, phantoms: Path, tmp_path: Path):
    table = table_of(tmp_path / "b.csv", phantoms, Classifier.of_run(run), mixed=True)
    with pytest.raises(DataError, match="recalibration cannot mend ranking"):
        recalibrate(RecalibrateConfig(run=run.path, data=phantoms, manifest=table))
    assert not (run.path / "recalibrated").exists()


def test_too_few_patients_are_refused(run: RunFolder, phantoms: Path, tmp_path: Path):
    table = table_of(tmp_path / "b.csv", phantoms, Classifier.of_run(run), most=12)
    with pytest.raises(DataError, match="expected at least 10 of each class"):
        recalibrate(RecalibrateConfig(run=run.path, data=phantoms, manifest=table))


def test_the_films_of_the_training_are_refused(run: RunFolder, phantoms: Path):
    with pytest.raises(DataError, match="are training or validation films"):
        recalibrate(RecalibrateConfig(run=run.path, data=phantoms))


def test_a_rule_that_needs_hard_films_is_refused(run: RunFolder, phantoms: Path, tmp_path: Path):
    table = table_of(tmp_path / "b.csv", phantoms, Classifier.of_run(run))
    with pytest.raises(SettingError, match="hard-balanced needs hard films"):
        recalibrate(RecalibrateConfig(run=run.path, data=phantoms, manifest=table, operating_point="hard-balanced"))


def test_another_card_leaves_the_network_as_it_is(run: RunFolder, tmp_path: Path):
    content, card = run.onnx_file.read_bytes(), card_of_run(run)
    other, back = tmp_path / "other.onnx", tmp_path / "back.onnx"
    other.write_bytes(with_metadata(content, {CARD_KEY: card.model_copy(update={"offset": 1.5}).model_dump_json()}))
    assert '"offset":1.5' in card_text(other)
    assert reference_text(other) == reference_text(run.onnx_file)
    back.write_bytes(with_metadata(other.read_bytes(), {CARD_KEY: card_text(run.onnx_file)}))
    assert len(back.read_bytes()) == len(content)
    assert other.read_bytes().count(b"pneumo_card") == 1
