"""A trial's value as its folds come along, at moments that mean the same for any number of epochs."""

import pytest

from pneumocli.core.events import EpochFinished
from pneumocli.core.records import EpochRecord
from pneumocli.tuning.trial import FoldScores, value_of


def epoch(number: int, of: int, value: float, *, best: bool = True, loss: float = 0.5) -> EpochFinished:
    record = EpochRecord(
        epoch=number, train_loss=0.1, val_loss=loss, val_accuracy=0.9, val_auroc=0.9, learning_rate=1e-3, seconds=1,
        images_per_second=1, val_hard_balanced_accuracy=value,
    )  # fmt: skip
    return EpochFinished(record, None, None, best, of, 0.0)


def test_the_mean_over_folds_of_the_best_epochs():
    scores = FoldScores("hard", 2)
    scores.add(epoch(1, 2, 0.5))
    scores.add(epoch(2, 2, 0.4, best=False))
    assert scores.value == 0.5
    scores.add(epoch(1, 2, 0.7))
    scores.add(epoch(2, 2, 0.9))
    assert scores.value == pytest.approx(0.7)
    assert scores.finished == [0.5]


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5, 8, 20])
def test_every_trial_passes_the_same_marks(epochs: int):
    scores, marks = FoldScores("hard", 3), []
    for _ in range(3):
        for number in range(1, epochs + 1):
            marks += [mark for mark, _ in scores.add(epoch(number, epochs, 0.5))]
    assert marks == list(range(1, 13))


def test_log_loss_is_that_of_the_best_epoch():
    scores = FoldScores("log-loss", 1)
    scores.add(epoch(1, 2, 0.5, loss=0.4))
    scores.add(epoch(2, 2, 0.5, best=False, loss=0.3))
    assert scores.value == 0.4
    assert value_of(epoch(1, 1, 0.5, loss=0.4).record, "log-loss") == 0.4
