"""Output in any encoding: what a terminal or a pipe cannot show is replaced, never a reason to lose an answer."""

import codecs
import io
import sys

_HANDLER = "pneumo.look_alike"

# What tables, bars and sentences of ours hold beyond ASCII, each by one character of like width.
_LOOK_ALIKES = str.maketrans("█┃·•…–—−×±→‘’“”\N{NO-BREAK SPACE}", "#|..~---x~>''\"\" ")


def tolerate_any_encoding() -> None:
    """Lets standard output and error replace what their encoding lacks, in this process, from now on."""
    codecs.register_error(_HANDLER, _look_alike)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook's or a test's own takes any text
            stream.reconfigure(errors=_HANDLER)


def _look_alike(error: UnicodeError) -> tuple[str, int]:
    """An error handler of :mod:`codecs`: ASCII of the same number of characters, ``?`` for what has no look-alike."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end].translate(_LOOK_ALIKES)
    return "".join(character if character.isascii() else "?" for character in missing), error.end


def fits(text: str, encoding: str | None) -> bool:
    """Whether an encoding has every character of ``text``; one that is not known has them all."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
