"""A million films on paper: twelve thousand links, flat memory, interrupted, continued, split among machines."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pneumocli.run_folder import RunFolder

pytestmark = pytest.mark.slow

NUM_LINKS = 12_000
NUM_OF_FOLDER = 4000


@pytest.fixture(scope="module")
def links(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    films = sorted((phantoms / "test").rglob("*.jpeg"))
    folder = tmp_path_factory.mktemp("links")
    for number in range(NUM_LINKS):
        place = folder / f"{number // NUM_OF_FOLDER}"
        place.mkdir(exist_ok=True)
        (place / f"film-{number:05}.jpeg").symlink_to(films[number % len(films)])
    return folder


def start(links: Path, run: RunFolder, table: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pneumocli", "predict", links, "--run", run.path, "--csv", table, "--quiet", *more],
        stdout=subprocess.DEVNULL,
    )


def num_lines(table: Path) -> int:
    return table.read_bytes().count(b"\n") if table.exists() else 0


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def rows(*tables: Path) -> list[tuple[str, str, float]]:
    found = []
    for table in tables:
        with table.open(newline="", encoding="utf-8") as file:
            found += [
                (row["image"], row["prediction"], round(float(row["probability"]), 4)) for row in csv.DictReader(file)
            ]
    return sorted(found)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
def test_twelve_thousand_films(links: Path, trained: RunFolder, tmp_path: Path):
    whole = tmp_path / "whole.csv"
    process = start(links, trained, whole)
    sizes: list[tuple[int, float]] = []
    while process.poll() is None:
        if (lines := num_lines(whole)) > 1000:
            try:
                sizes.append((lines, resident_megabytes(process.pid)))
            except (FileNotFoundError, IndexError):  # it has ended in between
                break
        time.sleep(0.2)
    assert process.wait() == 0
    early = max(size for lines, size in sizes if lines < 4000)
    late = max(size for lines, size in sizes if lines > 9000)
    assert late < early + 10, f"{early:.0f} MB by film 4,000, {late:.0f} MB after film 9,000"

    part, folder = tmp_path / "part.csv", links / "0"
    process = start(folder, trained, part)
    while num_lines(part) < 1500:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with part.open("ab") as file:
        file.truncate(part.stat().st_size - 20)  # as a power cut may leave it
    assert start(folder, trained, part, "--resume").wait() == 0

    shards = [tmp_path / f"shard{i}.csv" for i in (1, 2)]
    for i, shard in enumerate(shards, 1):
        assert start(folder, trained, shard, "--shard", f"{i}/2").wait() == 0

    every = rows(whole)
    assert len(every) == NUM_LINKS
    expected = [row for row in every if Path(row[0]).parent == folder]
    assert len(expected) == NUM_OF_FOLDER
    assert rows(part) == expected
    assert rows(*shards) == expected


def test_ctrl_c_leaves_whole_rows_and_says_how_to_go_on(links: Path, trained: RunFolder, tmp_path: Path):
    table = tmp_path / "answers.csv"
    process = subprocess.Popen(
        [sys.executable, "-m", "pneumocli", "predict", links, "--run", trained.path, "--csv", table],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while num_lines(table) < 50:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"with --resume continues" in stderr
    assert b"Traceback" not in stderr
    assert table.read_bytes().endswith(b"\n")
