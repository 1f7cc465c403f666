"""Help texts: whole sentences in the list of commands, options in groups, examples that parse, nothing too wide."""

import shlex

import pytest
from typer.main import get_command

from docs.generate import COMMANDS, help_of
from pneumocli.cli.app import app
from pneumocli.cli.help_texts import EXAMPLES, GROUPS


@pytest.fixture(autouse=True)
def _columns(monkeypatch: pytest.MonkeyPatch):
    """Restored afterwards: the generator of documents sets them for good."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")


def test_the_list_of_commands_cuts_no_sentence():
    lines = help_of().partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert len(lines) == len(COMMANDS), "a summary of more than one line"
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_of_a_help_text_is_wider_than_the_screen(name: str):
    assert [line for line in help_of(name).splitlines() if len(line) > 80] == []


def test_options_of_train_stand_in_groups():
    text = help_of("train")
    assert [text.index(f"\n{group}:\n") for group in GROUPS] == sorted(text.index(f"\n{group}:\n") for group in GROUPS)
    data = text.partition("\nData:\n")[2].partition("\nNetwork:\n")[0]
    assert "--val-fraction" in data
    assert "--epochs" not in data
    assert data.index("--data DIR") < data.index("--manifest FILE.csv")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_shown_and_parse(name: str):
    lines = [line.strip() for line in help_of(name).splitlines()]
    assert set(EXAMPLES[name]) < set(lines)
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    for example in EXAMPLES[name]:
        program, typed, *arguments = shlex.split(example)
        assert (program, typed) == ("pneumo", name)
        command.make_context(name, arguments)
