"""A stop within an epoch, and exactly the same run after it."""

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pneumocli.core.config import ResumeConfig, TrainConfig
from pneumocli.core.errors import ModelFileError, PneumoError, RunError
from pneumocli.core.events import EpochFinished, Event, Remark, TaskAdvanced, ignore
from pneumocli.core.signals import Stopped, answer_signals
from pneumocli.run_folder import RunFolder
from pneumocli.training.checkpoint import load_checkpoint
from pneumocli.training.train import resume, train, train_until_done
from tests.conftest import tiny
from tests.training.test_train import Stop, assert_same_run, stopping_after

NUM_STEPS = 7  # 54 films in batches of 8, the last of 6


@pytest.fixture(autouse=True, scope="module")
def _signals_answered() -> Iterator[None]:
    """As the command line answers them."""
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    answer_signals()
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def doing_after(films: int, what) -> object:
    """A listener that does something once so many films are done, over all epochs."""
    done: list[bool] = []

    def listen(event: Event) -> None:
        if isinstance(event, TaskAdvanced) and event.task == "training" and event.completed >= films and not done:
            done.append(True)
            what()

    return listen


def signal_self(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def raise_stop() -> None:
    raise Stop


def small(films: Path, run_dir: Path, **settings: object) -> TrainConfig:
    return tiny(films, run_dir, image_size=32, **settings)


@pytest.fixture(scope="module")
def whole_once(phantoms: Path, made_once) -> Path:
    """A run whose first epoch nothing interrupts, stopped after it: read it, never change it."""

    def fill(folder: Path) -> None:
        with pytest.raises(Stop):
            train(small(phantoms, folder), stopping_after(1))

    return made_once("uninterrupted", fill)


@pytest.fixture(scope="module")
def part_once(phantoms: Path, made_once) -> Path:
    """A run stopped by a signal within its first epoch: read it, never change it (copy it first)."""

    def fill(folder: Path) -> None:
        with pytest.raises(Stopped):
            train(small(phantoms, folder), doing_after(24, signal_self))

    return made_once("within", fill)


@pytest.fixture
def part(part_once: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(part_once, tmp_path / "part")
    return RunFolder(tmp_path / "part")


def test_a_signal_ends_at_the_next_step_with_a_checkpoint(part: RunFolder):
    assert part.continue_hint == f"pneumo train --resume {part.path}"
    assert not part.checkpoint_file.exists(), "last.pt is the end of an epoch"
    loaded = torch.load(part.within_epoch_file, weights_only=True)
    assert isinstance(loaded["part"]["loss_sums"], list)
    found = load_checkpoint(part)
    assert found.part is not None
    assert (found.progress.epoch, found.part.steps, found.part.num_films) == (0, 3, 24)
    assert 0 < found.part.first_seconds <= found.part.seconds


@pytest.mark.slow
def test_the_same_epoch_after_it_equals_an_uninterrupted_one(part: RunFolder, whole_once: Path):
    begun = load_checkpoint(part).part
    events: list[Event] = []
    with pytest.raises(Stop):
        resume(ResumeConfig(resume=part.path), lambda event: (events.append(event), stopping_after(1)(event)))
    assert_same_run(whole_once, part.path)
    assert not part.within_epoch_file.exists()
    assert [event.record.epoch for event in events if isinstance(event, EpochFinished)] == [1]
    shown = [event.completed for event in events if isinstance(event, TaskAdvanced) and event.task == "training"]
    assert shown[0] == 32, "24 films were done"
    (record,) = part.history()
    assert begun is not None
    assert record.seconds > begun.seconds, "the seconds of both sessions"
    assert record.images_per_second == pytest.approx(54 / record.seconds, rel=0.5)
    spent = load_checkpoint(part).progress.spent
    assert spent["compute"] + spent["wait"] == pytest.approx(54 / record.images_per_second, rel=0.3)


@pytest.mark.slow
def test_a_signal_during_validation_keeps_all_steps(phantoms: Path, whole_once: Path, tmp_path: Path, monkeypatch):
    from pneumocli.training import loop

    def signalled(*arguments):
        signal_self()
        return score(*arguments)

    score = loop.validation_outputs
    monkeypatch.setattr(loop, "validation_outputs", signalled)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(Stopped):
        train(small(phantoms, run.path))
    found = load_checkpoint(run).part
    assert found is not None
    assert found.steps == NUM_STEPS
    monkeypatch.setattr(loop, "validation_outputs", score)
    with pytest.raises(Stop):
        train_until_done(small(phantoms, run.path), stopping_after(1))
    assert_same_run(whole_once, run.path)


@pytest.mark.slow
def test_checkpoints_are_written_by_the_clock_and_a_kill_loses_no_more(
    phantoms: Path, whole_once: Path, tmp_path: Path, monkeypatch
):
    clock = iter(range(0, 10_000, 20))  # a look at the clock every 20 seconds
    monkeypatch.setattr("pneumocli.training.interruption.time", type("Clock", (), {"monotonic": lambda: next(clock)}))
    run = RunFolder(tmp_path / "run")
    with pytest.raises(Stop):  # as a kill: nothing is written on the way out
        train(small(phantoms, run.path, checkpoint_minutes=1), doing_after(40, raise_stop))
    found = load_checkpoint(run).part
    assert found is not None
    assert found.steps == 3, "the third look is the first to come a minute late"
    with pytest.raises(Stop):
        resume(ResumeConfig(resume=run.path), stopping_after(1))
    assert_same_run(whole_once, run.path)


@pytest.mark.slow
def test_zero_minutes_write_none(phantoms: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("pneumocli.training.interruption.time", type("Clock", (), {"monotonic": lambda: 0}))
    with pytest.raises(Stop):
        train(small(phantoms, tmp_path / "run", checkpoint_minutes=0), doing_after(40, raise_stop))
    assert not RunFolder(tmp_path / "run").can_resume


@pytest.mark.slow
def test_a_full_disk_within_an_epoch_is_reported_and_training_goes_on(
    phantoms: Path, whole_once: Path, tmp_path: Path, monkeypatch
):
    def full(run: RunFolder, *_: object) -> None:
        raise PneumoError(f"cannot write {run.within_epoch_file}: no space left on the disk")

    monkeypatch.setattr("pneumocli.training.loop.save_within_epoch", full)
    events: list[Event] = []
    run = tmp_path / "run"
    with pytest.raises(Stop):
        train(
            small(phantoms, run, checkpoint_minutes=1e-9),
            lambda event: (events.append(event), stopping_after(1)(event)),
        )
    warned = [event for event in events if isinstance(event, Remark) and "no checkpoint within epoch 1" in event.text]
    assert len(warned) == NUM_STEPS
    assert warned[0].level == "warning"
    assert "no space left on the disk; an older one serves" in warned[0].text
    assert_same_run(whole_once, run)


@pytest.mark.slow
def test_a_damaged_checkpoint_gives_way_to_the_older_one(part: RunFolder, whole_once: Path):
    content = part.within_epoch_file.read_bytes()
    part.within_epoch_file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFileError, match=r"within-epoch\.pt is damaged") as caught:
        load_checkpoint(part)
    assert caught.value.hint == f"rm {part.within_epoch_file}; the same command with --continue starts again"
    shutil.copy(whole_once / "last.pt", part.checkpoint_file)
    events: list[Event] = []
    found = load_checkpoint(part, events.append)
    assert (found.progress.epoch, found.part) == (1, None)
    (remark,) = events
    assert isinstance(remark, Remark)
    assert remark.text.endswith("going on from the end of epoch 1")


@pytest.mark.slow
def test_a_checkpoint_of_an_epoch_that_is_done_is_not_used_and_goes(part: RunFolder, whole_once: Path):
    """Killed between writing last.pt and removing the other."""
    for name in ("last.pt", "best.pt"):
        shutil.copy(whole_once / name, part.path / name)
    assert load_checkpoint(part).part is None
    with pytest.raises(Stop):
        resume(ResumeConfig(resume=part.path), doing_after(62, raise_stop))
    assert not part.within_epoch_file.exists()


@pytest.mark.slow
def test_a_checkpoint_that_follows_a_lost_one_is_refused(part: RunFolder, whole_once: Path):
    content = torch.load(part.within_epoch_file, weights_only=True)
    content["history"] = torch.load(whole_once / "last.pt", weights_only=True)["history"]
    torch.save(content, part.within_epoch_file)
    with pytest.raises(RunError, match=r"has lost its last\.pt, which its within-epoch\.pt follows"):
        load_checkpoint(part)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_losses_of_several_processes_add_up_with_any_number(part: RunFolder, processes: int):
    from pneumocli.training.distributed import Team
    from pneumocli.training.tally import Tally

    begun = load_checkpoint(part).part
    assert begun is not None
    begun = replace(begun, loss_sums=(1.0, 2.5))
    total = 0.0
    for rank in range(processes):
        tally = Tally.empty(torch.device("cpu"))
        tally.begin_at(begun, Team(rank, processes))
        total += float(tally.loss_sum)
    assert total == 3.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"recipe": "robust", "weight_decay": 0.01, "label_smoothing": 0.1}, id="robust"),
        pytest.param({"class_weights": "balanced", "accumulate": 2, "workers": 2}, id="accumulated, workers"),
        pytest.param({"freeze": "backbone"}, id="frozen"),
    ],
)
def test_stops_in_every_epoch_leave_the_bits_of_an_uninterrupted_run(settings, phantoms: Path, tmp_path: Path):
    whole = train(small(phantoms, tmp_path / "whole", **settings))
    config = small(phantoms, tmp_path / "parts", **settings)
    for films in (16, 40, 70, 100):
        try:
            train_until_done(config, doing_after(films, signal_self))
        except Stopped:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    run = train_until_done(config, ignore)
    assert_same_run(whole.path, run.path)
    assert {item.name for item in run.path.iterdir()} == {item.name for item in whole.path.iterdir()}
