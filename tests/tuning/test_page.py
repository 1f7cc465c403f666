"""The page of a search counts the trials apart from the repeats of the best one."""

import re
from typing import Literal

from pneumocli.tuning.page import tuning_page
from pneumocli.tuning.records import Repeats, TrialRecord, TuneResult


def test_repeats_are_no_trials_and_a_command_is_copied_as_it_is():
    settings: dict[str, str | int | float | bool] = {"learning_rate": 0.001, "mirror": False}
    states: list[tuple[Literal["complete", "pruned"], float, int]] = [
        ("complete", 0.6, 0),
        ("pruned", 0.5, 0),
        ("complete", 0.7, 0),
        ("complete", 0.65, 1),
    ]
    trials = [
        TrialRecord(number=number, state=state, value=value, seed=seed, settings=settings)
        for number, (state, value, seed) in enumerate(states)
    ]
    command = "pneumo train --data 'my films' --learning-rate 0.001 --no-mirror"
    result = TuneResult(
        study="tune",
        objective="hard",
        folds=2,
        data_fingerprint="",
        num_complete=3,
        num_pruned=1,
        num_failed=0,
        best_trial=2,
        best_value=0.7,
        settings=settings,
        repeats=Repeats(num_seeds=2, mean=0.675, sd=0.035, low=0.65, high=0.7),
        importances={},
        command=command,
    )
    page = tuning_page(result, trials)
    assert "2 trials complete, 1 pruned, 0 failed &middot; the best settings again with 1 more seed &middot;" in page
    assert page.count("the best one&#39;s settings with seed 1") == 1
    assert re.sub(r"<[^>]+>", "", page).count(command.replace("'", "&#39;")) == 1
    table = page[page.index("<h2>The best trials") :]
    assert re.findall(r"</span>(\d)</th>", table) == ["2", "0"]
    assert table.count('data-label="learning-rate"') == 2  # on a phone each value stands beside its setting
