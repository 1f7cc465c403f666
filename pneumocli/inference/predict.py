"""``predict()``: answers for new films, from one to as many as there are, in constant memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from pneumocli.core.amounts import counted
from pneumocli.core.config import PredictConfig
from pneumocli.core.events import FileWritten, Listener, Remark, ignore
from pneumocli.core.files import write_bytes, write_text
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import CLASS_NAMES
from pneumocli.data.film import UnreadableFilm
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.csv_output import AnswerTable, columns_of
from pneumocli.inference.inputs import Named, count_films, find_films
from pneumocli.inference.records import Prediction, ReferringPrediction
from pneumocli.inference.scoring import Counted, ScoringResult, Source, score_films
from pneumocli.inference.shards import Share, mark_of, numbers
from pneumocli.inference.tally import EXAMPLES, MOST_ROWS, AnswerTally
from pneumocli.model.card import FINE_CELLS, ModelCard, ReferLimits, map_cells
from pneumocli.run_folder import RunFolder, run_from_environment
from pneumocli.shift.conformal import answer_of

if TYPE_CHECKING:
    from pneumocli.core.shift_records import Shift
    from pneumocli.inference.folder_shift import FolderShift

# From about so many films on, the faster graph makes up for the slower start.
_MANY = 16

_LONGEST_NAME = 200  # of an explanation: file systems take 255 bytes, some of them less


class Predictions(Iterator[Prediction]):
    """Answers, one per film, made as the iterator advances.

    Attributes:
        classifier: The model that answers.
        threshold: A film is positive if its probability is at or above it.
    """

    def __init__(self, classifier: Classifier, threshold: float, answers: Generator[Prediction, None, None]) -> None:
        self.classifier = classifier
        self.threshold = threshold
        self._answers = answers

    def __next__(self) -> Prediction:
        return next(self._answers)

    def close(self) -> None:
        """Stops early: ends the threads and closes the table."""
        self._answers.close()


def predict(config: PredictConfig, listener: Listener = ignore) -> Predictions:
    """Answers for films.

    Args:
        config: The films, the model (that of ``$PNEUMO_RUN``, or of the latest finished run under ``runs``, where none
            is named), and what to write.
        listener: Gets which model is used, what was left out, and the progress.

    Returns:
        An iterator over one record per film, in the order of the inputs, folders sorted by name. A film that cannot be
        read gives a record with an ``error``. With ``csv`` its row is on disk before a record is handed out, with
        ``explain`` its picture, too.

    Raises:
        SettingError: The settings contradict each other.
        RunError: There is no finished run to take the model from, or the table to continue is another one's.
        ModelFileError: The model file is missing, foreign, damaged, or not the one that its training wrote.
        DeviceError: The device is not there.
    """
    films = find_films(config.inputs, listener)
    first = list(islice(films, _MANY))
    classifier = _classifier(config, listener, throughput=len(first) == _MANY)
    folder = _folder(config, many=len(first) == _MANY)
    cells = map_cells(classifier.card.image_size)
    if config.explain is not None and cells < FINE_CELLS:
        listener(Remark(f"heat maps of this model are coarse, {cells} x {cells} cells: they show a region, no finding"))
    # Everything that can be wrong from the start is raised here, not at the first film.
    table = _table(config, classifier, listener)
    work = _Work(config, classifier, table, folder, listener)
    return Predictions(classifier, work.threshold, work.answers(chain(first, films)))


def choose_model(config: PredictConfig) -> tuple[RunFolder | Path, str]:
    """The run or model file for a prediction, and why it is that one.

    Raises:
        RunError: None was named and there is no finished run, or the one named has not finished.
    """
    if config.model is not None:
        return config.model, "--model"
    if config.run is not None:
        return RunFolder.open_finished(config.run), "--run"
    named = run_from_environment()
    if named is not None:
        return RunFolder.open_finished(named), "$PNEUMO_RUN"
    return RunFolder.latest_finished(), "the latest finished run"


def _classifier(config: PredictConfig, listener: Listener, *, throughput: bool) -> Classifier:
    chosen, reason = choose_model(config)
    if isinstance(chosen, RunFolder):
        chosen = chosen.in_precision(config.precision)
    if isinstance(chosen, Path):
        classifier = Classifier.load(chosen, device=config.device, throughput=throughput)
    else:
        classifier = Classifier.of_run(chosen, config.device, throughput=throughput)
    listener(Remark(f"model {classifier.file} ({reason})"))
    return classifier


def _table(config: PredictConfig, classifier: Classifier, listener: Listener) -> AnswerTable | None:
    if config.csv is None:
        return None
    threshold = _threshold(config, classifier)
    columns = columns_of(classifier.card)
    table = AnswerTable(config.csv, model=classifier.sha256, threshold=threshold, resume=config.resume, columns=columns)
    if table.num_films:
        failed = f", {table.num_errors:,} of them unreadable" if table.num_errors else ""
        listener(Remark(f"{config.csv} holds {table.num_films:,} films{failed}: continuing after them"))
    return table


def _folder(config: PredictConfig, *, many: bool) -> "FolderShift | None":
    """Compares the films as a whole, where they can be enough for that."""
    if not many and config.shift is None:
        return None
    from pneumocli.inference.folder_shift import FolderShift  # a single film needs none

    return FolderShift(config.shift, config.shard)


def _threshold(config: PredictConfig, classifier: Classifier) -> float:
    return classifier.card.operating_point.threshold if config.threshold is None else config.threshold


@dataclass(frozen=True, slots=True)
class _Work:
    """A prediction at work: what scores the films, and where the answers go.

    Attributes:
        config: The settings.
        classifier: Scores.
        table: Gets a row for each film, if one is written.
        folder: Compares the films as a whole with the model's validation films, where they can be enough for that.
        listener: Gets what was written, and the progress.
    """

    config: PredictConfig
    classifier: Classifier
    table: AnswerTable | None
    folder: "FolderShift | None"
    listener: Listener

    @property
    def threshold(self) -> float:
        """A film is positive if its probability is at or above it."""
        return _threshold(self.config, self.classifier)

    def answers(self, films: Iterator[Named]) -> Generator[Prediction, None, None]:
        """Answers for films, each written before it is handed out; then the page, and the mark of a shard."""
        config, table = self.config, self.table
        if config.explain is not None:  # before shards and continuations take their part: each film has one place
            films = _with_places(films, config.explain)
        share = None if config.shard is None else Share(config.shard)
        if share is not None:
            films = share.of(films)
        total = _total(config, table)
        with table if table is not None else nullcontext():
            if table is not None:
                mark_of(table.path).unlink(missing_ok=True)
                films = table.missing(films)
            limits = self.classifier.card.refer
            answers = (
                (named, scored, answer_for(named.image, scored, self.threshold, limits))
                for named, scored in self._scored(films, total)
            )
            tally = None if config.report is None else AnswerTally(most=MOST_ROWS, examples=EXAMPLES)
            for prediction in _explained(config, self.classifier.card, answers):
                if table is not None:
                    table.add(prediction)
                if tally is not None:
                    tally.add(prediction)
                yield prediction
        shift = None if self.folder is None else self.folder.report(self.classifier, self.listener)
        if table is not None:
            if share is not None:
                self._finish(share, table)
            self.listener(FileWritten(table.path, "table"))
        if config.report is not None and tally is not None:
            self._write_page(config.report, tally, shift)
        if config.explain is not None and config.explain.is_dir():
            self.listener(FileWritten(config.explain, "heat maps"))

    def _scored(self, films: Iterator[Named], total: int | None) -> Iterator[tuple[Named, ScoringResult]]:
        """Each film with its score; those between reading and scoring wait in a queue."""
        waiting: deque[Named] = deque()

        def sources() -> Iterator[Source]:
            for film in films:
                waiting.append(film)
                yield film.source if film.source is not None else UnreadableFilm(film.error or "cannot be read")

        scores = score_films(
            self.classifier,
            sources() if total is None else Counted(sources(), total),
            batch_size=self.config.batch_size,
            keep_maps=self.config.explain is not None,
            sample=None if self.folder is None else self.folder.sample,
            listener=self.listener,
        )
        for scored in scores:
            yield waiting.popleft(), scored

    def _finish(self, share: Share, table: AnswerTable) -> None:
        """Marks a shard's table as finished, unless it holds films that are not in the list any more."""
        from pneumocli.inference.merge import write_mark  # most predictions are of no shard

        if table.num_met == table.num_films:
            sample = None if self.folder is None else self.folder.sample
            model = self.classifier.sha256
            write_mark(share, table.path, model_sha256=model, threshold=self.threshold, sample=sample)
            return
        gone = table.num_films - table.num_met
        self.listener(
            Remark(
                f"{table.path} holds {counted(gone, 'film')} that the inputs no longer name, so it cannot be merged: "
                "without --resume it is begun anew",
                "warning",
            )
        )

    def _write_page(self, file: Path, tally: AnswerTally, shift: "Shift | None") -> None:
        from pneumocli.inference.answers_page import answers_page  # fonts, drawing and templates

        maps = self.config.explain is not None
        page = answers_page(tally, self.classifier, self.threshold, maps=maps, shard=self.config.shard, shift=shift)
        write_text(file, page)
        self.listener(FileWritten(file, "report"))


def _total(config: PredictConfig, table: AnswerTable | None) -> int | None:
    """Films to score, for the progress: what was named twice is counted twice; ``None`` where it is not known."""
    total = count_films(config.inputs)
    if total is None:
        return None
    if config.shard is not None:
        index, count = numbers(config.shard)
        total = len(range(index - 1, total, count))
    return max(0, total - (0 if table is None else table.num_films))


def answer_for(image: str, scored: ScoringResult, threshold: float, limits: ReferLimits | None) -> Prediction:
    """The answer that a film's score gives.

    Args:
        image: What it is filed under.
        scored: The score.
        threshold: The film is positive if its probability is at or above it.
        limits: Of a model that refers films to a person.
    """
    positive = None if scored.probability is None else scored.probability >= threshold
    prediction = Prediction(
        image=image,
        probability=scored.probability,
        prediction=None if positive is None else CLASS_NAMES[positive],
        threshold=threshold,
        warnings=scored.warnings,
        error=scored.error,
    )
    if limits is None:
        return prediction
    answer = None if scored.logit is None else answer_of(limits, scored.logit)
    return ReferringPrediction(**dict(prediction), answer=answer)


_Answered = tuple[Named, ScoringResult, Prediction]


def _explained(config: PredictConfig, card: ModelCard, answers: Iterator[_Answered]) -> Iterator[Prediction]:
    """Writes the pictures, several at once, and hands on the answers."""
    if config.explain is None:
        yield from (prediction for _, _, prediction in answers)
        return
    from pneumocli.inference.heat_map import Answer, picture  # fonts and drawing: a fiftieth of a second at the start

    folder = config.explain

    def draw(answered: _Answered) -> Prediction:
        named, scored, prediction = answered
        if scored.film is not None and scored.cam is not None and prediction.prediction is not None:
            caption = Answer(
                prediction.image,
                prediction.prediction,
                float(prediction.probability or 0),
                prediction.threshold,
                prediction.warnings,
            )
            write_bytes(folder / named.place, picture(scored.film.pixels, scored.cam, card.fit, caption))
        return prediction

    yield from ordered_map(draw, answers)


def _with_places(films: Iterator[Named], folder: Path) -> Iterator[Named]:
    """Gives each film the place of its picture below ``folder`` instead of its own."""
    from pneumocli.inference.heat_map import is_drawn

    taken: set[PurePath] = set()
    for film in films:
        place = _free_place(film.place, lambda place: place in taken or not is_drawn(folder / place))
        taken.add(place)
        yield replace(film, place=place)


def _free_place(film: PurePath, is_taken: Callable[[PurePath], bool]) -> PurePath:
    """Where a film's picture goes: its name with ``.png`` added, numbered where that is another film's.

    Added, not exchanged: ``x.jpeg`` and ``x.png`` may lie side by side, and ``--explain`` may name their own folder.
    """
    # ".." comes from a link out of the folder; the picture stays in the folder for pictures.
    parts = [part for part in film.parts if part not in ("..", film.anchor)] or ["film"]
    stem = parts[-1].encode("utf-8", "surrogateescape")[:_LONGEST_NAME].decode("utf-8", "ignore")
    place = PurePath(*parts[:-1], f"{stem}.png")
    number = 2
    while is_taken(place):
        place = PurePath(*parts[:-1], f"{stem}-{number}.png")
        number += 1
    return place
