"""Whether films are like the training films, as ``metrics.json`` and ``predict --shift`` record it."""

from typing import Literal

from pydantic import Field

from pneumocli.core.records import Count, Finite, Fraction, Record

HeldOut = Literal["validation films", "out-of-fold films"]
"""Films that a model was not trained on; of a group of folds each film, as the run that held it out sees it."""


class PropertyShift(Record):
    """One property of the films here, against the model's validation films."""

    name: str
    """``size``, ``aspect``, ``brightness``, ``contrast``, ``sharpness``, ``encoder`` or ``logit``; ``age`` and ``view``
    where 20 films' files here and 20 of the reference say so."""
    here: Finite | None
    """Median of the films here; ``None`` for encoders and views."""
    reference: Finite | None
    """Median of the validation films; ``None`` for encoders and views."""
    distance: Fraction
    """Kolmogorov-Smirnov distance; for encoders and views the share of films that would have to change theirs."""
    p_value: Fraction
    """After Holm's correction over all tests of the comparison."""
    moved: bool
    """Whether the p-value is below the error rate."""
    word: str = ""
    """How it moved, in a word: ``darker``, ``sharper``; empty where it has not moved."""


class Shift(Record):
    """How films as a whole compare with the model's validation films, or a group's out-of-fold films."""

    detected: bool
    """Whether the films differ: then sensitivity, specificity and any guarantee made on the validation films are void.
    ``error_rate`` of folders that do not differ are called so by chance."""
    sentence: str
    """The result in a sentence for people."""
    strength: Literal["none", "some", "strong"]
    """``strong`` where a classifier tells nine of ten pairs of films apart, ``some`` below."""
    num_films: Count
    """Films that were seen and could be read."""
    num_compared: Count
    """Films that were compared: a sample of them, at most one for each patient that is known."""
    num_reference: Count
    """Validation films that they were compared with: of each class as many as the films here are estimated to hold."""
    error_rate: Fraction
    """Share of folders that do not differ for which ``detected`` is wrongly true."""
    auroc: Fraction
    """How well a classifier tells the films apart by the network's features; 0.5 is not at all."""
    p_value: Fraction
    """Of that classifier by permutation, after Holm's correction."""
    unlike_share: Fraction
    """Share of the films here whose features lie farther out than 95 % of the validation films'."""
    prevalence_estimate: Fraction
    """Share of PNEUMONIA that the answers suggest if only the share of the classes had changed."""
    properties: tuple[PropertyShift, ...]
    compared_with: HeldOut = "validation films"
    """Which films the model keeps to compare with."""
    age_here: Finite | None = None
    """Median age in years of the patients whose DICOM files say so; ``None`` where none does."""
    age_reference: Finite | None = None
    """Likewise of the validation films."""
    views_here: dict[str, Fraction] = Field(default_factory=dict)
    """Share of each view (PA, AP, lateral) among the films whose DICOM files name one."""
    views_reference: dict[str, Fraction] = Field(default_factory=dict)
    """Likewise of the validation films."""
