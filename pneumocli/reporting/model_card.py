"""``MODEL_CARD.md`` and its page: what a model is for, what it was made of, what it can do and where it fails.

References:
    Mitchell et al. 2019, doi:10.1145/3287560.3287596.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import Literal, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markdown_it import MarkdownIt

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import shell_word
from pneumocli.core.records import RunResult, Split
from pneumocli.data.layout import PHANTOM_MARK
from pneumocli.data.manifest import Manifest
from pneumocli.data.patients import names_identify
from pneumocli.metrics.records import Evaluation
from pneumocli.model.card import ModelCard
from pneumocli.model.onnx_file import reference_text
from pneumocli.model.reference import Reference
from pneumocli.reporting import carry_over
from pneumocli.reporting.carry_over import PLACES_COLUMNS, places_rows
from pneumocli.reporting.html import render, scale_marks
from pneumocli.reporting.refer_text import limits_text, refer_sentence
from pneumocli.reporting.text import HEADLINE, ends_text, metric_label, percent, value_text, verdict, with_ends
from pneumocli.run_folder import RunFolder

_DISJOINT = {
    "patient": "whole patients at random, stratified by kind; no patient is on both sides.",
    "block": "contiguous blocks of patient numbers in each series; no patient is on both sides.",
    "official": "the release's own few validation films, which are too few to select anything.",
}


class CardTexts(NamedTuple):
    """The card as ``MODEL_CARD.md`` and as ``model-card.html``."""

    markdown: str
    page: str


def model_card(
    run: RunFolder, card: ModelCard, evaluations: Sequence[Evaluation] = (), result: RunResult | None = None
) -> CardTexts:
    """The card of a finished run.

    Args:
        run: The run.
        card: Of its model file.
        evaluations: Of the run, in the order in which they are shown.
        result: Of the run, where it is not written yet.

    Raises:
        RunError: The run has not finished, or a file of it is damaged.
    """
    config, manifest, result = run.config(), run.manifest(), result or run.result()
    # The run's own test films before all others: they are what a model is known by.
    main = min(evaluations, key=lambda evaluation: evaluation.place != "test", default=None)
    origin = origin_of(config, manifest)
    head = {
        "card": card,
        "result": result,
        "main": main,
        "main_verdict": None if main is None else verdict(main),
        "reports": [(evaluation.place, _report(run, evaluation)) for evaluation in evaluations],
    }
    body = _template("model_card_body.md.j2").render(
        path=shell_word(run.path.as_posix()),
        card=card,
        config=config,
        result=result,
        reference=_reference(run, result),
        origin=origin,
        splits=[_counts(manifest, split) for split in ("train", "val")],
        disjoint=_DISJOINT[card.validation.method],
        evaluations=evaluations,
        verdicts=[verdict(evaluation) for evaluation in evaluations],
        places=[list(PLACES_COLUMNS), *places_rows(evaluations)],
    )
    headline = {} if main is None else {name: main.metrics[name] for name in HEADLINE}
    page = render(
        "model_card.html.j2",
        title=f"Model card: {run.name}",
        markdown=run.card_file.name,
        origin=origin,
        scale=dict(zip(("floor", "marks"), scale_marks(headline), strict=True)),
        body=_markdown().render(body),
        **head,
    )
    return CardTexts(_template("model_card.md.j2").render(head, name=run.name, headline=HEADLINE, body=body), page)


def origin_of(config: TrainConfig, manifest: Manifest) -> Literal["drawn", "released", "own"]:
    """Whose films a run was trained on, as their folder and names show: phantoms, the release's, or somebody's own.

    Args:
        config: Of the run.
        manifest: Of the run.
    """
    if (config.data / PHANTOM_MARK).is_file():
        return "drawn"
    names = [(PurePosixPath(row.image).name, row.label) for row in manifest.rows]
    return "released" if names_identify(names, drawn=False) else "own"


def _reference(run: RunFolder, result: RunResult) -> dict[str, int] | None:
    """How many films the model keeps to compare later ones with, and the bytes that they take."""
    if run.onnx_file.name in result.sha256:
        text = reference_text(run.onnx_file)
    elif run.group_reference_file.name in result.sha256:
        text = run.group_reference_file.read_text(encoding="utf-8")
    else:
        text = None
    return None if text is None else {"films": len(Reference.read(text).labels), "bytes": len(text)}


def _report(run: RunFolder, evaluation: Evaluation) -> str:
    """The address of an evaluation's page as seen from the card."""
    return quote(run.evaluation_folder(evaluation.place).report_file.relative_to(run.path).as_posix())


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


@cache
def _markdown() -> MarkdownIt:
    """Markdown with tables; tags in it are shown as text, and links to scripts as nothing."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    scroll = '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>'
    markdown.add_render_rule("table_open", lambda *_: scroll)
    markdown.add_render_rule("table_close", lambda *_: "</table></div>")
    return markdown


@cache
def _template(name: str) -> Template:
    environment = Environment(  # noqa: S701 - Markdown, no HTML: names are shown in code spans
        loader=PackageLoader("pneumocli"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.globals.update(percent=percent, value_text=value_text, ends_text=ends_text, with_ends=with_ends)
    environment.globals.update(metric_label=metric_label, carry_over=carry_over)
    environment.globals.update(limits_text=limits_text, refer_sentence=refer_sentence)
    environment.filters["as_text"] = _as_text
    return environment.get_template(name)


def _as_text(name: str) -> str:
    r"""A name that somebody chose as text in Markdown: nothing in it is markup.

    >>> print(_as_text("<b>my_run [x](y) | `z`"))
    \<b\>my_run \[x\](y) \| \`z\`
    """
    return re.sub(r"([\\`*<>|\[\]])", r"\\\1", " ".join(name.split()))
