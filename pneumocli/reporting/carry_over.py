"""How an operating point carries over to other films, as people read it: rows of pages, cards and tables."""

from collections.abc import Sequence

from pneumocli.core.shift_records import Shift
from pneumocli.metrics.records import ComparedRun, Evaluation, LabelShift, Metric, PatientLevel, RefittedThreshold
from pneumocli.reporting.text import metric_label, percent

REFITTED_NOTE = (
    "Fitted on these very films: what a threshold could reach here at best, no result of the model. It is to be proven "
    "on films that it was not fitted on."
)
LABEL_SHIFT_NOTE = (
    "Estimated from the answers alone, as if nothing but the share of the classes had changed since the training "
    "(label shift; Saerens 2002). Where anything else has changed, the estimate and the correction are wrong."
)
CONTRADICTED_NOTE = (
    "The labels contradict it: their interval excludes the estimate, so more than the prevalence has changed here."
)
_USELESS = 0.05  # specificity
PATIENTS_COLUMNS = ("patients", "by the mean of the logits", "by any positive film")


def percents(metric: Metric) -> str:
    """A fraction with its interval in percent.

    >>> (
    ...     percents(Metric(value=0.5, low=0.25, high=None, method="")),
    ...     percents(Metric(value=1, low=0.9, high=1, method="")),
    ... )
    ('50.0%', '100.0% (90.0 to 100.0)')
    """
    if metric.value is None:
        return "undefined"
    value = percent(metric.value)
    if metric.low is None or metric.high is None:
        return value
    return f"{value} ({metric.low * 100:.1f} to {metric.high * 100:.1f})"


def decimals(metric: Metric) -> str:
    """A number with its interval, three decimals.

    >>> decimals(Metric(value=0.5, low=0.25, high=0.75, method=""))
    '0.500 (0.250 to 0.750)'
    """
    if metric.value is None:
        return "undefined"
    ends = "" if metric.low is None or metric.high is None else f" ({metric.low:.3f} to {metric.high:.3f})"
    return f"{metric.value:.3f}{ends}"


def refitted_rows(found: RefittedThreshold, evaluation: Evaluation) -> list[list[str]]:
    """The stored threshold beside the one that would give the stored sensitivity, with both rates at each."""
    stored = evaluation.metrics
    return [
        [
            "given" if evaluation.threshold.rule == "given" else "stored",
            percent(evaluation.threshold.value),
            percents(stored["sensitivity"]),
            percents(stored["specificity"]),
        ],
        [
            f"fitted here for {percent(found.wanted_sensitivity)}",
            percents(found.threshold),
            percents(found.sensitivity),
            percents(found.specificity),
        ],
    ]


def refitted_sentence(found: RefittedThreshold) -> str:
    """What keeping the stored sensitivity would cost on these films."""
    if found.specificity.value is not None and found.specificity.value < _USELESS:
        return (
            f"No threshold helps here: for the stored sensitivity of {percent(found.wanted_sensitivity)} nearly every "
            f"healthy film would be called PNEUMONIA (specificity {percents(found.specificity)})."
        )
    return (
        f"For the stored sensitivity of {percent(found.wanted_sensitivity)} the threshold would be "
        f"{percents(found.threshold)} here, with specificity {percents(found.specificity)}. {REFITTED_NOTE}"
    )


def label_shift_sentence(found: LabelShift) -> str:
    """The prevalence by the labels and by the answers, and whether the two agree."""
    text = (
        f"Prevalence: {percents(found.true_prevalence)} by the labels, {percents(found.estimated_prevalence)} by the "
        f"answers, {percent(found.assumed_prevalence)} at the training. {LABEL_SHIFT_NOTE}"
    )
    return f"{text} {CONTRADICTED_NOTE}" if found.contradicted else text


def label_shift_rows(found: LabelShift, evaluation: Evaluation) -> list[list[str]]:
    """The prevalences, then the metrics without and with a correction for the estimated one."""
    rows = [
        ["prevalence, assumed", percent(found.assumed_prevalence), ""],
        ["prevalence, estimated", "", percents(found.estimated_prevalence)],
        ["prevalence, by label", percents(found.true_prevalence), ""],
    ]
    for name, corrected in found.corrected.items():
        show = decimals if name == "brier_score" else percents
        rows.append([metric_label(name), show(evaluation.metrics[name]), show(corrected)])
    return rows


def patients_sentence(found: PatientLevel) -> str:
    """How many patients were answered, and which were left out."""
    several = f"{found.num_with_several_films:,} of them with several films, up to {found.most_films}"
    text = (
        f"{found.num_patients:,} patients ({found.num_normal:,} NORMAL, {found.num_pneumonia:,} PNEUMONIA), {several}."
    )
    if found.num_with_both_labels:
        text += f" {found.num_with_both_labels:,} more have films of both labels, so no single truth, and are left out."
    return text


def patients_rows(found: PatientLevel) -> list[list[str]]:
    """Metrics of patients by the two rules, then the counts."""
    rules = (found.mean_logit, found.any_positive)
    rows = [
        [metric_label(name), *((decimals if name == "mcc" else percents)(by.metrics[name]) for by in rules)]
        for name in found.mean_logit.metrics
    ]
    counts = [
        f"{by.confusion.fn:,} of {found.num_pneumonia:,}, {by.confusion.fp:,} of {found.num_normal:,}" for by in rules
    ]
    return [*rows, ["missed, false alarms", *counts]]


def shift_mark(evaluation: Evaluation) -> str:
    """Whether films differ from the validation films, in a word or two."""
    return _mark(evaluation.shift)


def _mark(shift: Shift | None) -> str:
    if shift is None:
        return "not measured"
    return shift.strength if shift.detected else "none found"


def shifts_text(runs: Sequence[ComparedRun]) -> str:
    """The shift that each of several runs found, such as ``shift: scratch strong, transfer not measured``.

    Empty where all are tables of scores, which know no films.
    """
    if all(run.is_table for run in runs):
        return ""
    return "shift: " + ", ".join(f"{run.name} {_mark(run.shift)}" for run in runs if not run.is_table)


PLACES_COLUMNS = ("films", "of", "number", "sensitivity", "specificity", "AUROC", "shift")


def places_rows(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """One row per evaluation of a run; films of other places are marked, with their shift."""
    return [
        [
            evaluation.place,
            "another place" if evaluation.name else "the run",
            f"{evaluation.num_images:,}",
            *(percents(evaluation.metrics[name]) for name in ("sensitivity", "specificity", "auroc")),
            shift_mark(evaluation),
        ]
        for evaluation in evaluations
    ]
