"""Kaggle's own client: every way of credentials, every refusal, and nothing of its habits shown to the user."""

import base64
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from pneumocli.core.errors import DownloadError
from pneumocli.release import kaggle
from pneumocli.release.http import Refused
from pneumocli.release.kaggle import KaggleFile
from tests.helpers.kaggle_server import Fault, ReleaseServer

BASIC = "Basic " + base64.b64encode(b"me:secret").decode()
BEARER = "Bearer KGAT_good"


def write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    file.chmod(0o600)


def legacy(file: Path) -> None:
    write(file, json.dumps({"username": "me", "key": "secret"}))


def oauth(home: Path, expires: timedelta) -> None:
    values = {
        "refresh_token": "r",
        "access_token": "KGAT_good" if expires > timedelta() else "KGAT_old",
        "access_token_expiration": (datetime.now(UTC) + expires).isoformat(),
        "username": "me",
        "scopes": [],
    }
    write(home / ".kaggle" / "credentials.json", json.dumps(values))


WAYS: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], None], str]] = {
    "none": (lambda home, patch: None, ""),
    "token variable": (lambda home, patch: patch.setenv("KAGGLE_API_TOKEN", "KGAT_good"), BEARER),
    "token variable names a file": (
        lambda home, patch: (write(home / "tok", "KGAT_good\n"), patch.setenv("KAGGLE_API_TOKEN", str(home / "tok"))),
        BEARER,
    ),
    "access_token file": (lambda home, patch: write(home / ".kaggle" / "access_token", "KGAT_good\n"), BEARER),
    "variables": (
        lambda home, patch: (patch.setenv("KAGGLE_USERNAME", "me"), patch.setenv("KAGGLE_KEY", "secret")),
        BASIC,
    ),
    "kaggle.json": (lambda home, patch: legacy(home / ".kaggle" / "kaggle.json"), BASIC),
    "kaggle.json in .config": (lambda home, patch: legacy(home / ".config" / "kaggle" / "kaggle.json"), BASIC),
    "kaggle.json elsewhere": (
        lambda home, patch: (legacy(home / "k" / "kaggle.json"), patch.setenv("KAGGLE_CONFIG_DIR", str(home / "k"))),
        BASIC,
    ),
    "OAuth": (lambda home, patch: oauth(home, timedelta(hours=9)), BEARER),
    "OAuth, expired": (lambda home, patch: oauth(home, -timedelta(hours=9)), BEARER),
}


@pytest.mark.parametrize("way", WAYS)
def test_credentials(
    serve: Callable[..., ReleaseServer], home: Path, monkeypatch: pytest.MonkeyPatch, capfd, way: str
) -> None:
    make, authorization = WAYS[way]
    make(home, monkeypatch)
    server = serve(b"PK\x03\x04")
    server.accept = {authorization}
    with KaggleFile().open({}) as response:
        assert response.content == b"PK\x03\x04"
    assert capfd.readouterr() == ("", "")


def test_credentials_set_after_a_refusal_are_noticed(
    serve: Callable[..., ReleaseServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(b"PK\x03\x04")
    server.accept = {BEARER}
    with pytest.raises(Refused):
        KaggleFile().open({})
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_good")
    KaggleFile().open({}).close()


def refused(file: KaggleFile) -> DownloadError:
    with pytest.raises(Refused) as caught:
        file.open({})
    error = file.refusal(caught.value.status)
    assert error is not None
    assert "--source mendeley" in str(error.hint)
    return error


@pytest.mark.parametrize(
    ("way", "words", "advice"),
    [
        ("none", "asks for an account, and no credentials were found", "export KAGGLE_API_TOKEN="),
        ("token variable", "credentials from KAGGLE_API_TOKEN", "settings/api"),
        ("access_token file", "credentials from ~/.kaggle/access_token", "settings/api"),
        ("variables", "credentials from KAGGLE_USERNAME and KAGGLE_KEY", "a new token is no key"),
        ("kaggle.json", "kaggle.json (HTTP 401)", "a new token is no key"),
        ("OAuth", "credentials from ~/.kaggle/credentials.json (OAuth)", "settings/api"),
    ],
)
def test_401_names_the_credentials(
    serve: Callable[..., ReleaseServer],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    words: str,
    advice: str,
) -> None:
    WAYS[way][0](home, monkeypatch)
    serve(b"").accept = set()
    error = refused(KaggleFile())
    assert words in error.message
    assert advice in str(error.hint)
    assert "secret" not in error.message
    assert "KGAT" not in error.message


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=403), "does not let a user without account have paultimothymooney/chest-xray-pneumonia"),
        (Fault(status=404), "Kaggle has no data set paultimothymooney/chest-xray-pneumonia (HTTP 404)"),
        (Fault(code_in_json=403), "(HTTP 403): its terms may not have been accepted"),
    ],
)
def test_refusals(serve: Callable[..., ReleaseServer], fault: Fault, words: str) -> None:
    serve(b"").faults.append(fault)
    assert words in refused(KaggleFile()).message


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"[1, 2]", "no JSON object"), (b"{", "no JSON"), ('{"key":"x"}'.encode("utf-16"), "no JSON")],
)
def test_damaged_kaggle_json_is_named(home: Path, content: bytes, words: str) -> None:
    file = home / ".kaggle" / "kaggle.json"
    write(file, "")
    file.write_bytes(content)
    with pytest.raises(DownloadError) as caught:
        KaggleFile().open({})
    assert caught.value.message == f"the credentials in {file} cannot be read: {words}"
    assert "or remove it" in str(caught.value.hint)


@pytest.mark.parametrize("token", ["KGAT_\N{EURO SIGN}", "KGAT_a\nb"])
def test_token_that_cannot_be_sent_is_not_shown(
    serve: Callable[..., ReleaseServer], monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    serve(b"")
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    with pytest.raises(DownloadError, match="the credentials from KAGGLE_API_TOKEN hold a character") as caught:
        KaggleFile().open({})
    assert "KGAT" not in caught.value.message


def test_environment_is_as_before(
    serve: Callable[..., ReleaseServer], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setenv("VERBOSE", "1")
    serve(b"PK")
    before = dict(os.environ)
    KaggleFile().open({}).close()
    assert dict(os.environ) == before
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "fault", [SystemExit(1), OSError(13, "Permission denied"), ImportError("No module named 'six'")]
)
def test_client_that_does_not_start(home: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, capfd) -> None:
    def start() -> None:
        sys.stdout.write("Authentication required to call the Kaggle API.\n")
        raise fault

    monkeypatch.setattr(kaggle, "_logged_in", start)
    with pytest.raises(DownloadError, match="the kaggle package") as caught:
        KaggleFile().open({})
    assert "pip install --upgrade 'kaggle>=2.2.4'" in str(caught.value.hint)
    assert capfd.readouterr() == ("", "")


def test_login_that_hangs_is_given_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    stop = threading.Event()
    monkeypatch.setattr(kaggle, "_logged_in", stop.wait)
    monkeypatch.setattr(kaggle, "_LOGIN_SECONDS", 0.05)
    with pytest.raises(requests.exceptions.ConnectTimeout):
        KaggleFile().open({})
    stop.set()


def test_requests_have_a_time_limit(serve: Callable[..., ReleaseServer], monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    real = requests.adapters.HTTPAdapter.send

    def send(self, request, **settings):
        limits.append(settings["timeout"])
        return real(self, request, **settings)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    serve(b"PK").redirect = True
    KaggleFile().open({"Range": "bytes=1-"}).close()
    assert limits[-2:] == [kaggle.TIMEOUT_SECONDS] * 2
