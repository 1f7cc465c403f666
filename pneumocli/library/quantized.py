"""A model file on 8-bit integers, as a result that shows itself."""

from typing import TYPE_CHECKING

from pneumocli.core.amounts import size
from pneumocli.evaluation import quantize
from pneumocli.library.display import frame, result_html

if TYPE_CHECKING:
    import pandas as pd


class Quantized(quantize.Quantized):
    """A model file on integers and what it changes."""

    def __repr__(self) -> str:
        proof = self.card.proof
        return (
            f"<Quantized {self.file}: {size(self.size_bytes)} of {size(self.parent_size_bytes)}, "
            f"{proof.speed:.1f} x the films/s, {proof.num_changed} of {proof.num_films:,} films change sides>"
        )

    __str__ = __repr__

    def to_frame(self) -> "pd.DataFrame":
        """One figure of the proof per row."""
        proof = self.card.proof.model_dump(exclude={"auroc"})
        return frame([{"figure": name, "value": value} for name, value in proof.items()], "figure")

    def _repr_html_(self) -> str:
        proof = self.card.proof
        low, high = proof.auroc.low, proof.auroc.high
        ends = "" if low is None or high is None else f" ({100 * low:+.2f} to {100 * high:+.2f})"
        change = "undefined" if proof.auroc.value is None else f"{100 * proof.auroc.value:+.2f} points{ends}"
        return result_html(
            f"{self.file}: {size(self.size_bytes)} instead of {size(self.parent_size_bytes)}",
            f"{proof.speed:.1f} times the films a second on this machine; {proof.num_changed} of {proof.num_films:,} "
            "validation films change sides at the stored threshold.",
            columns=("on validation films", "float32 to int8"),
            rows=(
                ("AUROC", change),
                ("logits, mean difference", f"{proof.mean_difference:.3f}"),
                ("logits, largest difference", f"{proof.largest_difference:.3f}"),
                ("heat maps, correlation", f"{proof.map_correlation:.3f}"),
            ),
        )
