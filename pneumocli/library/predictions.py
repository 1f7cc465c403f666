"""Answers for films that show themselves, while they stay what they are: an iterator in constant memory."""

from collections import deque
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from pneumocli.core.amounts import counted
from pneumocli.inference.predict import Predictions as Answers
from pneumocli.inference.records import Prediction, ReferringPrediction
from pneumocli.inference.tally import AnswerTally
from pneumocli.library.display import MOST_ROWS, frame, result_html
from pneumocli.library.progress import hinted
from pneumocli.reporting.text import percent

if TYPE_CHECKING:
    import pandas as pd


class Predictions(Answers):
    """Answers for films, one by one, made as the iterator advances.

    Where they are shown or made a table, all films that are left are answered and kept; a loop still gets them all.
    """

    def __init__(self, answers: Answers) -> None:
        super().__init__(answers.classifier, answers.threshold, _handed_on(answers))
        self._kept: deque[Prediction] = deque()

    def __next__(self) -> Prediction:
        if self._kept:
            return self._kept.popleft()
        with hinted():
            return super().__next__()

    def _all(self) -> tuple[Prediction, ...]:
        with hinted():
            self._kept.extend(self._answers)
        return tuple(self._kept)

    def __repr__(self) -> str:
        kept = f", {counted(len(self._kept), 'answer')} kept" if self._kept else ""
        return f"<Predictions of {self.classifier.file.as_posix()}, threshold {percent(self.threshold)}{kept}>"

    def _repr_html_(self) -> str:
        tally = AnswerTally(most=MOST_ROWS)
        for answer in self._all():
            tally.add(answer)
        counts = ", ".join(f"{number:,} {name}" for name, number in tally.counts.items())
        failed = f", {tally.num_errors:,} could not be read" if tally.num_errors else ""
        more = tally.num_films - len(tally.kept)
        return result_html(
            f"{counted(tally.num_films, 'film')}, threshold {percent(self.threshold)}",
            f"{counts}{failed}.",
            films=[_film(answer) for answer in tally.kept],
            notes=[f"and {more:,} more: .to_frame() has all"] if more else [],
        )

    def to_frame(self) -> "pd.DataFrame":
        """One film per row; the answers stay in the iterator."""
        return frame([answer.model_dump() for answer in self._all()], "image")


def _handed_on(answers: Answers) -> Generator[Prediction, None, None]:
    try:
        yield from answers
    finally:
        answers.close()


def _film(answer: Prediction) -> dict[str, object]:
    from pneumocli.data.thumbnails import plain_picture

    name = Path(answer.image).name
    called = answer.answer if isinstance(answer, ReferringPrediction) else answer.prediction
    text = answer.error if answer.probability is None else f"{called}, probability {percent(answer.probability)}"
    return {
        "source": None if answer.error else plain_picture(Path(answer.image)),
        "alt": f"Film {name}",
        "lines": [name, text, *answer.warnings],
    }
