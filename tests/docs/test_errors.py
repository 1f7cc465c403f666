"""Each error that the code can report stands in docs/troubleshooting.md, with what to do."""

import re
from pathlib import Path

import pytest

from docs.causes import CAUSES, cause
from docs.errors import CURES, SPELLED, Error, cure, errors_in_the_source, tables

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"


@pytest.fixture(scope="module")
def errors() -> list[Error]:
    return list(errors_in_the_source())


def test_the_source_is_read(errors: list[Error]):
    found = {(error.message, error.hint) for error in errors}
    assert ("no run folder at …", "pneumo train makes one; pneumo runs shows what there is") in found
    assert ("the run … has not finished: it has no result.json after … epochs", "pneumo train --resume RUN, or the same training command again") in found  # fmt: skip # noqa: E501
    assert len(errors) > 150


def test_each_error_has_a_cure(errors: list[Error]):
    assert [
        f"{e.place}: {e.message}: enter a cure in docs/errors.py" for e in errors if e.message and not cure(e)
    ] == []
    unspelled = [e for e in errors if not e.message and e.place.split(":")[0] not in SPELLED]
    assert [f"{e.place}: spell its words in docs/errors.py" for e in unspelled] == []


def test_each_error_has_a_cause_and_each_cause_an_error(errors: list[Error]):
    words = {message for error in errors if (message := error.message)} | {words for _, words, _ in SPELLED.values()}
    assert [message for message in words if cause(message) is None] == [], "enter a cause in docs/causes.py"
    patterns = [pattern for _, patterns in CAUSES for pattern in patterns]
    first = {next(pattern for pattern in patterns if re.search(pattern, text)) for text in words}
    assert [pattern for pattern in patterns if pattern not in first] == []


def test_each_hint_of_the_code_is_on_the_page(errors: list[Error]):
    page = PAGE.read_text(encoding="utf-8")
    hints = {error.hint.replace("|", "\\|").replace("<", "&lt;") for error in errors if error.hint and error.message}
    assert [hint for hint in hints if hint not in page] == []
    assert tables() in page


def test_refusals_of_what_users_bring_have_a_hint_on_screen(errors: list[Error]):
    files = ("data/table.py", "data/score_table.py", "evaluation/table.py", "core/files.py", "model/network.py")
    # Which command resumes where a drive is lost, the command line knows.
    lacking = [e for e in errors if e.place.split(":")[0] in files and not e.hint and e.kind != "DriveLost"]
    assert [f"{e.place}: {e.message}" for e in lacking] == []


def test_no_cure_is_left_of_an_error_that_went(errors: list[Error]):
    assert set(CURES) - {error.message for error in errors} == set()
    assert set(SPELLED) - {error.place.split(":")[0] for error in errors if not error.message} == set()
