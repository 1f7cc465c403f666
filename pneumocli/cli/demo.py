"""``pneumo demo``."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from pneumocli.cli.encoding import fits
from pneumocli.cli.lines import PLAIN_COLUMNS, wrapped
from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.core.amounts import duration
from pneumocli.core.config import DemoConfig
from pneumocli.core.events import Event, Listener, Remark
from pneumocli.core.records import NOTICE
from pneumocli.reporting.text import percent

if TYPE_CHECKING:
    from pneumocli.demo import Demonstration
    from pneumocli.metrics.records import Evaluation
    from pneumocli.run_folder import RunFolder

_HEIGHTS, _ASCII_HEIGHTS = "▁▂▃▄▅▆▇█", "_.:-=+*#"
_NUMBERS = ("auroc", "sensitivity", "specificity")


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "demo", DemoConfig)
    def demo(config: DemoConfig, output: Output) -> None:
        """Show transfer learning on synthetic films, in two minutes.

        Trains a small network from scratch and from the weights of another task, on the same few synthetic films;
        then evaluates, explains and compares both. On the CPU, without network, in about two minutes.
        """
        from pneumocli.demo import demo as run_demo

        output.resume_hint = "pneumo demo --output DIR begins again in another folder"
        start = time.monotonic()
        done = run_demo(config, _steps(output))
        output.print(story(done, time.monotonic() - start))
        if config.open:
            open_page(done.runs[-1].evaluation_folder("test").report_file, output)


def _steps(output: Output) -> Listener:
    """One line per step and bars below it; where there are no bars, the lines and warnings alone."""
    if sys.stderr.isatty():
        return output.listener

    def lines(event: Event) -> None:
        if isinstance(event, Remark):
            output.listener(event)

    return lines


def story(done: "Demonstration", seconds: float) -> Text:
    """What came out, in one screen: three numbers per run, the verdict, and where to look.

    Args:
        done: The demo.
        seconds: How long it took.
    """
    lines = [
        "",
        f"The same network and the same films, two beginnings ({duration(seconds)} in all):",
        "",
        f"{'':10}{'AUROC':>8}{'sensitivity':>13}{'specificity':>13}   validation AUROC by epoch",
        *(_numbers(*pair) for pair in zip(done.runs, done.evaluations, strict=True)),
        "",
        wrapped(done.comparison.sentence, PLAIN_COLUMNS, indent=""),
        "",
        *_places(done),
        "",
        NOTICE,
    ]
    return Text("\n".join(lines), no_wrap=True, overflow="ignore")  # a path that is cut in two cannot be opened


def _numbers(run: "RunFolder", evaluation: "Evaluation") -> str:
    found = (evaluation.metrics[name].value for name in _NUMBERS)
    auroc, *rates = map(percent, found)
    curve = sparkline([record.val_auroc for record in run.history()])
    return f"{run.name:10}{auroc:>8}{rates[0]:>13}{rates[1]:>13}   {curve}"


def sparkline(aurocs: Sequence[float | None]) -> str:
    """A curve in one line of text: the lowest mark for an AUROC of 0.5 or less, the highest for 1.

    Where standard output cannot show blocks the marks are ASCII. An undefined AUROC is a question mark.
    """
    heights = _HEIGHTS if fits(_HEIGHTS, sys.stdout.encoding) else _ASCII_HEIGHTS
    steps = len(heights) - 1
    return "".join("?" if a is None else heights[round(max(0.0, a - 0.5) * 2 * steps)] for a in aurocs)


def _places(done: "Demonstration") -> list[str]:
    transfer = done.runs[-1]
    places = {
        "report": transfer.evaluation_folder("test").report_file,
        "comparison": done.comparison_page,
        "heat maps": done.explanations,
        "model": transfer.onnx_file,
    }
    return [
        *(f"{name:10}  {place}" for name, place in places.items()),
        f"{'next':10}  pneumo download, then pneumo train: the same on real films",
    ]


def open_page(page: Path, output: Output) -> None:
    """Opens a page in the browser; reports where there is none."""
    import webbrowser  # needless at the start of every command

    try:
        opened = webbrowser.open(page.resolve().as_uri())
    except webbrowser.Error:
        opened = False
    if not opened:
        output.listener(Remark(f"no browser was found here: open {page} in one yourself", "warning"))
