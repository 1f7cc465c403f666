"""What a search of settings found, as a result that shows itself."""

from typing import TYPE_CHECKING

from pneumocli.core.amounts import counted
from pneumocli.library.display import frame, result_html
from pneumocli.reporting.text import percent, setting_text
from pneumocli.tuning.records import TuneResult

if TYPE_CHECKING:
    import pandas as pd


class Tuned(TuneResult):
    """The best settings of a search, and how well they do with several seeds."""

    def __repr__(self) -> str:
        return f"<Tuned {self.study}: {self._trials}, {self._objective} {self._expected}, trial {self.best_trial}>"

    __str__ = __repr__

    @property
    def _trials(self) -> str:
        return f"{counted(self.num_complete, 'whole trial')}, {self.num_pruned} pruned, {self.num_failed} failed"

    @property
    def _objective(self) -> str:
        return "balanced accuracy on hard films" if self.objective == "hard" else "log loss"

    @property
    def _expected(self) -> str:
        if (repeats := self.repeats) is None:
            return f"{self._shown(self.best_value)}, too good by chance"
        sd = "" if repeats.sd is None else f" ± {self._shown(repeats.sd)}"
        return f"{self._shown(repeats.mean)}{sd} over {counted(repeats.num_seeds, 'other seed')}"

    def _shown(self, value: float) -> str:
        return percent(value) if self.objective == "hard" else f"{value:.3f}"

    def _repr_html_(self) -> str:
        return result_html(
            f"{self.study}: {self._trials}",
            f"{self._objective.capitalize()} {self._expected}, of patients held out; the best trial itself had "
            f"{self._shown(self.best_value)}, too good by chance."
            if self.repeats
            else f"{self._objective.capitalize()} {self._expected}, of patients held out.",
            columns=["setting", "value", "importance"],
            rows=[
                [name, setting_text(value), f"{self.importances[name]:.0%}" if name in self.importances else ""]
                for name, value in self.settings.items()
            ],
            notes=[self.command],
        )

    def to_frame(self) -> "pd.DataFrame":
        """One setting per row: its best value, and the share of the objective that it explains."""
        rows = [
            {"setting": name, "value": value, "importance": self.importances.get(name)}
            for name, value in self.settings.items()
        ]
        return frame(rows, "setting")
