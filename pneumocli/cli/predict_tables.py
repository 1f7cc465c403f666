"""Answers for films on the screen: one at a glance, many as a table with counts."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pneumocli.core.records import CLASS_NAMES, NOTICE, POSITIVE_CLASS
from pneumocli.inference.records import Prediction
from pneumocli.model.card import ModelCard, OperatingPoint

_BAR_CELLS = 24


class Tally:
    """Answers counted, the first of them kept.

    Args:
        most: How many to keep.

    Attributes:
        num_films: Answers so far.
        num_errors: Films without an answer.
        num_warned: Films unlike the training films.
        counts: Films by class.
        kept: The first answers.
        first_error: The first film without an answer, and why.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.num_films = 0
        self.num_errors = 0
        self.num_warned = 0
        self.counts = dict.fromkeys(CLASS_NAMES, 0)
        self.kept: list[Prediction] = []
        self.first_error = ""

    def add(self, prediction: Prediction) -> None:
        """Counts an answer."""
        self.num_films += 1
        self.num_warned += bool(prediction.warnings)
        if prediction.prediction is not None:
            self.counts[prediction.prediction] += 1
        else:
            self.num_errors += 1
            self.first_error = self.first_error or f"{on_one_line(prediction.image)} {prediction.error}"
        if len(self.kept) < self._most:
            self.kept.append(prediction)


def answers(tally: Tally, card: ModelCard, model: str) -> RenderableType:
    """What ``pneumo predict`` shows: one film in full, or a table."""
    last = [operating_point_line(card.operating_point, tally.kept[0].threshold)] if tally.kept else []
    last += [f"model {on_one_line(model)}", NOTICE]
    if tally.num_films == 1:
        return Group(_one(tally.kept[0]), *(Text(line, style="dim") for line in last))
    return Group(_table(tally), *(Text(line, style="dim") for line in last))


def prediction_table(predictions: Iterable[Prediction]) -> RenderableType:
    """A table of answers, with their counts."""
    tally = Tally(most=100)
    for prediction in predictions:
        tally.add(prediction)
    return Group(_table(tally), Text(NOTICE, style="dim"))


def operating_point_line(point: OperatingPoint, threshold: float) -> str:
    """What the threshold was worth on the validation films, if it is the stored one."""
    if threshold != point.threshold:
        return f"threshold {threshold:.1%} as given; its sensitivity and specificity were not measured"
    rates = [
        f"{name} {value:.1%}"
        for name, value in (("sensitivity", point.sensitivity), ("specificity", point.specificity))
        if value is not None
    ]
    measured = f": {', '.join(rates)} on the validation films" if rates else ""
    chosen = "" if point.chosen_on == "fixed" else f" (rule {point.rule})"
    return f"threshold {threshold:.1%}{chosen}{measured}"


def on_one_line(text: str) -> str:
    """A name with its control characters made visible: a line feed in a file's name must not look like a result."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _one(prediction: Prediction) -> RenderableType:
    lines = [Text(on_one_line(prediction.image), overflow="fold")]
    if prediction.prediction is None or prediction.probability is None:
        return Group(*lines, Text(f"  no answer: {prediction.error}", style="red"))
    answer = Text.assemble("  ", (prediction.prediction, f"bold {_style(prediction)}"), "  probability of pneumonia ")
    answer.append(f"{prediction.probability:.1%}  ")
    answer.append_text(_bar(prediction))
    lines.append(answer)
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


def _table(tally: Tally) -> RenderableType:
    table = Table(title=None, caption=_counts(tally), caption_justify="left")
    table.add_column("film", overflow="fold")
    table.add_column("prediction", no_wrap=True)
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("remarks", overflow="fold")
    for prediction in tally.kept:
        remark = prediction.error if prediction.error is not None else _first(prediction.warnings)
        table.add_row(
            escape(on_one_line(prediction.image)),
            Text(prediction.prediction or "no answer", style=_style(prediction) if prediction.prediction else "yellow"),
            "" if prediction.probability is None else f"{prediction.probability:.1%}",
            escape(on_one_line(remark)),
        )
    return table


def _first(warnings: tuple[str, ...]) -> str:
    """The first warning; a table is for finding the film, the film on its own shows them all."""
    more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
    return warnings[0] + more if warnings else ""


def _counts(tally: Tally) -> str:
    parts = [f"{tally.num_films:,} films", *(f"{count:,} {name}" for name, count in tally.counts.items())]
    if tally.num_errors:
        parts.append(f"{tally.num_errors:,} could not be read")
    if tally.num_warned:
        parts.append(f"{tally.num_warned:,} unlike the training films")
    if tally.num_films > len(tally.kept):
        parts.append(f"the first {len(tally.kept):,} shown, --csv FILE keeps all")
    return ", ".join(parts)
