"""What went wrong on the network, in one sentence that gives away no password and no signed address."""

import re
from urllib.parse import urlsplit
from urllib.request import getproxies

import requests

from pneumocli.core.errors import DownloadError

_BY_HAND = "a zip fetched in a browser: pneumo download --archive FILE.zip"


def megabytes(count: int) -> str:
    """Bytes for people, in powers of ten: ``512 bytes``, ``1.2 MB``, ``2.34 GB``."""
    if count < 100_000:
        return f"{count:,} bytes"
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def status_error(title: str, status: int, *, retry_after: float | None, have: int) -> DownloadError:
    """The error for an HTTP status.

    Args:
        title: Whose server it is.
        status: Of HTTP.
        retry_after: Seconds that the server asks to wait.
        have: Bytes that are kept for the next call.
    """
    if status == 429:
        when = f"in {retry_after:,.0f} seconds" if retry_after else "in some minutes"
        return DownloadError(
            f"{title} limits how often it is asked, and the limit is reached (HTTP 429)",
            f"run the same command again {when}{_continues(have)}",
        )
    if status >= 500:
        return DownloadError(
            f"{title} is out of order at the moment (HTTP {status})",
            f"run the same command again later{_continues(have)}; or try another --source",
        )
    return DownloadError(f"{title} answered with HTTP {status}, which was not expected", _BY_HAND)


def connection_error(title: str, error: requests.RequestException, *, have: int, broke: str) -> DownloadError:
    """The error for a connection that was not made, or broke.

    Args:
        title: Whose server it is.
        error: What happened.
        have: Bytes that are kept for the next call.
        broke: How far the download had come, as a sentence; empty where nothing had arrived.
    """
    again = f"run the same command again{_continues(have)}"
    if isinstance(error, requests.exceptions.ProxyError):
        return DownloadError(
            f"the proxy {_proxy_of(error)} does not let {title} through: {_cause(error)}",
            "check the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY, then " + again,
        )
    if isinstance(error, requests.exceptions.SSLError):
        return DownloadError(
            f"the certificate of {title} could not be checked: {_cause(error)}",
            "behind a proxy that opens TLS, point REQUESTS_CA_BUNDLE at its certificate file",
        )
    if broke:
        return DownloadError(f"{broke}, and could not be made again: {_cause(error)}", again)
    if isinstance(error, requests.exceptions.Timeout):
        return DownloadError(f"{title} does not answer: {_cause(error)}", f"check the network, then {again}")
    if isinstance(error, requests.exceptions.ConnectionError):
        return DownloadError(
            f"no connection to {title}: {_cause(error)}", f"check the network, then {again}; {_BY_HAND}"
        )
    return DownloadError(f"{title} could not be asked: {_cause(error)}", _BY_HAND)


def _continues(have: int) -> str:
    return f": it continues after {megabytes(have)}" if have else ""


def _proxy_of(error: requests.RequestException) -> str:
    """Host and port of the proxy, without the password that its address may hold."""
    scheme = urlsplit(error.request.url or "").scheme if error.request is not None else "https"
    proxies = getproxies()
    address = urlsplit(proxies.get(str(scheme)) or proxies.get("all") or "")
    if not address.hostname:
        return "in use"
    return address.hostname + (f":{address.port}" if address.port else "")


_NO_NAME = ("Name or service not known", "name resolution", "nodename nor servname", "getaddrinfo failed")
_NO_LINK = ("Connection refused", "Network is unreachable", "No route to host", "Connection reset by peer")


def _cause(error: requests.RequestException) -> str:
    """The innermost reason in plain words; libraries wrap it in addresses that may hold secrets."""
    text = str(error)
    if any(words in text for words in _NO_NAME):
        return "its name cannot be resolved, as if there were no network"
    if words := next((words for words in _NO_LINK if words in text), ""):
        return words.lower()
    if "IncompleteRead" in text or "Connection aborted" in text:
        return "the other side closes it early"
    if isinstance(error, requests.exceptions.Timeout) or "timed out" in text:
        return "it timed out"
    if match := re.search(r"Tunnel connection failed: (\d{3} [\w ]*)|certificate verify failed: ([\w -]+)", text):
        return (match[1] or match[2]).strip()
    own = type(error) is requests.ConnectionError and "url:" not in text
    return text if own else type(error).__name__
