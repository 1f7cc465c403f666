"""cli/progress.py and cli/output.py: recorded events become bars, or plain lines."""

import io
import json
import re

import pytest
from pydantic import BaseModel
from rich.console import Console
from rich.progress import ProgressSample

from pneumocli.cli.output import Output
from pneumocli.cli.progress import PlainProgress, Progress, RichProgress
from pneumocli.core.amounts import duration
from pneumocli.core.events import (
    DeviceSampled,
    EpochFinished,
    Event,
    Remark,
    RunStarted,
    TaskAdvanced,
    TaskFinished,
    TaskStarted,
)
from pneumocli.core.records import EpochRecord


def epoch(number: int, *, best: bool = False, auroc: float | None = 0.9) -> EpochFinished:
    record = EpochRecord(
        epoch=number, train_loss=0.5, val_loss=0.4, val_accuracy=0.9, val_auroc=auroc, learning_rate=0.001, seconds=30,
        images_per_second=67.8,
    )  # fmt: skip
    return EpochFinished(record, 0.98, None, is_best=best, num_epochs=3, seconds_left=(3 - number) * 30)


GPU = DeviceSampled("NVIDIA T4", 3 << 30, 15 << 30, 0.97)


def recorded(tmp_path) -> list[Event]:
    """The events of a short training on a GPU."""
    return [
        TaskStarted("decoding films", 2),
        TaskAdvanced("decoding films", 2),
        TaskFinished("decoding films"),
        Remark("100 training films [a bracket]"),
        Remark("16 films select nothing", "warning"),
        RunStarted(tmp_path / "run", 1, 3),
        TaskStarted("training", 300),
        GPU,
        TaskAdvanced("training", 100, "epoch 1/3  loss 0.5000"),
        epoch(1, best=True),
        DeviceSampled("NVIDIA T4", 3 << 30, 15 << 30, None),
        TaskAdvanced("training", 200, "epoch 2/3"),
        epoch(2, auroc=None),
        TaskFinished("training"),
        TaskStarted("fetching", 1 << 30, "bytes"),
        TaskAdvanced("fetching", 1 << 20),
        TaskFinished("fetching"),
    ]


def shown(kind: type[Progress], events: list[Event], *, terminal: bool) -> str:
    out = io.StringIO()
    progress = kind(Console(file=out, force_terminal=terminal, width=80, soft_wrap=True, highlight=False))
    for event in events:
        progress.show(event)
    progress.close()
    return out.getvalue()


def plain(text: str) -> str:
    """What was drawn, without colours and cursor movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_plain_lines_hold_one_line_per_epoch_and_no_carriage_return(tmp_path):
    text = shown(PlainProgress, recorded(tmp_path), terminal=False)
    assert "\r" not in text
    assert "\x1b" not in text
    lines = text.splitlines()
    start = lines.index("sens., spec.: sensitivity and specificity at 50%; best: by AUROC so far")
    assert lines[start + 1 : start + 4] == [
        "  epoch    loss  val loss   AUROC  accuracy  sens.  spec.   img/s     left",
        "    1/3  0.5000    0.4000   90.0%     90.0%  98.0%      -      68     1:00 best",
        "    2/3  0.5000    0.4000       -     90.0%  98.0%      -      68     30 s",
    ]
    assert "warning: 16 films select nothing" in text
    assert "100 training films [a bracket]" in text
    assert text.count("NVIDIA T4  3.0 of 15.0 GiB  97% busy") == 1


def test_a_terminal_gets_bars_with_loss_rate_and_the_gpu(tmp_path):
    text = plain(shown(RichProgress, recorded(tmp_path), terminal=True))
    for words in ("training", "1/3", "best", "NVIDIA T4  3.0 of 15.0 GiB", "30 s left"):
        assert words in text, words


@pytest.mark.parametrize("width", [40, 60])
def test_a_bar_stays_one_line_on_a_narrow_terminal(width: int):
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    progress = RichProgress(console)
    progress.show(TaskStarted("training", 300))
    progress.show(TaskAdvanced("training", 100, "epoch 1/3  loss 0.5000"))
    progress.show(epoch(3))
    bars = progress._drawn()
    lines = console.render_lines(bars.make_tasks_table(bars.tasks))
    progress.close()
    assert len(lines) == 1


def test_80_columns_show_amount_rate_time_left_and_loss_beside_a_bar():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    progress = RichProgress(console)
    progress.show(TaskStarted("training", 4320, "films"))
    progress.show(epoch(1))
    progress.show(TaskAdvanced("training", 160, "epoch 11/20  loss 0.7257"))
    bars = progress._drawn()
    bars.tasks[0]._progress.clear()
    bars.tasks[0]._progress.extend([ProgressSample(0, 0), ProgressSample(1.05, 160)])
    (line,) = console.render_lines(bars.make_tasks_table(bars.tasks))
    progress.close()
    text = "".join(segment.text for segment in line).rstrip()
    assert re.fullmatch(
        r"training [━╸╺ ]{10,} +160/4320 films  152\.4/s (1:00|59 s) left epoch 11/20  loss 0\.7257", text
    ), text


def test_an_epoch_of_extreme_numbers_fits_80_columns():
    record = EpochRecord(
        epoch=99_999, train_loss=12345.678, val_loss=1.5e7, val_accuracy=1, val_auroc=1, learning_rate=0.001,
        seconds=1, images_per_second=123_456,
    )  # fmt: skip
    event = EpochFinished(record, 1.0, 1.0, is_best=True, num_epochs=100_000, seconds_left=360_000)
    (line,) = shown(PlainProgress, [event], terminal=False).splitlines()[-1:]
    assert len(line) <= 80
    assert line.split() == ["99999", "1.2e+04", "1.5e+07", *["100.0%"] * 4, "123456", "100", "h", "best"]


def test_each_run_has_a_head_that_names_what_decides_the_best_epoch(tmp_path):
    hard = "balanced accuracy on hard films"
    text = shown(
        PlainProgress,
        [RunStarted(tmp_path, 1, 1), epoch(1), RunStarted(tmp_path, 1, 1, hard), epoch(1)],
        terminal=False,
    )
    assert text.count("val loss") == 2
    assert "best: by AUROC so far" in text
    assert f"best: by {hard} so far" in text.replace("\n  ", " ")


@pytest.mark.parametrize("terminal", [True, False])
def test_messages_end_their_lines_between_words(terminal: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    kind = RichProgress if terminal else PlainProgress
    out = io.StringIO()
    progress = kind(Console(file=out, force_terminal=terminal, width=80, soft_wrap=True))
    words = "216 training films of 110 patients, 40 validation films of 24 (by patient, 15.6% in all)"
    progress.show(Remark(words))
    progress.show(Remark(words, "warning"))
    lines = plain(out.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(line.strip() for line in lines) == f"{words} warning: {words}"


def test_bars_leave_a_later_task_room(tmp_path):
    again = [TaskStarted("scoring films", None), TaskAdvanced("scoring films", 5), TaskFinished("scoring films")]
    assert "scoring films" in plain(shown(RichProgress, recorded(tmp_path) + again, terminal=True))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (185, "3:05"), (7800, "2:10:00")]
)
def test_durations_for_people(seconds: float, text: str):
    assert duration(seconds) == text


class Answer(BaseModel):
    value: float


def test_json_is_the_only_thing_on_standard_output(capsys: pytest.CaptureFixture[str]):
    output = Output(json=True, quiet=False, debug=False)
    output.print("a table")
    output.note("a remark")
    output.show(Answer(value=0.5), lambda answer: f"value {answer.value}")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"value": 0.5}
    assert err == "a remark\n"


def test_quiet_keeps_errors_and_hints(capsys: pytest.CaptureFixture[str]):
    output = Output(json=False, quiet=True, debug=False)
    output.note("a remark")
    output.listener(Remark("a warning", "warning"))
    output.error("no films in [x]", "pneumo download")
    output.show(Answer(value=0.5), lambda answer: f"value {answer.value}")
    out, err = capsys.readouterr()
    assert out == "value 0.5\n"
    assert err == "error: no films in [x]\nhint: pneumo download\n"


@pytest.mark.parametrize(
    ("sample", "line"),
    [
        (GPU, "NVIDIA T4  3.0 of 15.0 GiB  97% busy"),
        (DeviceSampled("NVIDIA T4", 3 << 30, 15 << 30, None), "NVIDIA T4  3.0 of 15.0 GiB"),
        (DeviceSampled("NVIDIA GB10", None, None, 0.5), "NVIDIA GB10  50% busy"),
        (DeviceSampled("NVIDIA T4", None, None, None), "NVIDIA T4"),
    ],
)
def test_what_is_known_of_a_gpu_is_shown(sample: DeviceSampled, line: str):
    assert shown(PlainProgress, [sample], terminal=False) == f"{line}\n"
