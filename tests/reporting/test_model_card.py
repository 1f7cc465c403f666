"""reporting/model_card.py: what a card says follows from the films of its run."""

import pytest

from pneumocli.inference.classifier import card_of_run
from pneumocli.reporting.model_card import model_card
from pneumocli.run_folder import RunFolder


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
    text = model_card(trained, card_of_run(trained), [])
    assert f"answers one question: does {films} the set's NORMAL" in text
    assert f"any decision about a patient; {out_of_scope}" in text


def test_phantoms_are_known_as_such(trained: RunFolder):
    assert "drawn film look like" in model_card(trained, card_of_run(trained), [])
