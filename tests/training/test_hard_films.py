"""Hard validation films: marked before the first epoch, counted after each, and what --select hard needs."""

from pathlib import Path

import numpy as np
import pytest

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import DataError
from pneumocli.core.events import Event, Remark
from pneumocli.core.records import EpochRecord
from pneumocli.data.manifest import Manifest, scan, with_hashes
from pneumocli.model.card import ShortcutModel
from pneumocli.model.weights import load_best
from pneumocli.run_folder import RunFolder
from pneumocli.training.hard_films import HardFilms, find_hard_films
from tests.helpers.released import write_films


def marks(hard: list[bool] | None, labels: list[int]) -> HardFilms:
    patients = np.array([f"p{number}" for number in range(len(labels))])
    chosen = None if hard is None else np.array(hard)
    return HardFilms(ShortcutModel(shortcuts=()), np.array(labels), patients, chosen)


def bright_and_dark(folder: Path, swapped: int) -> Manifest:
    """Dark normals and bright pneumonias, save for the last ``swapped`` validation films of each class."""
    for name, own, other in (("NORMAL", 70, 180), ("PNEUMONIA", 180, 70)):
        for split, first, count, level in (
            ("train", 0, 30, own),
            ("val", 60, 8 - swapped, own),
            ("val", 80, swapped, other),
        ):
            names = [f"{split}/{name}/{name[0]}{number}.png" for number in range(first, first + count)]
            write_films(folder, names, form="PNG", level=level)
    return with_hashes(scan(folder))


def test_the_films_that_contradict_the_training_films_are_hard(tmp_path: Path):
    events: list[Event] = []
    manifest = bright_and_dark(tmp_path, 5)
    found = find_hard_films(manifest, events.append)
    names = [row.image for row in manifest.of("val").rows]
    assert found.hard is not None
    assert {name for name, hard in zip(names, found.hard, strict=True) if hard} == {
        f"val/{name}/{name[0]}{n}.png" for name in ("NORMAL", "PNEUMONIA") for n in range(80, 85)
    }
    assert found.counts() == (5, 5)
    assert found.train_hard is not None
    assert (len(found.train_hard), found.train_hard.sum()) == (60, 0), "all training films are as their class"
    (remark,) = [event for event in events if isinstance(event, Remark)]
    assert remark.text.startswith("10 of 16 validation films are hard")
    found.check(TrainConfig(select="hard"))


def test_where_nothing_tells_the_class_that_is_said(tmp_path: Path):
    events: list[Event] = []
    for name in ("NORMAL", "PNEUMONIA"):
        for split, count in (("train", 30), ("val", 8)):
            write_films(tmp_path, [f"{split}/{name}/{name[0]}{n}{split}.png" for n in range(count)], form="PNG")
    assert find_hard_films(with_hashes(scan(tmp_path)), events.append).hard is None
    (remark,) = [event for event in events if isinstance(event, Remark)]
    assert remark.text == "no film is hard: nothing of how the training films were made predicts their class"


def test_select_hard_is_refused_with_too_few_hard_films():
    config = TrainConfig(select="hard")
    few = marks([True] * 4 + [False] * 4 + [True] * 8, [0] * 8 + [1] * 8)
    with pytest.raises(
        DataError, match=r"5 hard validation films of each class, found 4 NORMAL and 8 PNEUMONIA"
    ) as refusal:
        few.check(config)
    assert refusal.value.hint is not None
    assert refusal.value.hint.endswith("--val-fraction 0.2")
    few.check(TrainConfig())
    with pytest.raises(DataError, match="found none: nothing of how the training films were made predicts their class"):
        marks(None, [0, 1]).check(config)


def test_a_threshold_by_hard_films_is_refused_before_anything_is_trained():
    few = marks([True] * 4 + [False] * 4 + [True] * 8, [0] * 8 + [1] * 8)
    with pytest.raises(DataError, match=r"--operating-point hard-balanced needs 5 hard validation films") as refusal:
        few.check(TrainConfig(operating_point="hard-balanced", val_fraction=0.25))
    assert refusal.value.hint == (
        "choose the threshold by another rule, such as --operating-point youden, or hold out more films: "
        "--val-fraction 0.5"
    )
    with pytest.raises(DataError, match=r"--select hard and --operating-point hard-balanced need 5"):
        few.check(TrainConfig(operating_point="hard-balanced", select="hard"))


def test_an_epoch_counts_hard_films_alone():
    labels = [0] * 6 + [1] * 6
    hard = marks([True] * 5 + [False] + [True] * 5 + [False], labels)
    logits = [-1.0, -1.0, -1.0, 1.0, 1.0, 9.0, 2.0, 2.0, 2.0, 2.0, -2.0, -9.0]
    columns = hard.epoch_columns(logits)
    assert columns == {
        "val_hard_sensitivity": pytest.approx(4 / 5),
        "val_hard_specificity": pytest.approx(3 / 5),
        "val_hard_balanced_accuracy": pytest.approx(0.7),
        "val_hard_auroc": pytest.approx(20 / 25),
    }
    assert set(columns) <= set(EpochRecord.model_fields)
    assert hard.epoch_columns([float("nan")] * 12) == marks(None, labels).epoch_columns(logits) == {}
    summaries = hard.summaries(logits, np.array(logits) >= 0)
    assert (summaries["hard"].num_normal, summaries["hard"].sensitivity.value) == (5, pytest.approx(0.8))
    assert (summaries["easy"].num_pneumonia, summaries["easy"].sensitivity.value) == (1, None)


def epoch(auroc: float, hard: float | None) -> EpochRecord:
    return EpochRecord(
        epoch=1, train_loss=1, val_loss=1, val_accuracy=0.5, val_auroc=auroc, learning_rate=1e-3, seconds=1,
        images_per_second=1, val_hard_balanced_accuracy=hard,
    )  # fmt: skip


def test_the_best_epoch_is_the_one_that_was_asked_for():
    assert epoch(0.8, 0.9).beats(epoch(0.9, 0.7), "hard")
    assert not epoch(0.8, 0.9).beats(epoch(0.9, 0.7), "auroc")
    assert epoch(0.95, 0.7).beats(epoch(0.9, 0.7), "hard")
    assert epoch(0.95, None).beats(epoch(0.9, None), "hard")


def test_a_history_of_an_old_run_is_read(tmp_path: Path):
    (tmp_path / "history.csv").write_text(
        "epoch,train_loss,val_loss,val_accuracy,val_auroc,learning_rate,seconds,images_per_second\n"
        "1,0.5,0.4,0.9,0.95,0.001,10,20\n"
    )
    (record,) = RunFolder(tmp_path).history()
    assert (record.val_auroc, record.val_hard_auroc, record.val_hard_balanced_accuracy) == (0.95, None, None)


def test_a_run_keeps_its_shortcuts_and_groups_in_the_card(trained: RunFolder):
    _, card = load_best(trained.best_file)
    assert card.shortcut_model is not None
    assert (card.validation.hard is None) == (not card.shortcut_model.shortcuts)
    if card.validation.hard is not None and card.validation.easy is not None:
        groups = (card.validation.hard, card.validation.easy)
        assert sum(group.num_normal + group.num_pneumonia for group in groups) == card.validation.num_images
