"""What evaluations and comparisons consist of: ``predictions.csv``, ``metrics.json``, ``comparison.json``."""

from typing import Annotated, Literal

from pydantic import Field

from pneumocli.core.records import ClassName, Count, Finite, Fraction, Kind, OutOfFold, Record, Split
from pneumocli.core.shift_records import Shift
from pneumocli.model.card import OperatingPoint


class Metric(Record):
    """A number with its 95 % interval."""

    value: Finite | None
    """``None`` where undefined."""
    low: Finite | None
    """Lower end; ``None`` where there is no interval."""
    high: Finite | None
    """Upper end."""
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
    chosen_on: Literal["fixed", "val", "out-of-fold", "recalibrated", "given"]


class ScoredFilm(Record):
    """One row of ``predictions.csv``."""

    image: str
    patient: str
    kind: Kind
    label: ClassName
    logit: Finite
    probability: Fraction
    prediction: ClassName


class OutOfFoldFilm(ScoredFilm):
    """One row of ``out-of-fold.csv``: a training film, scored by the fold that held it out."""

    fold: Annotated[int, Field(ge=1)]
    """Which fold held it out, from 1."""


class Subgroup(Record):
    """A kind of pneumonia, against all normal films; or the films that are hard or easy, see ``shift/shortcut``."""

    num_images: Count
    num_patients: Count
    metrics: dict[str, Metric]
    """``sensitivity`` of this kind, and ``auroc`` of this kind against the normal films; of hard and easy films also
    ``specificity`` and ``balanced_accuracy``."""
    num_normal: Count | None = None
    """Of hard and easy films: how many are NORMAL."""
    num_pneumonia: Count | None = None
    """Of hard and easy films: how many are PNEUMONIA."""


class DataFlow(Record):
    """What became of the films of a split."""

    num_found: Count
    """Films of the split, readable or not."""
    num_unreadable: Count
    """Left out because ``--skip-unreadable`` was given."""
    unreadable: tuple[str, ...]
    """Each with the reason."""
    num_duplicates: Count
    """Films whose bytes another film of the split has, too; all are scored."""
    num_scored: Count
    """What all figures are of."""


class RefittedThreshold(Record):
    """The threshold that would give the stored sensitivity here, fitted on these very films: no result of the model."""

    wanted_sensitivity: Fraction
    """Stored with the model, of the validation films."""
    threshold: Metric
    """The highest whose sensitivity on these films is at least the wanted one."""
    sensitivity: Metric
    """Of these films, there."""
    specificity: Metric
    """Of these films, there: what keeping the sensitivity costs."""


class LabelShift(Record):
    """What the answers suggest about the prevalence if nothing but the shares of the classes has changed."""

    assumed_prevalence: Fraction
    """That the model's probabilities assume: of its training films, 0.5 with balanced class weights."""
    estimated_prevalence: Metric
    """From the probabilities alone, without labels."""
    true_prevalence: Metric
    """From the labels, with Wilson's interval."""
    contradicted: bool | None
    """Whether the intervals of the two exclude each other: then more than the prevalence has changed."""
    corrected: dict[str, Metric]
    """``accuracy``, ``sensitivity``, ``specificity`` and ``brier_score`` at the same threshold of the probabilities as
    corrected for the estimated prevalence."""


class PatientAnswers(Record):
    """One answer per patient, by one rule."""

    confusion: Confusion
    metrics: dict[str, Metric]


class PatientLevel(Record):
    """One answer per patient, where some have several films."""

    num_patients: Count
    """Patients with films of one label."""
    num_normal: Count
    num_pneumonia: Count
    num_with_several_films: Count
    most_films: Count
    """Of one patient."""
    num_with_both_labels: Count
    """Patients with films of both labels: they have no single truth, and are left out."""
    mean_logit: PatientAnswers
    """PNEUMONIA where the mean of the patient's logits is at or above the threshold."""
    any_positive: PatientAnswers
    """PNEUMONIA where any of the patient's films is called so; ranked by the highest logit."""


class RiskPoint(Record):
    """One point of a risk-coverage curve."""

    answered: Fraction
    """Share of the films that are not referred."""
    error: Fraction
    """Share of wrong answers among those."""


class Referral(Record):
    """What a model with limits for referral gives: films whose class is not clear are left to a person."""

    alpha: Fraction
    """Share of each class that the limits may rule out wrongly, as ``--refer`` asked."""
    coverage: dict[ClassName, Metric]
    """By class: share of its films that the limits do not rule out for it; 1 - ``alpha`` was asked."""
    num_referred: Count
    num_without_class: Count
    """Of the referred films: those that are possible for neither class; the others are possible for both."""
    referred: Metric
    """Share of the films."""
    num_wrong: Count
    """Wrong answers."""
    error: Metric
    """Share of wrong answers among the films that are answered."""
    risk: tuple[RiskPoint, ...]
    """The error as the band of referred logits about the middle of the limits narrows from all films to none."""


CALIBRATION_METRICS = (
    "brier_score",
    "brier_skill",
    "log_loss",
    "calibration_error",
    "calibration_slope",
    "calibration_intercept",
)
"""The metrics that ask for probabilities, not for a ranking alone."""


class Evaluation(Record):
    """``metrics.json``."""

    schema_version: Literal[1] = 1
    run: str
    """Name of the run folder."""
    model_sha256: str
    """Of the model file that scored the films."""
    data_fingerprint: str
    """SHA-256 over the films and their labels."""
    split: Split | OutOfFold
    """What the films are to the run; ``test`` for those of another place."""
    name: str = ""
    """Of other films than the run's own, after their table or folder; empty for the run's own."""
    num_images: Count
    """Films scored."""
    num_patients: Count
    """Their patients, the clusters of every interval."""
    prevalence: Fraction
    """Share of PNEUMONIA among the films."""
    threshold: ThresholdUsed
    """``value``, ``rule`` and ``chosen_on``."""
    confusion: Confusion
    """``tp``, ``fp``, ``fn`` and ``tn`` at the threshold; PNEUMONIA is positive."""
    metrics: dict[str, Metric]
    """By name (metrics.md), all films; fractions, and ``None`` where undefined."""
    classes: dict[ClassName, ClassMetrics]
    """``precision``, ``recall``, ``f1`` and ``support`` of each class."""
    subgroups: dict[str, Subgroup]
    """``bacteria`` and ``virus`` against all NORMAL films, ``hard`` and ``easy``: numbers of films, and metrics."""
    at_half: dict[str, Metric] | None
    """``accuracy``, ``sensitivity``, ``specificity``, ``ppv`` and ``npv`` at 0.5, where the threshold is another."""
    operating_point: OperatingPoint
    """As stored in the model, with what it gave on the validation films."""
    temperature: Finite
    """Divides the logits before they become probabilities."""
    at_prevalence: dict[str, Finite | None] | None
    """``prevalence``, ``ppv`` and ``npv`` at the prevalence that was asked for."""
    bootstrap_seed: Count
    """Of the resamples of patients."""
    data_flow: DataFlow
    """What became of the films that were found."""
    shift: Shift | None = None
    """Whether the films are like the model's validation films; ``None`` for fewer than 20, and where the model keeps no
    reference, as those of version 0.1.0."""
    at_stored_sensitivity: RefittedThreshold | None = None
    """``None`` where no sensitivity is stored, where the films are of one class, and in files of version 0.1.0."""
    label_shift: LabelShift | None = None
    """``None`` where the prevalence among the training films is not known, and in files of version 0.1.0."""
    patients: PatientLevel | None = None
    """``None`` where no patient has several films, and in files of version 0.1.0."""
    by: Literal["film", "patient"] = "film"
    """What the page begins with, as ``--by`` chose; the other fields are of films all the same."""
    table_sha256: str | None = None
    """Of the table that ``--predictions`` evaluated; ``None`` for the scores of a run."""
    score_threshold: Finite | None = None
    """On the scores of a table without probabilities: ``logit`` is the score less this, ``probability`` none."""
    refer: Referral | None = None
    """``None`` for a model without limits, trained without ``--refer``, and in files of version 0.1.0."""
    precision: Literal["fp32", "int8"] = "fp32"
    """Of the model file that scored the films."""

    @property
    def place(self) -> str:
        """The name of the evaluation's folder below ``evaluations/`` or ``evaluations-int8/``."""
        return self.name or self.split


class Difference(Record):
    """One metric of two runs on the same films."""

    run_a: str
    """The first run, by its name in the comparison."""
    run_b: str
    """The second."""
    metric: str
    """As in ``metrics.json``."""
    a: Finite | None
    """Of the first run; ``None`` where undefined."""
    b: Finite | None
    """Of the second."""
    difference: Finite | None
    """b - a."""
    low: Finite | None
    """Lower end of the 95 % interval of the difference."""
    high: Finite | None
    """Upper end."""
    p_value: Fraction | None
    """Of no difference, two-sided; ``None`` where there is no test."""
    method: str
    """How interval and p-value were made, or why there are none."""

    @property
    def pair(self) -> str:
        """The two runs as ``a vs b``: their key in :attr:`Comparison.holm_p_values`."""
        return f"{self.run_a} vs {self.run_b}"


class ComparedRun(Record):
    """One run of a comparison."""

    name: str
    path: str
    initial_weights: str
    seed: Count
    metrics: dict[str, Metric]
    subgroups: Annotated[dict[str, Subgroup], Field(default_factory=dict)]
    """As in the run's ``metrics.json``: kinds of pneumonia, hard and easy films."""
    is_table: bool = False
    """Whether it is a table of scores instead of a run: then it has no initial weights and no seed of its own."""
    shift: Shift | None = None
    """As in the run's ``metrics.json``: whether the films are like its validation films."""


class SeedGroup(Record):
    """Runs whose settings differ in the seed alone."""

    runs: tuple[str, ...]
    metrics: dict[str, dict[str, Finite]]
    """``mean``, ``sd`` (n - 1), ``low`` and ``high`` (the range) over the runs, by metric."""


class Comparison(Record):
    """``comparison.json``."""

    schema_version: Literal[1] = 1
    runs: tuple[ComparedRun, ...]
    """Each with its name here, its folder and its own metrics."""
    split: Split
    """Of the films, which all runs scored."""
    num_images: Count
    """Films compared on."""
    num_patients: Count
    """Their patients."""
    data_fingerprint: str
    """SHA-256 over the films and their labels."""
    sentence: str
    """Which run ranks the films better, which is right on more of them, by how much, and whether it could be chance."""
    differences: tuple[Difference, ...]
    """Of each pair of runs and each metric, and McNemar's test of each pair."""
    holm_p_values: dict[str, Fraction] | None
    """Accuracy p-values of all pairs after Holm's correction, by ``a vs b``; with more than two runs."""
    seed_groups: tuple[SeedGroup, ...]
    """Runs whose settings differ in the seed alone, and the mean and spread of their metrics."""
    bootstrap_seed: Count
    """Of the resamples of patients, the same for both runs of a pair."""
    name: str = ""
    """Of films that are of another place for a run at least, as in its ``metrics.json``; empty for the runs' own."""

    @property
    def place(self) -> str:
        """What the films are called: the name of other films, else the split."""
        return self.name or self.split


class AssignmentResults(Record):
    """``results.json``, the assignment's own file: in percent."""

    from_scratch_accuracy: Finite
    transfer_learning_accuracy: Finite
    improvement: Finite
    """In percentage points."""
