"""continuation.py: what is left to do where the same command is given again."""

import multiprocessing
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import RunError
from pneumocli.core.files import utc_now
from pneumocli.core.locks import mark_of
from pneumocli.core.records import RunResult
from pneumocli.run_folder import RunFolder, being_made
from pneumocli.training.continuation import NextStep, next_step


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def asked(**settings: object) -> TrainConfig:
    return TrainConfig.model_validate({"run_dir": "run", "epochs": 4} | settings)


def begun(path: str = "run", **settings: object) -> RunFolder:
    """What a training leaves that was stopped before its first epoch was done."""
    run = RunFolder(Path(path))
    run.write_config(asked(**settings))
    run.manifest_file.write_text("image,label,kind,patient,split,sha256\n")
    run.environment_file.write_text("{}")
    return run


def unfinished(path: str = "run", **settings: object) -> RunFolder:
    run = begun(path, **settings)
    run.checkpoint_file.write_bytes(b"a checkpoint, which is not opened to decide")
    return run


def finished(path: str = "run", *, num_epochs: int = 4, stopped_early: bool = False, **settings: object) -> RunFolder:
    run = unfinished(path, **settings)
    values = {
        "finished_utc": utc_now(), "num_epochs": num_epochs, "stopped_early": stopped_early, "best_epoch": 1,
        "val_auroc": 0.9, "val_accuracy": 0.9, "seconds": 1, "images_per_second": 1, "peak_memory_bytes": 1,
        "time_shares": {}, "num_unreadable": 0, "unreadable": (), "sha256": {},
    }  # fmt: skip
    run.write_result(RunResult.model_validate(values))
    return run


def refused(config: TrainConfig, *, restarted: bool = False) -> RunError:
    before = files(Path())
    with pytest.raises(RunError) as caught:
        next_step(config, restarted=restarted)
    assert files(Path()) == before, "a refusal changes nothing"
    return caught.value


def files(folder: Path) -> dict[str, bytes | None]:
    return {str(item): item.read_bytes() if item.is_file() else None for item in folder.rglob("*")}


def test_a_place_that_is_free_is_started():
    assert next_step(asked(), restarted=False) == NextStep("start", Path("run"))
    assert next_step(asked(run_dir=None), restarted=False) == NextStep("start", Path("runs/scratch"))
    assert next_step(asked(run_dir=None, pretrained=True), restarted=False) == NextStep("start", Path("runs/transfer"))


def test_an_unfinished_run_is_resumed():
    unfinished()
    assert next_step(asked(), restarted=False) == NextStep("resume", Path("run"))
    assert next_step(asked(epochs=9), restarted=False) == NextStep("resume", Path("run"), epochs=9)
    step = next_step(asked(device="cpu"), restarted=False)
    assert step == NextStep("resume", Path("run"), device="cpu")
    assert step.resume_config().device == "cpu"


def test_without_a_run_dir_the_default_name_itself_is_continued():
    unfinished("runs/scratch", run_dir=None)
    unfinished("runs/scratch-2", run_dir=None)
    assert next_step(asked(run_dir=None), restarted=False) == NextStep("resume", Path("runs/scratch"))


def test_the_same_folders_under_other_paths_are_the_same_settings(tmp_path: Path):
    unfinished(data="films")
    assert next_step(asked(data=tmp_path / "films", run_dir=tmp_path / "run"), restarted=False).action == "resume"


def test_a_finished_run_is_done():
    finished()
    assert next_step(asked(), restarted=False) == NextStep("done", Path("run"))


def test_a_run_that_stopped_early_is_done_whatever_the_epochs():
    finished(num_epochs=3, stopped_early=True, patience=2)
    assert next_step(asked(patience=2), restarted=False).action == "done"
    assert next_step(asked(patience=2, epochs=40), restarted=False).action == "done"


def test_more_epochs_train_on():
    run = finished()
    assert next_step(asked(epochs=6), restarted=False) == NextStep("resume", Path("run"), epochs=6)
    run.write_config(asked(epochs=6))  # killed before the resume removed result.json
    assert next_step(asked(epochs=6), restarted=False) == NextStep("resume", Path("run"))


def test_more_epochs_need_the_checkpoint():
    finished().checkpoint_file.unlink()
    assert next_step(asked(), restarted=False).action == "done"
    assert "lost its last.pt: it cannot be trained to 6" in refused(asked(epochs=6)).message


@pytest.mark.parametrize("make", [unfinished, finished])
def test_other_settings_are_refused_with_each_difference(make):
    make(patience=5)
    error = refused(asked(learning_rate=0.01, seed=7, cache=False, epochs=9, device="cpu"))
    assert error.message == (
        "the run run has other settings: --learning-rate: found 0.001, asked for 0.01; "
        "--cache: found on, asked for off; --patience: found 5, asked for none; --seed: found 0, asked for 7"
    )
    assert error.hint == "pneumo train --resume run continues it with its own; otherwise choose another --run-dir"


def test_what_a_start_left_is_replaced():
    run = begun(seed=3)  # other settings: nothing has been trained with them
    (run.path / ".last.pt.x1y2.part").write_bytes(b"half a checkpoint")
    (run.path / ".config.json.x1y2.part").write_bytes(b"")
    run.tensorboard_folder.mkdir()
    (run.tensorboard_folder / "events.out.tfevents.1").write_bytes(b"")
    assert next_step(asked(), restarted=False) == NextStep("start", Path("run"))
    assert not Path("run").exists()


@pytest.mark.parametrize("left", [[], [".config.json.x1y2.part"]])
def test_a_folder_without_a_whole_file_is_replaced(left: list[str]):
    Path("run").mkdir()
    for name in left:
        (Path("run") / name).touch()
    assert next_step(asked(), restarted=False) == NextStep("start", Path("run"))
    assert not Path("run").exists()


@pytest.mark.parametrize("name", ["notes.txt", "best.pt", "history.csv", ".hidden.part"])
def test_a_start_with_more_than_a_start_leaves_is_refused(name: str):
    (begun().path / name).touch()
    assert "cannot be continued: it has no last.pt, but more than a start leaves" in refused(asked()).message


def test_a_folder_that_is_no_run_is_refused():
    Path("run").mkdir()
    Path("run/manifest.csv").write_text("image,label\n")  # somebody's table, not a run's for want of a config.json
    assert "run is no run folder: it has no config.json, but other files" in refused(asked()).message
    Path("run/config.json").write_text('{"model": "another program\'s"}')
    assert refused(asked()).message
    shutil.rmtree("run")
    Path("run").write_text("a file")
    assert "run is no folder" in refused(asked()).message
    Path("run").unlink()
    Path("run").symlink_to("nowhere")
    assert "run is no folder" in refused(asked()).message


def test_a_start_in_use_is_refused():
    with begun().locked():
        assert "another process is training into run" in refused(asked()).message


def test_what_a_killed_process_leaves_on_a_share_without_locks_is_replaced():
    mark = mark_of(begun().manifest_file)
    mark.write_text("")
    assert next_step(asked(), restarted=False) == NextStep("start", Path("run"))
    assert list(Path.cwd().iterdir()) == []


def start(folder: Path, ready, stop, answers) -> None:
    """As a job does that is given a folder: makes the run, or finds that another one has."""
    run = RunFolder(folder / "run")
    ready.wait(30)
    try:
        step = next_step(TrainConfig(run_dir=run.path, epochs=4), restarted=False)
        assert step.action == "start"
        with ExitStack() as lock:
            with being_made(run.path):
                RunFolder.create(run.path, pretrained=False)
                run.write_config(TrainConfig(run_dir=run.path, epochs=4))
                run.manifest_file.touch()
                lock.enter_context(run.locked())
            answers.put("made")
            stop.wait(30)
    except RunError as error:
        answers.put(error.message.replace(str(run.path), "RUN"))


@pytest.mark.slow  # real processes
def test_of_jobs_that_start_one_run_at_the_same_time_one_trains(tmp_path: Path):
    """Twice in the same folder: new, then with what the killed processes of the first time left there."""
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        ready, stop, answers = context.Barrier(4), context.Event(), context.Queue()
        jobs = [context.Process(target=start, args=(tmp_path, ready, stop, answers)) for _ in range(4)]
        for job in jobs:
            job.start()
        found = sorted(answers.get(timeout=240) for _ in jobs)  # four of them import torch beside other tests
        assert found.count("made") == 1, found
        assert set(found) <= {"made", "the run folder RUN exists already", "another process is training into RUN"}
        for job in jobs:
            job.kill()
            job.join()
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


class TestAfterARestartByTorchrun:
    """Nobody asked to continue: only what this command itself can have left may be touched."""

    def test_the_run_goes_on(self):
        unfinished()
        assert next_step(asked(), restarted=True) == NextStep("resume", Path("run"))

    def test_a_finished_run_is_done(self):
        finished()
        assert next_step(asked(), restarted=True).action == "done"

    def test_a_start_is_replaced(self):
        begun()
        assert next_step(asked(), restarted=True) == NextStep("start", Path("run"))

    @pytest.mark.parametrize("make", [begun, unfinished, finished])
    def test_other_settings_are_refused_epochs_and_device_too(self, make):
        make()
        message = refused(asked(epochs=9, device="cpu"), restarted=True).message
        assert "--epochs: found 4, asked for 9; --device: found auto, asked for cpu" in message

    def test_without_a_run_dir_the_last_run_goes_on_if_it_can_be_this_ones(self):
        assert next_step(asked(run_dir=None), restarted=True) == NextStep("start", None)
        finished("runs/scratch", run_dir=None)  # an older one: the first start took the next free name, or took none
        assert next_step(asked(run_dir=None), restarted=True) == NextStep("start", None)
        unfinished("runs/scratch-2", run_dir=None)
        assert next_step(asked(run_dir=None), restarted=True) == NextStep("resume", Path("runs/scratch-2"))
        unfinished("runs/scratch-3", run_dir=None, seed=1)
        assert next_step(asked(run_dir=None), restarted=True) == NextStep("start", None)
