"""Real processes whose output is not UTF-8: characters are replaced, the answer is never lost, JSON stays valid."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pneumocli.run_folder import RunFolder

ENCODINGS = ["cp1252", "ascii", "latin-1:strict"]


def pneumo(encoding: str, *argv: str) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "NO_COLOR": "1", "PYTHONIOENCODING": encoding}
    return subprocess.run([sys.executable, "-m", "pneumocli", *argv], capture_output=True, env=env, check=False)


@pytest.fixture
def films(phantoms: Path, tmp_path: Path) -> Path:
    """A folder of two films, one of them with a name that no single-byte encoding has."""
    first, second = sorted((phantoms / "test" / "NORMAL").glob("*.jpeg"))[:2]
    folder = tmp_path / "films"
    folder.mkdir()
    shutil.copy(first, folder / "M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller \N{CJK UNIFIED IDEOGRAPH-80BA}.jpeg")
    shutil.copy(second, folder / "plain.jpeg")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_tables_degrade_and_nothing_is_lost(encoding: str, trained: RunFolder, films: Path):
    done = pneumo(encoding, "predict", str(films), "--run", str(trained.path))
    text = done.stdout.decode(encoding.partition(":")[0])
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert "plain.jpeg" in text
    assert "2 films" in text
    assert not set(text) & set("┃│━─█")
    one = pneumo(encoding, "predict", str(films / "plain.jpeg"), "--run", str(trained.path))
    assert one.returncode == 0, one.stderr
    assert "probability of pneumonia" in one.stdout.decode(encoding.partition(":")[0])


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_stays_valid_and_names_the_film(encoding: str, trained: RunFolder, films: Path):
    done = pneumo(encoding, "predict", str(films), "--run", str(trained.path), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.decode(encoding.partition(":")[0]))
    assert {Path(film["image"]).name for film in found} == {film.name for film in films.iterdir()}


def test_an_error_about_a_name_beyond_the_encoding_is_still_one_sentence(tmp_path: Path):
    done = pneumo("ascii:strict", "evaluate", str(tmp_path / "\N{CJK UNIFIED IDEOGRAPH-80BA}"))
    assert done.returncode == 1
    assert b"error: no run folder at" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_system_without_a_locale_shows_the_help():
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env.pop("PYTHONIOENCODING", None)
    done = subprocess.run(
        [sys.executable, "-m", "pneumocli", "train", "--help"], capture_output=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"--learning-rate" in done.stdout
