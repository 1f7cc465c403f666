"""A server on the loopback interface that implements enough of Kaggle's API, and serves a plain zip, with faults.

The real kaggle client talks to it once the one address in kagglesdk's table is replaced.
"""

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATASET_CALL = "/v1/datasets.DatasetApiService/DownloadDataset"
INTROSPECT_CALL = "/v1/security.OAuthService/IntrospectToken"
REFRESH_CALL = "/v1/users.AccountService/GenerateAccessToken"
STORAGE = "/storage/archive.zip"
PLAIN = "/plain/ChestXRay2017.zip"

_BLOCK = 1 << 14


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request for the zip.

    Attributes:
        status: Answer with this status; 0 for none.
        headers: Sent with the status.
        body: Sent with the status.
        drop_after: Close the connection after so many bytes of the body; ``None`` for never.
        code_in_json: Answer 200 with a JSON body that holds this code, as Kaggle does at times.
        swap: Serve this file from this request on.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drop_after: int | None = None
    code_in_json: int = 0
    swap: bytes | None = None


@dataclass
class Seen:
    """One request, as it was answered."""

    method: str
    path: str
    authorization: str
    range: str
    status: int
    body_bytes: int = 0


class ReleaseServer:
    """Serves one file; faults are taken from ``faults``, one per request for the zip's bytes.

    Attributes:
        content: The zip.
        faults: What goes wrong with the next requests; empty for nothing.
        redirect: Whether Kaggle's call is answered with a redirect to a storage address, as Kaggle does.
        accept: Authorizations that may have the zip; ``None`` for everybody.
        token: The access token that the login knows.
        ranges: Whether ranges are served.
        validators: Whether ETag and Last-Modified are sent.
        pause: Seconds to wait after each block of 16 KiB.
        seen: Every request.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.faults: deque[Fault] = deque()
        self.redirect = False
        self.accept: set[str] | None = None
        self.token = "KGAT_good"
        self.ranges = True
        self.validators = True
        self.length = True
        self.pause = 0.0
        self.seen: list[Seen] = []
        server = self

        class Handler(_Handler):
            release = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def etag(self) -> str:
        return f'"{hash(self.content):x}"'

    @property
    def body_bytes(self) -> int:
        """Bytes of the zip that were sent, over all requests."""
        return sum(seen.body_bytes for seen in self.seen)

    @contextmanager
    def running(self) -> Iterator["ReleaseServer"]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    release: ReleaseServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        # A small buffer: what is sent is about what is received.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == INTROSPECT_CALL:
            known = json.loads(body)["token"] == self.release.token
            self._json(200, {"active": known, "username": "tester" if known else ""})
        elif self.path == REFRESH_CALL:
            self._json(200, {"token": self.release.token, "expiresIn": 3600, "userName": "tester"})
        elif self.path == DATASET_CALL:
            assert json.loads(body)["datasetSlug"] == "chest-xray-pneumonia", body
            if not self._allowed():
                self._json(401, {"code": 401, "message": "Unauthenticated"})
            elif self.release.redirect:
                self._head(302, {"Location": f"{self.release.url}{STORAGE}?signature=secret", "Content-Length": "0"})
            else:
                self._zip()
        else:
            self._json(404, {"code": 404, "message": "no such call"})

    def do_GET(self) -> None:
        if self.path.split("?")[0] in (STORAGE, PLAIN):
            self._zip()
        else:
            self._json(404, {"code": 404, "message": "no such file"})

    def _allowed(self) -> bool:
        accepted = self.release.accept
        return accepted is None or self.headers.get("Authorization", "") in accepted

    def _zip(self) -> None:
        release = self.release
        fault = release.faults.popleft() if release.faults else Fault()
        if fault.swap is not None:
            release.content = fault.swap
        if fault.code_in_json:
            self._json(200, {"code": fault.code_in_json, "message": "an error in the body"})
            return
        if fault.status:
            self._head(fault.status, {"Content-Length": str(len(fault.body)), **fault.headers})
            self.wfile.write(fault.body)
            return
        content = release.content
        asked = self.headers.get("Range", "")
        if_range = self.headers.get("If-Range")
        headers = {"Content-Type": "application/zip", "Accept-Ranges": "bytes" if release.ranges else "none"}
        if release.validators:
            headers |= {"ETag": release.etag, "Last-Modified": "Mon, 01 Jun 2020 00:00:00 GMT"}
        start, status = 0, 200
        if asked and release.ranges and if_range in (None, release.etag):
            start, status = int(asked.removeprefix("bytes=").split("-")[0]), 206
            if start >= len(content):
                self._head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if release.length:
            headers["Content-Length"] = str(len(content) - start)
        else:
            headers["Connection"] = "close"
            self.close_connection = True
        seen = self._head(status, headers)
        self._send(content[start:], fault.drop_after, seen)

    def _send(self, body: bytes, drop_after: int | None, seen: Seen) -> None:
        end = len(body) if drop_after is None else min(drop_after, len(body))
        try:
            for position in range(0, end, _BLOCK):
                block = body[position : min(position + _BLOCK, end)]
                self.wfile.write(block)
                seen.body_bytes += len(block)
                if self.release.pause:
                    time.sleep(self.release.pause)
        except OSError:  # the client is gone
            self.close_connection = True
        if drop_after is not None:
            self.close_connection = True

    def _json(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self._head(status, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> Seen:
        seen = Seen(
            self.command,
            self.path.split("?")[0],
            self.headers.get("Authorization", ""),
            self.headers.get("Range", ""),
            status,
        )
        self.release.seen.append(seen)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        return seen
