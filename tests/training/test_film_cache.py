"""data/cache.py: films decoded once."""

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pneumocli.core.errors import PneumoError
from pneumocli.core.events import Remark, TaskStarted
from pneumocli.data.manifest import Manifest, scan, with_hashes
from pneumocli.training.film_cache import FilmCache, FilmsOnDisk, Selected, cached_films, prune, write_films
from pneumocli.training.loader import CropSource
from tests.conftest import obey_permissions

DECODE = CropSource(64, "crop")


@pytest.fixture(scope="module")
def manifest(phantoms: Path) -> Manifest:
    return with_hashes(scan(phantoms).of("test"))


def built(manifest: Manifest, form: str = "test form") -> FilmCache:
    return cached_films(manifest, DECODE, form)[0]


def test_a_cached_film_equals_a_decoded_one(manifest: Manifest):
    cache = built(manifest)
    disk = FilmsOnDisk(tuple(manifest.path(row) for row in manifest.rows), DECODE)
    assert len(cache) == len(disk) == len(manifest)
    for number in range(len(cache)):
        np.testing.assert_array_equal(cache[number], disk[number])
    assert not cache[3].flags.writeable


def test_a_second_call_decodes_nothing(manifest: Manifest):
    built(manifest)
    events = []
    cached_films(manifest, DECODE, "test form", events.append)
    assert not any(isinstance(event, TaskStarted) for event in events)


def test_another_form_or_content_is_another_file(manifest: Manifest):
    other = replace(manifest, rows=(manifest.rows[0].model_copy(update={"sha256": "0" * 64}), *manifest.rows[1:]))
    paths = {built(manifest).path, built(manifest, "another form").path, built(other).path}
    assert len(paths) == 3


def test_a_worker_process_opens_the_file_itself(manifest: Manifest):
    cache = built(manifest)
    copy = pickle.loads(pickle.dumps(cache))
    np.testing.assert_array_equal(copy[5], cache[5])


def test_selected_films_have_numbers_of_their_own(manifest: Manifest):
    cache = built(manifest)
    chosen = Selected(cache, (7, 2))
    assert len(chosen) == 2
    np.testing.assert_array_equal(chosen[1], cache[2])


def test_an_unreadable_film_is_named_with_its_reason(manifest: Manifest, tmp_path: Path):
    folder = tmp_path / "test" / "NORMAL"
    folder.mkdir(parents=True)
    good = manifest.path(manifest.rows[0]).read_bytes()
    (folder / "IM-0001-0001.jpeg").write_bytes(good)
    (folder / "IM-0002-0001.jpeg").write_bytes(good[: len(good) // 2])
    films, reasons = cached_films(with_hashes(scan(tmp_path)), DECODE, "test form")
    assert list(reasons) == ["test/NORMAL/IM-0002-0001.jpeg"]
    assert "truncated" in reasons["test/NORMAL/IM-0002-0001.jpeg"]
    assert films[0].size
    assert not films[1].size


@pytest.mark.parametrize("content", [b"", bytes(10), bytes(100)])
def test_a_file_that_is_no_cache_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "x.films").write_bytes(content)
    with pytest.raises(ValueError, match="no film cache"):
        FilmCache(tmp_path / "x.films")


@pytest.mark.parametrize("keep", [0, 5, 0.5, -30])
def test_a_damaged_cache_is_made_again(keep: float, manifest: Manifest):
    cache = built(manifest, f"damaged {keep}")
    whole = cache.path.read_bytes()
    cut = int(len(whole) * keep) if isinstance(keep, float) else keep
    cache.path.unlink()  # not in place: the pages of a mapped file that is cut short are gone
    cache.path.write_bytes(whole[:cut])
    assert built(manifest, f"damaged {keep}").path.read_bytes() == whole
    cache.path.write_bytes(whole[100:])  # its end is right, its beginning is missing
    assert built(manifest, f"damaged {keep}").path.read_bytes() == whole


def test_a_file_where_the_cache_folder_should_be_is_reported(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PNEUMO_CACHE", str(tmp_path / "file"))
    with pytest.raises(PneumoError, match="a file stands where") as caught:
        built(manifest, "nowhere")
    assert "--no-cache" in (caught.value.hint or "")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files to another user")
def test_a_cache_of_another_user_that_may_only_be_read_serves_as_well(phantoms: Path, tmp_path: Path):
    program = (
        "import sys; from pathlib import Path; import numpy as np;"
        "from pneumocli.training.film_cache import cached_films; from pneumocli.data.manifest import scan, with_hashes;"
        "films = with_hashes(scan(Path(sys.argv[1])).of('test'));"
        "cached_films(films, lambda path: np.ones((4, 4), np.uint8), 'ones', print)"
    )

    def decoded(preexec: Callable[[], None] | None = None) -> bool:
        argv = [sys.executable, "-c", program, phantoms]
        environment = {**os.environ, "PNEUMO_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, preexec_fn=preexec, check=True, timeout=60
        )
        return "decoding" in done.stdout

    assert decoded()
    (file,) = (tmp_path / "cache" / "films").iterdir()
    old = file.with_name("old.films")
    old.touch()
    for path in (file, old, file.parent):
        os.chown(path, 12345, 12345)
    for path in (file, old):
        path.chmod(0o444)
        os.utime(path, (0, time.time() - 31 * 86_400))
    file.parent.chmod(0o555)
    assert not decoded(obey_permissions)
    assert old.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_pages_that_were_read_go_back(tmp_path: Path):
    def mapped_megabytes() -> float:
        counts = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        # a temporary folder in memory (tmpfs) counts as shared memory
        return sum(int(counts[name].split()[0]) for name in ("RssFile", "RssShmem")) / 1024

    write_films(tmp_path / "x.films", (np.ones((512, 1024), np.uint8) for _ in range(64)))
    films = FilmCache(tmp_path / "x.films")
    films.will_need([0, 63])
    before = mapped_megabytes()
    assert sum(int(films[number].sum()) for number in range(64)) == 64 * 512 * 1024
    assert mapped_megabytes() - before > 25
    films.let_go()
    assert mapped_megabytes() - before < 5
    assert films[63].all()


def test_unused_caches_are_removed_after_thirty_days(tmp_path: Path):
    old, used = tmp_path / "old.films", tmp_path / "used.films"
    for file in (old, used):
        file.touch()
    os.utime(old, (0, time.time() - 31 * 86_400))
    prune(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["used.films"]
    prune(tmp_path / "missing")


DECODES_SLOWLY = """
import sys, time
from pathlib import Path
from pneumocli.core.events import Remark, TaskStarted
from pneumocli.data.images import read_film
from pneumocli.data.manifest import scan, with_hashes
from pneumocli.training.film_cache import cached_films

def decode(path):
    time.sleep(0.05)
    return read_film(path).pixels

events = []
manifest = with_hashes(scan(Path(sys.argv[1])).of("test"))
films, _ = cached_films(manifest, decode, "slow", events.append)
decoded = any(isinstance(event, TaskStarted) for event in events)
waited = any(isinstance(event, Remark) and event.text.endswith(": waiting for it") for event in events)
print(f"{len(films)} films, decoded {decoded}, waited {waited}")
"""


@pytest.mark.slow  # real processes
def test_one_of_several_processes_decodes_and_the_others_wait_for_it(phantoms: Path, tmp_path: Path):
    """The first one is killed half-way: one of those that wait takes its place, and clears up after it."""
    jobs = [sys.executable, "-c", DECODES_SLOWLY, str(phantoms)]
    environment = os.environ | {"PNEUMO_CACHE": str(tmp_path)}
    folder = tmp_path / "films"

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(jobs, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    killed = started()
    deadline = time.monotonic() + 30
    while not list(folder.glob(".*.part")):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.01)
    others = [started(), started()]
    time.sleep(0.2)
    killed.kill()
    killed.communicate()
    answers = [process.communicate(timeout=60) for process in others]
    assert [process.returncode for process in others] == [0, 0], answers
    assert [out.startswith("40 films") for out, _ in answers] == [True, True], answers
    assert sum("decoded True" in out for out, _ in answers) == 1, answers
    (only,) = folder.iterdir()
    assert only.suffix == ".films"


def test_of_two_trainings_that_begin_together_one_builds_the_cache(manifest: Manifest):
    decoded: list[Path] = []

    def decode(path: Path) -> np.ndarray:
        decoded.append(path)
        time.sleep(0.005)
        return DECODE(path)

    events: list[object] = []
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: cached_films(manifest, decode, "together", events.append)[0], range(2)))
    assert len(decoded) == len(manifest)
    assert found[0].path == found[1].path
    assert [event.text for event in events if isinstance(event, Remark) and "waiting for it" in event.text]
    assert list(found[0].path.parent.glob("*.lock")) == []
