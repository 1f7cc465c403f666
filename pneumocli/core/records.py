"""What is written to disk, as frozen pydantic models: one definition per file, with its schema version.

Numbers are fractions 0-1, seconds and bytes; an undefined number is ``None`` (``null``), never 0 or 1. A field's
docstring is its documentation in ``docs/run-folder.md``.
"""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

ClassName = Literal["NORMAL", "PNEUMONIA"]

CLASS_NAMES: tuple[ClassName, ClassName] = ("NORMAL", "PNEUMONIA")
"""The classes in the order of their label, 0 and 1; PNEUMONIA is positive."""

POSITIVE_CLASS = CLASS_NAMES[1]

NOTICE = "Not a medical device: not for diagnosis."
"""Shown wherever a result is shown."""

Split = Literal["train", "val", "test"]
Kind = Literal["normal", "bacteria", "virus", "unknown"]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be finite; undefined is null")
    return value


Finite = Annotated[float, AfterValidator(_finite)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """Base of everything that is written to disk."""

    # defer_build: a command builds the validators it uses, not those of every record and setting there is.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True)


class ManifestRow(Record):
    """One film of a manifest."""

    image: str
    """Path relative to the data folder, with forward slashes."""
    label: Literal[0, 1]
    """0 for NORMAL, 1 for PNEUMONIA."""
    kind: Kind
    """What the file name tells of the cause: normal, bacteria, virus, or unknown."""
    patient: str
    """Key of the patient, unique in the data set: kind and number, such as ``bacteria:1946``."""
    split: Split
    """What the run used the film for."""
    sha256: str
    """SHA-256 of the file's bytes."""


class EpochRecord(Record):
    """One row of ``history.csv``."""

    epoch: Annotated[int, Field(ge=1)]
    """1-based."""
    train_loss: Finite
    """Mean cross-entropy over the training films of the epoch, as augmented."""
    val_loss: Finite
    """Mean cross-entropy over the validation films after the epoch."""
    val_accuracy: Fraction
    """At threshold 0.5."""
    val_auroc: Fraction | None
    """``None`` where the validation films are of one class."""
    learning_rate: Finite
    seconds: Finite
    """From the epoch's first request for a batch to its record."""
    images_per_second: Finite
    """Training films / seconds from the first batch's request to the last step."""


class OperatingPoint(Record):
    """A threshold, how it was chosen, and what it gave where it was chosen."""

    threshold: Fraction
    """Positive if the probability is at or above it."""
    rule: str
    """``0.5``, ``youden``, ``sensitivity=0.95`` ..."""
    chosen_on: Literal["fixed", "val"]
    """``fixed`` for a threshold set beforehand, ``val`` for one chosen on the validation films."""
    sensitivity: Fraction | None
    """On the validation films."""
    specificity: Fraction | None
    """On the validation films."""


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


class InputRange(Record):
    """What the training films looked like, so that a film unlike them can be told: 0.1 and 99.9 % quantiles."""

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


class ModelCard(Record):
    """Everything that must travel with the weights for a prediction to mean something."""

    schema_version: Literal[1] = 1
    package_version: str
    architecture: Literal["resnet18"] = "resnet18"
    class_names: tuple[Literal["NORMAL"], Literal["PNEUMONIA"]] = ("NORMAL", "PNEUMONIA")
    positive_class: Literal["PNEUMONIA"] = "PNEUMONIA"
    image_size: Annotated[int, Field(ge=32, le=1024)]
    fit: Literal["crop", "squash", "pad"]
    initial_weights: str
    """``scratch``, ``IMAGENET1K_V1``, or the name of the file they came from."""
    operating_point: OperatingPoint
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """probability = sigmoid(logit / temperature)."""
    data_fingerprint: str
    """SHA-256 over the training and validation films and their labels."""
    num_train_images: Count
    best_epoch: Annotated[int, Field(ge=1)]
    validation: ValidationSummary
    input_range: InputRange | None = None
    feature_model: FeatureModel | None = None
    notice: str = NOTICE


class Environment(Record):
    """``environment.json``: where and how a run was made."""

    schema_version: Literal[1] = 1
    started_utc: str
    """ISO 8601."""
    package_version: str
    commit: str | None
    """Commit of the source checkout the package ran from; ``None`` for an installed package."""
    argv: tuple[str, ...]
    versions: dict[str, str]
    """Python and the packages that decide a result."""
    platform: str
    device: str
    """As resolved: ``cpu``, ``cuda:0``, ``mps``."""
    device_name: str
    precision: Literal["fp32", "bf16", "fp16"]
    compile: bool
    threads: Annotated[int, Field(ge=1)]
    """CPU threads inside one operation."""
    workers: Count
    """Processes that prepare batches; 0 for none beside the training process."""
    world_size: Annotated[int, Field(ge=1)]
    """Training processes."""


class RunResult(Record):
    """``result.json``: written last; its presence says that the run finished."""

    schema_version: Literal[1] = 1
    finished_utc: str
    num_epochs: Annotated[int, Field(ge=1)]
    """Epochs trained; fewer than planned when training stopped early."""
    stopped_early: bool
    best_epoch: Annotated[int, Field(ge=1)]
    val_auroc: Fraction | None
    val_accuracy: Fraction
    seconds: Finite
    """Sum over all sessions of the run."""
    images_per_second: Finite
    """Median over epochs."""
    peak_memory_bytes: Count | None
    """Of the training process; ``None`` where the system does not tell."""
    time_shares: dict[str, Fraction]
    """Where the time went: shares of ``decode`` (listing, hashing and decoding films, before the first epoch), ``wait``
    (for batches: augmentation that the step could not hide), ``compute``, ``validate`` and ``save``."""
    num_unreadable: Count
    """Films left out because ``--skip-unreadable`` was given."""
    unreadable: tuple[str, ...]
    sha256: dict[str, str]
    """Of ``best.pt`` and ``model.onnx``; checked whenever the run is used."""


class Metric(Record):
    """A number with its 95 % interval."""

    value: Finite | None
    """``None`` where undefined."""
    low: Finite | None
    high: Finite | None
    method: str
    """How the interval was made, or why there is none."""


class Confusion(Record):
    """Counts at the threshold; PNEUMONIA is positive."""

    tp: Count
    fp: Count
    fn: Count
    tn: Count


class ClassMetrics(Record):
    """The per-class table of the field."""

    precision: Fraction | None
    recall: Fraction | None
    f1: Fraction | None
    support: Count


class ThresholdUsed(Record):
    """The threshold of an evaluation."""

    value: Fraction
    rule: str
    """The stored rule, or ``given`` for one from the command line."""
    chosen_on: Literal["fixed", "val", "given"]


class ScoredFilm(Record):
    """One row of ``predictions.csv``."""

    image: str
    patient: str
    kind: Kind
    label: ClassName
    logit: Finite
    probability: Fraction
    prediction: ClassName


class Subgroup(Record):
    """A kind of pneumonia, against all normal films."""

    num_images: Count
    num_patients: Count
    metrics: dict[str, Metric]
    """``sensitivity`` of this kind, and ``auroc`` of this kind against the normal films."""


class DataFlow(Record):
    """What became of the films of a split."""

    num_found: Count
    num_unreadable: Count
    """Left out because ``--skip-unreadable`` was given."""
    unreadable: tuple[str, ...]
    """Each with the reason."""
    num_duplicates: Count
    """Films whose bytes another film of the split has, too; all are scored."""
    num_scored: Count


class Evaluation(Record):
    """``metrics.json``."""

    schema_version: Literal[1] = 1
    run: str
    """Name of the run folder."""
    model_sha256: str
    """Of the model file that scored the films."""
    data_fingerprint: str
    """SHA-256 over the films and their labels."""
    split: Split
    num_images: Count
    num_patients: Count
    prevalence: Fraction
    """Share of PNEUMONIA among the films."""
    threshold: ThresholdUsed
    confusion: Confusion
    metrics: dict[str, Metric]
    classes: dict[ClassName, ClassMetrics]
    subgroups: dict[str, Subgroup]
    at_half: dict[str, Metric] | None
    """``accuracy``, ``sensitivity``, ``specificity`` at 0.5, where the threshold is another."""
    operating_point: OperatingPoint
    """As stored in the model, with what it gave on the validation films."""
    temperature: Finite
    at_prevalence: dict[str, Finite | None] | None
    """``prevalence``, ``ppv`` and ``npv`` at the prevalence that was asked for."""
    bootstrap_seed: Count
    data_flow: DataFlow


class Prediction(Record):
    """One film's answer from ``pneumo predict``."""

    image: str
    """As the caller named it."""
    probability: Fraction | None
    """Of pneumonia; ``None`` where the film could not be read."""
    prediction: ClassName | None
    threshold: Fraction
    warnings: tuple[str, ...] = ()
    error: str | None = None
    """Why there is no answer."""


class Difference(Record):
    """One metric of two runs on the same films."""

    run_a: str
    run_b: str
    metric: str
    a: Finite | None
    b: Finite | None
    difference: Finite | None
    """b - a."""
    low: Finite | None
    high: Finite | None
    p_value: Fraction | None
    method: str

    @property
    def pair(self) -> str:
        """The two runs as ``a vs b``: their key in :attr:`Comparison.holm_p_values`."""
        return f"{self.run_a} vs {self.run_b}"


class PartialDownload(Record):
    """Beside a file that is being fetched: which file the bytes belong to."""

    schema_version: Literal[1] = 1
    validator: str | None
    """The server's ETag or date of the file; ``None`` where it tells neither, and the bytes cannot be continued."""
    num_bytes: Count | None
    """Size of the whole file; ``None`` where the server does not tell."""


class DataSource(Record):
    """``SOURCE.json`` in a downloaded data folder: where the films came from, under which licence."""

    schema_version: Literal[1] = 1
    source: str
    """``kaggle``, ``mendeley``, ``phantom``, or the name of the zip that was given."""
    title: str
    """What the film names tell: ``the Kaggle release`` ..."""
    licence: str
    citation: str
    retrieved_utc: str
    """ISO 8601."""
    archive_sha256: str | None
    """Of the zip; ``None`` for phantoms."""
    counts: dict[Split, dict[ClassName, Count]]
    """Films by split and class."""
    differing: tuple[str, ...] = ()
    """Films of which the zip held two versions: the second one's place in the folder."""
    renamed: dict[str, str] = {}
    """New place by name in the zip, for names that some system cannot have."""


class ComparedRun(Record):
    """One run of a comparison."""

    name: str
    path: str
    initial_weights: str
    seed: Count
    metrics: dict[str, Metric]


class SeedGroup(Record):
    """Runs whose settings differ in the seed alone."""

    runs: tuple[str, ...]
    metrics: dict[str, dict[str, Finite]]
    """``mean``, ``sd`` (n - 1), ``low`` and ``high`` (the range) over the runs, by metric."""


class Comparison(Record):
    """``comparison.json``."""

    schema_version: Literal[1] = 1
    runs: tuple[ComparedRun, ...]
    split: Split
    num_images: Count
    num_patients: Count
    data_fingerprint: str
    sentence: str
    """Which run is better, by how much, and whether that could be chance."""
    differences: tuple[Difference, ...]
    holm_p_values: dict[str, Fraction] | None
    """Accuracy p-values of all pairs after Holm's correction, by ``a vs b``; with more than two runs."""
    seed_groups: tuple[SeedGroup, ...]
    bootstrap_seed: Count


class AssignmentResults(Record):
    """``results.json``, the assignment's own file: in percent."""

    from_scratch_accuracy: Finite
    transfer_learning_accuracy: Finite
    improvement: Finite
    """In percentage points."""


class SeedRun(Record):
    """One run of ``train --seeds``."""

    path: str
    seed: Count
    best_epoch: Annotated[int, Field(ge=1)]
    val_auroc: Fraction | None
    val_accuracy: Fraction


class SeedSummary(Record):
    """``<run>-seeds.json``: the runs of one setting, and how far they lie apart."""

    schema_version: Literal[1] = 1
    runs: tuple[SeedRun, ...]
    metrics: dict[str, dict[str, Finite]]
    """``mean``, ``sd`` (n - 1), ``low`` and ``high`` (the range) over the runs; absent where a run's is undefined."""
