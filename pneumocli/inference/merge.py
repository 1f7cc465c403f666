"""The tables of shards as one, each checked against the mark beside it.

The mark is written last, so a table with one is finished. It holds a hash over the names of all films in their order:
shards of one list hold every film once, and nothing else has to be compared. It also holds the shard's sample of films,
so that the films of all shards can be compared with the training films as those of one run are.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pneumocli.core.config import MergeConfig
from pneumocli.core.errors import RunError, first_few
from pneumocli.core.events import FileWritten, Listener, Remark, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.files import RowWriter, atomic_write, read_record, sha256_of, write_json
from pneumocli.core.records import CLASS_NAMES, Count, Fraction, Record
from pneumocli.inference.csv_output import COLUMNS, refuse_to_replace
from pneumocli.inference.shards import Share, mark_of, numbers
from pneumocli.run_folder import RunFolder
from pneumocli.shift.sample import FilmSample, StoredSample

if TYPE_CHECKING:
    from pneumocli.inference.classifier import Classifier

# Rows of one shard that wait for those of the others: a thousand shards of them are some 20 MB.
_ROWS_AT_ONCE = 64
_ROWS_PER_EVENT = 10_000


class ShardMark(Record):
    """What a finished shard's table holds, ``TABLE.shard.json`` beside it."""

    schema_version: Literal[1] = 1
    shard: str
    """``I/N``: every N-th film of the list, beginning with the I-th."""
    num_listed: Count
    """Films of all shards."""
    list_sha256: str
    """Of the names of all films, in their order."""
    model_sha256: str
    threshold: Fraction
    table_sha256: str
    sample: StoredSample | None = None
    """Of the films that were scored in the session that finished the table; ``None`` in marks of version 0.1."""


class MergedTable(Record):
    """What ``pneumo predict --merge`` wrote."""

    table: str
    num_parts: Count
    num_films: Count
    classes: dict[str, Count]
    """Films by prediction."""
    num_errors: Count
    """Films without an answer."""
    model_sha256: str
    threshold: Fraction


def write_mark(share: Share, table: Path, *, model_sha256: str, threshold: float, sample: FilmSample | None) -> None:
    """Writes the mark beside a table that holds every film of a share.

    Args:
        share: All of its films have passed.
        table: The table.
        model_sha256: Of the model that filled it.
        threshold: At or above which its films are positive.
        sample: Of the films scored; ``None`` where none was drawn.
    """
    mark = ShardMark(
        shard=share.shard,
        num_listed=share.num_listed,
        list_sha256=share.list_sha256,
        model_sha256=model_sha256,
        threshold=threshold,
        table_sha256=sha256_of(table),
        sample=None if sample is None else StoredSample.of(sample),
    )
    write_json(mark_of(table), mark)


def merge(config: MergeConfig, listener: Listener = ignore) -> MergedTable:
    """Joins the tables of all shards into the table that one run would have written, row by row.

    With a run or model, the films of all shards together are compared with its validation films, as ``predict``
    compares those of one run. Memory does not grow with the number of rows.

    Raises:
        RunError: A shard is missing, doubled, unfinished or changed, or made with another model, threshold or list of
            films than the others; the run has not finished, or its model is not the one that wrote the tables.
            Nothing is written then.
        ModelFileError: The model file is missing or damaged. Nothing is written then.
        PneumoError: The table cannot be written.
    """
    marks = _checked(config)
    tables = sorted(marks, key=lambda table: numbers(marks[table].shard))
    one = marks[tables[0]]
    classifier = _classifier(config, one.model_sha256)
    counts: Counter[str] = Counter()
    task = f"joining {len(tables)} shards"
    listener(TaskStarted(task, one.num_listed))
    with atomic_write(config.merge) as file:
        writer = RowWriter(file)
        for number, row in enumerate(_interleaved(tables)):
            writer.write(row)
            if number:
                counts[row[_PREDICTION]] += 1
            if number % _ROWS_PER_EVENT == 0:
                listener(TaskAdvanced(task, number))
    listener(TaskFinished(task))
    listener(FileWritten(config.merge, "table"))
    if classifier is not None:
        _compare(config, [marks[table] for table in tables], classifier, listener)
    return MergedTable(
        table=str(config.merge),
        num_parts=len(tables),
        num_films=counts.total(),
        classes={name: counts[name] for name in CLASS_NAMES},
        num_errors=counts[""],
        model_sha256=one.model_sha256,
        threshold=one.threshold,
    )


_PREDICTION = COLUMNS.index("prediction")


def _checked(config: MergeConfig) -> dict[Path, ShardMark]:
    """Each shard's mark, after everything was compared."""
    marks: dict[Path, ShardMark] = {}
    places = {config.merge.resolve(): config.merge}
    for part in config.inputs:
        if (place := part.resolve()) in places:
            if place == config.merge.resolve():
                raise RunError(f"{part} is a shard and the table to write: choose another name for --merge")
            raise RunError(f"{part} is named twice", "name each shard once")
        places[place] = part
        marks[part] = _mark(part)
    refuse_to_replace(config.merge)
    first, *others = config.inputs
    for part in others:
        _refuse_another(first, marks[first], part, marks[part])
    _refuse_gaps(marks)
    for part, mark in marks.items():
        if sha256_of(part) != mark.table_sha256:
            raise RunError(
                f"{part} was changed after it was finished: its SHA-256 is not the one in {mark_of(part)}",
                f"run --shard {mark.shard} again",
            )
    return marks


def _classifier(config: MergeConfig, model_sha256: str) -> "Classifier | None":
    """The model that wrote the tables; ``None`` where none was named."""
    named = config.run or config.model
    if named is None:
        return None
    from pneumocli.inference.classifier import Classifier  # ONNX Runtime: joining alone needs none

    if config.run is None:
        classifier = Classifier.load(named)
        written = [classifier.sha256]
    else:
        run = RunFolder.open_finished(named)
        classifier = Classifier.of_run(run)
        written = list(run.result().sha256.values())  # its other model files keep the same validation films
    if model_sha256 not in written:
        raise RunError(
            f"the tables were written with model {model_sha256[:12]}, {named} is {written[0][:12]}",
            "name the run that wrote them with --run, or its file with --model",
        )
    return classifier


def _compare(config: MergeConfig, marks: Sequence[ShardMark], classifier: "Classifier", listener: Listener) -> None:
    """Compares the films of all shards, as far as they were sampled, with the model's validation films."""
    from pneumocli.inference.folder_shift import report_shift

    sample = FilmSample().join(mark.sample.sample() for mark in marks if mark.sample is not None)
    if sample.num_films < marks[0].num_listed:
        listener(
            Remark(
                f"{sample.num_films:,} of {marks[0].num_listed:,} films are compared with the training films: "
                "the others cannot be read, or were scored before a --resume"
            )
        )
    report_shift(sample, classifier, listener, file=config.shift)


def _mark(part: Path) -> ShardMark:
    if not part.is_file():
        raise RunError(f"no shard at {part}", "name the tables that predict --shard I/N --csv FILE wrote")
    hint = "the command that wrote it, with --resume, finishes it; keep both files together"
    if not mark_of(part).is_file():
        raise RunError(f"{part} is unfinished, or no shard: there is no {mark_of(part).name} beside it", hint)
    try:
        return read_record(mark_of(part), ShardMark)
    except RunError as error:
        raise RunError(error.message, hint) from error


def _refuse_another(first: Path, expected: ShardMark, part: Path, found: ShardMark) -> None:
    """Refuses a shard that is none of the first one's."""
    differences = (
        (found.model_sha256[:12], expected.model_sha256[:12], "was written with model"),
        (found.threshold, expected.threshold, "was written at threshold"),
        (numbers(found.shard)[1], numbers(expected.shard)[1], "is a shard of"),
        (found.num_listed, expected.num_listed, "belongs to a list of so many films:"),
        (found.list_sha256[:12], expected.list_sha256[:12], "belongs to a list of other films, or in another order:"),
    )
    for one, other, words in differences:
        if one != other:
            raise RunError(
                f"{part} {words} {one}, {first} {other}",
                "shards are parts of one list: the same inputs, model and threshold, and --shard 1/N to N/N",
            )


def _refuse_gaps(marks: dict[Path, ShardMark]) -> None:
    """Refuses a shard that is there twice, or not at all."""
    held: dict[int, Path] = {}
    count = 0
    for part, mark in marks.items():
        index, count = numbers(mark.shard)
        if index in held:
            raise RunError(f"{held[index]} and {part} are both shard {mark.shard}", "name each shard once")
        held[index] = part
    missing = [f"{index}/{count}" for index in range(1, count + 1) if index not in held]
    if missing:
        raise RunError(
            f"{len(missing)} of {count} shards missing: {first_few(missing)}",
            f"the predict command of the others, with --shard {missing[0]} and a --csv of its own",
        )


def _interleaved(tables: Sequence[Path]) -> Iterator[list[str]]:
    """The header, then the films of all shards in the order of the list."""
    readers = [_rows(table) for table in tables]
    headers = [next(rows) for rows in readers]
    films = (row for turn in zip_longest(*readers) for row in turn if row is not None)
    return chain(headers[:1], films)


def _rows(table: Path) -> Iterator[list[str]]:
    """The rows of a table, which is open only while some are read: there may be more shards than open files."""
    position = 0
    while True:
        with table.open("rb") as file:
            file.seek(position)
            rows = list(islice(csv.reader(line.decode() for line in iter(file.readline, b"")), _ROWS_AT_ONCE))
            position = file.tell()
        if not rows:
            return
        yield from rows
