"""What the HTML pages share: figures with their data, numbers, and the templates.

A page is one file that opens offline, prints, and runs nothing. Everything a stranger may have named (films, folders,
runs) is escaped by the template engine; a content security policy forbids scripts and every request to the network.
"""

import base64
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from pneumocli.core.records import NOTICE
from pneumocli.reporting.figures import (
    svg,
)
from pneumocli.reporting.text import interval, metric_label, number, percent

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
    """The points of a curve as the rows of a table, see :func:`thinned_rows`."""
    return [[f"{x:.4f}", f"{y:.4f}"] for x, y in thinned_rows(list(points))]


def thinned_rows(rows: Sequence[Any]) -> list[Any]:
    """At most a few dozen rows, evenly chosen, the first and the last among them."""
    if len(rows) <= _CURVE_POINTS:
        return list(rows)
    return [rows[round(place)] for place in np.linspace(0, len(rows) - 1, _CURVE_POINTS)]


def signed(value: float | None) -> str:
    """A difference with its sign, four decimals."""
    return "undefined" if value is None else f"{value:+.4f}"


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("pneumocli"), autoescape=True, undefined=StrictUndefined)
    environment.globals.update(
        percent=percent, number=number, interval=interval, metric_label=metric_label, notice=NOTICE
    )
    return environment


def render(template: str, **values: object) -> str:
    """A page from its template."""
    return _environment().get_template(template).render(**values)
