"""The section of a page on a model that refers films to a person."""

from matplotlib.figure import Figure

from pneumocli.core.records import REFER
from pneumocli.metrics.records import Evaluation, Referral
from pneumocli.reporting.figures import NORMAL_COLOUR, PNEUMONIA_COLOUR, in_percent, new_figure
from pneumocli.reporting.html import page_figure, thinned
from pneumocli.reporting.refer_text import refer_note
from pneumocli.reporting.text import with_ends

_SIZE = 9.6, 3.4  # inches: as wide as the page
_CAPTION = (
    "Error among the answered films as fewer of them are referred: the band of referred logits about the middle of the "
    "two limits narrows from left to right. The dot is the model as it is stored."
)


def refer_section(evaluation: Evaluation) -> dict[str, object] | None:
    """What the template shows; ``None`` for a model without limits."""
    found = evaluation.refer
    if found is None:
        return None
    rows = [
        *([f"coverage of {name}", with_ends(name, metric)] for name, metric in found.coverage.items()),
        [
            f"referred ({found.num_referred:,} of {evaluation.num_images:,}; {found.num_without_class:,} possible for "
            "neither class)",
            with_ends("referred", found.referred),
        ],
        [
            f"wrong among the answered ({found.num_wrong:,} of {evaluation.num_images - found.num_referred:,})",
            with_ends("error", found.error),
        ],
    ]
    figure = page_figure(
        risk_figure(found),
        "Risk-coverage curve",
        _CAPTION,
        ["share answered", "error among them"],
        thinned((point.answered, point.error) for point in found.risk),
    )
    return {"found": found, "note": refer_note(evaluation), "rows": rows, "figure": figure, "refer": REFER}


def risk_figure(found: Referral) -> Figure:
    """The error among the answered films against the share that is answered."""
    figure = new_figure(*_SIZE)
    axes = figure.subplots()
    answered, error = [point.answered for point in found.risk], [point.error for point in found.risk]
    axes.plot(answered, error, color=NORMAL_COLOUR, clip_on=False)
    if found.error.value is not None and found.referred.value is not None:
        stored = (1 - found.referred.value, found.error.value)
        axes.plot(*stored, "o", ms=9, mfc="none", mec=PNEUMONIA_COLOUR, mew=2, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="share of films answered", ylabel="error among the answered")
    in_percent(axes)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
