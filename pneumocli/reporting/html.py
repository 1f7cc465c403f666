"""What the HTML pages share: figures with their data, numbers, and the templates.

A page is one file that opens offline, prints, and reads whole without its few lines of script. Everything a stranger
may have named (films, folders, runs) is escaped by the template engine; a content security policy allows that one
script by its hash and forbids every other and every request to the network.
"""

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment
from matplotlib.figure import Figure

from pneumocli.core.pages import page_environment
from pneumocli.metrics.records import Metric
from pneumocli.reporting.figures import svg
from pneumocli.reporting.text import ends_text, metric_label, percent, value_text, with_ends

_CURVE_POINTS = 25  # rows of a curve's table


_WIDE = 2.2  # width over height of a figure that gets a row of its own


def page_figure(
    figure: Figure, alt: str, caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> dict[str, object]:
    """A figure for the templates: the picture, its caption, and its data as a table."""
    # As an image, not inline: the ids inside several SVGs would clash, and styles would leak.
    encoded = base64.b64encode(svg(figure).encode()).decode()
    width, height = figure.get_size_inches()
    return {
        "source": f"data:image/svg+xml;base64,{encoded}",
        "wide": width > _WIDE * height,
        "alt": f"{alt}. {caption}",
        "caption": caption,
        "columns": columns,
        "rows": [list(row) for row in rows],
    }


def thinned(points: Iterable[tuple[float, float]]) -> list[list[str]]:
    """The points of a curve of two shares as the rows of a table, in percent, see :func:`thinned_rows`."""
    return [[percent(x), percent(y)] for x, y in thinned_rows(list(points))]


def thinned_rows(rows: Sequence[Any]) -> list[Any]:
    """At most a few dozen rows, evenly chosen, the first and the last among them."""
    if len(rows) <= _CURVE_POINTS:
        return list(rows)
    return [rows[round(place)] for place in np.linspace(0, len(rows) - 1, _CURVE_POINTS)]


def link(target: Path, page: Path) -> str:
    """The address of a file as seen from a page, relative, so that a folder of runs can be moved or sent.

    From another drive of Windows no relative way leads there: the address is absolute.
    """
    try:
        return quote(Path(os.path.relpath(target, page.parent)).as_posix())
    except ValueError:
        return target.absolute().as_uri()


def table_by_method(metrics: Mapping[str, Metric]) -> list[tuple[str, list[list[str]]]]:
    """Metrics grouped by how their interval was made: each method, and its rows of label, value and interval."""
    groups: dict[str, list[list[str]]] = {}
    for name, metric in metrics.items():
        row = [metric_label(name), value_text(name, metric.value), ends_text(name, metric)]
        groups.setdefault(metric.method, []).append(row)
    return list(groups.items())


def scale_marks(metrics: Mapping[str, Metric]) -> tuple[int, list[dict[str, object]]]:
    """Metrics as marks with intervals on one scale, which begins at a ten below the lowest end, at 50 % at the most.

    Returns:
        Where the scale begins, in percent; then per metric its label, texts, and the places of value and ends along
        the scale, in percent of its length, ``None`` where undefined.
    """
    ends = [end for metric in metrics.values() for end in (metric.value, metric.low) if end is not None]
    floor = min(50, int(min(ends, default=0.5) * 10) * 10)

    def place(value: float | None) -> float | None:
        return None if value is None else max(0.0, (value * 100 - floor) / (100 - floor) * 100)

    marks: list[dict[str, object]] = [
        {
            "label": metric_label(name),
            "value": value_text(name, metric.value),
            "ends": ends_text(name, metric),
            "at": place(metric.value),
            "low": place(metric.low),
            "high": place(metric.high),
        }
        for name, metric in metrics.items()
    ]
    return floor, marks


@cache
def _environment() -> Environment:
    environment = page_environment()
    environment.globals.update(
        percent=percent,
        metric_label=metric_label,
        with_ends=with_ends,
    )
    return environment


def render(template: str, **values: object) -> str:
    """A page from its template, dated now."""
    return _environment().get_template(template).render(**values)
