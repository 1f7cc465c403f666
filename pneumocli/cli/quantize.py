"""``pneumo quantize``."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.core.config import QuantizeConfig
from pneumocli.core.errors import shell_word
from pneumocli.run_folder import RunFolder

if TYPE_CHECKING:
    from pneumocli.evaluation.quantize import Quantized


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "quantize", QuantizeConfig, json=True)
    def quantize(config: QuantizeConfig, output: Output) -> None:
        """Make a faster model file that computes on 8-bit integers.

        Writes RUN/model-int8.onnx, a quarter as large, after a proof on the run's validation films: how far logits,
        AUROC and answers move. Where they move too far nothing is written. predict and evaluate use it with
        --precision int8.
        """
        RunFolder.open_finished(config.run)  # a wrong name fails before scikit-learn is imported
        from pneumocli.evaluation.quantize import quantize as run_quantize

        output.show(run_quantize(config, output.listener), quantized_table)


def quantized_table(done: "Quantized") -> RenderableType:
    """The proof as a table: what moves, and by how much it may."""
    from pneumocli.evaluation.quantize import (
        LARGEST_AUROC_DIFFERENCE,
        LARGEST_DIFFERENCE,
        LARGEST_MEAN_DIFFERENCE,
        LARGEST_SHARE_CHANGED,
    )

    proof = done.card.proof
    table = Table("int8 against fp32", title=f"{done.file}: {proof.num_films:,} validation films")
    table.add_column("measured", justify="right")
    table.add_column("allowed", justify="right")
    area = proof.auroc
    interval = "" if area.low is None or area.high is None else f" ({100 * area.low:+.2f} to {100 * area.high:+.2f})"
    rows = (
        ("logit, mean difference", f"{proof.mean_difference:.3f}", f"{LARGEST_MEAN_DIFFERENCE:g}"),
        ("logit, largest difference", f"{proof.largest_difference:.3f}", f"{LARGEST_DIFFERENCE:g}"),
        ("AUROC, points", f"{100 * (area.value or 0):+.2f}{interval}", f"±{100 * LARGEST_AUROC_DIFFERENCE:g}"),
        ("films that change sides", f"{proof.num_changed:,}", f"{LARGEST_SHARE_CHANGED:.0%}, or 1"),
        ("heat maps, correlation", f"{proof.map_correlation:.4f}", ""),
        ("films/s from pixels", f"{proof.speed:.2f} x", ""),
        ("size", f"{done.size_bytes / 1e6:.1f} of {done.parent_size_bytes / 1e6:.1f} MB", ""),
    )
    for row in rows:
        table.add_row(*row)
    run = shell_word(Path(done.file).parent)
    return Group(table, f"pneumo predict FILMS --run {run} --precision int8")
