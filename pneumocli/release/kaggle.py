"""The Kaggle release through Kaggle's own client, whose habits are kept away from the user.

``import kaggle`` logs in, which prints, may leave the program, makes a folder for its settings and, with a token,
asks the network. All of it happens inside :class:`KaggleFile`, with its words caught, its folder put where it does no
harm, and a limit on the time.
"""

import json
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from requests.adapters import HTTPAdapter

from pneumocli.core.errors import DownloadError
from pneumocli.release.http import TIMEOUT_SECONDS, Refused
from pneumocli.release.sources import KAGGLE, KAGGLE_TOKEN_PAGE, RemoteArchive

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

_Result = TypeVar("_Result")

_LOGIN_SECONDS = 90.0

_WITHOUT_ACCOUNT = "the same films without an account: pneumo download --source mendeley"


class KaggleFile:
    """The zip of a Kaggle data set, asked for through the kaggle client.

    Every way of credentials that the client knows is used; without any, the request goes out without a login, which
    Kaggle allows for public sets.

    Args:
        archive: Which set.
    """

    def __init__(self, archive: RemoteArchive = KAGGLE) -> None:
        self.title = archive.title
        self._archive = archive
        self._api: KaggleApi | None = None

    def open(self, headers: dict[str, str]) -> requests.Response:
        """See :class:`pneumocli.release.http.Remote`."""
        if self._api is None:
            self._api = _api()
        api = self._api
        try:
            with _silence():
                return _ask(api, self._archive.dataset, headers)
        except requests.exceptions.HTTPError as error:
            raise _refused(error) from error
        except requests.exceptions.InvalidHeader as error:
            raise self._unsendable() from error
        except requests.RequestException:  # some are ValueErrors, too: an answer that is none
            raise
        except ValueError as error:  # of the layers below requests, which object to a header
            raise self._unsendable() from error

    def _unsendable(self) -> DownloadError:
        return DownloadError(
            f"the credentials from {_credentials_used(self._api)} hold a character that no credentials have",
            f"copy them anew from {KAGGLE_TOKEN_PAGE}; {_WITHOUT_ACCOUNT}",
        )

    def refusal(self, status: int) -> DownloadError | None:
        """See :class:`pneumocli.release.http.Remote`."""
        used = _credentials_used(self._api)
        if status == 401:
            return self._unauthorised(used)
        if status == 403:
            return DownloadError(
                f"Kaggle does not let {used or 'a user without account'} have {self._archive.dataset} (HTTP 403): its "
                "terms may not have been accepted, or the token lacks the right",
                f"open {self._archive.page} once while logged in and accept; {_WITHOUT_ACCOUNT}",
            )
        if status == 404:
            return DownloadError(
                f"Kaggle has no data set {self._archive.dataset} (HTTP 404)",
                f"look at {self._archive.page}; {_WITHOUT_ACCOUNT}",
            )
        return None

    def _unauthorised(self, used: str) -> DownloadError:
        if not used:
            return DownloadError(
                "Kaggle asks for an account, and no credentials were found (HTTP 401)",
                f"make a token at {KAGGLE_TOKEN_PAGE}, then: export KAGGLE_API_TOKEN=...; {_WITHOUT_ACCOUNT}",
            )
        confused = "" if "TOKEN" in used or "token" in used else " (a new token is no key: export KAGGLE_API_TOKEN=...)"
        return DownloadError(
            f"Kaggle refuses the credentials from {used} (HTTP 401): expired, mistyped, or of the other kind",
            f"make a new token at {KAGGLE_TOKEN_PAGE}{confused}; {_WITHOUT_ACCOUNT}",
        )


def _api() -> "KaggleApi":
    """The client, logged in where there are credentials, with its settings read in any case."""
    _refuse_damaged_settings()
    try:
        with _silence(), _harmless_surroundings():
            return _within(_LOGIN_SECONDS, _logged_in)
    except TimeoutError as error:
        raise requests.exceptions.ConnectTimeout("the login timed out") from error
    except ImportError as error:
        raise DownloadError(
            f"the kaggle package cannot be imported: {error}",
            f"python -m pip install --upgrade 'kaggle>=2.2.4' six; {_WITHOUT_ACCOUNT}",
        ) from error
    except (SystemExit, OSError) as error:
        # Releases before 2.2.4 leave the program without credentials; a home that cannot be written fails, too.
        raise DownloadError(
            f"the kaggle package did not start: {error or 'it found no credentials'}",
            f"python -m pip install --upgrade 'kaggle>=2.2.4'; {_WITHOUT_ACCOUNT}",
        ) from error


def _logged_in() -> "KaggleApi":
    known = sys.modules.get("kaggle")
    import kaggle

    if known is None:  # the import itself has just tried
        return kaggle.api
    # A notebook sets credentials after a first, refused call: the client as imported would not notice.
    api = kaggle.KaggleApi()
    folder = next((place for place in _settings_folders() if place.is_dir()), None)
    if folder is not None:
        api.config_dir, api.config = str(folder), str(folder / api.config_file)
    # Without credentials it exits, and a token that Kaggle does not know is reported by the answer to the request.
    with suppress(SystemExit, requests.RequestException, KeyError, ValueError):
        api.authenticate()
    return api


@contextmanager
def _silence() -> Iterator[None]:
    """Catches what the client prints: tables of help and hints at new versions."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _harmless_surroundings() -> Iterator[None]:
    """Lets the client make its settings folder in a place that goes away, unless the user has one.

    Variables that would make it print every request, with its credentials, are taken away, too.
    """
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="pneumo-") as folder:
        try:
            for name in ("VERBOSE", "VERBOSE_OUTPUT", "KAGGLE_API_ENVIRONMENT"):
                os.environ.pop(name, None)
            if not any(place.is_dir() for place in _settings_folders()):
                os.environ["KAGGLE_CONFIG_DIR"] = folder
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _settings_folders() -> list[Path]:
    """Where the client looks for kaggle.json, as in its own code."""
    given = os.environ.get("KAGGLE_CONFIG_DIR")
    if given:
        return [Path(given)]
    config = os.environ.get("XDG_CONFIG_HOME")
    return [Path.home() / ".kaggle", (Path(config) if config else Path.home() / ".config") / "kaggle"]


def credentials() -> list[str]:
    """Where credentials are, as the client looks for them: names of variables and files, never their content."""
    names = ["KAGGLE_API_TOKEN"] if os.environ.get("KAGGLE_API_TOKEN") else []
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        names.append("KAGGLE_USERNAME and KAGGLE_KEY")
    files = [Path.home() / ".kaggle" / "access_token", *(folder / "kaggle.json" for folder in _settings_folders())]
    return names + [str(file) for file in files if file.is_file()]


def _refuse_damaged_settings() -> None:
    """Names a damaged kaggle.json: the client would pass over it in silence, or fall over it.

    Raises:
        DownloadError: The file is there and holds no JSON object.
    """
    for file in (folder / "kaggle.json" for folder in _settings_folders()):
        try:
            fault = None if isinstance(json.loads(file.read_text(encoding="utf-8")), dict) else "no JSON object"
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            fault = error.strerror
        except ValueError:  # of JSON or of UTF-8: a Windows shell's `echo` writes UTF-16
            fault = "no JSON"
        if fault:
            raise DownloadError(
                f"the credentials in {file} cannot be read: {fault}",
                f"fetch kaggle.json anew at {KAGGLE_TOKEN_PAGE}, or remove it; {_WITHOUT_ACCOUNT}",
            )


def _within(seconds: float, function: Callable[[], _Result]) -> _Result:
    """Calls ``function`` on a thread and waits so long for it: the client's own requests have no time limit.

    Raises:
        TimeoutError: It did not come to an end; the thread dies with the process.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - SystemExit, above all, is handed to the caller
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]


def _ask(api: "KaggleApi", dataset: str, headers: dict[str, str]) -> requests.Response:
    """Sends the client's request for a data set's zip; the body is not read yet."""
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = dataset.split("/")
    with api.build_kaggle_client() as client:
        # The client offers no way to set a time limit or a header, its session does. Without the session the
        # download would work, too, but start over after a break and wait for ever on a dead line.
        session: Any = getattr(client.http_client(), "_session", None)
        if session is not None:
            session.headers.update({"Accept-Encoding": "identity", **headers})
            session.mount("https://", _Patient())
            session.mount("http://", _Patient())
        response: requests.Response = client.datasets.dataset_api_client.download_dataset(request)
        return response


class _Patient(HTTPAdapter):
    """Gives requests the time limit that the client leaves out."""

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:  # type: ignore[override] # noqa: ANN401
        return super().send(request, **{**settings, "timeout": settings.get("timeout") or TIMEOUT_SECONDS})


def _refused(error: requests.exceptions.HTTPError) -> Refused:
    """The status of an answer; Kaggle may give it in a JSON body under another one in the head."""
    response = error.response
    if response is None:  # the client always sets it; its type allows None
        return Refused(500)
    status = response.status_code
    if status < 400:
        try:
            status = int(response.json()["code"])
        except (ValueError, KeyError, TypeError):
            status = 500
    response.close()
    return Refused.by(response, status)


def _credentials_used(api: "KaggleApi | None") -> str:
    """Where the credentials came from, in the client's order, for people; empty where there were none."""
    from kagglesdk import get_access_token_from_env

    token, source = get_access_token_from_env()
    if token:
        return "~/.kaggle/access_token" if source == "access_token" else str(source)
    values = api.config_values if api is not None else {}
    if "username" in values and "key" in values and api is not None:
        return "KAGGLE_USERNAME and KAGGLE_KEY" if os.environ.get("KAGGLE_KEY") else str(api.config)
    return "~/.kaggle/credentials.json (OAuth)" if "token" in values else ""
