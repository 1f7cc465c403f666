"""Films in object stores and on web servers, by fsspec: ``s3://``, ``gs://``, ``az://``, ``https://``.

Credentials are found by fsspec's packages in their own ways (environment, configuration files, the machine's role) and
are never printed: an address is shown without its user and what signs it, see :func:`shown_address`.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pneumocli.core.errors import DataError, PneumoError
from pneumocli.data.film import UnreadableFilm
from pneumocli.data.film_files import is_film_content, system_file, system_folder
from pneumocli.data.formats import HEAD_BYTES, is_film_name

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "https": "aiohttp",
    "http": "aiohttp",
}
_REFUSED = re.compile(
    r"access ?denied|forbidden|\b40[13]\b|credential|InvalidAccessKeyId|SignatureDoesNotMatch|token|unauthori",
    re.IGNORECASE,
)
# Names of a query's parts that sign it or let it in, as Amazon, Google, Microsoft and others spell them; they change
# from one list of the same films to the next.
_SECRET = re.compile(
    r"x-(amz|goog)-|(awsaccesskeyid|googleaccessid|signature|expires|policy|key-pair-id|s[verstp]|sig|spr|sip|srt"
    r"|skoid|sktid|sk[tesv]|(access[_-]?|id[_-]?)?token|(api[_-]?)?key|auth(orization)?|password|secret)$",
    re.IGNORECASE,
)
_HINT = (
    "credentials: aws configure or AWS_PROFILE for s3, gcloud auth application-default login for gs, az login for az"
)

_OTHER_HINT = "check the address and the network; AWS_ENDPOINT_URL names another store than Amazon's"


def is_remote(name: str) -> bool:
    """Whether a name is the address of a store or server that is read through fsspec.

    >>> is_remote("s3://bucket/films"), is_remote("films"), is_remote("C:/films")
    (True, False, False)
    """
    scheme, separator, _ = name.partition("://")
    return bool(separator) and scheme.lower() in _PACKAGES


def shown_address(address: str) -> str:
    """An address without what may be secret.

    Of a server's query, which may tell films apart, a hash is left, but of signatures and keys.

    >>> shown_address("https://me:word@host/a.png?Signature=x"), shown_address("s3://bucket/scan#1.dcm")
    ('https://host/a.png', 's3://bucket/scan#1.dcm')
    >>> shown_address("https://host/wado?objectUID=1&token=x"), shown_address("https://host/wado?objectUID=2")
    ('https://host/wado?~968cc5d6', 'https://host/wado?~158ae272')
    """
    if not address.lower().startswith(("http://", "https://")):  # in stores ? and # are letters of names
        scheme, _, rest = address.partition("://")
        place, slash, path = rest.partition("/")
        return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"
    scheme, place, path, query, _ = urlsplit(address)
    telling = [pair for pair in parse_qsl(query, keep_blank_values=True) if not _SECRET.match(pair[0])]
    mark = f"~{hashlib.sha256(urlencode(telling).encode()).hexdigest()[:8]}" if telling else ""
    return urlunsplit((scheme, place.rpartition("@")[2], path, mark, ""))


@dataclass(frozen=True, slots=True)
class RemoteFilm:
    """An object that is read when its turn has come.

    Attributes:
        system: Of fsspec.
        path: As the system names it.
        address: As shown to people.
    """

    system: "AbstractFileSystem"
    path: str
    address: str

    def read_bytes(self) -> bytes:
        """The content.

        Raises:
            UnreadableFilm: It is gone, access is denied, or the store does not answer.
        """
        try:
            content: bytes = self.system.cat_file(self.path)
        except FileNotFoundError as error:
            raise UnreadableFilm("cannot be opened: there is no such object") from error
        except _failures() as error:
            raise UnreadableFilm(f"cannot be opened: {_reason(error)}") from error
        return content

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True)
class RemoteItem:
    """Something below an address: a film, or with ``film`` ``None`` another object, whose ``name`` is shown."""

    name: str
    place: PurePosixPath
    film: RemoteFilm | None


def remote_items(address: str) -> Iterator[RemoteItem]:
    """The object at an address, or everything below it, folder by folder, sorted by name.

    Only the names of one folder at a time are held.

    Raises:
        DataError: There is nothing, or access is denied, or the store does not answer.
        PneumoError: The package for it is not installed.
    """
    system, path = _opened(address)
    shown = shown_address(address)
    try:
        if address.startswith(("http://", "https://")) or system.isfile(path):
            yield RemoteItem(shown, PurePosixPath(PurePosixPath(shown).name), RemoteFilm(system, path, shown))
            return
        yield from _below(system, path, shown.rstrip("/"), PurePosixPath())
    except FileNotFoundError as error:
        raise DataError(f"there is nothing at {shown}", "check the name of the bucket and the folder") from error
    except _failures() as error:
        raise _failure(shown, error) from error


def _opened(address: str) -> tuple["AbstractFileSystem", str]:
    scheme = address.partition("://")[0].lower()
    package = _PACKAGES[scheme]
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(address, **({} if package == "aiohttp" else {"use_listings_cache": False}))
    except ImportError as error:
        extra = "pneumocli[cloud]" if package in ("s3fs", "aiohttp") else f"pneumocli[cloud] {package}"
        needed = " ".join(f"'{word}'" for word in extra.split())
        raise PneumoError(f"{scheme}:// needs {package}, which is not installed", f"pip install {needed}") from error
    except _failures() as error:
        raise _failure(shown_address(address), error) from error
    return system, path


def _below(system: "AbstractFileSystem", path: str, shown: str, place: PurePosixPath) -> Iterator[RemoteItem]:
    folders: list[str] = []
    for entry in sorted(system.ls(path, detail=True), key=lambda entry: str(entry["name"])):
        name = PurePosixPath(str(entry["name"]).rstrip("/")).name
        if entry["type"] == "directory":
            if system_folder(name) is None:
                folders.append(name)
            continue
        if str(entry["name"]).rstrip("/") == path.rstrip("/"):  # stores keep empty objects for folders
            continue
        film = RemoteFilm(system, str(entry["name"]), f"{shown}/{name}") if _is_film(system, entry, name) else None
        yield RemoteItem(f"{shown}/{name}", place / name, film)
    for name in folders:
        yield from _below(system, f"{path.rstrip('/')}/{name}", f"{shown}/{name}", place / name)


def _is_film(system: "AbstractFileSystem", entry: Mapping[str, Any], name: str) -> bool:
    if system_file(name) is not None:
        return False
    if is_film_name(name):
        return True
    ending = PurePosixPath(name).suffix.lower()
    if not is_film_content(b"\0" * 128 + b"DICM", ending):  # an ending of text, whatever it holds
        return False
    return is_film_content(system.cat_file(entry["name"], start=0, end=HEAD_BYTES), ending)


def _failures() -> tuple[type[Exception], ...]:
    """What fsspec's packages raise: their own errors derive from these, or from their clients'."""
    found: list[type[Exception]] = [OSError, ValueError, RuntimeError]
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        found += [BotoCoreError, ClientError]
    except ImportError:
        pass
    try:
        from aiohttp import ClientError as HttpError

        found.append(HttpError)
    except ImportError:
        pass
    return tuple(found)


def _failure(shown: str, error: Exception) -> DataError:
    return DataError(f"cannot reach {shown}: {_reason(error)}", _HINT if _is_denied(error) else _OTHER_HINT)


def _is_denied(error: Exception) -> bool:
    text = f"{type(error).__name__} {error} {error.__cause__ or ''}"
    return isinstance(error, PermissionError) or _REFUSED.search(text) is not None


def _reason(error: Exception) -> str:
    """A failure in a few words of our own: a client's message may hold addresses with signatures."""
    if _is_denied(error):
        return "access is denied, or there are no credentials for it"
    return f"the store does not answer as expected ({type(error).__name__})"
