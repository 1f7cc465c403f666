"""The page of ``predict --shift FILE.html``: whether a folder's films are like the model's validation films."""

from pneumocli.core.pages import page_environment
from pneumocli.core.shift_records import Shift

PROPERTY_LABELS = {
    "size": "size, pixels",
    "aspect": "width / height",
    "encoder": "program or device",
    "logit": "logit of PNEUMONIA",
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
        .render(title="Are these films like the training films?", shift=shift, shard=shard, labels=PROPERTY_LABELS)
    )
