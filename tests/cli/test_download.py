"""``pneumo download`` as a user runs it: in a process of its own, killed at times."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.kaggle_server import Fault, ReleaseServer
from tests.helpers.zips import films_of, kaggle_zip

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "tests" / "helpers" / "download_driver.py"


@pytest.fixture(scope="module")
def films(phantoms: Path) -> dict[str, bytes]:
    return films_of(phantoms)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home without credentials, no proxy, output in English."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("KAGGLE_") and not name.lower().endswith("_proxy") and name != "XDG_CONFIG_HOME"
    }
    (tmp_path / "home").mkdir()
    return kept | {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "COLUMNS": "300"}


@pytest.fixture
def server(films: dict[str, bytes]) -> Iterator[ReleaseServer]:
    with ReleaseServer(kaggle_zip(films)).running() as running:
        yield running


def command(server: ReleaseServer, *arguments: str) -> list[str]:
    return [sys.executable, str(DRIVER), server.url, "download", *arguments]


def run(
    server: ReleaseServer, folder: Path, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(server, *arguments),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def started(
    server: ReleaseServer, folder: Path, environment: dict[str, str], *arguments: str
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(server, *arguments),
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_from_nothing_to_the_counts(
    server: ReleaseServer, films: dict[str, bytes], tmp_path: Path, environment: dict[str, str]
) -> None:
    noted = tmp_path / "modules.txt"
    server.faults.append(Fault(drop_after=100_000))
    done = run(server, tmp_path, environment | {"PNEUMO_TEST_MODULES": str(noted)})
    assert done.returncode == 0, done.stderr
    assert films_of(tmp_path / "data" / "chest_xray") == films
    assert f"{len(server.content):,} bytes fetched, connection broken once" in done.stdout
    assert "next: pneumo verify-data data/chest_xray" in done.stdout
    assert "train" in done.stdout
    assert "trying again in 0 s" in done.stderr
    assert "Kaggle API" not in done.stdout + done.stderr
    assert list((tmp_path / "home").iterdir()) == []
    loaded = set(noted.read_text().split())
    assert "kaggle" in loaded
    assert loaded & {"torch", "torchvision", "sklearn", "scipy", "matplotlib", "onnxruntime"} == set()


def test_error_is_one_sentence_and_a_hint(server: ReleaseServer, tmp_path: Path, environment: dict[str, str]) -> None:
    server.accept = set()
    done = run(server, tmp_path, environment)
    assert done.returncode == 1
    assert done.stdout == ""
    error, hint = done.stderr.splitlines()
    assert error == "error: Kaggle asks for an account, and no credentials were found (HTTP 401)"
    assert hint.startswith("hint: make a token at https://www.kaggle.com/settings/api, then: export KAGGLE_API_TOKEN=")
    assert list(tmp_path.iterdir()) == [tmp_path / "home"], "something was left on disk"


@pytest.mark.slow
def test_help_and_import_stay_light() -> None:
    heavy = "{'kaggle', 'kagglesdk', 'requests', 'torch', 'torchvision', 'numpy', 'PIL', 'sklearn', 'scipy'}"
    note = f"import atexit, sys; atexit.register(lambda: print('LOADED', sorted({heavy} & set(sys.modules)))); "
    for statement in (
        "import pneumocli.release.download",
        "from pneumocli.cli.app import app; app(['download', '--help'], standalone_mode=False)",
        "from pneumocli.cli.app import app; app(['download', '--source', 'nowhere'], standalone_mode=True)",
    ):
        done = subprocess.run(
            [sys.executable, "-c", note + statement], capture_output=True, text=True, timeout=60, check=False
        )
        assert "LOADED []" in done.stdout, (statement, done)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_stopped_from_outside_shows_how_to_go_on(
    server: ReleaseServer, tmp_path: Path, environment: dict[str, str], sent: signal.Signals
) -> None:
    server.pause = 0.05
    process = subprocess.Popen(
        command(server), cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while server.body_bytes < 200_000:
        time.sleep(0.01)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == (130 if sent == signal.SIGINT else 143)
    assert "hint: run the same command again: it continues where it stopped" in errors
    server.pause = 0
    before = server.body_bytes
    assert run(server, tmp_path, environment).returncode == 0
    assert server.body_bytes - before < len(server.content) - 100_000


def kill_after(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kills with SIGKILL; whether the process was still at work."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def whole_or_absent(target: Path, films: dict[str, bytes]) -> bool:
    """Whether the set is there; fails when a part of it is."""
    if not target.exists():
        return False
    assert films_of(target) == films
    return True


@pytest.mark.slow
@pytest.mark.parametrize("force", [False, True])
def test_kill_9_at_ten_moments_of_a_download(
    server: ReleaseServer, films: dict[str, bytes], tmp_path: Path, environment: dict[str, str], force: bool
) -> None:
    target = tmp_path / "chest_xray"
    arguments = ["--data", str(target), *(["--force"] if force else [])]
    if force:
        assert run(server, tmp_path, environment, "--data", str(target)).returncode == 0
    moments = random.Random(5)
    server.pause = 2.5 / (len(server.content) / (1 << 14))  # about 2.5 seconds for the whole
    kills = 0
    while kills < 10:
        process = started(server, tmp_path, environment, *arguments)
        killed = kill_after(process, moments.uniform(0.2, 1.6))
        kills += killed
        there = whole_or_absent(target, films)
        assert there or not force, "the old set is gone before the new one is there"
        if not killed and not force:  # it came to its end over the kills: once more from the beginning
            assert there
            shutil.rmtree(target)
    server.pause = 0
    done = run(server, tmp_path, environment, *arguments)
    assert done.returncode == 0, done.stderr
    assert whole_or_absent(target, films)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["chest_xray", "home"]


@pytest.mark.slow
@pytest.mark.parametrize("force", [False, True])
def test_kill_9_at_ten_moments_of_an_unpack(
    server: ReleaseServer, tmp_path: Path, environment: dict[str, str], force: bool
) -> None:
    films = {
        f"{split}/{name}/film{number}.jpeg": bytes([number % 251]) * 40_000
        for split in ("train", "test")
        for name in ("NORMAL", "PNEUMONIA")
        for number in range(700)
    }
    archive = tmp_path / "mine.zip"
    archive.write_bytes(kaggle_zip(films))
    target = tmp_path / "chest_xray"
    arguments = ["--data", str(target), "--archive", str(archive), *(["--force"] if force else [])]
    if force:
        assert run(server, tmp_path, environment, *arguments).returncode == 0
    work = tmp_path / ".chest_xray.download"
    moments = random.Random(7)
    kills = 0
    while kills < 10:
        process = started(server, tmp_path, environment, *arguments)
        while process.poll() is None and not (work / "new").exists():
            time.sleep(0.001)
        killed = kill_after(process, moments.uniform(0.0, 0.6))
        kills += killed
        there = whole_or_absent(target, films)
        if not killed:
            assert there
            shutil.rmtree(target)
    done = run(server, tmp_path, environment, *arguments)
    assert done.returncode == 0, done.stderr
    assert whole_or_absent(target, films)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["chest_xray", "home", "mine.zip"]


@pytest.mark.slow
def test_two_processes_at_once(
    server: ReleaseServer, films: dict[str, bytes], tmp_path: Path, environment: dict[str, str]
) -> None:
    server.pause = 0.02
    first = started(server, tmp_path, environment)
    while server.body_bytes < 100_000:
        time.sleep(0.01)
    server.pause = 1.0  # of each 16 KiB: the first is at work until the second has seen it
    second = run(server, tmp_path, environment)
    server.pause = 0.0
    assert second.returncode == 1
    assert "error: another pneumo download is at work on " in second.stderr
    assert first.wait(60) == 0
    assert whole_or_absent(tmp_path / "data" / "chest_xray", films)
