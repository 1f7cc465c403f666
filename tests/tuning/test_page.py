"""The page of a search counts the trials apart from the repeats of the best one."""

import base64
import re
from typing import Literal

from pneumocli.tuning.page import tuning_page
from pneumocli.tuning.records import Repeats, TrialRecord, TuneResult

SETTINGS: dict[str, str | int | float | bool] = {"learning_rate": 0.001, "mirror": False}
COMMAND = "pneumo train --data 'my films' --learning-rate 0.001 --no-mirror"


def searched(
    objective: Literal["hard", "log-loss"], best_trial: int, best_value: float, repeats: Repeats | None = None
) -> TuneResult:
    return TuneResult(
        study="tune",
        objective=objective,
        folds=2,
        data_fingerprint="",
        num_complete=3,
        num_pruned=1,
        num_failed=0,
        best_trial=best_trial,
        best_value=best_value,
        settings=SETTINGS,
        repeats=repeats,
        importances={},
        command=COMMAND,
    )


def trials_of(*states: tuple[Literal["complete", "pruned"], float, int]) -> list[TrialRecord]:
    return [
        TrialRecord(number=number, state=state, value=value, seed=seed, settings=SETTINGS)
        for number, (state, value, seed) in enumerate(states)
    ]


def test_repeats_are_no_trials_and_a_command_is_copied_as_it_is():
    trials = trials_of(("complete", 0.6, 0), ("pruned", 0.5, 0), ("complete", 0.7, 0), ("complete", 0.65, 1))
    page = tuning_page(searched("hard", 2, 0.7, Repeats(num_seeds=1, mean=0.65, sd=None, low=0.65, high=0.65)), trials)
    assert "The best settings reach a balanced accuracy on hard films of 65.0% with another seed." in page
    assert "2 trials complete, 1 pruned, 0 failed &middot; the best settings again with 1 more seed &middot;" in page
    assert page.count("the best one&#39;s settings with seed 1") == 1
    assert re.sub(r"<[^>]+>", "", page).count(COMMAND.replace("'", "&#39;")) == 1
    table = page[page.index("<h2>The best trials") :]
    assert re.findall(r"</span>(\d)</th>", table) == ["2", "0"]
    assert table.count('data-label="learning-rate"') == 2  # on a phone each value stands beside its setting


def test_with_one_seed_the_best_value_is_called_too_good():
    page = tuning_page(searched("hard", 0, 0.6), trials_of(("complete", 0.6, 0)))
    assert "1 trials complete" not in page
    assert "of 60.0%, which is too good by chance: no other seed was tried." in page


def test_a_trial_that_came_apart_does_not_press_the_others_into_a_line():
    trials = trials_of(("complete", 0.6, 0), ("complete", 26.0, 0), ("complete", 0.7, 0), ("complete", 0.65, 1))
    page = tuning_page(searched("log-loss", 0, 0.6), trials)
    assert "Above the figure: 1 trial." in page
    assert "26.0000" in page  # in the figure's data
    (figure,) = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    assert "<!-- above -->" in base64.b64decode(figure).decode()
    assert "Above the figure" not in tuning_page(searched("hard", 0, 0.6), trials_of(("complete", 0.6, 0)))
