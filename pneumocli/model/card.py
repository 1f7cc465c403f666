"""The card that a model file carries: what it is and how to use it."""

from typing import Annotated, Literal

from pydantic import Field

from pneumocli.core.records import NOTICE, Count, Finite, Fit, Fraction, Record
from pneumocli.core.shift_records import HeldOut


class OperatingPoint(Record):
    """A threshold, how it was chosen, and what it gave where it was chosen."""

    threshold: Fraction
    """Positive if the probability is at or above it."""
    rule: str
    """``0.5``, ``youden``, ``sensitivity=0.95`` ..."""
    chosen_on: Literal["fixed", "val", "out-of-fold", "recalibrated"]
    """``fixed`` for a threshold set beforehand, ``val`` for one chosen on the validation films, ``out-of-fold`` for one
    of a group of folds, ``recalibrated`` for one of a recalibrated model."""
    sensitivity: Fraction | None
    """On the validation films; of a group of folds on all films, each scored by the fold that held it out; of a
    recalibrated model cross-validated on the films of the other place."""
    specificity: Fraction | None
    """Likewise."""


class GroupFigure(Record):
    """A number with its 95 % interval; ``None`` where undefined."""

    value: Finite | None
    low: Finite | None
    high: Finite | None


class GroupSummary(Record):
    """How the best epoch did on the hard or the easy validation films, at the operating point."""

    num_normal: Count
    num_pneumonia: Count
    sensitivity: GroupFigure
    specificity: GroupFigure
    balanced_accuracy: GroupFigure
    auroc: GroupFigure


class ValidationSummary(Record):
    """How the best epoch did on the validation films."""

    method: Literal["patient", "block", "official"]
    num_images: Count
    num_patients: Count
    fraction: Fraction
    """Share of the films that were held out, after rounding to a k-fold's 1/k and with the set's own val films."""
    loss: Finite
    accuracy: Fraction
    auroc: Fraction | None
    hard: GroupSummary | None = None
    """Films whose label a shortcut contradicts; ``None`` where films are neither hard nor easy."""
    easy: GroupSummary | None = None
    """The other films."""


class InputRange(Record):
    """What the training films looked like, so that a film unlike them is found: 0.1 and 99.9 % quantiles."""

    aspect: tuple[Finite, Finite]
    """Width / height."""
    brightness: tuple[Finite, Finite]
    """Mean grey value after preprocessing, 0-255."""
    contrast: tuple[Finite, Finite]
    """Standard deviation of the grey values after preprocessing."""


class FeatureModel(Record):
    """Gaussian of the square roots of the training films' features, for the distance of a new film to them.

    Kept in compressed form: a mean, the leading principal directions, and one variance for the rest.
    """

    mean: str
    """Base64 of float32, little-endian, (512,)."""
    directions: str
    """Base64 of float32, little-endian, (k, 512): orthonormal rows."""
    variances: str
    """Base64 of float32, little-endian, (k,): shrunk variances along the directions."""
    residual_variance: Finite
    """Variance of every direction orthogonal to those."""
    limit: Finite
    """Mahalanobis distance beyond which a film is unlike the training films; set on the validation films."""


class BrightnessMap(Record):
    """Where the training films are bright and dark: Gaussian of their standardised thumbnails of 8 x 8 cells."""

    mean: str
    """Base64 of float32, little-endian, (64,)."""
    whitening: str
    """Base64 of float32, little-endian, (64, 64): the columns divide by the standard deviations of the directions."""
    limit: Finite
    """Mahalanobis distance beyond which a film is unlike the training films; set on the validation films."""


class Shortcut(Record):
    """A logistic regression of the class on how films were made, fitted on the training films.

    The logit of PNEUMONIA is the intercept, plus a weight times each standardised property, plus the weight of the
    film's encoder, 0 for one that is not listed.
    """

    name: Literal["file", "picture"]
    """``file`` sees encoder and sizes too, ``picture`` only what decoded pixels show."""
    properties: tuple[str, ...]
    means: tuple[Finite, ...]
    """Of each property over the training films, as transformed (sizes as logarithms)."""
    scales: tuple[Finite, ...]
    """Standard deviations there."""
    weights: tuple[Finite, ...]
    encoders: dict[str, Finite]
    """Weight of each encoder that enough training films share."""
    intercept: Finite
    auroc: Fraction
    """On training films held out patient by patient."""


class ShortcutModel(Record):
    """What marks hard films: those whose label a shortcut contradicts."""

    shortcuts: tuple[Shortcut, ...]
    """Those that predict the class; none where no property does, then no film is hard or easy."""


class ReferLimits(Record):
    """Which logits of PNEUMONIA are answered, and which are referred to a person.

    NORMAL is possible up to one limit, PNEUMONIA from the other on. Where one class is possible it is the answer; where
    both are, or none is, the film is referred.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5, allow_inf_nan=False)]
    """Share of each class whose films may be called impossible for it."""
    normal_up_to: Finite
    """Logit, not divided by the temperature."""
    pneumonia_from: Finite
    """Likewise."""
    num_normal: Count
    """Validation patients that set the limit of NORMAL, one film of each; of a group of folds all patients."""
    num_pneumonia: Count
    """Likewise of PNEUMONIA."""


class Recalibration(Record):
    """What ``pneumo recalibrate`` fitted a model to: films of another place, none of them named here."""

    name: str
    """Of the place."""
    num_normal: Count
    """Films."""
    num_pneumonia: Count
    num_normal_patients: Count
    num_pneumonia_patients: Count
    folds: Count
    """Of the cross-validation, patient by patient."""
    old_temperature: Finite
    old_offset: Finite
    old_threshold: Fraction
    old_sensitivity: GroupFigure
    """Of the model as it was, on the same films."""
    old_specificity: GroupFigure
    old_log_loss: GroupFigure
    """In nats."""
    sensitivity: GroupFigure
    """Cross-validated: every film answered with what was fitted to other patients. So are the next two."""
    specificity: GroupFigure
    log_loss: GroupFigure
    """In nats."""
    auroc: GroupFigure
    """Of the network's own scores, whose order recalibration keeps."""
    data_fingerprint: str
    """SHA-256 over the films and their labels."""
    films: tuple[str, ...]
    """The first 16 hex digits of each film's SHA-256, sorted: the model is not evaluated on these."""


class Int8Proof(Record):
    """What computing on 8-bit integers changes, measured on the validation films against the float32 file."""

    num_films: Count
    mean_difference: Finite
    """Of a film's logit, without its sign."""
    largest_difference: Finite
    auroc: GroupFigure
    """AUROC on integers less AUROC in float32; the interval by DeLong's method with patients as clusters."""
    num_changed: Count
    """Films that change sides at the stored threshold."""
    map_correlation: Finite
    """Of all cells of the class activation maps."""
    speed: Finite
    """Films a second as a multiple of float32's, from pixels, on the machine that made the file, in CPU time."""


class Int8Card(Record):
    """How ``model-int8.onnx`` was made, kept in it beside the model's own card."""

    schema_version: Literal[1] = 1
    package_version: str
    parent_sha256: str
    """Of the ``model.onnx`` that it was made from."""
    num_calibration_films: Count
    """Validation films whose activations set the ranges of the integers and correct the biases."""
    proof: Int8Proof


FINE_CELLS = 7
"""Cells along a side of a heat map at the usual image size of 224; maps of fewer are coarse."""


def map_cells(image_size: int) -> int:
    """Cells along a side of a heat map: ResNet-18 halves the image five times, rounding up.

    >>> map_cells(224), map_cells(64)
    (7, 2)
    """
    return -(-image_size // 32)


class ModelCard(Record):
    """Everything that must travel with the weights for a prediction to mean something."""

    schema_version: Literal[1] = 1
    package_version: str
    architecture: Literal["resnet18"] = "resnet18"
    class_names: tuple[Literal["NORMAL"], Literal["PNEUMONIA"]] = ("NORMAL", "PNEUMONIA")
    positive_class: Literal["PNEUMONIA"] = "PNEUMONIA"
    image_size: Annotated[int, Field(ge=32, le=1170)]
    """Side of the square that the model takes; with four views 8/7 of what the network sees."""
    fit: Fit
    """How films become that square."""
    initial_weights: str
    """``scratch``, ``IMAGENET1K_V1``, or the name of the file they came from."""
    operating_point: OperatingPoint
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """probability = sigmoid(logit / temperature), where the logit includes ``offset``."""
    data_fingerprint: str
    """SHA-256 over the training and validation films and their labels."""
    num_train_images: Count
    best_epoch: Annotated[int, Field(ge=1)]
    """Of a group of folds the median."""
    validation: ValidationSummary
    input_range: InputRange | None = None
    feature_model: FeatureModel | None = None
    shortcut_model: ShortcutModel | None = None
    """``None`` in models of version 0.1.0, which mark no films as hard."""
    notice: str = NOTICE
    brightness_map: BrightnessMap | None = None
    """``None`` in models of version 0.1.0."""
    views: Literal[1, 2, 4] = 1
    """Views of each film that the network averages, see :mod:`pneumocli.model.views`; 1 in models of version 0.1.0."""
    assumed_prevalence: Fraction | None = None
    """Share of PNEUMONIA that the probabilities assume: among the training films as the loss weighed them. ``None`` in
    models of version 0.1.0."""
    members: tuple[str, ...] = ()
    """SHA-256 of the model files whose mean this is, a group of folds; empty for a single network."""
    refer: ReferLimits | None = None
    """``None`` where ``--refer`` was not given, and in models of version 0.1.0."""
    offset: Finite = 0.0
    """Added to the network's logit wherever a logit is reported or used; 0 unless the model was recalibrated."""
    recalibrated: Recalibration | None = None
    """``None`` unless ``pneumo recalibrate`` made the file."""

    @property
    def held_out(self) -> HeldOut:
        """The films that threshold, limits and references rest on."""
        return "out-of-fold films" if self.members else "validation films"
