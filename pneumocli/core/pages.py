"""The frame that every HTML page stands in: its templates, its one script, and the policy that allows no other."""

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from pneumocli.core.files import utc_now
from pneumocli.core.records import NOTICE
from pneumocli.core.version import __version__


def page_environment() -> Environment:
    """The templates of the pages; what a stranger may have named is escaped.

    ``page.html.j2`` needs the values set here: script and its hash, version, date and notice.
    """
    environment = Environment(loader=PackageLoader("pneumocli"), autoescape=True, undefined=StrictUndefined)
    digest = hashlib.sha256(_script().encode()).digest()
    environment.globals.update(
        notice=NOTICE,
        version=__version__,
        now=_now,
        script=_script(),
        script_hash=base64.b64encode(digest).decode(),
    )
    return environment


def _now() -> str:
    """``2026-01-31 12:00 UTC``."""
    return utc_now()[:16].replace("T", " ") + " UTC"


@cache
def _script() -> str:
    """The pages' script; without it they hold the same, but a slider that stands still."""
    return (resources.files("pneumocli") / "templates" / "page.js").read_text(encoding="utf-8")
