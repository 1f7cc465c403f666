"""A recalibrated model, as a result that shows itself."""

from pneumocli.evaluation import recalibrate
from pneumocli.library.display import COLOURS, result_html
from pneumocli.library.results import RunFolder
from pneumocli.metrics.records import Metric
from pneumocli.reporting.text import percent


class Recalibrated(recalibrate.Recalibrated):
    """A recalibrated model and how it was made."""

    def __repr__(self) -> str:
        found = self.recalibration
        return (
            f"<Recalibrated {self.run}: threshold {self.threshold:.1%}, sensitivity "
            f"{percent(found.old_sensitivity.value)} before, {percent(found.sensitivity.value)} cross-validated>"
        )

    __str__ = __repr__

    @property
    def folder(self) -> RunFolder:
        """The folder of the model, which is used as a run is."""
        return RunFolder(self.run)

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
            f"{self.run}: {films:,} films, rule {self.rule}, threshold {self.threshold:.1%}",
            f"Cross-validated sensitivity {percent(found.sensitivity.value)}, specificity "
            f"{percent(found.specificity.value)} on films of {found.name}.",
            floor=floor,
            marks=marks,
        )
