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

Answer = Literal["NORMAL", "PNEUMONIA", "REFER"]
REFER: Literal["REFER"] = "REFER"
"""The answer for a film that a person should look at, of a model trained with ``--refer``."""

NOTICE = "Not a medical device: not for diagnosis."
"""Shown wherever a result is shown."""

HARD_BALANCED = "hard-balanced"
"""Rule of an operating point: equal sensitivity and specificity on hard films."""

OutOfFold = Literal["out-of-fold"]
OUT_OF_FOLD: OutOfFold = "out-of-fold"
"""The training films of a group of folds, each scored by the run that held it out."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Fit = Literal["crop", "squash", "pad"]
"""How a film becomes square; :func:`pneumocli.data.images.fit_film` does it."""
Kind = Literal["normal", "bacteria", "virus", "unknown"]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be finite; undefined is null")
    return value


Finite = Annotated[float, AfterValidator(_finite)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]

Select = Literal["auroc", "hard"]
"""What decides the best epoch."""


class Record(BaseModel):
    """Base of everything that is written to disk."""

    # defer_build: a command builds the validators it uses, not those of every record and setting there is.
    # Docstrings of fields are for core/field_docstrings.py: to keep them pydantic parses each source.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ManifestRow(Record):
    """One film of a manifest."""

    image: str
    """Path relative to the data folder, with forward slashes."""
    label: Literal[0, 1]
    """0 for NORMAL, 1 for PNEUMONIA."""
    kind: Kind
    """The cause that the file name states: normal, bacteria, virus, or unknown."""
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
    """Mean cross-entropy over the training films of the epoch, as augmented, without label smoothing."""
    val_loss: Finite
    """Mean cross-entropy over the validation films after the epoch."""
    val_accuracy: Fraction
    """At threshold 0.5."""
    val_auroc: Fraction | None
    """``None`` where the validation films are of one class."""
    learning_rate: Finite
    """Of the epoch's last step."""
    seconds: Finite
    """From the epoch's first request for a batch to its record."""
    images_per_second: Finite
    """Training films / seconds from the first batch's request to the last step."""
    val_hard_sensitivity: Fraction | None = None
    """At threshold 0.5, on the hard validation films; ``None`` with fewer than 5 of PNEUMONIA, and in old runs."""
    val_hard_specificity: Fraction | None = None
    """``None`` with fewer than 5 hard validation films of NORMAL."""
    val_hard_balanced_accuracy: Fraction | None = None
    """Mean of the two: decides the best epoch with ``--select hard``."""
    val_hard_auroc: Fraction | None = None
    """``None`` with fewer than 5 hard validation films of a class."""

    def beats(self, best: "EpochRecord | None", select: Select = "auroc") -> bool:
        """Whether it beats the best so far: higher validation AUROC, then lower validation loss, then the earlier.

        Where the AUROC is undefined (one class among the validation films) the loss decides alone. With ``hard`` the
        balanced accuracy on hard films comes first; it steps from film to film, so that ties are common.
        """
        if best is None:
            return True
        if select == "hard":
            here, there = self.val_hard_balanced_accuracy, best.val_hard_balanced_accuracy
            if here is not None and there is not None and here != there:
                return here > there
        ours, theirs = self.val_auroc, best.val_auroc
        if ours is not None and theirs is not None and ours != theirs:
            return ours > theirs
        return self.val_loss < best.val_loss


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
    """Processes that prepare batches; 0 for none beside the training process. A GPU that keeps the films needs none of
    them."""
    world_size: Annotated[int, Field(ge=1)]
    """Training processes."""
    requirements: tuple[str, ...] = ()
    """Every installed package as a line of a requirements file, ``name==version``; empty in old runs."""


class FoldOutcome(Record):
    """One run of a group of folds."""

    fold: Annotated[int, Field(ge=1)]
    best_epoch: Annotated[int, Field(ge=1)]
    num_val_images: Count
    val_auroc: Fraction | None
    val_accuracy: Fraction
    model_sha256: str
    """Of the run's ``model.onnx``."""


class RunResult(Record):
    """``result.json``: written last; present only when the run finished."""

    schema_version: Literal[1] = 1
    finished_utc: str
    num_epochs: Annotated[int, Field(ge=1)]
    """Epochs trained; fewer than planned when training stopped early."""
    stopped_early: bool
    best_epoch: Annotated[int, Field(ge=1)]
    """Of a group of folds the median."""
    val_auroc: Fraction | None
    """Of a group over all films, each scored by the run that held it out."""
    val_accuracy: Fraction
    """Likewise."""
    val_intervals: dict[str, tuple[Fraction, Fraction]] = Field(default_factory=dict)
    """Ends of the 95 % intervals of ``val_auroc`` and ``val_accuracy``, those that have one; empty in runs of before.
    The epoch was chosen on the same films, and the intervals do not know of it."""
    seconds: Finite
    """Sum over all sessions of the run."""
    images_per_second: Finite
    """Median over epochs."""
    peak_memory_bytes: Count | None
    """Of the training process; ``None`` where the system does not report it."""
    time_shares: dict[str, Fraction]
    """Where the time went: shares of ``decode`` (listing, hashing and decoding films, and moving them to a GPU, before
    the first epoch), ``wait`` (for batches: augmentation that the step could not hide), ``compute``, ``validate``,
    ``save`` and ``finish`` (temperature, features, export and its proof; not in runs of version 0.1.0)."""
    num_unreadable: Count
    """Films left out because ``--skip-unreadable`` was given."""
    unreadable: tuple[str, ...]
    sha256: dict[str, str]
    """Of ``best.pt`` and ``model.onnx``, of a group of ``card.json``, ``reference.json`` and its ``model.onnx``, if it
    has one; checked whenever the run is used."""
    folds: tuple[FoldOutcome, ...] = ()
    """The runs of a group of folds; empty for a single run."""
    spread: dict[str, dict[str, Finite]] = Field(default_factory=dict)
    """``mean``, ``sd`` (n - 1), ``low`` and ``high`` of ``val_auroc`` and ``val_accuracy`` over the runs of a group."""
