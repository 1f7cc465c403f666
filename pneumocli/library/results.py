"""Results that show themselves: one line of text, a verdict with numbers and a picture, a pandas table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pneumocli import diagnosis, run_list
from pneumocli.core.amounts import age, counted, size
from pneumocli.core.files import read_record
from pneumocli.library.display import COLOURS, MOST_ROWS, curve_points, frame, result_html
from pneumocli.metrics import records
from pneumocli.reporting.text import HEADLINE, difference_text, listed, metric_label, p_text, percent, verdict
from pneumocli.run_folder import RunFolder as Folder
from pneumocli.verification.records import Verification as VerificationRecord

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_FINDINGS = 5


class Evaluation(records.Evaluation):
    """The numbers of an evaluation, as ``metrics.json`` holds them."""

    def __repr__(self) -> str:
        numbers = ", ".join(f"{metric_label(name)} {percent(self.metrics[name].value)}" for name in HEADLINE)
        return f"<Evaluation of {_of(self)}: {counted(self.num_images, 'film')}, {numbers}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from pneumocli.reporting.html import scale_marks  # matplotlib

        floor, marks = scale_marks({name: self.metrics[name] for name in HEADLINE})
        found = self.confusion
        return result_html(
            f"{_of(self)}: {counted(self.num_images, 'film')} of {counted(self.num_patients, 'patient')}, threshold "
            f"{percent(self.threshold.value)}",
            f"It {verdict(self)}.",
            floor=floor,
            marks=marks,
            columns=["", "called NORMAL", "called PNEUMONIA"],
            rows=[["NORMAL", found.tn, found.fp], ["PNEUMONIA", found.fn, found.tp]],
        )

    def to_frame(self) -> "pd.DataFrame":
        """Every metric with its interval and how that was made, one per row."""
        rows = ({"metric": name, **metric.model_dump()} for name, metric in self.metrics.items())
        return frame([*rows], "metric")


def _of(evaluation: records.Evaluation) -> str:
    return evaluation.run if evaluation.table_sha256 else f"{evaluation.run} on {evaluation.place}"


class Comparison(records.Comparison):
    """The numbers of a comparison, as ``comparison.json`` holds them."""

    def __repr__(self) -> str:
        names = listed([run.name for run in self.runs])
        return f"<Comparison of {names} on {self.place}, {counted(self.num_images, 'film')}: {self.sentence}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from pneumocli.reporting.html import scale_marks

        of_runs = [(name, index, run) for name in HEADLINE for index, run in enumerate(self.runs)]
        floor, marks = scale_marks({f"{metric_label(name)}, {run.name}": run.metrics[name] for name, _, run in of_runs})
        for mark, (name, index, run) in zip(marks, of_runs, strict=True):
            mark |= {"label": f"{metric_label(name)}, {run.name}", "colour": COLOURS[index % len(COLOURS)]}
        headline: dict[tuple[str, str, str], records.Difference] = {}
        for row in self.differences:  # by the first method, AUROC by DeLong's, as in the sentence
            if row.metric == "auroc" and "DeLong" in row.method:
                headline[row.run_a, row.run_b, row.metric] = row
            headline.setdefault((row.run_a, row.run_b, row.metric), row)
        shown = [row for key, row in headline.items() if key[2] in HEADLINE]
        return result_html(
            f"{listed([run.name for run in self.runs])} on {self.place}: {counted(self.num_images, 'film')} of "
            f"{counted(self.num_patients, 'patient')}",
            self.sentence,
            floor=floor,
            marks=marks,
            columns=["difference in percentage points", "", "95 % interval", "p"],
            rows=[_difference(row) for row in shown[:MOST_ROWS]],
        )

    def to_frame(self) -> "pd.DataFrame":
        """Every difference with its interval and p-value, one per row."""
        return frame([row.model_dump() for row in self.differences])


def _difference(row: records.Difference) -> list[str]:
    ends = [difference_text(row.metric, end) for end in (row.low, row.high) if end is not None]
    name = f"{metric_label(row.metric)}, {row.run_b} - {row.run_a}"
    return [name, difference_text(row.metric, row.difference), " to ".join(ends), p_text(row.p_value)]


class Verification(VerificationRecord):
    """What a data folder is, and what is wrong with it."""

    def __repr__(self) -> str:
        return f"<Verification of {self.manifest or self.folder}: {counted(self.num_images, 'film')}, {self._verdict}>"

    __str__ = __repr__

    @property
    def _verdict(self) -> str:
        fine = f"no problems, but {self.doubt}" if self.doubt else "no problems"
        return counted(len(self.problems), "problem") if self.problems else fine

    def _repr_html_(self) -> str:
        findings = [f"problem: {item.text}" for item in self.problems] + [f"note: {item.text}" for item in self.notes]
        more = len(findings) - _SHOWN_FINDINGS
        return result_html(
            f"{self.manifest or self.folder}: {self.title}, {counted(self.num_images, 'film')} of "
            f"{counted(self.num_patients, 'patient')}",
            f"{self._verdict[:1].upper()}{self._verdict[1:]}.",
            columns=["split and class", "films", "patients", "in the release"],
            rows=[
                [f"{cell.split} {cell.label}", f"{cell.num_images:,}", f"{cell.num_patients:,}",
                 "" if cell.expected is None else f"{cell.expected:,}"]
                for cell in self.cells
            ],
            notes=[*findings[:_SHOWN_FINDINGS], *([f"and {more} more: .problems, .notes"] if more > 0 else [])],
        )  # fmt: skip

    def to_frame(self) -> "pd.DataFrame":
        """Films, patients and files by split and class, one cell per row."""
        return frame([cell.model_dump(exclude={"kinds"}) | dict(cell.kinds) for cell in self.cells])


class RunFolder(Folder):
    """A run on disk; ``RunFolder("runs/transfer")`` names one that is there.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(Path(path))

    def __repr__(self) -> str:
        return f"<RunFolder {self.path.as_posix()}: {self._summary}>"

    @property
    def _summary(self) -> str:
        if not self.finished:
            return self.state
        result = self.result()
        return (
            f"{counted(result.num_epochs, 'epoch')}, best {result.best_epoch}: validation AUROC "
            f"{percent(result.val_auroc)}, accuracy {percent(result.val_accuracy)}"
        )

    def evaluation(self, place: str = "test") -> Evaluation:
        """A stored evaluation, without scoring a film again.

        Args:
            place: The split, or the name of other films.

        Raises:
            RunError: There is none; :func:`evaluate` makes it.
        """
        stored = read_record(self.evaluation_folder(place).metrics_file, records.Evaluation)
        return Evaluation.model_construct(**dict(stored))

    def _repr_html_(self) -> str:
        history = self.history()
        areas, losses = [row.val_auroc for row in history], [row.val_loss for row in history]
        trained = [row.train_loss for row in history]
        highest = max([*losses, *trained], default=1.0)
        curves = [
            _curves("AUROC", {"validation AUROC, from 50 %": areas}, 0.5, 1.0),
            _curves("loss", {"validation loss": losses, "training loss": trained}, 0.0, highest),
        ]
        return result_html(
            self.path.as_posix(),
            f"{self.name}: {self._summary}.",
            curves=curves if len(history) > 1 else (),
            notes=[
                f"evaluated on {folder.path.name}: {folder.report_file.as_posix()}"
                for folder in self.evaluation_folders()
                if folder.report_file.is_file()
            ],
        )

    def to_frame(self) -> "pd.DataFrame":
        """The finished epochs, one per row, as ``history.csv`` holds them; of a finished group its runs."""
        if self.is_group and self.finished:
            return frame([fold.model_dump() for fold in self.result().folds], "fold")
        return frame([row.model_dump() for row in self.history()], "epoch")


def _curves(name: str, lines: Mapping[str, Sequence[float | None]], low: float, high: float) -> dict[str, object]:
    shown = [
        {"name": text, "colour": COLOURS[place], "points": curve_points(values, low, high)}
        for place, (text, values) in enumerate(lines.items())
    ]
    return {"alt": f"{name} by epoch: {'; '.join(lines)}", "lines": shown}


class Runs(tuple[run_list.RunAtAGlance, ...]):
    """The runs of a folder at a glance."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<Runs: {', '.join(f'{run.name} ({run.state})' for run in self)}>"

    def _repr_html_(self) -> str:
        finished = sum(run.state == "finished" for run in self)
        return result_html(
            "runs",
            f"{counted(len(self), 'run')}, {finished} finished.",
            columns=["run", "state", "recipe", "epochs", "validation AUROC", "test AUROC", "size", "age"],
            rows=[
                [run.name, run.state, run.recipe, run.num_epochs, percent(run.val_auroc), _tested(run),
                 size(run.size_bytes), age(run.age_seconds)]
                for run in self
            ],
            notes=[f"{run.name}: {run.todo}" for run in self if run.todo],
        )  # fmt: skip

    def to_frame(self) -> "pd.DataFrame":
        """One run per row."""
        rows = (
            {name: value for name, value in run.model_dump().items() if not isinstance(value, dict)}
            | {"test_auroc": _test_auroc(run)}
            for run in self
        )
        return frame([*rows], "name")


def _test_auroc(run: run_list.RunAtAGlance) -> float | None:
    found = run.evaluations.get("test", {}).get("auroc")
    return None if found is None else found.value


def _tested(run: run_list.RunAtAGlance) -> str:
    value = _test_auroc(run)
    return "-" if value is None else percent(value)


class Diagnosis(diagnosis.Diagnosis):
    """What is fine on this machine for this program, and what is not."""

    def __repr__(self) -> str:
        names = ", ".join(check.name for check in self.problems)
        return (
            f"<Diagnosis: {counted(len(self.checks), 'check')}, {f'problems with {names}' if names else 'no problems'}>"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        bad = [check.name for check in self.problems]
        return result_html(
            "this machine",
            f"Problems with {listed(bad)}." if bad else "No problems.",
            columns=["check", "state", "found", "what to do"],
            rows=[[check.name, check.state, check.text, check.hint or ""] for check in self.checks],
        )

    def to_frame(self) -> "pd.DataFrame":
        """One check per row."""
        return frame([check.model_dump() for check in self.checks], "name")
