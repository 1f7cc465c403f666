"""The network's faults, each in one sentence with what to do; driven over real sockets."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from pneumocli.core.errors import DownloadError
from pneumocli.core.events import Event, Remark, ignore
from pneumocli.release import http
from pneumocli.release.http import Fetched, WebFile, fetch, partial_record
from pneumocli.release.http_errors import megabytes
from tests.helpers.kaggle_server import PLAIN, Fault, ReleaseServer

ZIP = b"PK\x03\x04" + bytes(range(256)) * 2000


@pytest.fixture
def server(home: Path) -> Iterator[ReleaseServer]:
    with ReleaseServer(ZIP).running() as running:
        yield running


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "archive.zip.part"


def web(url: str) -> WebFile:
    return WebFile("Mendeley Data", [url + PLAIN], "https://example.org/page")


def run(url: str, part: Path, listener: Callable[[Event], None] = ignore, size: int | None = None) -> Fetched:
    return fetch(web(url), part, num_bytes=size, room=lambda size: None, listener=listener)


def failure(url: str, part: Path) -> DownloadError:
    with pytest.raises(DownloadError) as caught:
        run(url, part)
    assert caught.value.hint
    return caught.value


def test_fetches_all(server: ReleaseServer, part: Path) -> None:
    assert run(server.url, part) == Fetched(len(ZIP), 0)
    assert part.read_bytes() == ZIP


@pytest.mark.parametrize(
    ("status", "headers", "words", "advice"),
    [
        (401, {}, "refuses to hand out the file (HTTP 401)", "--archive FILE.zip"),
        (403, {}, "refuses to hand out the file (HTTP 403)", "--archive FILE.zip"),
        (404, {}, "no longer has the file at its address (HTTP 404)", "https://example.org/page"),
        (429, {}, "the limit is reached (HTTP 429)", "in some minutes"),
        (429, {"Retry-After": "3600"}, "the limit is reached (HTTP 429)", "in 3,600 seconds"),
        (500, {}, "out of order at the moment (HTTP 500)", "later"),
        (503, {}, "out of order at the moment (HTTP 503)", "try another --source"),
        (418, {}, "answered with HTTP 418", "--archive FILE.zip"),
    ],
)
def test_statuses(
    server: ReleaseServer, part: Path, status: int, headers: dict[str, str], words: str, advice: str
) -> None:
    server.faults.extend([Fault(status=status, headers=headers)] * 20)
    error = failure(server.url, part)
    assert words in error.message
    assert advice in str(error.hint)
    assert len(server.seen) == (3 if status in (429, 500, 503) and not headers else 1)


def test_second_address_where_the_first_has_gone(server: ReleaseServer, part: Path) -> None:
    file = WebFile("Mendeley Data", [f"{server.url}/gone.zip", server.url + PLAIN], "https://example.org/page")
    server.faults.append(Fault(drop_after=200_000))
    took = fetch(file, part, num_bytes=len(ZIP), room=lambda size: None, listener=ignore)
    assert took.num_breaks == 1
    assert part.read_bytes() == ZIP
    assert [seen.path for seen in server.seen] == ["/gone.zip", PLAIN, PLAIN]


def test_short_wait_that_the_server_asks_for_is_kept(
    server: ReleaseServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(http.time, "sleep", waits.append)
    server.faults.append(Fault(status=429, headers={"Retry-After": "7"}))
    assert run(server.url, part).num_breaks == 1
    assert waits == [7.0]


def test_passing_fault_is_reported_and_overcome(server: ReleaseServer, part: Path) -> None:
    server.faults.extend([Fault(status=503), Fault(drop_after=200_000)])
    events: list[Event] = []
    assert run(server.url, part, events.append).num_breaks == 2
    notes = [event.text for event in events if isinstance(event, Remark)]
    assert notes[0] == "Mendeley Data answered with HTTP 503: trying again in 0 s"
    assert notes[1].startswith("the connection broke after 0.2 MB of 0.5 MB")
    assert part.read_bytes() == ZIP


def test_connection_that_keeps_breaking_is_given_up(server: ReleaseServer, part: Path) -> None:
    server.faults.extend([Fault(drop_after=100_000)] + [Fault(drop_after=0)] * 20)
    error = failure(server.url, part)
    assert "broke after 98,304 bytes of 0.5 MB, and could not be made again" in error.message
    assert "it continues after 98,304 bytes" in str(error.hint)
    assert part.stat().st_size == 98_304
    server.faults.clear()
    assert run(server.url, part).num_bytes == len(ZIP) - 98_304
    assert part.read_bytes() == ZIP


@pytest.mark.parametrize("spoilt", ["record", "longer", "missing"])
def test_part_that_does_not_fit_its_record_is_dropped(server: ReleaseServer, part: Path, spoilt: str) -> None:
    server.faults.extend([Fault(drop_after=100_000)] + [Fault(drop_after=0)] * 20)
    failure(server.url, part)
    server.faults.clear()
    if spoilt == "record":
        partial_record(part).write_text("{")
    elif spoilt == "longer":
        part.write_bytes(ZIP * 2)
    else:
        part.unlink()
    assert run(server.url, part).num_bytes == len(ZIP)
    assert part.read_bytes() == ZIP


def test_file_that_shrank_below_the_part(server: ReleaseServer, part: Path) -> None:
    server.faults.extend([Fault(drop_after=100_000)] + [Fault(drop_after=0)] * 20)
    failure(server.url, part)
    server.faults.clear()
    server.faults.append(Fault(status=416))
    server.content = ZIP[:50_000]
    assert run(server.url, part).num_bytes == 50_000
    assert part.read_bytes() == ZIP[:50_000]


def test_server_that_sends_another_part_than_asked(
    server: ReleaseServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults.append(Fault(drop_after=100_000))
    server.faults.append(
        Fault(status=206, headers={"Content-Range": f"bytes 5-10/{len(ZIP)}", "ETag": server.etag}, body=b"wrong!")
    )
    run(server.url, part)
    assert part.read_bytes() == ZIP


def test_nobody_listens(home: Path, part: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    error = failure(f"http://127.0.0.1:{port}", part)
    assert error.message == "no connection to Mendeley Data: connection refused"
    assert "check the network" in str(error.hint)
    assert "--archive FILE.zip" in str(error.hint)
    assert not part.exists()


def test_no_network(home: Path, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*args: object, **settings: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    error = failure("https://data.mendeley.com", part)
    assert error.message == ("no connection to Mendeley Data: its name cannot be resolved, as if there were no network")


def test_proxy_that_refuses(server: ReleaseServer, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.faults.extend([])  # the server answers CONNECT, which it does not know, with 501
    proxy = server.url.replace("http://", "http://user:hunter2@")
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    error = failure("https://data.mendeley.com", part)
    assert f"the proxy {server.url.removeprefix('http://')} does not let Mendeley Data through" in error.message
    assert "501" in error.message
    assert "HTTPS_PROXY" in str(error.hint)
    assert "hunter2" not in error.message + str(error.hint)


def test_proxy_is_used(server: ReleaseServer, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    error = failure("http://nowhere.invalid", part)  # the server sees the whole address as path, and has no such file
    assert "HTTP 404" in error.message
    assert server.seen[0].path == f"http://nowhere.invalid{PLAIN}"


def test_certificate_that_cannot_be_checked(home: Path, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrap(*args: object, **settings: object) -> None:
        raise ssl.SSLCertVerificationError(
            1, "certificate verify failed: self-signed certificate in chain (_ssl.c:992)"
        )

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        error = failure(f"https://127.0.0.1:{listener.getsockname()[1]}", part)
    assert error.message == ("the certificate of Mendeley Data could not be checked: self-signed certificate in chain")
    assert "REQUESTS_CA_BUNDLE" in str(error.hint)


def test_server_that_says_nothing(home: Path, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", (0.05, 0.05))
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        error = failure(f"http://127.0.0.1:{silent.getsockname()[1]}", part)
    assert error.message == "Mendeley Data does not answer: it timed out"


def test_line_that_falls_silent_is_continued(
    server: ReleaseServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", (1.0, 0.1))
    silences = iter([0.3])

    def listen(event: Event) -> None:
        server.pause = next(silences, server.pause) if not isinstance(event, Remark) else 0.0

    assert run(server.url, part, listen).num_breaks >= 1
    assert part.read_bytes() == ZIP


@pytest.mark.parametrize(
    ("count", "words"), [(512, "512 bytes"), (1_234_567, "1.2 MB"), (2_340_000_000, "2.34 GB"), (0, "0 bytes")]
)
def test_megabytes(count: int, words: str) -> None:
    assert megabytes(count) == words


def test_error_of_requests_without_a_cause(part: Path, home: Path) -> None:
    error = failure("no-scheme", part)
    assert "could not be asked: MissingSchema" in error.message
    assert isinstance(error.__cause__, requests.RequestException)
