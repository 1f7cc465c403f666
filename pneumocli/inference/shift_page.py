"""The page of ``predict --shift FILE.html``: whether a folder's films are like the model's validation films."""

from pneumocli.core.pages import page_environment
from pneumocli.core.shift_records import Shift

PROPERTY_LABELS = {
    "size": "size, pixels",
    "aspect": "width / height",
    "encoder": "program or device",
    "logit": "logit of PNEUMONIA",
    "age": "age, years",
    "view": "PA, AP or lateral",
}
"""Names of properties for people, where they differ from their field's."""


def shift_page(shift: Shift | None, shard: str | None) -> str:
    """The result as one HTML file.

    Args:
        shift: Of the films; ``None`` where they were not compared.
        shard: The part of the films that this is about, ``I/N``; ``None`` for all of them.
    """
    return (
        page_environment()
        .get_template("shift.html.j2")
        .render(
            title="Are these films like the training films?",
            shift=shift,
            shard=shard,
            labels=PROPERTY_LABELS,
            median=_median,
            age_and_view=None if shift is None else age_and_view(shift),
        )
    )


def _median(value: float | None) -> str:
    """Three significant digits, as everywhere on the pages; whole numbers whole."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def age_and_view(shift: Shift) -> str:
    """What DICOM files say of age and view, here and there, in a sentence; empty where no file says anything."""
    here, there = _said(shift.age_here, shift.views_here), _said(shift.age_reference, shift.views_reference)
    if not here and not there:
        return ""
    silent = "no file says"
    return f"Age and view as DICOM files give them: here {here or silent}; {shift.compared_with} {there or silent}."


def _said(age: float | None, views: dict[str, float]) -> str:
    shares = [f"{share:.0%} {view}" for view, share in views.items()]
    return ", ".join([*([f"{age:.3g} years in the median"] if age is not None else []), *shares])
