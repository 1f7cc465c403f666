"""A large file over HTTP that survives broken connections, killed processes and a file that changes meanwhile.

The bytes go into a partial file with a small record beside it: how long the whole is and by which ETag (or date) the
server knows it. They are continued only where the server confirms (``If-Range``) that it still has the same file.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import requests

from pneumocli.core.errors import DownloadError, PneumoError
from pneumocli.core.events import Listener, Remark, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.core.files import read_record, write_failure, write_json
from pneumocli.core.version import __version__
from pneumocli.release.http_errors import connection_error, megabytes, status_error
from pneumocli.release.records import PartialDownload

TIMEOUT_SECONDS = (20.0, 60.0)
"""To connect, and between two bytes."""

WAIT_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Before each retry; counted anew whenever bytes arrived in between."""

_LONGEST_WAIT_SECONDS = 60.0  # a server that asks for more is reported instead of waited for
_RETRIES_AT_FIRST = 2  # where nothing arrived yet: no network, or a wrong proxy, is reported soon
_BLOCK_BYTES = 1 << 13  # at most so much is lost when the connection breaks
_EVENT_BYTES = 1 << 17
_GONE = (401, 403, 404, 410)  # another address of the file may still do
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")


class Refused(Exception):  # noqa: N818 - a server's answer, not a fault of the program
    """The server answered with an error status.

    Attributes:
        status: Of HTTP.
        retry_after: Seconds that the server asks to wait; ``None`` where it asks for none.
    """

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.retry_after = retry_after

    @classmethod
    def by(cls, response: requests.Response, status: int | None = None) -> "Refused":
        """The refusal in ``response``; ``status`` where its body gives another status than its head."""
        seconds = response.headers.get("Retry-After", "")
        return cls(status or response.status_code, float(seconds) if seconds.isdecimal() else None)


class Remote(Protocol):
    """A file on the network."""

    title: str

    def open(self, headers: dict[str, str]) -> requests.Response:
        """Asks for the file, its body not yet read.

        Args:
            headers: To send along: ``Range`` and ``If-Range``, or nothing.

        Raises:
            Refused: The server answered with an error status.
            requests.RequestException: It did not answer.
        """

    def refusal(self, status: int) -> DownloadError | None:
        """What a status means here, where this is known."""


class WebFile:
    """A file with a plain address, or several of which one may have gone.

    Args:
        title: Whose file it is, for people.
        urls: Where it is.
        page: Where a person can fetch it by hand.
    """

    def __init__(self, title: str, urls: Sequence[str], page: str) -> None:
        self.title = title
        self._urls = list(urls)
        self._page = page

    def open(self, headers: dict[str, str]) -> requests.Response:
        """See :class:`Remote`."""
        while True:
            # identity: a compressed transfer would make the ranges of the next request count other bytes.
            response = requests.get(
                self._urls[0],
                headers={"Accept-Encoding": "identity", "User-Agent": f"pneumo/{__version__}", **headers},
                stream=True,
                timeout=TIMEOUT_SECONDS,
            )
            if response.ok:
                return response
            response.close()
            if response.status_code not in _GONE or len(self._urls) == 1:
                raise Refused.by(response)
            del self._urls[0]

    def refusal(self, status: int) -> DownloadError | None:
        """See :class:`Remote`."""
        by_hand = f"fetch the zip at {self._page}, then: pneumo download --archive FILE.zip"
        if status in (401, 403):
            return DownloadError(f"{self.title} refuses to hand out the file (HTTP {status})", by_hand)
        if status in (404, 410):
            return DownloadError(f"{self.title} no longer has the file at its address (HTTP {status})", by_hand)
        return None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a transfer took.

    Attributes:
        num_bytes: Received in this call.
        num_breaks: Connections that broke and were made anew.
    """

    num_bytes: int
    num_breaks: int


def partial_record(file: Path) -> Path:
    """Where the record of a partial file is kept."""
    return file.with_name(file.name + ".json")


def fetch(
    remote: Remote, file: Path, *, num_bytes: int | None, room: Callable[[int], None], listener: Listener
) -> Fetched:
    """Fetches a file, or what is missing of it.

    Args:
        remote: What to fetch.
        file: Where to; an earlier call's part of it is continued if the server still has the same file. It is whole
            when the function returns.
        num_bytes: Its size, where known beforehand.
        room: Called with the file's size as soon as it is known; raises where the disk has too little room.
        listener: Gets progress in bytes, and a remark for every broken connection.

    Raises:
        DownloadError: The file could not be had. The part that arrived is kept for the next call.
    """
    return _Transfer(remote, file, num_bytes, room, listener).run()


class _Transfer:
    """The state of one call of :func:`fetch`."""

    def __init__(
        self, remote: Remote, file: Path, num_bytes: int | None, room: Callable[[int], None], listener: Listener
    ) -> None:
        self._remote = remote
        self._file = file
        self._expected = num_bytes
        self._room = room
        self._listener = listener
        self._task = f"fetching from {remote.title}"
        self._started = False
        self._received = 0
        self._breaks = 0
        self._known = self._load()

    def _load(self) -> PartialDownload | None:
        """The record of an earlier call's part, if the two fit together."""
        try:
            known = read_record(partial_record(self._file), PartialDownload)
            have = self._file.stat().st_size
        except (PneumoError, OSError):
            return None
        return known if known.num_bytes is None or have <= known.num_bytes else None

    def _have(self) -> int:
        return self._file.stat().st_size if self._known is not None and self._file.exists() else 0

    def run(self) -> Fetched:
        """Tries until the file is whole or there is no use in trying."""
        fails, before = 0, 0
        while not self._is_whole():
            try:
                self._once()
                continue
            except (requests.RequestException, Refused) as error:
                if self._received > before:
                    fails, before = 0, self._received
                wait = self._wait(error, fails)
                if wait is None:
                    raise self._failure(error) from error
                fails += 1
                self._breaks += 1
                self._listener(Remark(f"{self._remark(error)}: trying again in {wait:.0f} s"))
            time.sleep(wait)
        if self._started:
            self._listener(TaskFinished(self._task))
        return Fetched(self._received, self._breaks)

    def _is_whole(self) -> bool:
        return self._known is not None and self._known.num_bytes is not None and self._have() == self._known.num_bytes

    def _once(self) -> None:
        """One request: to the end of the file, or to the point where the connection breaks."""
        have = self._have()
        validator = self._known.validator if self._known else None
        headers = {"Range": f"bytes={have}-", "If-Range": validator} if have and validator else {}
        with self._remote.open(headers) as response:
            start = self._accepted_start(response, have)
            if start is None:
                self._forget()
                raise requests.ConnectionError("the server sent another part of the file than it was asked for")
            if have and start == 0:
                same = _validator(response) in (validator, None)
                why = "does not serve parts of the file" if same else "has another file than before"
                self._listener(Remark(f"{self._remote.title} {why}: starting over"))
            if start == 0:
                self._begin(response)
            self._announce(start)
            self._receive(response, start)

    def _accepted_start(self, response: requests.Response, have: int) -> int | None:
        """Where the body belongs in the file; ``None`` where it cannot be used."""
        if response.status_code != 206:
            return 0
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        known = self._known
        if match is None or known is None or int(match[1]) != have:
            return None
        same_size = known.num_bytes is None or match[2] in ("*", str(known.num_bytes))
        return have if same_size and _validator(response) in (known.validator, None) else None

    def _begin(self, response: requests.Response) -> None:
        """Notes which file comes, and empties the partial file."""
        length = response.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() and "Content-Encoding" not in response.headers else None
        if self._expected is not None and size is not None and size != self._expected:
            raise DownloadError(
                f"{self._remote.title} sends {size:,} bytes, expected {self._expected:,}: it is not the known release",
                "check the address and the proxy, or fetch the zip by hand: pneumo download --archive FILE.zip",
            )
        self._room(size or self._expected or 0)
        try:
            self._file.unlink(missing_ok=True)
            self._known = PartialDownload(validator=_validator(response), num_bytes=size)
            write_json(partial_record(self._file), self._known)
            self._file.touch()
        except OSError as error:
            raise write_failure(self._file, error) from error

    def _forget(self) -> None:
        self._known = None
        partial_record(self._file).unlink(missing_ok=True)

    def _announce(self, start: int) -> None:
        if not self._started:
            self._started = True
            self._listener(TaskStarted(self._task, self._known.num_bytes if self._known else None, "bytes"))
            if start:
                self._listener(Remark(f"continuing after the first {megabytes(start)} of an earlier download"))
        self._listener(TaskAdvanced(self._task, start))

    def _receive(self, response: requests.Response, start: int) -> None:
        position = start
        # Unbuffered: what has arrived must survive a kill.
        with self._file.open("ab", buffering=0) as out:
            for block in response.iter_content(_BLOCK_BYTES):
                if position == 0 and not block.startswith(_ZIP_STARTS):
                    raise self._no_zip(response, block)
                try:
                    out.write(block)
                except OSError as error:
                    raise self._unwritable(error, position) from error
                if (position + len(block)) // _EVENT_BYTES > position // _EVENT_BYTES:
                    self._listener(TaskAdvanced(self._task, position + len(block)))
                position += len(block)
                self._received += len(block)
        self._listener(TaskAdvanced(self._task, position))
        self._check_end(position)

    def _check_end(self, position: int) -> None:
        known = self._known
        if known is not None and known.num_bytes is None:  # a server that does not send the size: the end is the end
            self._known = known.model_copy(update={"num_bytes": position})
            write_json(partial_record(self._file), self._known)
        elif known is not None and known.num_bytes is not None and position < known.num_bytes:
            raise requests.ConnectionError("the connection ended early")
        elif known is not None and known.num_bytes is not None and position > known.num_bytes:
            self._forget()
            raise requests.ConnectionError("more bytes came than were announced")

    def _no_zip(self, response: requests.Response, block: bytes) -> DownloadError:
        self._forget()
        self._file.unlink(missing_ok=True)
        kind = response.headers.get("Content-Type", "something without a type").split(";")[0]
        start = re.sub(r"\s+", " ", block[:40].decode("utf-8", "replace")).strip()
        return DownloadError(
            f"{self._remote.title} sent no zip but {kind} that begins with {start!r}: perhaps the login page of a "
            "network or a proxy",
            "open any page in a browser to log in to the network, then run the same command again",
        )

    def _unwritable(self, error: OSError, position: int) -> DownloadError:
        failure = write_failure(self._file, error)
        return DownloadError(
            f"{failure.message}; {megabytes(position)} are there",
            "make room and run the same command again: it continues; or choose another disk with --data DIR",
        )

    def _wait(self, error: requests.RequestException | Refused, fails: int) -> float | None:
        """Seconds until the next try; ``None`` to give up."""
        most = len(WAIT_SECONDS) if self._received else min(_RETRIES_AT_FIRST, len(WAIT_SECONDS))
        if fails >= most:
            return None
        if isinstance(error, Refused):
            if error.status == 416:  # the part is longer than the file is now
                self._forget()
                return 0.0
            if error.status != 429 and error.status < 500:
                return None
            if error.retry_after is not None:
                return error.retry_after if error.retry_after <= _LONGEST_WAIT_SECONDS else None
        elif not isinstance(error, _PASSING):
            return None
        return WAIT_SECONDS[fails]

    def _remark(self, error: requests.RequestException | Refused) -> str:
        if isinstance(error, Refused):
            return f"{self._remote.title} answered with HTTP {error.status}"
        if not self._started:
            return f"no connection to {self._remote.title}"
        total = self._known.num_bytes if self._known else None
        of = f" of {megabytes(total)}" if total else ""
        return f"the connection broke after {megabytes(self._have())}{of}"

    def _failure(self, error: requests.RequestException | Refused) -> DownloadError:
        title, have = self._remote.title, self._have()
        if isinstance(error, Refused):
            return self._remote.refusal(error.status) or status_error(
                title, error.status, retry_after=error.retry_after, have=have
            )
        return connection_error(title, error, have=have, broke=self._remark(error) if self._started else "")


_PASSING = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


def _validator(response: requests.Response) -> str | None:
    """What proves that a later answer is of the same file; a weak ETag does not."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")
