"""reporting/model_card.py: what a card says follows from the films of its run."""

import html
import re
from pathlib import Path

import pytest

from pneumocli.inference.classifier import card_of_run
from pneumocli.metrics.records import Evaluation
from pneumocli.reporting.model_card import model_card
from pneumocli.reporting.text import verdict
from pneumocli.run_folder import RunFolder
from tests.conftest import copy_of


@pytest.mark.parametrize(
    ("origin", "films", "out_of_scope"),
    [
        ("drawn", "a\ndrawn film look like", "real films of any kind."),
        ("own", "a\nfrontal chest film look like", "patients of another age than the set's;"),
        ("released", "a\nfrontal chest film of a young child look like", "adults; lateral films;"),
    ],
)
def test_the_intended_use_is_that_of_the_films(
    trained: RunFolder, monkeypatch: pytest.MonkeyPatch, origin: str, films: str, out_of_scope: str
):
    monkeypatch.setattr("pneumocli.reporting.model_card.origin_of", lambda *_: origin)
    text = model_card(trained, card_of_run(trained)).markdown
    assert f"answers one question: does {films} the set's NORMAL" in text
    assert f"any decision about a patient; {out_of_scope}" in text


def test_phantoms_are_known_as_such(trained: RunFolder):
    assert "drawn film look like" in model_card(trained, card_of_run(trained)).markdown


def test_the_page_says_what_the_markdown_says(evaluated: tuple[RunFolder, Evaluation]):
    run, evaluation = evaluated
    text, page = run.card_file.read_text(), run.card_page.read_text()
    assert html.escape(verdict(evaluation), quote=False) in page
    for heading in re.findall(r"^##+ (.*)$", text, re.MULTILINE):
        assert re.search(rf"<h[23]>{re.escape(heading)}</h[23]>", page), heading
    cells = [cell.strip() for row in re.findall(r"^\| (.*) \|$", text, re.MULTILINE) for cell in row.split(" | ")]
    assert [cell for cell in cells if re.fullmatch(r"[\d.,]+ ?%?", cell) and f">{cell}<" not in page] == []
    assert 'href="evaluations/test/report.html"' in page
    assert "model-card.html" in run.evaluation_folder("test").report_file.read_text()


def test_a_name_is_text_on_the_page(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "a<img src=x>[b](javascript:c)")
    page = model_card(run, card_of_run(run)).page
    assert "<img src=x>" not in page
    assert 'href="javascript' not in page


def test_a_name_is_text_in_markdown_and_a_word_in_a_command(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "my [run](x) <b>")
    run.write_model_card(*model_card(run, card_of_run(run)))
    text = run.card_file.read_text(encoding="utf-8")
    assert text.startswith("# Model card: my \\[run\\](x) \\<b\\>\n")
    assert f"`pneumo evaluate '{run.path}'`" in text
