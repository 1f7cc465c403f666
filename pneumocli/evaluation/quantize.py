"""``quantize()``: a run's model on 8-bit integers, with the proof of what that changes."""

import math
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.config import EvaluateConfig, QuantizeConfig
from pneumocli.core.errors import CheckFailed, DataError, RunError
from pneumocli.core.events import FileWritten, Listener, Remark, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.files import write_bytes
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import Count, Record
from pneumocli.core.version import __version__
from pneumocli.data.acquisition_cache import acquisitions
from pneumocli.data.images import UnreadableFilm, fit_film, read_film
from pneumocli.data.manifest import Manifest, readable_films
from pneumocli.evaluation.subject import subject_of
from pneumocli.inference.classifier import Backend, Classifier, NetworkOutput, OnnxBackend, in_batches, logit_of
from pneumocli.metrics.classification import sigmoid
from pneumocli.metrics.delong import auroc_difference
from pneumocli.model.card import GroupFigure, Int8Card, Int8Proof, ModelCard
from pneumocli.model.int8_graph import int8_graph
from pneumocli.model.onnx_file import CARD_KEY, INT8_KEY, REFERENCE_KEY, with_metadata
from pneumocli.run_folder import RunFolder
from pneumocli.shift.conformal import limits_of_films
from pneumocli.shift.reference import reference_of

# Beyond these nothing is written. Measured with a transfer network at 224 pixels: 0.16 and 0.69, none of 0.002, 5 of
# 977 films.
LARGEST_MEAN_DIFFERENCE = 0.25
LARGEST_DIFFERENCE = 1.5
LARGEST_AUROC_DIFFERENCE = 0.002
LARGEST_SHARE_CHANGED = 0.01

# More films widen the ranges and change nothing: 64, 128 and 256 gave the same mean difference, .124 to .129
# (before biases were corrected).
_CALIBRATION_FILMS = 64
_BATCH = 16

_TIMINGS = 5
_FEW_PAIRS = 3
"""Pairs of films that may change their order: among few films one of them is more than the bound on the AUROC."""

_WORTHWHILE = 1.2
"""Below this multiple of float32's films/s the file is called not faster."""


class Quantized(Record):
    """A model file on integers and what it changes."""

    file: str
    size_bytes: Count
    parent_size_bytes: Count
    card: Int8Card


def quantize(config: QuantizeConfig, listener: Listener = ignore) -> Quantized:
    """Writes a run's ``model-int8.onnx``, after a proof on the validation films; nothing else in the run changes.

    Threshold and temperature stay the model's. Limits of ``--refer`` and the reference for comparisons of whole folders
    are made anew from what the new file gives for the validation films: both are about its own scores.

    Args:
        config: The run.
        listener: Gets progress, and a warning where the file is not faster here.

    Raises:
        RunError: The run has not finished or is a group, or its validation films have changed.
        ModelFileError: Its model file is missing or another than the training wrote.
        DataError: The validation films cannot be read, or are of one class.
        CheckFailed: The logits, the AUROC or the answers would change by more than the bounds. Nothing is written.
    """
    run = RunFolder.open_finished(config.run)
    if run.is_group:
        raise RunError(f"the group {run.path} cannot be quantized: expected a single run", "name one of its folds")
    parent = Classifier.of_run(run, throughput=True)
    asked = EvaluateConfig(run=config.run, data=config.data, split="val")
    films = subject_of(run, asked, listener).films
    squares = _squares(films, parent.card, listener)
    chosen = np.linspace(0, len(squares) - 1, min(len(squares), _CALIBRATION_FILMS)).round().astype(int)
    calibration = [squares[chosen[start : start + _BATCH]] for start in range(0, len(chosen), _BATCH)]
    graph = int8_graph(parent.file.read_bytes(), calibration, listener)
    size = parent.card.image_size
    ours, theirs = (OnnxBackend(model, image_size=size, throughput=True) for model in (graph, parent.file))
    before, after = _both(theirs, ours, squares, listener)
    proof = _proof(parent.card, films, before, after, _speed(ours, theirs, calibration[0]))
    _check(proof, run, films)
    card = Int8Card(
        package_version=__version__,
        parent_sha256=run.model_sha256,
        num_calibration_films=len(chosen),
        proof=proof,
    )
    metadata = {
        CARD_KEY: _with_limits(parent.card, films, after).model_dump_json(),
        INT8_KEY: card.model_dump_json(),
    }
    if parent.reference is not None:
        reference = _reference(parent, films, squares, after)
        metadata |= {} if reference is None else {REFERENCE_KEY: reference}
    return _written(run, with_metadata(graph, metadata), card, listener)


def _squares(films: Manifest, card: ModelCard, listener: Listener) -> NDArray[np.uint8]:
    """The films as the network sees them, uint8 (N,1,S,S)."""
    task, done, squares = "reading validation films", 0, []
    unreadable: dict[str, str] = {}
    listener(TaskStarted(task, len(films)))

    def read(path: Path) -> NDArray[np.uint8] | UnreadableFilm:
        try:
            return fit_film(read_film(path).pixels, card.image_size, card.fit)
        except UnreadableFilm as error:
            return error

    for row, square in zip(films.rows, ordered_map(read, (films.path(row) for row in films.rows)), strict=True):
        if isinstance(square, UnreadableFilm):
            unreadable[row.image] = square.reason
        else:
            squares.append(square)
        listener(TaskAdvanced(task, done := done + 1))
    readable_films(films, unreadable, skip=False, listener=listener)
    listener(TaskFinished(task))
    return np.stack(squares)[:, None]


def _both(
    theirs: Backend, ours: Backend, squares: NDArray[np.uint8], listener: Listener
) -> tuple[NetworkOutput, NetworkOutput]:
    """What either of two networks gives for the films."""
    listener(TaskStarted(task := "comparing with float32", 2 * len(squares)))
    done = 0

    def advanced(films: int) -> None:
        nonlocal done
        done += films
        listener(TaskAdvanced(task, done))

    before, after = (in_batches(backend, squares, _BATCH, advanced) for backend in (theirs, ours))
    listener(TaskFinished(task))
    return before, after


def _speed(ours: Backend, theirs: Backend, films: NDArray[np.uint8]) -> float:
    """Films a second of the one as a multiple of the other's: CPU time, which other programs do not lengthen."""
    taken: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(_TIMINGS):
        for number, backend in enumerate((ours, theirs)):
            began = time.process_time()
            backend.run(films)
            taken[number].append(time.process_time() - began)
    return min(taken[1]) / max(min(taken[0]), 1e-9)


def _proof(card: ModelCard, films: Manifest, before: NetworkOutput, after: NetworkOutput, speed: float) -> Int8Proof:
    old, new = logits = logit_of(before.logits), logit_of(after.logits)
    difference = np.abs(new - old)
    labels = np.array([row.label for row in films.rows])
    found = auroc_difference(labels, old, new, [row.patient for row in films.rows])
    if found is None:
        raise DataError(
            f"the {len(films)} validation films prove nothing about AUROC: expected two patients of each class or more",
            "train with --val patient",
        )
    sides = [sigmoid((one + card.offset) / card.temperature) >= card.operating_point.threshold for one in logits]
    return Int8Proof(
        num_films=len(films),
        mean_difference=float(difference.mean()),
        largest_difference=float(difference.max()),
        auroc=GroupFigure(value=found.areas[1] - found.areas[0], low=found.low, high=found.high),
        num_changed=int((sides[0] != sides[1]).sum()),
        map_correlation=float(np.corrcoef(before.cam.ravel(), after.cam.ravel())[0, 1]),
        speed=speed,
    )


def _check(proof: Int8Proof, run: RunFolder, films: Manifest) -> None:
    """Refuses what changes more than the bounds allow."""
    most_changed = max(1, int(LARGEST_SHARE_CHANGED * proof.num_films))
    num_pneumonia: int = sum(row.label for row in films.rows)
    few_pairs = _FEW_PAIRS / (num_pneumonia * (len(films) - num_pneumonia))
    auroc = abs(proof.auroc.value or 0.0)
    measured = (
        ("mean difference of a logit", proof.mean_difference, LARGEST_MEAN_DIFFERENCE),
        ("largest difference of a logit", proof.largest_difference, LARGEST_DIFFERENCE),
        ("difference in AUROC, in points", 100 * auroc, 100 * max(LARGEST_AUROC_DIFFERENCE, few_pairs)),
        ("films that change sides", proof.num_changed, most_changed),
    )
    # Three pairs as a difference of two areas and three pairs as a share are not the same float.
    over = [
        f"{name}: {value:.4g}, expected at most {most:g}"
        for name, value, most in measured
        if not (value <= most or math.isclose(value, most))
    ]
    if over:
        raise CheckFailed(
            f"8-bit integers change the answers of {run.path} on its {proof.num_films} validation films too much: "
            f"{'; '.join(over)}. Nothing was written",
            "use the run's model.onnx; a model trained for longer often bears integers better",
        )


def _with_limits(card: ModelCard, films: Manifest, after: NetworkOutput) -> ModelCard:
    """The card with the limits of ``--refer`` from the new scores of the films that set the old ones."""
    if card.refer is None:
        return card
    return card.model_copy(update={"refer": limits_of_films(films.rows, logit_of(after.logits), card.refer.alpha)})


def _reference(parent: Classifier, films: Manifest, squares: NDArray[np.uint8], after: NetworkOutput) -> str | None:
    """The reference for comparisons of whole folders, from the new features and logits of the same films."""
    coordinates = parent.familiarity.coordinates(after.features)
    logits = logit_of(after.logits)
    reference = reference_of(films.rows, acquisitions(films), list(squares[:, 0]), coordinates, logits)
    return None if reference is None else reference.model_dump_json()


def _written(run: RunFolder, content: bytes, card: Int8Card, listener: Listener) -> Quantized:
    file = RunFolder(run.path, "int8").onnx_file
    write_bytes(file, content)
    run.record_int8_file()
    if card.proof.speed < _WORTHWHILE:
        listener(
            Remark(
                f"int8 is not faster on this machine: {card.proof.speed:.2f} x the films/s of fp32 (CPUs with VNNI or "
                "AMX instructions gain 2 x and more)",
                "warning",
            )
        )
    listener(FileWritten(file, "model on integers"))
    return Quantized(
        file=file.as_posix(),
        size_bytes=len(content),
        parent_size_bytes=run.onnx_file.stat().st_size,
        card=card,
    )
