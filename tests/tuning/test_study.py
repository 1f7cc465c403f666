"""What several workers make of one study: every trial once, what a dead worker had again, nothing doubled."""

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from pneumocli.core.errors import RunError
from pneumocli.core.locks import this_process
from pneumocli.tuning.study import Study, is_interrupted, open_study

FACTS = {"films": "f", "objective": "hard"}


def opened(tmp_path: Path, *, may_exist: bool = True, facts: dict[str, str] = FACTS) -> optuna.Study:
    return open_study(tmp_path / "study.journal", "tune", "hard", facts, may_exist=may_exist)


def worker(tmp_path: Path, trials: int = 3, *, seed: int = 0) -> Study:
    return Study(opened(tmp_path), trials=trials, seed=seed, alone=True)


def taken(study: Study, seeds: int = 1) -> optuna.Trial:
    trial = study.take(seeds)
    assert trial is not None
    trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)
    return trial


def gone_worker() -> str:
    """The name of a process of this machine that has ended."""
    program = "from pneumocli.core.locks import this_process; print(this_process())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_as_many_trials_as_were_asked_for_then_the_best_with_other_seeds(tmp_path: Path):
    study = worker(tmp_path)
    for value in (0.6, 0.8, 0.7):
        study.complete(taken(study, 3), value)
    assert study.best is not None
    assert study.best.value == 0.8
    for expected in (1, 2):
        trial = taken(study, 3)
        assert trial.params == study.best.params
        assert trial.user_attrs["repeat"] == expected
        study.complete(trial, 0.9)
    assert study.take(3) is None
    assert (study.best.value, study.num_done, len(study.repeats())) == (0.8, 3, 2)


def test_settings_that_are_best_later_are_repeated_anew(tmp_path: Path):
    """What to expect of the best settings is not what to expect of those that were best before more trials."""
    study = worker(tmp_path)
    for value in (0.6, 0.8, 0.7, 0.75):
        study.complete(taken(study, 2), value)
    more = worker(tmp_path, 4)
    study.complete(taken(more, 2), 0.9)
    assert more.best is not None
    assert (more.best.value, more.repeats()) == (0.9, [])
    for seeds, expected in ((2, 1), (3, 2)):  # and a higher number of seeds adds what is lacking
        trial = taken(more, seeds)
        assert (trial.params, trial.user_attrs["repeat"]) == (more.best.params, expected)
        more.complete(trial, 0.85)
        assert more.take(seeds) is None
    assert [trial.value for trial in more.repeats()] == [0.85, 0.85]


def test_two_workers_share_what_is_to_do(tmp_path: Path):
    one, two = worker(tmp_path, 2), worker(tmp_path, 2)
    first, second = taken(one), taken(two)
    assert {first.number, second.number} == {0, 1}
    assert one.take(1) is None
    assert two.take(1) is None
    one.complete(first, 0.5)
    two.fail(second, "diverged")
    assert one.num_done == two.num_done == 2


def test_a_trial_whose_worker_is_gone_runs_again_with_its_settings(tmp_path: Path):
    study = worker(tmp_path, 2)
    lost = taken(study)
    lost.set_user_attr("worker", gone_worker())
    again = worker(tmp_path, 2)
    retried = taken(again)
    assert retried.params == lost.params
    trials = again.trials()
    assert [trial.state for trial in trials] == [TrialState.FAIL, TrialState.RUNNING]
    assert is_interrupted(trials[0])
    again.complete(retried, 0.7)
    again.complete(taken(again), 0.8)
    assert again.take(1) is None
    assert again.num_done == 2


def test_a_trial_that_ends_its_worker_three_times_is_given_up(tmp_path: Path):
    gone = gone_worker()
    study = worker(tmp_path, 1)
    for _ in range(3):
        taken(study).set_user_attr("worker", gone)
    assert study.take(1) is None
    assert study.trials()[-1].user_attrs["error"] == "its process ended 3 times"
    assert study.num_done == 1


def test_a_trial_that_is_stopped_on_purpose_is_never_given_up(tmp_path: Path):
    study = worker(tmp_path, 1)
    for _ in range(4):
        study.give_back(taken(study))
    study.complete(taken(study), 0.5)
    assert study.num_done == 1
    assert study.best is not None


def test_a_worker_elsewhere_is_gone_after_minutes_of_silence(tmp_path: Path):
    study = worker(tmp_path, 1)
    trial = taken(study)
    trial.set_user_attr("worker", "elsewhere 1 1")
    assert study.take(1) is None
    trial.set_user_attr("beat", 0.0)
    assert study.take(1) is not None


def test_choices_follow_from_the_seed_and_are_not_those_of_the_first_session_again(tmp_path: Path):
    def chosen(folder: str, seed: int = 0) -> list[float]:
        found = []
        for _ in range(3):  # each in a session of its own
            study = worker(tmp_path / folder, seed=seed)
            trial = taken(study)
            study.complete(trial, 0.5)
            found.append(trial.params["learning_rate"])
        return found

    first = chosen("a")
    assert len(set(first)) == 3
    assert chosen("b") == first
    assert chosen("c", seed=1) != first


def test_another_study_is_refused(tmp_path: Path):
    opened(tmp_path)
    with pytest.raises(RunError, match="exists already") as error:
        opened(tmp_path, may_exist=False)
    assert error.value.hint == "--continue goes on with it"
    with pytest.raises(RunError, match="it has other films"):
        opened(tmp_path, facts={"films": "others", "objective": "hard"})
    storage = f"sqlite:///{tmp_path}/db"
    optuna.create_study(storage=storage, study_name="tune").add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(RunError, match="none of pneumo tune"):
        open_study(storage, "tune", "log-loss", FACTS, may_exist=True)


@pytest.mark.parametrize(
    "url", ["nonsense", "postgresql+psycopg://me:secret@127.0.0.1:1/db", "foo://me:secret@host/db", "sqlite:////no/db"]
)
def test_a_storage_that_cannot_be_opened(url: str):
    with pytest.raises(RunError, match="cannot open the study's storage") as error:
        open_study(url, "tune", "hard", FACTS, may_exist=True)
    assert "secret" not in error.value.message
    assert "\n" not in error.value.message
    assert "--storage takes" in (error.value.hint or "")


def test_this_process_is_here():
    from pneumocli.core.locks import runs_here

    assert runs_here(this_process())
    assert not runs_here(gone_worker())
