"""The first task of the demo: the same films for the same seed, in the order of their table, and balanced."""

from pathlib import Path

import numpy as np
from PIL import Image

from pneumocli.core.events import Event, Remark, TaskFinished, TaskStarted
from pneumocli.data.manifest import scan
from pneumocli.data.nodules import write_nodules
from pneumocli.data.phantom import draw_phantom


def test_the_table_is_one_that_training_reads_without_a_warning(tmp_path: Path):
    table = write_nodules(tmp_path, number=6, short_sides=(40, 41))
    events: list[Event] = []
    manifest = scan(tmp_path, table, events.append)
    assert [event for event in events if isinstance(event, Remark) and event.level == "warning"] == []
    assert manifest.num_patients == 6
    assert [row.label for row in manifest.rows] == [int(row.image.startswith("nodules/")) for row in manifest.rows]
    assert sum(row.label for row in manifest.rows) == 3
    with Image.open(manifest.path(manifest.rows[0])) as picture:
        assert (picture.mode, picture.height) == ("L", 40)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_nodules(tmp_path / name, number=2, seed=seed, short_sides=(32, 48))
    a, b, c = ((tmp_path / name / "nodules" / "00002.png").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_nodules_lie_in_the_lungs_and_make_them_denser():
    healthy, sick = (
        np.mean([draw_phantom(np.random.default_rng(i), kind, short_side=48)[:, :48] for i in range(40)], axis=0)
        for kind in ("normal", "nodules")
    )
    denser = sick - healthy
    lung, abdomen = denser[16:32, 16:24].mean(), denser[40:, 16:24].mean()  # grey levels
    assert lung > abdomen + 4  # exposure, which is chance, moves both


def test_brightness_alone_gives_no_nodules_away():
    means = [
        [draw_phantom(np.random.default_rng([i, number]), kind, short_side=48).mean() for i in range(40)]
        for number, kind in enumerate(("normal", "nodules"))
    ]
    assert abs(np.mean(means[0]) - np.mean(means[1])) < np.std(means[0] + means[1])


def test_progress_is_reported(tmp_path: Path):
    events: list[Event] = []
    write_nodules(tmp_path, number=2, short_sides=(32, 48), listener=events.append)
    assert events[0] == TaskStarted("drawing nodules", 2)
    assert isinstance(events[-1], TaskFinished)
