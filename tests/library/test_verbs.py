"""Every verb as a program or a notebook calls it: settings as keywords, paths as text, a config beside them."""

import inspect
from pathlib import Path

import pytest

import pneumocli as pneumo
from pneumocli.core.config import PredictConfig, TrainConfig
from pneumocli.core.errors import SettingError
from pneumocli.core.events import FileWritten, Remark
from pneumocli.data.phantom import write_phantoms
from pneumocli.library.settings import config_of
from pneumocli.metrics.records import Evaluation
from pneumocli.run_folder import RunFolder
from tests.conftest import copy_of, tiny

# Pictures are drawn in tests/reporting, and whole evaluations in the fixture "evaluated" and in the slow tests.
pytestmark = pytest.mark.usefixtures("saved")


@pytest.mark.slow
def test_evaluate_takes_a_run_as_text_and_settings_as_keywords(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run, measured = copy_of(evaluated[0], tmp_path / "run"), evaluated[1]
    events = []
    again = pneumo.evaluate(str(run.path), events.append, seed=1)
    assert again.metrics["accuracy"].value == measured.metrics["accuracy"].value
    assert again.bootstrap_seed == 1
    assert [event.path for event in events if isinstance(event, FileWritten)] == [
        run.evaluation_folder("test").report_file
    ]
    assert pneumo.RunFolder(str(run.path)).evaluation() == again
    pneumo.evaluate(pneumo.EvaluateConfig(run=run.path, seed=1), seed=0)
    assert pneumo.RunFolder(run).evaluation("test").bootstrap_seed == 0


def test_evaluate_takes_anybodys_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"a{i}.png,{'PNEUMONIA' if i % 2 else 'NORMAL'},{i / 40}" for i in range(40)]
    Path("scores.csv").write_text("\n".join(["image,label,probability", *rows]) + "\n")
    found = pneumo.evaluate(predictions="scores.csv", name="reader")
    assert found.num_images == 40
    assert repr(found).startswith("<Evaluation of reader: 40 films, accuracy 50.0%")
    assert (tmp_path / "evaluations/reader/report.html").is_file()


def test_predict_takes_films_and_a_run_or_a_model(trained: RunFolder, phantoms: Path):
    films = sorted((phantoms / "test").rglob("*.jpeg"))
    for model in (trained.path, trained.onnx_file, str(trained.best_file)):
        (answer,) = pneumo.predict(films[0], model=model)
        assert answer.error is None
    assert len(list(pneumo.predict([films[0], str(films[1])], str(films[2]), run=trained))) == 3
    (answer,) = pneumo.predict(pneumo.PredictConfig(inputs=(str(films[0]),), run=trained.path), threshold=0)
    assert answer.prediction == "PNEUMONIA"
    with pytest.raises(TypeError, match="found int"):
        pneumo.predict(3)
    with pytest.raises(TypeError, match="found PredictConfig"):  # its own films would be all
        pneumo.predict(pneumo.PredictConfig(inputs=(str(films[0]),), run=trained.path), films[1])
    with pytest.raises(pneumo.PneumoError, match="no film is named"):
        pneumo.predict(run=trained)


def test_an_error_while_answers_are_made_has_its_hint(trained: RunFolder, phantoms: Path, tmp_path: Path):
    film = next((phantoms / "test").rglob("*.jpeg"))
    (tmp_path / "file").touch()
    answers = pneumo.predict(film, run=trained, csv=tmp_path / "file" / "answers.csv")
    with pytest.raises(pneumo.PneumoError) as error:
        next(answers)
    assert error.value.__notes__ == ["hint: choose another place"]


def test_runs_are_named_as_text_too(trained: RunFolder):
    assert pneumo.RunFolder.open(str(trained.path)).path == trained.path
    assert pneumo.RunFolder.open_finished(str(trained.path)).finished
    assert pneumo.RunFolder.latest_finished(str(trained.path.parent)).finished


def test_compare_takes_runs_one_by_one(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run = copy_of(evaluated[0], tmp_path / "a", evaluations=True)
    other = copy_of(evaluated[0], tmp_path / "b", evaluations=True)
    found = pneumo.compare(str(run.path), other, output=str(tmp_path / "comparison"), seed=3)
    assert [item.name for item in found.runs] == ["a", "b"]
    assert found.bootstrap_seed == 3
    assert (tmp_path / "comparison" / "comparison.html").is_file()
    listed = pneumo.compare([str(run.path), other], output=str(tmp_path / "comparison"), seed=3)
    assert listed == found
    for alone in (str(run.path), [run.path]):
        with pytest.raises(pneumo.PneumoError, match="expected 2 or more, found 1"):
            pneumo.compare(alone)


@pytest.mark.slow
def test_train_resume_and_runs_take_keywords(phantoms: Path, tmp_path: Path):
    config = tiny(phantoms, tmp_path / "runs" / "a", epochs=1)
    run = pneumo.train(config)
    other = pneumo.train(data=str(phantoms), run_dir=str(tmp_path / "runs" / "b"), image_size=32, device="cpu",
                         batch_size=16, epochs=1, val_fraction=0.25)  # fmt: skip
    assert (run.config().image_size, other.config().image_size) == (64, 32)
    again = pneumo.train(run.config(), run_dir=other, epochs=1, image_size=32, batch_size=16, until_done=True)
    assert again.path == other.path
    assert len(pneumo.resume(str(other.path), epochs=2).history()) == 2
    assert [item.name for item in pneumo.runs(tmp_path / "runs", sort="age")] == ["b", "a"]


@pytest.mark.slow
def test_verify_data_download_and_doctor(tmp_path: Path):
    done = pneumo.download(source="phantom", data=str(tmp_path / "films"))
    assert done.check.num_images > 0
    assert not pneumo.verify_data(str(tmp_path / "films"), quick=True).problems
    assert pneumo.doctor().checks


def test_recalibrate_takes_a_run_as_text(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    write_phantoms(tmp_path / "other", num_train=24, num_val=0, num_test=0, short_sides=(90, 130), seed=9)
    with pytest.raises(pneumo.PneumoError, match=r"expected at least 10|does not tell these films apart") as caught:
        pneumo.recalibrate(str(run.path), data=str(tmp_path / "other"))
    assert any(note.startswith("hint: ") for note in caught.value.__notes__)


def test_settings_have_the_short_names_of_the_command_line():
    short = config_of(TrainConfig, None, {"lr": 0.01, "mirror": False})
    assert (short.learning_rate, short.mirror) == (0.01, False)
    assert config_of(PredictConfig, ("a.png",), {"all": True}, "inputs").every
    with pytest.raises(pneumo.PneumoError, match="no_mirror is no setting here"):
        config_of(TrainConfig, None, {"no_mirror": True})
    with pytest.raises(pneumo.PneumoError, match="learning_rate is given 2 times, expected once"):
        config_of(TrainConfig, None, {"lr": 0.01, "learning_rate": 0.1})


def test_a_setting_that_is_none_is_named_with_the_one_that_was_meant():
    with pytest.raises(pneumo.PneumoError, match="splitt is no setting here: expected one of run, data") as caught:
        pneumo.evaluate("runs/transfer", splitt="val")
    assert caught.value.__notes__ == ["hint: did you mean split?"]
    with pytest.raises(pneumo.PneumoError, match=r"--batch-size: expected 1 or more \(found 0\)"):
        pneumo.train(batch_size=0)


def test_an_error_names_what_to_do_below_its_traceback(tmp_path: Path):
    with pytest.raises(pneumo.PneumoError, match="no run folder at") as caught:
        pneumo.evaluate(tmp_path / "none")
    assert caught.value.__notes__ == ["hint: pneumo train makes one; pneumo runs shows what there is"]


@pytest.mark.parametrize("name", ["train", "resume", "evaluate", "predict", "compare", "verify_data", "download"])
def test_every_setting_stands_in_signature_and_help(name: str):
    verb = getattr(pneumo, name)
    models = {"verify_data": "VerifyData"}
    fields = getattr(pneumo, f"{models.get(name, name.title())}Config").model_fields
    parameters = inspect.signature(verb).parameters
    argument = {"evaluate": "run", "resume": "resume", "predict": "inputs", "compare": "runs", "verify_data": "data"}
    keywords = set(fields) - {argument.get(name), "every"}
    assert keywords <= set(parameters)
    assert all(f"    {keyword}: " in (verb.__doc__ or "") for keyword in keywords)


def test_progress_is_silent_in_a_program_unless_asked_for(trained: RunFolder, phantoms: Path, capsys):
    film = next((phantoms / "test").rglob("*.jpeg"))
    list(pneumo.predict(film, run=trained))
    assert capsys.readouterr() == ("", "")
    list(pneumo.predict(film, run=trained, progress=True))
    assert "model.onnx (--run)" in capsys.readouterr().err
    seen: list[object] = []
    list(pneumo.predict(film, run=trained, listener=seen.append, progress=True))
    assert capsys.readouterr().err == ""
    assert any(isinstance(event, Remark) for event in seen)


def test_a_file_is_no_config():
    with pytest.raises(SettingError, match="config: expected a TrainConfig, found str"):
        pneumo.train("settings.toml")
