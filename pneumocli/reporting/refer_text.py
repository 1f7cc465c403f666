"""What people read of a model that refers films to a person: its limits, and how it does on films."""

from pneumocli.metrics.records import Evaluation
from pneumocli.model.card import ReferLimits
from pneumocli.reporting.text import percent, with_ends

VOID_NOTE = (
    "These films differ from those that set the limits: the guarantee of the limits is void here, and only the figures "
    "measured on these films count."
)
_OWN_FILMS_NOTE = "These films set the limits, so that the figures are optimistic."


def limits_text(limits: ReferLimits) -> str:
    """Which logits are referred.

    >>> limits = {"alpha": 0.05, "normal_up_to": 1, "pneumonia_from": -1, "num_normal": 50, "num_pneumonia": 60}
    >>> limits_text(ReferLimits.model_validate(limits))
    'films with a logit from -1.0000 to 1.0000, where both classes are possible'
    """
    if limits.pneumonia_from <= limits.normal_up_to:
        ends = f"from {limits.pneumonia_from:.4f} to {limits.normal_up_to:.4f}, where both classes are possible"
    else:
        ends = f"between {limits.normal_up_to:.4f} and {limits.pneumonia_from:.4f}, where neither class is possible"
    return f"films with a logit {ends}"


def refer_sentence(evaluation: Evaluation) -> str | None:
    """How many films are referred, and how many of the others get a wrong answer; ``None`` without limits."""
    found = evaluation.refer
    if found is None:
        return None
    covered = ", ".join(f"{name} {with_ends(name, metric)}" for name, metric in found.coverage.items())
    return (
        f"At --refer {found.alpha:g} it refers {with_ends('referred', found.referred)} of the films to a person; "
        f"error among the answered {with_ends('error', found.error)}. Coverage, {percent(1 - found.alpha)} asked: "
        f"{covered}. {refer_note(evaluation)}"
    ).rstrip()


def refer_note(evaluation: Evaluation) -> str:
    """What limits the guarantee on these films; empty where nothing does."""
    if evaluation.shift is not None and evaluation.shift.detected:
        return VOID_NOTE
    return _OWN_FILMS_NOTE if not evaluation.name and evaluation.split in ("val", "out-of-fold") else ""
