"""The first task of the demo: the same pictures for the same seed, in the order of their table, and balanced."""

from pathlib import Path

import numpy as np
from PIL import Image

from pneumocli.core.events import Event, Remark, TaskFinished, TaskStarted
from pneumocli.data.manifest import scan
from pneumocli.data.textures import draw_texture, write_textures


def test_the_table_is_one_that_training_reads_without_a_warning(tmp_path: Path):
    table = write_textures(tmp_path, number=6, side=40)
    events: list[Event] = []
    manifest = scan(tmp_path, table, events.append)
    assert [event for event in events if isinstance(event, Remark) and event.level == "warning"] == []
    assert manifest.num_patients == 6
    assert [row.label for row in manifest.rows] == [int(row.image.startswith("cloud/")) for row in manifest.rows]
    assert sum(row.label for row in manifest.rows) == 3
    with Image.open(manifest.path(manifest.rows[0])) as picture:
        assert (picture.mode, picture.size) == ("L", (40, 40))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_textures(tmp_path / name, number=2, seed=seed, side=32)
    a, b, c = ((tmp_path / name / "cloud" / "00002.png").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_cloud_is_what_makes_the_difference():
    plain, clouded = (draw_texture(np.random.default_rng(2), cloud=cloud, side=64) for cloud in (False, True))
    assert plain.dtype == clouded.dtype == np.uint8
    assert plain.shape == clouded.shape == (64, 64)
    assert not np.array_equal(plain, clouded)


def test_brightness_alone_gives_no_cloud_away():
    means = [
        np.mean([draw_texture(np.random.default_rng(i), cloud=cloud, side=48).mean() for i in range(40)])
        for cloud in (False, True)
    ]
    assert abs(means[0] - means[1]) < 25  # grey levels; single pictures differ by more than that


def test_progress_is_reported(tmp_path: Path):
    events: list[Event] = []
    write_textures(tmp_path, number=2, side=32, listener=events.append)
    assert events[0] == TaskStarted("drawing textures", 2)
    assert isinstance(events[-1], TaskFinished)
