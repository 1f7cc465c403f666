"""What a search writes: its trials, its outcome."""

from typing import Annotated, Literal

from pydantic import Field

from pneumocli.core.records import Count, Finite, Record

Objective = Literal["hard", "log-loss"]


class TrialRecord(Record):
    """One trial, a row of ``trials.csv``."""

    number: Count
    state: Literal["complete", "pruned", "failed", "interrupted", "running"]
    value: Finite | None
    """The objective, as far as the trial came; ``None`` where it did not."""
    seed: Count
    """Of the training; trials with another seed than the search's repeat its best settings."""
    settings: dict[str, str | int | float | bool]
    error: str = ""


class Repeats(Record):
    """The best settings with seeds that took no part in choosing them."""

    num_seeds: Count
    mean: Finite
    sd: Finite | None
    """n - 1; ``None`` of one seed."""
    low: Finite
    high: Finite


class TuneResult(Record):
    """``tuning.json``: what a search found."""

    schema_version: Literal[1] = 1
    study: str
    objective: Objective
    folds: Annotated[int, Field(ge=2)]
    data_fingerprint: str
    num_complete: Count
    num_pruned: Count
    num_failed: Count
    best_trial: Count
    best_value: Finite
    """Mean over the folds. The best of many trials is too good by chance: ``repeats`` is what to expect."""
    settings: dict[str, str | int | float | bool]
    repeats: Repeats | None
    """``None`` with ``--seeds 1``."""
    importances: dict[str, Finite]
    """Share of the objective's variance that a setting explains (PED-ANOVA); empty with fewer than 5 whole trials."""
    command: str
    """The training with the best settings."""
