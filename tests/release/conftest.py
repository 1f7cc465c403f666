"""Films to zip, a loopback server in Kaggle's and Mendeley's place, and a home without credentials."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pneumocli.data.release_lists import kaggle_films
from pneumocli.release import http, sources
from tests.helpers.kaggle_server import PLAIN, ReleaseServer
from tests.helpers.zips import films_of


@pytest.fixture(scope="session")
def films(phantoms: Path) -> dict[str, bytes]:
    """Phantoms under names of the Kaggle release: content by ``split/CLASS/name``, 24 of them."""
    contents = iter(films_of(phantoms).values())
    groups = sorted({(split, name) for split, name, _ in kaggle_films()})
    return {
        f"{split}/{name}/{file}": next(contents)
        for split, name in groups
        for file in sorted(file for *group, file in kaggle_films() if tuple(group) == (split, name))[:4]
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; no credentials in the environment, no proxy, no waiting."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in list(os.environ):
        if name.startswith("KAGGLE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(http, "WAIT_SECONDS", (0.0,) * 5)
    return folder


@pytest.fixture
def target(tmp_path: Path, home: Path) -> Path:
    """Where the set shall be; nothing is there."""
    return tmp_path / "data" / "chest_xray"


@pytest.fixture
def serve(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ReleaseServer]]:
    """Starts a server with a zip; both sources are asked there from then on."""
    from kagglesdk import kaggle_env

    with ExitStack() as stack:

        def start(content: bytes, **known: object) -> ReleaseServer:
            server = stack.enter_context(ReleaseServer(content).running())
            monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, server.url)
            mendeley = {"urls": (server.url + PLAIN,), "num_bytes": None, "sha256": None, **known}
            monkeypatch.setattr(sources, "MENDELEY", dataclasses.replace(sources.MENDELEY, **mendeley))
            return server

        yield start
