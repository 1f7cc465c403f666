"""Wrong usage: one sentence, one hint, exit code 2, for every command and every option."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pneumocli.cli.app import app


def error_of(*argv: str) -> tuple[str, str]:
    """The sentence and the hint of a call that must be refused as wrong usage."""
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    error, hint = done.stderr.splitlines()
    return error.removeprefix("error: "), hint.removeprefix("hint: ")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["predict", "x", "--run", "A", "--run", "B"], "--run is given 2 times, expected once"),
        (["predict", "x", "--csv=a", "--csv", "a", "--csv", "b"], "--csv is given 3 times, expected once"),
        (["train", "--lr", "1", "--learning-rate", "1"], "--learning-rate is given 2 times, expected once"),
        (["train", "--pretrained", "--scratch"], "--pretrained/--scratch is given 2 times, expected once"),
        (["evaluate", "a", "--split", "val", "--split", "val"], "--split is given 2 times, expected once"),
        (["compare", "a", "b", "--json", "--json"], "--json is given 2 times, expected once"),
        (["download", "--data", "a", "--data", "b"], "--data is given 2 times, expected once"),
        (["verify-data", "--quick", "--quick"], "--quick is given 2 times, expected once"),
        (["demo", "--output", "a", "--output", "b"], "--output is given 2 times, expected once"),
        (["download", "--source", "foo"], "--source: expected kaggle, mendeley or phantom (found 'foo')"),
        (["train", "--epochs", "1.5"], "--epochs: expected a whole number (found '1.5')"),
        (["train", "--lr", "fast"], "--learning-rate: expected a number (found 'fast')"),
        (["train", "--epochs", "0"], "--epochs: expected 1 or more (found 0)"),
        (["predict", "x", "--shard", "3"], "--shard: expected I/N, such as 2/8 (found '3')"),
        (["predict", "x", "--report", "x.pdf"], "--report: expected a name that ends in .html or .htm (found 'x.pdf')"),
        (["predict", "x", "--modle", "y"], "no such option: --modle; is it --model?"),
        (["predict", "x", "--model"], "--model: expected a value, found none"),
        (["predict"], "INPUT is missing"),
        (["evaluate"], "RUN is missing"),
        (["compare", "one"], "RUN: expected 2 or more, found 1"),
        (["download", "a", "b"], "more arguments than expected: a b"),
    ],
)
def test_wrong_usage_is_one_sentence_with_what_was_found_and_expected(argv: list[str], sentence: str):
    assert error_of(*argv) == (sentence, f"pneumo {argv[0]} --help")


def test_an_unknown_command_or_global_option_points_to_the_help():
    assert error_of("trian") == ("no such command 'trian'; is it train?", "pneumo --help")
    assert error_of("--frob") == ("no such option: --frob", "pneumo --help")


def test_without_a_command_the_help_is_shown():
    done = CliRunner().invoke(app, [])
    assert done.exit_code == 2
    assert "Commands:" in done.output
    assert "error:" not in done.output


def test_an_option_once_and_arguments_many_times_are_right(tmp_path):
    done = CliRunner().invoke(app, ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--split", "val"])
    assert done.exit_code == 1, "a run that is missing, not wrong usage"
    assert "no run folder" in done.stderr


@pytest.mark.parametrize(
    ("argv", "sentence", "hint"),
    [
        (["val", "runs/a"], "no such command 'val'; is it evaluate?", "pneumo evaluate --help"),
        (["train", "--imgsz", "64"], "no such option: --imgsz; is it --image-size?", "pneumo train --help"),
        (["train", "--batch", "8"], "no such option: --batch; is it --batch-size?", "pneumo train --help"),
        (["predict", "x", "--conf", "1"], "no such option: --conf; is it --threshold?", "pneumo predict --help"),
        (
            ["train", "--device", "0"],
            "--device: expected auto, cpu, cuda, cuda:N or mps (found '0')",
            "--device cuda:0",
        ),
        (
            ["predict", "x", "--device", "gpu"],
            "--device: expected cpu, cuda, cuda:N or mps (found 'gpu')",
            "--device cuda",
        ),
        (["evaluate", "x", "--split", "valid"], "--split: expected train, val or test (found 'valid')", "--split val"),
        (
            ["train", "data=films", "imgsz=64"],
            "more arguments than expected: data=films imgsz=64",
            "pneumo train --data films --image-size 64",
        ),
        (["classify", "train", "data=x"], "no such command 'classify'; is it train?", "pneumo train --help"),
        (["classify", "x"], "no such command 'classify'; is it predict?", "pneumo predict --help"),
        (
            ["predict", "model=m.onnx", "source=x.jpeg"],
            "model=m.onnx is no film: expected films by their paths, then flags",
            "pneumo predict x.jpeg --model m.onnx",
        ),
        (["predict", "x", "--weights", "m"], "no such option: --weights; is it --model?", "pneumo predict --help"),
        (
            ["predict", "--source", "x"],
            "no such option: --source; INPUT is written without it",
            "pneumo predict --help",
        ),
        (
            ["train", "--pretrained", "True"],
            "more arguments than expected: True",
            "leave True out: a switch takes no value",
        ),
        (
            ["train", "--device", "0,1"],
            "--device: expected auto, cpu, cuda, cuda:N or mps (found '0,1')",
            "torchrun --nproc-per-node 2 -m pneumocli train trains on several GPUs, one process for each",
        ),
    ],
)  # fmt: skip
def test_what_other_tools_call_it_leads_to_our_name(argv: list[str], sentence: str, hint: str):
    assert error_of(*argv) == (sentence, hint)


def test_a_pattern_with_an_equals_sign_is_no_word_of_another_tool():
    done = CliRunner().invoke(app, ["predict", "day=*/1.png", "--run", "none"])
    assert done.exit_code == 1, "a run that is missing, not wrong usage"
    assert done.stderr.startswith("error: no run folder at none")


def test_a_file_whose_name_begins_with_a_dash_is_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("-a film.png").touch()  # as ``pneumo predict *`` brings it
    sentence = "-a film.png is a file, and was read as an option: its name begins with a dash"
    assert error_of("predict", "-a film.png") == (
        sentence,
        "write './-a film.png', and begin patterns with ./ likewise",
    )


def test_no_suggestion_names_an_option_that_the_command_lacks():
    assert error_of("compare", "a", "b", "--imgsz", "1")[0] == "no such option: --imgsz"
