"""A recalibrated model, as a result that shows itself."""

from typing import TYPE_CHECKING

from pneumocli.evaluation import recalibrate
from pneumocli.library.display import COLOURS, frame, result_html
from pneumocli.library.results import RunFolder
from pneumocli.metrics.records import Metric
from pneumocli.model.card import GroupFigure
from pneumocli.reporting.text import percent

if TYPE_CHECKING:
    import pandas as pd


class Recalibrated(recalibrate.Recalibrated):
    """A recalibrated model and how it was made."""

    def __repr__(self) -> str:
        found = self.recalibration
        return (
            f"<Recalibrated {self.run}: threshold {percent(self.threshold)}, sensitivity "
            f"{percent(found.old_sensitivity.value)} before, {percent(found.sensitivity.value)} cross-validated>"
        )

    __str__ = __repr__

    @property
    def folder(self) -> RunFolder:
        """The folder of the model, which is used as a run is."""
        return RunFolder(self.run)

    def to_frame(self) -> "pd.DataFrame":
        """AUROC, and the other figures as they were and recalibrated, with their intervals, one per row."""
        figures = {name: value for name, value in self.recalibration if isinstance(value, GroupFigure)}
        return frame([{"figure": name, **figure.model_dump()} for name, figure in figures.items()], "figure")

    def _repr_html_(self) -> str:
        from pneumocli.reporting.html import scale_marks

        found = self.recalibration
        figures = {
            "sensitivity, as it was": found.old_sensitivity,
            "sensitivity, recalibrated": found.sensitivity,
            "specificity, as it was": found.old_specificity,
            "specificity, recalibrated": found.specificity,
        }
        floor, marks = scale_marks(
            {name: Metric(**dict(figure), method="cross-validated") for name, figure in figures.items()}
        )
        for place, mark in enumerate(marks):
            mark["colour"] = COLOURS[place % 2]
        films = found.num_normal + found.num_pneumonia
        return result_html(
            f"{self.run}: {films:,} films, rule {self.rule}, threshold {percent(self.threshold)}",
            f"Cross-validated sensitivity {percent(found.sensitivity.value)}, specificity "
            f"{percent(found.specificity.value)} on films of {found.name}.",
            floor=floor,
            marks=marks,
        )
