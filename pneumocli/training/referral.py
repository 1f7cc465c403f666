"""``--refer``: the limits between films that a model answers and films that it refers to a person."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import DataError
from pneumocli.core.records import CLASS_NAMES, ManifestRow
from pneumocli.model.card import ReferLimits
from pneumocli.shift.conformal import least_patients, limits_of_films


def refuse_too_few_patients(config: TrainConfig, rows: Sequence[ManifestRow]) -> None:
    """Refuses ``--refer`` before anything is trained where too few patients would set the limits.

    Args:
        config: Of the run, or of a group of folds.
        rows: The validation films; of a group all films.

    Raises:
        DataError: A class has too few patients.
    """
    if config.refer is None:
        return
    patients = [len({row.patient for row in rows if row.label == label}) for label in (0, 1)]
    needed = least_patients(config.refer)
    if min(patients) >= needed:
        return
    found = " and ".join(f"{count} of {name}" for count, name in zip(patients, CLASS_NAMES, strict=True))
    which = "validation patients" if config.folds is None else "patients"
    raise DataError(
        f"--refer {config.refer:g} needs {needed} {which} of each class, found {found}",
        _remedy(config, min(patients), needed),
    )


def limits_of(config: TrainConfig, rows: Sequence[ManifestRow], logits: ArrayLike) -> ReferLimits | None:
    """The limits that ``--refer`` asks for; ``None`` where it was not given.

    Args:
        config: Of the run.
        rows: The films that set the limits.
        logits: Of pneumonia, (N,).
    """
    if config.refer is None:
        return None
    return limits_of_films(rows, logits, config.refer)


def _remedy(config: TrainConfig, patients: int, needed: int) -> str:
    """A flag that holds out enough patients, as far as one does, or a share that so many patients are enough for."""
    enough = np.ceil(100 / (patients + 1)) / 100
    smaller = f"--refer {enough:g}" if enough < 0.5 else ""
    more = ""
    if config.folds is None and config.val == "official":
        more = "--val patient"
    elif config.folds is None and patients:
        # Rounded up to a twentieth: how many patients a share holds out is known for this one alone.
        fraction = np.ceil(20 * config.val_fraction * needed / patients) / 20
        if fraction <= 0.5:
            more = f"--val-fraction {fraction:g}"
        elif patients / config.val_fraction >= needed:  # folds take all patients
            more = "--folds 5"
    return " or ".join(part for part in (more, smaller) if part) or "leave --refer out"
