"""folds.py, fold_group.py, ensemble.py: runs that each hold out another part of the films, as one model."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import numpy as np
import pytest

from pneumocli.core.config import CompareConfig, EvaluateConfig, ResumeConfig, RunsConfig, TrainConfig
from pneumocli.core.errors import DataError, ModelFileError, RunError, SettingError
from pneumocli.core.events import Event, Listener, Remark, ignore
from pneumocli.core.settings import validated
from pneumocli.data.images import fit_film, read_film
from pneumocli.data.manifest import COLUMNS
from pneumocli.evaluation.evaluate import evaluate
from pneumocli.evaluation.subject import subject_of
from pneumocli.inference.classifier import Classifier, card_of_run, logit_of
from pneumocli.library.results import RunFolder as ShownFolder
from pneumocli.metrics.calibration import fit_temperature
from pneumocli.metrics.scored_films import read_out_of_fold
from pneumocli.metrics.thresholds import choose_operating_point
from pneumocli.run_folder import RunFolder
from pneumocli.run_list import runs
from pneumocli.training import fold_group
from pneumocli.training.folds import complete_if_all_finished, train_folds
from pneumocli.training.seeds import train_seeds
from pneumocli.training.train import resume, train, train_until_done
from tests.conftest import tiny
from tests.training.test_train import RUN_FILES


def settings(films: Path, group: Path, **other: object) -> TrainConfig:
    values = {"image_size": 32, "epochs": 1, "val_fraction": 0.1, "folds": 2, "operating_point": "youden"} | other
    return tiny(films, group, **values)


@pytest.fixture(scope="session")
def grouped(phantoms: Path, made_once: Callable[[str, Callable[[Path], object]], Path]) -> RunFolder:
    """A finished group of two folds with its model file: read it, never change it (copy it first)."""
    return RunFolder(made_once("scratch-folds", lambda folder: train(settings(phantoms, folder, ensemble=True))))


def copied(group: RunFolder, folder: Path) -> RunFolder:
    """A copy of a group that a test may change, as if it had been trained there."""
    shutil.copytree(group.path, folder, ignore=shutil.ignore_patterns("evaluations", "last.pt"))
    copy = RunFolder(folder)
    for run in (copy, *copy.folds):
        run.write_config(run.config().model_copy(update={"run_dir": run.path}))
    return copy


def bringing(group: RunFolder) -> Callable[[TrainConfig, Listener], RunFolder]:
    """Instead of a training: brings the run that another machine has trained with the same settings."""

    def train_run(config: TrainConfig, _: Listener) -> RunFolder:
        assert config.run_dir is not None
        assert config.fold is not None
        shutil.copytree(group.fold(config.fold).path, config.run_dir)
        return RunFolder(config.run_dir)

    return train_run


def pixels_of(group: RunFolder, count: int = 12) -> np.ndarray:
    films = group.manifest()
    return np.stack([fit_film(read_film(films.path(row)).pixels, 32, "crop") for row in films.rows[:count]])[:, None]


def test_of_two_jobs_that_begin_a_group_together_the_first_ones_settings_stand(phantoms: Path, tmp_path: Path):
    """As the jobs of an array do, on machines that share no locks: neither sees the folder before it is whole."""
    group = tmp_path / "runs" / "group"
    both_checked = Barrier(2)

    def begin(seed: int) -> str | None:
        def waits(event: Event) -> None:
            if isinstance(event, Remark) and "2 folds by" in event.text:  # the folder was free for both
                both_checked.wait(60)

        config = settings(phantoms, group, seed=seed, fold=seed + 1)
        try:
            train_folds(config, lambda fold, _: RunFolder(group / f"fold-{fold.fold}"), waits, until_done=True)
        except RunError as error:
            return error.message
        return None

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(begin, range(2)))
    first = found.index(None)
    assert RunFolder(group).config().seed == first
    assert f"--seed: found {first}, asked for {1 - first}" in str(found[1 - first])
    assert sorted(item.name for item in group.parent.iterdir()) == ["group"]
    assert sorted(item.name for item in group.iterdir()) == ["config.json", "manifest.csv"]


@pytest.mark.slow  # the fixture trains two runs
def test_a_group_is_listed_with_its_evaluations_and_broken_where_a_fold_is(grouped: RunFolder, tmp_path: Path):
    group = copied(grouped, tmp_path / "folds")
    evaluate(EvaluateConfig(run=group.path))
    (glance,) = runs(RunsConfig(folder=group.path))
    assert (glance.state, glance.problem) == ("finished", None)
    assert set(glance.evaluations) == {"test"}
    assert list(ShownFolder(group).to_frame().index) == [1, 2]
    group.result_file.rename(group.path / "kept")
    (glance,) = runs(RunsConfig(folder=group.path))
    assert (glance.state, glance.todo) == ("unfinished", f"pneumo train --resume {group.path}")
    (group.path / "kept").rename(group.result_file)
    group.fold(2).onnx_file.unlink()
    (glance,) = runs(RunsConfig(folder=group.path))
    assert (glance.state, glance.problem) == ("broken", "fold-2/model.onnx is missing")


@pytest.mark.slow  # the fixture trains two runs
def test_a_group_holds_its_runs_and_what_they_give_together(grouped: RunFolder):
    names = {item.name for item in grouped.path.iterdir()}
    assert names == {
        "MODEL_CARD.md", "card.json", "config.json", "environment.json", "evaluations", "fold-1", "fold-2",
        "manifest.csv", "model-card.html", "model.onnx", "out-of-fold.csv", "reference.json", "result.json",
        "suspect-labels.csv", "suspect-labels.html",
    }  # fmt: skip
    assert [{item.name for item in fold.path.iterdir()} for fold in grouped.folds] == [RUN_FILES] * 2
    result = grouped.result()
    assert [fold.model_sha256 for fold in result.folds] == [fold.model_sha256 for fold in grouped.folds]
    values = [fold.result().val_accuracy for fold in grouped.folds]
    assert result.spread["val_accuracy"]["mean"] == pytest.approx(sum(values) / 2)
    assert "mean of 2 networks" in grouped.card_file.read_text()


@pytest.mark.slow  # the fixture trains two runs
def test_every_training_film_is_scored_by_the_run_that_held_it_out(grouped: RunFolder):
    films = read_out_of_fold(grouped.out_of_fold_file)
    assert [film.image for film in films] == [row.image for row in grouped.manifest().rows]
    assert len({(film.patient, film.fold) for film in films}) == grouped.manifest().num_patients
    for number, fold in enumerate(grouped.folds, start=1):
        assert {film.image for film in films if film.fold == number} == {
            row.image for row in fold.manifest().of("val").rows
        }
    pixels, first = pixels_of(grouped), films[:12]
    by_run = [logit_of(Classifier.of_run(fold).run(pixels).logits) for fold in grouped.folds]
    expected = [by_run[film.fold - 1][index] for index, film in enumerate(first)]
    np.testing.assert_allclose([film.logit for film in first], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow  # the fixture trains two runs
def test_threshold_and_temperature_come_from_the_out_of_fold_scores(grouped: RunFolder):
    films, card = read_out_of_fold(grouped.out_of_fold_file), card_of_run(grouped)
    logits, labels = [film.logit for film in films], [int(film.label == "PNEUMONIA") for film in films]
    assert card.temperature == fit_temperature(logits, labels)
    point = choose_operating_point(logits, labels, "youden", card.temperature, chosen_on="out-of-fold")
    assert card.operating_point == point
    stored = json.loads(grouped.evaluation_folder("out-of-fold").metrics_file.read_text())
    assert (stored["split"], stored["num_images"], stored["threshold"]["chosen_on"]) == (
        "out-of-fold",
        80,
        "out-of-fold",
    )
    assert (
        stored["metrics"]["auroc"]["low"] < stored["metrics"]["auroc"]["value"] == pytest.approx(card.validation.auroc)
    )


@pytest.mark.slow  # the fixture trains two runs
def test_the_model_file_gives_the_mean_of_the_runs(grouped: RunFolder):
    pixels = pixels_of(grouped)
    file = Classifier.of_run(grouped)
    assert file.file == grouped.onnx_file
    runs = [Classifier.of_run(fold).run(pixels) for fold in grouped.folds]
    mean = Classifier.of_folds(grouped.group_card_file, file.card, grouped.folds)
    for found in (file.run(pixels), mean.run(pixels)):
        for name in ("logits", "cam", "features"):
            expected = sum(getattr(run, name) for run in runs) / 2
            np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-4, atol=1e-4)
    assert file.card == card_of_run(grouped)
    assert file.card.members == tuple(fold.model_sha256 for fold in grouped.folds)
    assert file.reference == mean.reference
    assert file.reference is not None
    assert len(file.reference.labels) == sum(map(file.reference.labels.count, (0, 1))) > 20
    limits = [Classifier.of_run(fold).card.feature_model for fold in grouped.folds]
    assert file.card.feature_model not in limits


@pytest.mark.slow  # the fixture trains two runs
def test_a_group_is_taken_as_a_run_is_with_and_without_its_model_file(
    grouped: RunFolder, tmp_path: Path, saved: object
):
    with_file, without = copied(grouped, tmp_path / "with"), copied(grouped, tmp_path / "without")
    without.onnx_file.unlink()
    result = without.result()
    without.write_result(result.model_copy(update={"sha256": {"card.json": result.sha256["card.json"]}}))
    found = [evaluate(EvaluateConfig(run=group.path)) for group in (with_file, without)]
    assert found[0].metrics["log_loss"].value == pytest.approx(found[1].metrics["log_loss"].value, abs=1e-5)
    assert found[0].confusion == found[1].confusion
    assert found[1].model_sha256 == without.model_sha256 == result.sha256["card.json"]
    assert "card.json" in without.card_file.read_text()


@pytest.mark.slow  # the fixture trains two runs
def test_of_two_jobs_that_finish_the_last_runs_together_one_completes_the_group(grouped: RunFolder, tmp_path: Path):
    group = copied(grouped, tmp_path / "group")
    result = group.result()
    group.result_file.unlink()
    texts: list[str] = []
    with ExitStack() as other:
        other.enter_context(group.locked())

        def listener(event: Event) -> None:
            if isinstance(event, Remark):
                texts.append(event.text)
                if "waiting" in event.text:
                    group.write_result(result)
                    other.close()

        complete_if_all_finished(group, listener)
    assert texts == [
        f"another process is completing {group.path}: waiting for it",
        f"{group.path} is finished: nothing is left to do",
    ]


@pytest.mark.slow  # the fixture trains two runs
def test_a_group_has_no_validation_films_of_its_own(grouped: RunFolder):
    with pytest.raises(RunError, match="no validation films of its own"):
        subject_of(grouped, CompareConfig(runs=(grouped.path, grouped.path), split="val"))


@pytest.mark.slow
@pytest.mark.slow  # the fixture trains two runs
def test_the_command_that_brings_the_last_run_completes_the_group(
    grouped: RunFolder, phantoms: Path, tmp_path: Path, saved: object
):
    events: list[Event] = []
    config, bring = settings(phantoms, tmp_path / "group", ensemble=True), bringing(grouped)
    group = train_folds(config.model_copy(update={"fold": 2}), bring, events.append)
    assert not group.finished
    (text,) = [event.text for event in events if isinstance(event, Remark) and "not finished" in event.text]
    assert f"the group {group.path} is not finished: fold-1 is missing" in text
    with pytest.raises(RunError, match="has not finished: fold-1 is missing") as refusal:
        RunFolder.open_finished(group.path)
    assert refusal.value.hint == f"pneumo train --resume {group.path}"
    assert group.fold(2).continue_hint == f"pneumo train --resume {group.path}"
    train_folds(config.model_copy(update={"fold": 1}), bring)
    for name in ("out-of-fold.csv", "card.json", "model.onnx", "manifest.csv"):
        assert (group.path / name).read_bytes() == (grouped.path / name).read_bytes(), name
    assert group.result().folds == grouped.result().folds
    assert train_until_done(config).path == resume(ResumeConfig(resume=group.path)).path == group.path


class TestRefused:
    def test_a_table_of_the_users_is_no_leftover_of_a_start(self, phantoms: Path, tmp_path: Path):
        """Where a start was stopped early its manifest lies alone; a table of that name may be anybody's."""
        for header in ("image,label,my_note", ",".join(COLUMNS)):
            table = tmp_path / "manifest.csv"
            table.write_text(f"{header}\n")
            with pytest.raises(RunError, match="holds no group of folds, but other files"):
                train_until_done(settings(phantoms, tmp_path, manifest=table))
            assert table.read_text() == f"{header}\n"

    @pytest.mark.slow  # the fixture trains two runs
    def test_a_folder_that_is_there(self, grouped: RunFolder, phantoms: Path, tmp_path: Path):
        with pytest.raises(RunError, match="exists already"):
            train(settings(phantoms, grouped.path))
        (tmp_path / "notes.txt").touch()
        with pytest.raises(RunError, match="holds no group of folds, but other files"):
            train_until_done(settings(phantoms, tmp_path))

    @pytest.mark.slow  # the fixture trains two runs
    def test_other_settings(self, grouped: RunFolder, phantoms: Path):
        with pytest.raises(
            RunError, match=r"has other settings: --seed: found 0, asked for 1; --folds: found 2, asked"
        ):
            train_until_done(settings(phantoms, grouped.path, seed=1, folds=3))
        with pytest.raises(RunError, match="has runs of 1 epoch: their number cannot be changed"):
            resume(ResumeConfig(resume=grouped.path, epochs=4))

    @pytest.mark.slow  # the fixture trains two runs
    def test_a_run_of_another_group(self, grouped: RunFolder, tmp_path: Path):
        group = copied(grouped, tmp_path / "group")
        group.result_file.unlink()
        one, other = group.folds
        one.write_config(one.config().model_copy(update={"seed": 1}))
        with pytest.raises(RunError, match=r"fold-1 belongs to another group than .*--seed: found 1, expected 0"):
            complete_if_all_finished(group, lambda _: None)
        one.write_config(other.config().model_copy(update={"fold": 1}))
        shutil.copy(other.manifest_file, one.manifest_file)
        with pytest.raises(RunError, match="80 films are others or held out by another run"):
            complete_if_all_finished(group, lambda _: None)

    @pytest.mark.slow  # the fixture trains two runs
    def test_a_run_that_was_trained_again(self, grouped: RunFolder, tmp_path: Path):
        group = copied(grouped, tmp_path / "group")
        card = card_of_run(group)
        changed = card.model_copy(update={"members": card.members[::-1]})
        with pytest.raises(RunError, match="fold-1 is not the run that its group was made of"):
            Classifier.of_folds(group.group_card_file, changed, group.folds)
        group.group_card_file.write_text(changed.model_dump_json())
        with pytest.raises(ModelFileError, match=r"card.json is not the file that the training wrote"):
            card_of_run(group)

    @pytest.mark.slow  # the fixture trains two runs
    def test_films_that_change_between_two_runs(self, grouped: RunFolder, phantoms: Path, tmp_path: Path):
        films = tmp_path / "films"
        shutil.copytree(phantoms, films)
        config = settings(films, tmp_path / "group")
        bring = bringing(grouped)

        def spoil(config: TrainConfig, listener: Listener) -> RunFolder:
            found = sorted((films / "train" / "NORMAL").iterdir())
            found[0].rename(found[0].with_name("new.png"))
            shutil.copy(found[1], found[2])
            return bring(config, listener)

        with pytest.raises(RunError, match=r"began with: 1 gone \(.*\); 1 new \(train/NORMAL/new.png\); 1 changed"):
            train_folds(config, spoil)

    def test_too_few_patients_or_hard_films_before_anything_is_written(self, phantoms: Path, tmp_path: Path):
        with pytest.raises(DataError, match="patients: too few for 50 folds"):
            train(settings(phantoms, tmp_path / "group", folds=50))
        with pytest.raises(DataError, match=r"hard-balanced needs 5 hard films of each class in all folds, found"):
            train(settings(phantoms, tmp_path / "group", operating_point="hard-balanced"))
        assert not (tmp_path / "group").exists()

    def test_several_processes_and_seeds(self, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        with pytest.raises(SettingError, match="--seeds and --folds contradict each other"):
            train_seeds(settings(phantoms, tmp_path / "group"), 2)
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(SettingError, match="without torchrun for each GPU"):
            train(settings(phantoms, tmp_path / "group"))

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"folds": 5, "fold": 6}, "--fold 6 is none of --folds 5"),
            ({"fold": 1}, "--fold belongs to --folds K: add it"),
            ({"ensemble": True}, "--ensemble belongs to --folds K: add it"),
            ({"folds": 5, "val": "official"}, "use --val patient"),
            ({"folds": 5, "val_fraction": 0.2}, "--folds 5 holds out 1/5 each time: leave --val-fraction out"),
            ({"folds": 11, "ensemble": True}, "--ensemble takes at most --folds 10"),
            ({"folds": 1}, "--folds"),
        ],
    )
    def test_settings_that_contradict_each_other(self, given: dict[str, object], message: str):
        with pytest.raises(SettingError, match=message):
            validated(TrainConfig, given)


def test_films_that_no_shortcut_of_their_fold_judges_leave_the_group_without_hard_films(
    trained: RunFolder, monkeypatch: pytest.MonkeyPatch
):
    films = trained.manifest().of("val")
    folds = np.arange(len(films)) % 2 + 1
    member = SimpleNamespace(card=SimpleNamespace(shortcut_model=None))
    monkeypatch.setattr(fold_group, "acquisitions", lambda films, listener: [None] * len(films))
    monkeypatch.setattr(
        fold_group, "score_films", lambda *args, **kwargs: [SimpleNamespace(logit=1.0, error=None) for _ in args[1]]
    )
    answers = iter([np.ones(int((folds == 1).sum()), bool), None, *[np.ones(len(films) // 2, bool)] * 2])
    monkeypatch.setattr(fold_group, "hard_films", lambda *_: next(answers))
    assert fold_group._held_out([member, member], films, folds, ignore).hard is None
    both = fold_group._held_out([member, member], films, folds, ignore).hard
    assert both is not None
    assert both.all()
