"""Text that fits the screen: whole words, no line wider than it is."""

import os
import re
import textwrap

from rich.console import Console
from rich.text import Text

PLAIN_COLUMNS = 80  # of what goes into a file or a pipe

_GLUE = "\0"  # a space at which no line may end
_FIGURE = re.compile(r"(?<=\bp) (?=[<=] \d)|(?<=\bp [<=]) (?=\d)|(?<=\d) (?=%)")  # blanks within p < 0.001 and 95 %
# A command with its options, a value of each, and what else is no plain word of a sentence: paths, numbers, RUN.
_COMMAND = re.compile(r"(?:^hint: )?pneumo [a-z-]+(?: (?:-[\w-]+(?: [^\s;,]+)?|[^\s;,]*[^a-z\s;,][^\s;,]*))*")

# A path in quotes, such as shlex.quote makes: no apostrophe of a word.
_QUOTED = re.compile(r"(?<!\w)'[^']+'(?:\"'\"'[^']*')*")


def columns(console: Console) -> int:
    """Width that sentences are wrapped to: of the terminal, else ``$COLUMNS``, else 80."""
    if console.is_terminal:
        return console.width
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else PLAIN_COLUMNS


def wrapped(text: str, width: int, indent: str = "  ") -> str:
    r"""A text whose lines end between words; a word longer than the line, such as a path, stays whole.

    Args:
        text: One or more lines.
        width: Characters of a line.
        indent: Begins each line that continues another.

    >>> wrapped("no data folder at none", 15)
    'no data folder\n  at none'
    >>> wrapped("by chance (p < 0.001)", 16)
    'by chance\n  (p < 0.001)'
    """
    wrapper = textwrap.TextWrapper(width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    glued = _FIGURE.sub(_GLUE, text)
    return "\n".join(wrapper.fill(line) for line in glued.splitlines()).replace(_GLUE, " ")


def labelled(label: str, text: str, width: int, style: str) -> Text:
    """A message that begins with its kind, such as ``warning:``, in colour."""
    message = Text(wrapped(f"{label} {text}", width))
    message.stylize(style, 0, len(label))
    return message


def hint_line(hint: str, width: int) -> Text:
    """A hint; a command and a path in it stay in one line, so that they can be pasted, however wide the screen is.

    >>> print(hint_line("pneumo train --resume 'my runs/scratch' continues it; otherwise choose another --run-dir", 40))
    hint: pneumo train --resume 'my runs/scratch'
      continues it; otherwise choose another
      --run-dir
    """
    label = "hint:"
    glued = f"{label} {hint}"
    for pattern in (_COMMAND, _QUOTED):
        glued = pattern.sub(lambda found: found[0].replace(" ", _GLUE), glued)
    message = Text(wrapped(glued, width))
    message.stylize("bold", 0, len(label))
    return message


def shortened(path: str, width: int) -> str:
    """A path of at most ``width`` characters: the middle is left out, the end names the file.

    >>> shortened("chest_xray/test/NORMAL/IM-0001-0001.jpeg", 30)
    'chest_xray/…/IM-0001-0001.jpeg'
    >>> shortened("a/b.jpeg", 30)
    'a/b.jpeg'
    >>> shortened("1.2.840.113619.2.5.1762583153.215519.978957063.78.dcm", 30)
    '1.2.840.113619.…8957063.78.dcm'
    """
    if len(path) <= width:
        return path
    parts = path.split("/")
    end = parts[-1]
    for part in reversed(parts[:-1]):
        if len(end) + 1 + len(part) + 1 > width * 2 // 3:
            break
        end = f"{part}/{end}"
    room = width - len(end) - 2
    if room >= 3 and end != path:
        return f"{path[:room]}…/{end}"
    half = (width - 1) // 2
    return f"{path[: width - 1 - half]}…{path[len(path) - half :]}"
