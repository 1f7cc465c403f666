"""A verification for people: the verdict, the problems, the counts, the notes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pneumocli.core.records import CLASS_NAMES, SPLITS, Kind
from pneumocli.verification.records import Cell, EncoderCell, Finding, Verification

_EXAMPLES = 2  # of films per problem; --json names all
_ENCODERS = 12  # rows


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
        but = f", but {result.doubt}" if result.doubt else ""
        yield Text(f"no problems ({looked}){but}", "bold yellow" if but else "bold green")
    yield counts_table(result)
    if result.encoders:
        yield encoder_table(result.encoders)
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
    against, kinds = result.against_release, result.named_kinds
    table = Table(title=f"{result.num_images:,} films of {result.num_patients:,} patients", title_justify="left")
    for name in ("split", "class"):
        table.add_column(name)
    for name in ("films", *(["release"] if against else []), "patients", *kinds):
        table.add_column(name, justify="right")
    before = None
    for cell in result.cells:
        if before not in (None, cell.split):
            table.add_section()
        first = "" if before == cell.split else cell.split
        table.add_row(first, cell.label, *_numbers(cell, kinds, against=against))
        before = cell.split
    return table


def encoder_table(cells: Iterable[EncoderCell]) -> Table:
    """Films by encoder, split and class: NORMAL / PNEUMONIA, bold where a count stands out."""
    by_place: dict[tuple[str, str, str], EncoderCell] = {(cell.encoder, cell.split, cell.label): cell for cell in cells}
    splits = [split for split in SPLITS if any(split == place[1] for place in by_place)]
    encoders = list(dict.fromkeys(place[0] for place in by_place))
    table = Table(title="programs: NORMAL / PNEUMONIA", title_justify="left")
    table.add_column("encoder", overflow="fold")
    for split in splits:
        table.add_column(split, justify="right")
    for encoder in encoders[:_ENCODERS]:
        table.add_row(encoder, *(_by_class(by_place, encoder, split) for split in splits))
    if len(encoders) > _ENCODERS:
        rest = Text(f"{len(encoders) - _ENCODERS:,} rarer ones: --json names all", "dim")
        table.add_row(rest, *("" for _ in splits))
    return table


def _by_class(by_place: Mapping[tuple[str, str, str], EncoderCell], encoder: str, split: str) -> Text:
    text = Text()
    for name in CLASS_NAMES:
        cell = by_place.get((encoder, split, name))
        text.append(" / " if text else "")
        text.append(f"{cell.num_images if cell else 0:,}", "bold" if cell and cell.stands_out else "")
    return text


def _numbers(cell: Cell, kinds: Sequence[Kind], *, against: bool) -> Iterator[str | Text]:
    differs = cell.expected is not None and cell.expected != cell.num_images
    yield Text(f"{cell.num_images:,}", "red" if differs else "")
    if against:
        yield f"{cell.expected or 0:,}"
    yield f"{cell.num_patients:,}"
    for kind in kinds:
        count = cell.kinds.get(kind, 0)
        yield f"{count:,}" if count else ""
