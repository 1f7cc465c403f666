"""``MODEL_CARD.md``: what a model is for, what it was made of, what it can do and where it fails.

References:
    Mitchell et al. 2019, doi:10.1145/3287560.3287596.
"""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from pneumocli.core.files import read_record
from pneumocli.core.records import Evaluation, Metric, Split
from pneumocli.data.manifest import Manifest
from pneumocli.data.phantom import README_NAME
from pneumocli.inference.classifier import Classifier
from pneumocli.metrics.classification import verdict
from pneumocli.run_folder import RunFolder

_SPLITS: tuple[Split, ...] = ("train", "val", "test")

_DISJOINT = {
    "patient": "whole patients at random, stratified by kind; no patient is on both sides.",
    "block": "contiguous blocks of patient numbers in each series; no patient is on both sides.",
    "official": "the release's own few validation films, which are too few to select anything.",
}


def model_card(run: RunFolder) -> str:
    """The card of a finished run as Markdown, with every evaluation that there is.

    Raises:
        RunError: The run has not finished, or a file of it is damaged.
        ModelFileError: The model file is missing or another than the training wrote.
    """
    config, manifest = run.config(), run.manifest()
    card = Classifier.of_run(run).card
    evaluations = stored_evaluations(run)
    return _template().render(
        name=run.name,
        path=run.path.as_posix(),
        card=card,
        config=config,
        result=run.result(),
        phantom=(config.data / README_NAME).is_file(),
        splits=[_counts(manifest, split) for split in ("train", "val")],
        disjoint=_DISJOINT[card.validation.method],
        evaluations=evaluations,
        verdicts=[verdict(evaluation) for evaluation in evaluations],
    )


def stored_evaluations(run: RunFolder) -> list[Evaluation]:
    """Every stored evaluation of a run, in the order train, val, test."""
    files = [run.evaluation_folder(split) / "metrics.json" for split in _SPLITS]
    return [read_record(file, Evaluation) for file in files if file.is_file()]


def _counts(manifest: Manifest, split: Split) -> dict[str, object]:
    films = manifest.of(split)
    pneumonia = sum(row.label for row in films.rows)
    return {
        "split": split,
        "films": len(films),
        "patients": films.num_patients,
        "normal": len(films) - pneumonia,
        "pneumonia": pneumonia,
    }


def percent(value: float | None) -> str:
    """A fraction in percent for people."""
    return "undefined" if value is None else f"{value:.1%}"


def number(value: float | None) -> str:
    """A number with four decimals."""
    return "undefined" if value is None else f"{value:.4f}"


def interval(metric: Metric) -> str:
    """The ends of a metric's interval, or a dash."""
    return "-" if metric.low is None or metric.high is None else f"{metric.low:.4f} to {metric.high:.4f}"


@cache
def _template() -> Template:
    environment = Environment(  # noqa: S701 - Markdown, no HTML: names are shown in code spans
        loader=PackageLoader("pneumocli"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.globals.update(percent=percent, number=number, interval=interval)
    return environment.get_template("model_card.md.j2")
