"""Hard validation films: those whose label contradicts how they were made, and how a network does on them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import DataError
from pneumocli.core.events import Listener, Remark
from pneumocli.core.records import CLASS_NAMES, HARD_BALANCED
from pneumocli.data.acquisition_cache import acquisitions
from pneumocli.data.manifest import Manifest
from pneumocli.metrics.groups import LEAST_FILMS, group_of, hard_and_easy
from pneumocli.metrics.records import Subgroup
from pneumocli.model.card import GroupFigure, GroupSummary, ShortcutModel
from pneumocli.reporting.text import listed
from pneumocli.shift.shortcut import fit_shortcuts, hard_films

_NO_SHORTCUT = "nothing of how the training films were made predicts their class"


@dataclass(frozen=True)
class HardFilms:
    """Which validation films are hard.

    Attributes:
        model: The shortcuts, fitted on the training films.
        labels: 0 or 1 for each validation film, (N,).
        patients: Patient of each, (N,).
        hard: Whether each is hard, bool (N,); ``None`` where nothing predicts the class, so that none is hard or easy.
        train_hard: Whether each training film is hard, bool (M,); ``None`` likewise.
    """

    model: ShortcutModel
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]
    hard: NDArray[np.bool_] | None
    train_hard: NDArray[np.bool_] | None = None

    def counts(self) -> tuple[int, int]:
        """Hard films of NORMAL and of PNEUMONIA."""
        if self.hard is None:
            return 0, 0
        return int((self.labels[self.hard] == 0).sum()), int((self.labels[self.hard] == 1).sum())

    def check(self, config: TrainConfig) -> None:
        """Refuses ``--select hard`` and ``--operating-point hard-balanced`` where they would be undefined.

        Raises:
            DataError: A class has too few hard validation films.
        """
        asked = {
            "--select hard": (config.select == "hard", "choose the best epoch by --select auroc"),
            f"--operating-point {HARD_BALANCED}": (
                # A fold's films need not suffice by themselves: its group chooses the threshold.
                config.operating_point == HARD_BALANCED and config.fold is None,
                "choose the threshold by another rule, such as --operating-point youden",
            ),
        }
        needing = {flag: instead for flag, (given, instead) in asked.items() if given}
        if not needing or min(self.counts()) >= LEAST_FILMS:
            return
        found = " and ".join(f"{count} {name}" for count, name in zip(self.counts(), CLASS_NAMES, strict=True))
        why = f"none: {_NO_SHORTCUT}" if self.hard is None else found
        raise DataError(
            f"{listed(list(needing))} {'needs' if len(needing) == 1 else 'need'} {LEAST_FILMS} hard validation films "
            f"of each class, found {why}",
            f"{' and '.join(needing.values())}, or hold out more films: {_more_films(config)}",
        )

    def epoch_columns(self, logits: ArrayLike) -> dict[str, float | None]:
        """What ``history.csv`` holds of the hard films after an epoch.

        Args:
            logits: Of all validation films, (N,).
        """
        if self.hard is None:
            return {}
        scores = np.asarray(logits)[self.hard]
        if not np.isfinite(scores).all():
            return {}
        group = group_of(self.labels[self.hard], scores, scores >= 0, self.patients[self.hard])
        return {f"val_hard_{name}": metric.value for name, metric in group.metrics.items()}

    def summaries(self, logits: ArrayLike, called: ArrayLike) -> dict[str, GroupSummary]:
        """What the card holds of the hard and the easy films.

        Args:
            logits: Of all validation films, (N,).
            called: Whether each is called PNEUMONIA, (N,).
        """
        groups = hard_and_easy(self.hard, self.labels, logits, called, self.patients)
        return {name: _summary(group) for name, group in groups.items()}


def find_hard_films(manifest: Manifest, listener: Listener) -> HardFilms:
    """Fits the shortcuts on the training films of a run and marks its validation films.

    Args:
        manifest: Training and validation films with their hashes.
        listener: Gets progress, and how many films are hard.

    Raises:
        DataError: A film cannot be read any more.
    """
    made = dict(zip((row.image for row in manifest.rows), acquisitions(manifest, listener), strict=True))
    train, val = manifest.of("train").rows, manifest.of("val").rows
    model = fit_shortcuts(
        [made[row.image] for row in train], [row.label for row in train], [row.patient for row in train]
    )
    train_labels, labels = (np.array([row.label for row in rows], np.int64) for rows in (train, val))
    found = HardFilms(
        model,
        labels,
        np.array([row.patient for row in val], np.str_),
        hard_films(model, [made[row.image] for row in val], labels),
        hard_films(model, [made[row.image] for row in train], train_labels),
    )
    if found.hard is not None:
        normal, ill = found.counts()
        listener(
            Remark(
                f"{normal + ill:,} of {len(val):,} validation films are hard, their label contradicts how they were "
                f"made: {normal:,} {CLASS_NAMES[0]}, {ill:,} {CLASS_NAMES[1]}"
            )
        )
    else:
        listener(Remark(f"no film is hard: {_NO_SHORTCUT}"))
    return found


def _more_films(config: TrainConfig) -> str:
    """The flag that holds out more films."""
    if config.folds is not None:
        return f"--folds {max(2, config.folds // 2)}"
    return "--val patient" if config.val == "official" else f"--val-fraction {min(0.5, 2 * config.val_fraction):g}"


def _summary(group: Subgroup) -> GroupSummary:
    figures = {
        name: GroupFigure(value=metric.value, low=metric.low, high=metric.high)
        for name, metric in group.metrics.items()
    }
    return GroupSummary.model_validate(
        {"num_normal": group.num_normal or 0, "num_pneumonia": group.num_pneumonia or 0} | figures
    )
