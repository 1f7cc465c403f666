"""Runs of one setting with several seeds."""

from typing import Annotated, Literal

from pydantic import Field

from pneumocli.core.records import Count, Finite, Fraction, Record


class SeedRun(Record):
    """One run of ``train --seeds``."""

    path: str
    seed: Count
    best_epoch: Annotated[int, Field(ge=1)]
    val_auroc: Fraction | None
    val_accuracy: Fraction


class SeedSummary(Record):
    """``<run>-seeds.json``: the runs of one setting, and how far they lie apart."""

    schema_version: Literal[1] = 1
    runs: tuple[SeedRun, ...]
    metrics: dict[str, dict[str, Finite]]
    """``mean``, ``sd`` (n - 1), ``low`` and ``high`` (the range) over the runs; absent where a run's is undefined."""
