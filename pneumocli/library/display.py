"""How a result shows itself in a notebook: a verdict, marks on a scale, a table, pictures; everything is escaped."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Template

from pneumocli.core.errors import PneumoError
from pneumocli.core.pages import page_environment

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 12
"""Rows and films that a result shows: the others are counted, and :meth:`to_frame` has them all."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of runs: distinct to the colour-blind (Okabe and Ito 2008), and readable on white and on black."""


@cache
def _template() -> Template:
    return page_environment().get_template("result.html.j2")


def result_html(title: str, verdict: str, **parts: object) -> str:
    """A result as HTML for a notebook.

    Args:
        title: What it is a result of.
        verdict: The answer, in one sentence.
        parts: ``floor`` and ``marks`` (:func:`pneumocli.reporting.html.scale_marks`), ``curves``
            (:func:`curve_points`), ``columns`` and ``rows`` of a table, ``films`` with ``source``, ``alt`` and
            ``lines``, ``notes``.
    """
    empty: dict[str, object] = {
        "floor": 0,
        "marks": (),
        "curves": (),
        "columns": (),
        "rows": (),
        "films": (),
        "notes": (),
    }
    return _template().render(title=title, verdict=verdict, **(empty | parts))


def curve_points(values: Sequence[float | None], low: float, high: float) -> str:
    """The points of an SVG's ``polyline``, 0-100 across and 0-40 down; undefined values are left out.

    What lies beyond ``low`` and ``high`` is drawn at the edge.

    >>> curve_points([0.5, None, 1.0], 0.5, 1.0)
    '0.0,40.0 100.0,0.0'
    """
    step, height = 100 / max(1, len(values) - 1), max(high - low, 1e-9)
    places = [
        (index * step, min(40.0, max(0.0, 40 * (high - value) / height)))
        for index, value in enumerate(values)
        if value is not None
    ]
    return " ".join(f"{across:.1f},{down:.1f}" for across, down in places)


def frame(rows: Sequence[Mapping[str, object]], index: str | None = None) -> "pd.DataFrame":
    """Rows as a pandas table.

    Args:
        rows: With the same keys each.
        index: The key that names a row, if any.

    Raises:
        PneumoError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise PneumoError("to_frame() needs pandas, which is not installed here", "pip install pandas") from error
    table: Any = pd.DataFrame(list(rows))
    return table if index is None or table.empty else table.set_index(index)
