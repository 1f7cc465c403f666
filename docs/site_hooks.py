"""What GitHub shows and mkdocs does not, put into words for the site: escaped pipes in code, and diagrams.

mkdocs calls ``on_page_markdown`` for each page (``hooks`` in ``site/mkdocs.yml``).
"""

import itertools
import re

_TABLE_ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
_CODE = re.compile(r"`[^`]+`")
_DIAGRAM = re.compile(r"^```mermaid\nflowchart TB\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NODE = re.compile(r'^\s*(\w+)\["(.+)"\]$', re.MULTILINE)


def on_page_markdown(markdown: str, **_: object) -> str:
    """A page as Python-Markdown reads it."""
    return _TABLE_ROW.sub(_without_escapes, _DIAGRAM.sub(_as_table, markdown))


def _without_escapes(row: re.Match[str]) -> str:
    r"""A row whose code has plain pipes: GitHub needs ``\|`` there, Python-Markdown would show the backslash."""
    return _CODE.sub(lambda code: code[0].replace(r"\|", "|"), row[0])


def _as_table(diagram: re.Match[str]) -> str:
    """A flowchart as a table of its boxes and where their arrows point: mermaid would be loaded from elsewhere."""
    labels = dict(_NODE.findall(diagram[1]))
    targets: dict[str, list[str]] = {name: [] for name in labels}
    for line in diagram[1].splitlines():
        steps = [[name.strip() for name in step.split("&")] for step in line.split("-->")]
        for sources, reached in itertools.pairwise(steps):
            for source in sources:
                targets[source] += reached
    shown = {name: label.replace("_", r"\_") for name, label in labels.items()}
    rows = [f"| {shown[name]} | {', '.join(targets[name])} |" for name in labels]
    return "\n".join(["| room | arrows to |", "| --- | --- |", *rows])
