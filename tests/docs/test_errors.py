"""Each error that the code can report stands in docs/troubleshooting.md, with what to do."""

from pathlib import Path

from docs.errors import CURES, SPELLED, cure, errors_in_the_source, tables

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
ERRORS = list(errors_in_the_source())


def test_the_source_is_read():
    found = {(error.message, error.hint) for error in ERRORS}
    assert ("no run folder at …", "pneumo train makes one; pneumo runs shows what there is") in found
    assert ("the run … has not finished: it has no result.json after … epochs", "pneumo train --resume RUN, or the same training command again") in found  # fmt: skip # noqa: E501
    assert len(ERRORS) > 150


def test_each_error_has_a_cure():
    assert [
        f"{e.place}: {e.message}: enter a cure in docs/errors.py" for e in ERRORS if e.message and not cure(e)
    ] == []
    assert [f"{e.place}: spell its words in docs/errors.py" for e in ERRORS if not e.message and e.place.split(":")[0] not in SPELLED] == []  # fmt: skip # noqa: E501


def test_each_hint_of_the_code_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    hints = {error.hint.replace("|", "\\|").replace("<", "&lt;") for error in ERRORS if error.hint and error.message}
    assert [hint for hint in hints if hint not in page] == []
    assert tables() in page


def test_no_cure_is_left_of_an_error_that_went():
    assert set(CURES) - {error.message for error in ERRORS} == set()
    assert set(SPELLED) - {error.place.split(":")[0] for error in ERRORS if not error.message} == set()
