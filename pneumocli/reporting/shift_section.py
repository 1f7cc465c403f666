"""The section of a page that shows whether films are like the model's validation films."""

from matplotlib.figure import Figure

from pneumocli.core.shift_records import PropertyShift, Shift
from pneumocli.inference.shift_page import PROPERTY_LABELS, age_and_view
from pneumocli.reporting.figures import NORMAL_COLOUR, PNEUMONIA_COLOUR, new_figure
from pneumocli.reporting.html import page_figure
from pneumocli.reporting.text import p_text

_WIDTH, _BAR = 6.2, 0.3  # inches: what a phone can show with words that can be read, and for each property

_CAPTION = (
    "How far each property of these films lies from the {films}: 0 where the two distributions are equal, 1 "
    "where they do not overlap. What has moved is orange."
)


def shift_section(shift: Shift | None) -> dict[str, object] | None:
    """What the template shows of a shift; ``None`` where films were not compared."""
    if shift is None:
        return None
    rows = [_row(item) for item in shift.properties]
    columns = ["property", "here", shift.compared_with.removesuffix(" films"), "distance", "p", ""]
    return {
        "found": shift,
        "columns": columns,
        "rows": rows,
        "figure": _figure(shift),
        "age_and_view": age_and_view(shift),
    }


def _row(item: PropertyShift) -> list[str]:
    values = ("" if value is None else f"{value:.4g}" for value in (item.here, item.reference))
    return [PROPERTY_LABELS.get(item.name, item.name), *values, f"{item.distance:.2f}", p_text(item.p_value), item.word]


def _figure(shift: Shift) -> dict[str, object]:
    rows = [[PROPERTY_LABELS.get(item.name, item.name), f"{item.distance:.2f}"] for item in shift.properties]
    return page_figure(
        shift_figure(shift),
        "Distance of the films",
        _CAPTION.format(films=shift.compared_with),
        ["property", "distance"],
        rows,
    )


def shift_figure(shift: Shift) -> Figure:
    """The distance of each property as a bar, the largest at the top."""
    figure = new_figure(_WIDTH, 0.8 + _BAR * len(shift.properties))
    axes = figure.subplots()
    items = sorted(shift.properties, key=lambda item: item.distance)
    colours = [PNEUMONIA_COLOUR if item.moved else NORMAL_COLOUR for item in items]
    axes.barh(
        [PROPERTY_LABELS.get(item.name, item.name) for item in items], [item.distance for item in items], color=colours
    )
    axes.set(xlim=(0, 1), xlabel=f"distance from the {shift.compared_with}")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
