"""Whether the films of a folder, as a whole, are like the model's validation films: gathered, reported, written."""

from pathlib import Path
from typing import Literal

from pneumocli.core.amounts import counted
from pneumocli.core.events import FileWritten, Listener, Remark
from pneumocli.core.files import write_json, write_text
from pneumocli.core.records import Record
from pneumocli.core.shift_records import Shift
from pneumocli.data.patients import patient_of
from pneumocli.inference.classifier import Classifier
from pneumocli.shift.detection import LEAST_FILMS, detect_shift
from pneumocli.shift.sample import FilmSample, StoredSample


class ShiftFile(Record):
    """What ``pneumo predict --shift FILE.json`` writes."""

    schema_version: Literal[1] = 1
    model_sha256: str
    shard: str | None
    """The part of the films that this is about, ``I/N``; ``None`` for all of them."""
    shift: Shift | None
    """``None`` for fewer than 20 films, and where the model keeps no reference."""
    sample: StoredSample
    """The films that were compared: the samples of all parts join to that of the whole."""


class FolderShift:
    """Gathers a sample of the films of ``predict``, and reports on it at the end.

    Args:
        file: Where to write the result; ``None`` to report only.
        shard: The part of the films that is predicted.

    Attributes:
        sample: To be handed to :func:`pneumocli.inference.scoring.score_films`.
    """

    def __init__(self, file: Path | None, shard: str | None) -> None:
        self.sample = FilmSample(_patient_named)
        self._file = file
        self._shard = shard

    def report(self, classifier: Classifier, listener: Listener) -> Shift | None:
        """As :func:`report_shift`, for the films seen."""
        return report_shift(self.sample, classifier, listener, file=self._file, shard=self._shard)


def report_shift(
    sample: FilmSample, classifier: Classifier, listener: Listener, *, file: Path | None, shard: str | None = None
) -> Shift | None:
    """Compares films as a whole, and writes the file that was asked for, as a page where its name ends in ``.html``.

    Gives what :func:`shift_of` gives.

    Args:
        sample: The films.
        classifier: The model that scored them.
        listener: Gets the sentence, and what was written.
        file: Where to write the result; ``None`` to report only.
        shard: The part of the films that this is.

    Raises:
        ModelFileError: The model's reference is damaged.
        PneumoError: The file cannot be written.
    """
    shift = shift_of(sample, classifier, listener, shard)
    if file is None:
        return shift
    if len(sample) < LEAST_FILMS:
        few = f"{counted(len(sample), 'film')} to compare, one of each patient, expected {LEAST_FILMS} or more"
        listener(Remark(f"whether these films are like the training films was not checked: {few}"))
    if file.suffix.lower() == ".html":
        from pneumocli.inference.shift_page import shift_page  # templates, which most folders are answered without

        write_text(file, shift_page(shift, shard))
    else:
        stored = StoredSample.of(sample)
        write_json(file, ShiftFile(model_sha256=classifier.sha256, shard=shard, shift=shift, sample=stored))
    listener(FileWritten(file, "shift"))
    return shift


def shift_of(sample: FilmSample, classifier: Classifier, listener: Listener, shard: str | None = None) -> Shift | None:
    """Compares films with the validation films that the model keeps, and reports the result in a sentence.

    Args:
        sample: The films.
        classifier: The model that scored them.
        listener: Gets the sentence, as a warning where the films differ, or why they were not compared.
        shard: The part of the films that this is.

    Raises:
        ModelFileError: The reference is damaged.
    """
    if len(sample) < LEAST_FILMS:
        return None
    shift = detect_shift(sample, classifier.reference, classifier.card)
    if shift is None:
        why = f"the model keeps no reference of {LEAST_FILMS} {classifier.card.held_out} or more"
        listener(Remark(f"whether these films are like the training films was not checked: {why}"))
        return None
    part = "" if shard is None else f" This is about shard {shard} alone."
    listener(Remark(shift.sentence + part, "warning" if shift.detected else "note"))
    return shift


def _patient_named(source: object) -> str:
    """The patient in a file name of the release, with the folder: other programs number films so in every folder."""
    if not isinstance(source, Path):
        return ""
    found = patient_of(source.name)
    return "" if found is None else f"{source.parent}/{found[0]}"
