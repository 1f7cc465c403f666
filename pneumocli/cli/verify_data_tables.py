"""A verification for people: the verdict, the problems, the counts, the notes."""

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pneumocli.verification.records import Cell, Finding, Verification

_EXAMPLES = 2  # of films per problem; --json names all


def verification_table(result: Verification) -> RenderableType:
    """What to print: problems first, nothing wider than the terminal."""
    return Group(*_parts(result))


def _parts(result: Verification) -> Iterator[RenderableType]:
    what = result.manifest or result.folder
    yield Text.assemble((what, "bold"), ": ", result.title)
    if result.problems:
        number = len(result.problems)
        yield Text(f"{number} problem{'' if number == 1 else 's'}", "bold red")
        yield _findings(result.problems, "red", examples=True)
    else:
        looked = "names and counts only: films were not decoded" if result.quick else "every film decoded"
        yield Text(f"no problems ({looked})", "bold green")
    yield counts_table(result)
    if result.notes:
        yield Text("notes", "bold")
        yield _findings(result.notes, "dim", examples=False)


def _findings(findings: Iterable[Finding], style: str, *, examples: bool) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1, style=style)
    table.add_column(overflow="fold")
    for finding in findings:
        text = Text(finding.text)
        if examples and finding.images:
            text.append("\n" + _named(finding), "dim")
        table.add_row("!" if examples else "-", text)
    return table


def _named(finding: Finding) -> str:
    shown = [
        f"{image} ({finding.detail[image]})" if image in finding.detail else image
        for image in finding.images[:_EXAMPLES]
    ]
    more = len(finding.images) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more (--json names all)" if more else "")


def counts_table(result: Verification) -> Table:
    """Films by split and class, beside those of the recognised release."""
    against = any(cell.expected is not None for cell in result.cells)
    table = Table(title=f"{result.num_images:,} films of {result.num_patients:,} patients", title_justify="left")
    for name in ("split", "class"):
        table.add_column(name)
    for name in ("films", *(["release"] if against else []), "patients", "bacteria", "virus"):
        table.add_column(name, justify="right")
    before = None
    for cell in result.cells:
        if before not in (None, cell.split):
            table.add_section()
        first = "" if before == cell.split else cell.split
        table.add_row(first, escape(cell.label), *_numbers(cell, against=against))
        before = cell.split
    return table


def _numbers(cell: Cell, *, against: bool) -> Iterator[str]:
    differs = cell.expected is not None and cell.expected != cell.num_images
    yield f"[red]{cell.num_images:,}[/]" if differs else f"{cell.num_images:,}"
    if against:
        yield f"{cell.expected or 0:,}"
    yield f"{cell.num_patients:,}"
    for kind in ("bacteria", "virus"):
        count = cell.kinds.get(kind, 0)
        yield f"{count:,}" if count else ""
