"""Answers for films on the screen: one in full, a few as a table, many as a summary with counts."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pneumocli.cli.lines import shortened
from pneumocli.core.amounts import counted
from pneumocli.core.records import NOTICE, POSITIVE_CLASS, REFER
from pneumocli.inference.records import Prediction, ReferringPrediction
from pneumocli.inference.tally import AnswerTally, uncertain_range
from pneumocli.model.card import ModelCard, OperatingPoint
from pneumocli.reporting.text import percent

if TYPE_CHECKING:  # only joining tables needs it
    from pneumocli.inference.merge import MergedTable

MOST_LISTED = 12
"""Films that are listed one by one; more of them are summed up."""

_BAR_CELLS = 24
_PATH_COLUMNS = 44
_PLURALS = {"is": "are", "has": "have", "looks": "look"}
_REMARKS = 5  # wordings in a summary


def answers(tally: AnswerTally, card: ModelCard, *, every: bool = False) -> RenderableType:
    """What ``pneumo predict`` shows: one film in full, a table of few, a summary of many.

    Args:
        tally: The answers.
        card: Of the model that gave them.
        every: List every film, however many there are.
    """
    last = [operating_point_line(card.operating_point, tally.kept[0].threshold, card.held_out)] if tally.kept else []
    footer = [Text(line, style="dim") for line in [*last, NOTICE]]
    if tally.num_films == 1:
        return Group(_one(tally.kept[0]), *footer)
    if every or tally.num_films <= MOST_LISTED:
        return Group(_table(tally.kept), Text(_counts(tally)), *footer)
    return Group(*_summary(tally), *footer)


def prediction_table(predictions: Iterable[Prediction]) -> RenderableType:
    """A table of answers, with their counts."""
    tally = AnswerTally(most=None)
    for prediction in predictions:
        tally.add(prediction)
    return Group(_table(tally.kept), Text(_counts(tally)), Text(NOTICE, style="dim"))


def merged_line(merged: "MergedTable") -> str:
    """What ``pneumo predict --merge`` shows."""
    parts = [f"{counted(merged.num_films, 'film')} of {counted(merged.num_parts, 'shard')}"]
    parts += [f"{count:,} {name}" for name, count in reversed(merged.classes.items())]
    if merged.num_errors:
        parts.append(f"{merged.num_errors:,} could not be read")
    return f"{', '.join(parts)}\nmodel {merged.model_sha256[:12]}, threshold {percent(merged.threshold)}\n{NOTICE}"


def operating_point_line(point: OperatingPoint, threshold: float, held_out: str) -> str:
    """What the threshold was worth where it was chosen, if it is the stored one.

    Args:
        point: Of the card.
        threshold: That is used.
        held_out: The films of the card that it was measured on.
    """
    if threshold != point.threshold:
        return f"threshold {percent(threshold)} as given; its sensitivity and specificity were not measured"
    rates = [
        f"{name} {percent(value)}"
        for name, value in (("sensitivity", point.sensitivity), ("specificity", point.specificity))
        if value is not None
    ]
    place = "films of the place it was recalibrated on" if point.chosen_on == "recalibrated" else held_out
    measured = f": {', '.join(rates)} on the {place}" if rates else ""
    chosen = "" if point.chosen_on == "fixed" else f" (rule {point.rule})"
    return f"threshold {percent(threshold)}{chosen}{measured}"


def on_one_line(text: str) -> str:
    """A name with its control characters made visible: a line feed in a file's name must not look like a result."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def short_name(image: str, width: int = _PATH_COLUMNS) -> str:
    """A film's path from the current folder where that is shorter, shortened in the middle to ``width`` characters."""
    if Path(image).is_absolute():
        try:
            below = os.path.relpath(image)
        except ValueError:  # on another drive of Windows
            below = ".."
        image = below if not below.startswith("..") else image
    return shortened(on_one_line(Path(image).as_posix() if os.sep == "\\" else image), width)


def _one(prediction: Prediction) -> RenderableType:
    lines = [Text(on_one_line(prediction.image), overflow="fold")]
    if prediction.prediction is None or prediction.probability is None:
        return Group(*lines, Text(f"  no answer: {prediction.error}", style="red"))
    answer = Text.assemble("  ", (prediction.prediction, f"bold {_style(prediction)}"), "  probability of pneumonia ")
    answer.append(f"{percent(prediction.probability)}  ")
    answer.append_text(_bar(prediction))
    lines.append(answer)
    if isinstance(prediction, ReferringPrediction):
        look = ": the class is not clear, a person should look" if prediction.answer == REFER else ""
        lines.append(Text(f"  answer {prediction.answer}{look}", style="yellow" if look else ""))
    lines += [Text(f"  warning: this film {warning}", style="yellow") for warning in prediction.warnings]
    return Group(*lines)


def _bar(prediction: Prediction) -> Text:
    """The probability as a bar, with a mark at the threshold."""
    filled = round((prediction.probability or 0) * _BAR_CELLS)
    mark = min(_BAR_CELLS - 1, int(prediction.threshold * _BAR_CELLS))
    cells = ["█" if cell < filled else "·" for cell in range(_BAR_CELLS)]
    cells[mark] = "┃"
    return Text("".join(cells), style=_style(prediction))


def _style(prediction: Prediction) -> str:
    return "red" if prediction.prediction == POSITIVE_CLASS else "green"


def _table(films: Sequence[Prediction]) -> Table:
    """A line per film: a long path is shortened in the middle, a remark wrapped between words."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("film", no_wrap=True)
    table.add_column("prediction", no_wrap=True)
    table.add_column("probability", justify="right", no_wrap=True)
    referring = any(isinstance(film, ReferringPrediction) for film in films)
    if referring:
        table.add_column("answer", no_wrap=True)
    remarks = [film.error if film.error is not None else _first(film.warnings) for film in films]
    if any(remarks):
        table.add_column("remarks")
    width = 30 if any(remarks) else _PATH_COLUMNS
    for film, remark in zip(films, remarks, strict=True):
        cells: list[str | Text] = [
            Text(short_name(film.image, width)),
            Text(film.prediction or "no answer", style=_style(film) if film.prediction else "yellow"),
            "" if film.probability is None else percent(film.probability),
        ]
        if referring:
            cells.append((film.answer if isinstance(film, ReferringPrediction) else None) or "")
        table.add_row(*cells, *([Text(on_one_line(remark))] if any(remarks) else []))
    return table


def _first(warnings: tuple[str, ...]) -> str:
    """The first warning; a table is for finding the film, the film on its own shows them all."""
    more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
    return warnings[0] + more if warnings else ""


def _counts(tally: AnswerTally) -> str:
    parts = [counted(tally.num_films, "film"), *(f"{count:,} {name}" for name, count in tally.counts.items())]
    if tally.num_errors:
        parts.append(f"{tally.num_errors:,} could not be read")
    if tally.num_uncertain:
        parts.append(f"{tally.num_uncertain:,} uncertain")
    if tally.num_warned:
        parts.append(f"{tally.num_warned:,} unlike the training films")
    return ", ".join(parts)


def _summary(tally: AnswerTally) -> Iterator[RenderableType]:
    """Counts, then the films that a person should look at: uncertain, unlike the training films, unreadable."""
    yield _shares(tally)
    if tally.num_uncertain:
        low, high = uncertain_range(tally.uncertain[0].threshold)
        near = f"close to the threshold ({percent(low)} to {percent(high)})"
        yield Text(f"\nuncertain: {counted(tally.num_uncertain, 'film')} {near}")
        yield _examples(
            (film, f"pneumonia {percent(film.probability)}, called {film.prediction}") for film in tally.uncertain
        )
        if tally.num_uncertain > len(tally.uncertain):
            yield Text(f"  and {tally.num_uncertain - len(tally.uncertain):,} more", style="dim")
    if tally.num_warned:
        yield Text(f"\nunlike the training films: {tally.num_warned:,} of {tally.num_films:,}")
        yield _grouped(tally)
        yield Text(f"  such as {short_name(tally.warned[0].image, 68)}", style="dim")
    if tally.num_errors:
        yield Text(f"\nno answer: {counted(tally.num_errors, 'film')}")
        yield _examples((film, on_one_line(film.error or "")) for film in tally.errors)
    yield Text("\n--all lists every film, --csv FILE writes them as a table", style="dim")


def _shares(tally: AnswerTally) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    rows = [("films", tally.num_films), *reversed(tally.counts.items()), ("no answer", tally.num_errors)]
    for name, count in rows:
        if count or name in tally.counts:
            table.add_row(
                f"{name}, for a person" if name == REFER else name,
                f"{count:,}",
                percent(count / tally.num_films) if name != "films" else "",
            )
    return table


def _examples(films: Iterable[tuple[Prediction, str]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for film, remark in films:
        table.add_row(Text(f"  {short_name(film.image)}"), Text(remark))
    return table


def _of_films(remark: str, count: int) -> str:
    """A remark on one film as the end of a sentence on so many.

    >>> _of_films("has an aspect of 1.48", 3), _of_films("has an aspect of 1.48", 1)
    ('have an aspect of 1.48', 'has an aspect of 1.48')
    """
    verb, _, rest = remark.partition(" ")
    return remark if count == 1 else f"{_PLURALS.get(verb, verb)} {rest}"


def _grouped(tally: AnswerTally) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for remark, count in tally.remarks.most_common(_REMARKS):
        table.add_row(f"  {count:,} of {tally.num_films:,}", Text(_of_films(on_one_line(remark), count)))
    if len(tally.remarks) > _REMARKS:
        table.add_row("", Text(f"and {counted(len(tally.remarks) - _REMARKS, 'other remark')}"))
    return table
