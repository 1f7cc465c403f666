"""From the best epoch to a model file: operating point, temperature, card, export, proof."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from pneumocli.core.config import TrainConfig
from pneumocli.core.events import Listener, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.core.files import sha256_of, utc_now
from pneumocli.core.memory import peak_memory_bytes
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import EpochRecord, ManifestRow, RunResult
from pneumocli.core.version import __version__
from pneumocli.data.acquisition_cache import acquisitions
from pneumocli.data.film import Pixels, still_there
from pneumocli.evaluation.store import stored_evaluations
from pneumocli.inference.classifier import Backend, Bytes, Floats, in_batches, logit_of
from pneumocli.metrics.bootstrap import rate
from pneumocli.metrics.calibration import fit_temperature
from pneumocli.metrics.classification import accuracy, auroc, log_loss, sigmoid
from pneumocli.metrics.delong import auroc_metric
from pneumocli.metrics.thresholds import choose_operating_point
from pneumocli.model.brightness_map import fit_brightness_map, thumbnails
from pneumocli.model.card import ModelCard, ValidationSummary
from pneumocli.model.device import ieee_float32, memory_errors_translated, to_device
from pneumocli.model.network import DeployableNet, StateDict, build_network
from pneumocli.model.out_of_distribution import Appearance, Familiarity
from pneumocli.model.out_of_distribution import fit as describe_films
from pneumocli.model.reference import Reference
from pneumocli.model.views import delivered, deployable
from pneumocli.model.weights import load_best, load_outputs, save_best
from pneumocli.reporting.model_card import model_card
from pneumocli.run_folder import RunFolder
from pneumocli.shift.reference import reference_of
from pneumocli.training.checkpoint import Progress
from pneumocli.training.dataset import EvaluationForm, TrainingData, validation_films
from pneumocli.training.export import graph_of, proven, write_model_file
from pneumocli.training.loader import stacked
from pneumocli.training.referral import limits_of
from pneumocli.training.step import Targets
from pneumocli.training.timing import Stopwatch

# Training films that describe what films look like. 512 directions need as many for a stable shrunk covariance; with
# fewer, which altered films are recognised depends on the choice (docs/benchmarks.md, "Finishing a run").
_FAMILIAR_FILMS = 512

# Films that the exported graph is proven on; more would not find what these do not.
_PARITY_FILMS = 32

_BATCH = 16

_CPU = torch.device("cpu")

_Look = Callable[[Bytes], tuple[NDArray[np.float64], Floats]]

_NO_MEMORY = (
    "the device has too little memory to finish the run",
    "free memory on it; the same command with --resume finishes the run",
)


def card_of(config: TrainConfig, data: TrainingData, record: EpochRecord, val_logits: NDArray[np.float32]) -> ModelCard:
    """The card of an epoch's weights.

    Args:
        config: The run's settings.
        data: The run's films.
        record: The epoch.
        val_logits: Logit of each validation film, float32 (N,).
    """
    labels = np.asarray(data.val_labels)
    temperature = fit_temperature(val_logits, labels)
    val = data.manifest.of("val")
    point = choose_operating_point(val_logits, labels, config.operating_point, temperature, hard=data.hard.hard)
    return ModelCard(
        package_version=__version__,
        image_size=config.image_size,
        fit=config.fit,
        initial_weights=initial_weights_name(config),
        operating_point=point,
        temperature=temperature,
        data_fingerprint=data.manifest.fingerprint,
        num_train_images=len(data.train_labels),
        best_epoch=record.epoch,
        validation=ValidationSummary(
            method=config.val,
            num_images=len(val.rows),
            num_patients=val.num_patients,
            fraction=len(val.rows) / (len(val.rows) + len(data.train_labels)),
            loss=record.val_loss,
            accuracy=record.val_accuracy,
            auroc=record.val_auroc,
            **data.hard.summaries(val_logits, sigmoid(val_logits / temperature) >= point.threshold),
        ),
        shortcut_model=data.hard.model,
        assumed_prevalence=Targets.of(config, data.train_labels, data.hard.train_hard).prevalence,
    )


def initial_weights_name(config: TrainConfig) -> str:
    """What the network began with, for the card."""
    if config.weights is not None:
        return config.weights.name
    return "IMAGENET1K_V1" if config.pretrained else "scratch"


def finish(  # noqa: PLR0913 - all named by the one caller
    run: RunFolder,
    config: TrainConfig,
    data: TrainingData,
    progress: Progress,
    listener: Listener,
    device: torch.device = _CPU,
) -> None:
    """Completes ``best.pt``, exports and proves ``model.onnx``, and writes ``result.json``, the mark of a finished run.

    Args:
        run: Where it writes.
        config: The run's settings.
        data: The run's films.
        progress: Its epochs; the time that this takes is added to what was spent.
        listener: Gets progress, as a task of its own.
        device: Where features are computed if it is a CUDA device, in IEEE float32; else the exported graph gives
            them, on the CPU. Those of the validation films are from the training's own validation, where the model
            looks at films as it did. The proof of the graph is always the CPU's.

    Raises:
        CheckFailed: The exported graph gives other logits than the network.
        OutOfMemory: The device has too little memory.
    """
    watch = Stopwatch(progress.spent)
    task = "finishing the model"
    listener(TaskStarted(task, 3, "steps"))
    weights, card = load_best(run.best_file)
    side, fit = delivered(config.image_size, config.fit, config.views)
    if (side, fit) != (config.image_size, config.fit):
        form = EvaluationForm(side, fit)
        data = replace(data, val_films=validation_films(data.manifest, form, cache=config.cache, listener=listener))
    val = stacked(data.val_films, list(range(len(data.val_films)))).numpy()
    net = _deployable(weights, side, config.views)
    graph = graph_of(net, side)
    # As many threads as the training: a run that is resumed shall be finished with the same numbers.
    backend, _ = proven(net, graph, val[:_PARITY_FILMS], of=str(run.best_file), threads=torch.get_num_threads())
    listener(TaskAdvanced(task, 1))
    look: _Look = partial(_outputs_of_graph, backend)
    if device.type == "cuda":
        net.to(memory_format=torch.channels_last)
        look = partial(_outputs, net.to(device))
    outputs = load_outputs(run.best_file)
    if outputs is None or config.views > 1:
        val_logits, val_features = look(val)
    else:
        val_logits, val_features = logit_of(outputs.logits.numpy()), outputs.features.numpy()
    if config.views > 1:
        card = _card_of_views(config, data, progress.history[card.best_epoch - 1], val_logits.astype(np.float32))
    card = _with_familiarity(look, card, data, (val, val_features))
    if config.fold is None:  # of a group all folds' films together set the limits
        card = card.model_copy(update={"refer": limits_of(config, data.manifest.of("val").rows, val_logits)})
    found = _reference(card, data, val_logits, val_features)
    reference = None if found is None else found.model_dump_json()
    listener(TaskAdvanced(task, 2))
    save_best(run.best_file, weights, card, reference, outputs)
    write_model_file(run.onnx_file, graph, card, reference)
    watch.lap("finish")
    stopped_early = progress.epoch < config.epochs
    intervals = validation_intervals(data.manifest.of("val").rows, val_logits)
    result = _result(run, progress, card, intervals, stopped_early=stopped_early)
    evaluations = stored_evaluations(run, result.sha256[run.onnx_file.name])
    run.write_model_card(*model_card(run, card, evaluations, result))
    run.write_result(result)
    listener(TaskAdvanced(task, 3))
    listener(TaskFinished(task))


def _deployable(weights: StateDict, side: int, views: int) -> DeployableNet:
    network = build_network(seed=0)
    network.load_state_dict(weights)
    return deployable(network, side, views).eval()


def _card_of_views(
    config: TrainConfig, data: TrainingData, record: EpochRecord, val_logits: NDArray[np.float32]
) -> ModelCard:
    """The card of the best epoch's weights where films are looked at in several views: epochs are validated by one.

    Args:
        config: The run's settings.
        data: The run's films.
        record: Of the best epoch.
        val_logits: Mean logit over the views of each validation film, float32 (N,).
    """
    labels = np.asarray(data.val_labels)
    figures = {
        "val_loss": log_loss(labels, val_logits),
        "val_accuracy": accuracy(labels, val_logits >= 0),
        "val_auroc": auroc(labels, val_logits),
    }
    card = card_of(config, data, record.model_copy(update=figures), val_logits)
    side, fit = delivered(config.image_size, config.fit, config.views)
    return card.model_copy(update={"image_size": side, "fit": fit, "views": config.views})


def _with_familiarity(look: _Look, card: ModelCard, data: TrainingData, val: tuple[Bytes, Floats]) -> ModelCard:
    """Adds to the card what the training films look like, so that a film unlike them can be recognised.

    Args:
        look: Gives logits and features of films.
        card: Of the network.
        data: The run's films.
        val: The validation films, uint8 (N,1,S,S), and their features, float32 (N,512).
    """
    manifest = data.manifest
    rows = manifest.of("train").rows
    chosen = [rows[place] for place in evenly_spaced(len(rows), _FAMILIAR_FILMS)]

    form = EvaluationForm(card.image_size, card.fit)

    def read(row: ManifestRow) -> tuple[Pixels, float]:
        path = manifest.path(row)
        with still_there(path):
            return form.with_aspect(path)

    films, features, aspects = [], [], []
    read_ahead = ordered_map(read, chosen)  # decodes while the network works
    while batch := list(islice(read_ahead, _BATCH)):
        films.append(np.stack([pixels for pixels, _ in batch])[:, None])
        aspects += [aspect for _, aspect in batch]
        features.append(look(films[-1])[1])
    train = np.concatenate(films)
    val_films, val_features = val
    appearance = Appearance.of(train, np.asarray(aspects))
    input_range, feature_model = describe_films(np.concatenate(features), val_features, appearance)
    brightness_map = fit_brightness_map(thumbnails(train), thumbnails(val_films))
    described = {"input_range": input_range, "feature_model": feature_model, "brightness_map": brightness_map}
    return card.model_copy(update=described)


def evenly_spaced(count: int, most: int) -> list[int]:
    """Places in a list of ``count``, at most ``most`` of them, from its first to its last at even distances.

    >>> evenly_spaced(9, 3), evenly_spaced(2, 3)
    ([0, 4, 8], [0, 1])
    """
    return [round(place) for place in np.linspace(0, count - 1, min(count, most))]


def validation_intervals(rows: Sequence[ManifestRow], logits: NDArray[np.float64]) -> dict[str, tuple[float, float]]:
    """Ends of the 95 % intervals of what :class:`RunResult` says of validation films.

    Args:
        rows: The films.
        logits: Of each, (N,).
    """
    labels, patients = [row.label for row in rows], [row.patient for row in rows]
    hits = (logits >= 0) == np.equal(labels, 1)
    found = {
        "val_auroc": auroc_metric(labels, logits, patients),
        "val_accuracy": rate(hits, np.unique(patients, return_inverse=True)[1]),
    }
    return {
        name: (metric.low, metric.high)
        for name, metric in found.items()
        if metric.low is not None and metric.high is not None
    }


def _reference(
    card: ModelCard, data: TrainingData, logits: NDArray[np.float64], features: NDArray[np.float32]
) -> Reference | None:
    """What the model file keeps of the validation films, to compare a folder of films with."""
    val = data.manifest.of("val")
    familiarity = Familiarity(None, card.feature_model)
    squares = [data.val_films[index] for index in range(len(data.val_films))]
    return reference_of(val.rows, acquisitions(val), squares, familiarity.coordinates(features), logits)


def _outputs_of_graph(backend: Backend, pixels: Bytes) -> tuple[NDArray[np.float64], Floats]:
    """Logits of pneumonia, float64 (N,), and pooled activations, float32 (N,512)."""
    outputs = in_batches(backend, pixels, _BATCH)
    return logit_of(outputs.logits), outputs.features


@torch.no_grad()
def _outputs(net: DeployableNet, pixels: Bytes) -> tuple[NDArray[np.float64], Floats]:
    """The same by torch, on the network's device."""
    device = next(net.parameters()).device
    logits, features = [], []
    with ieee_float32(), memory_errors_translated(*_NO_MEMORY):
        for batch in torch.split(torch.from_numpy(pixels), _BATCH):
            outputs = net(to_device(batch, device))
            logits.append(outputs[0].cpu())
            features.append(outputs[2].cpu())
    return logit_of(torch.cat(logits).numpy()), torch.cat(features).numpy()


def _result(
    run: RunFolder,
    progress: Progress,
    card: ModelCard,
    intervals: dict[str, tuple[float, float]],
    *,
    stopped_early: bool,
) -> RunResult:
    total = sum(progress.spent.values())
    rates = sorted(record.images_per_second for record in progress.history)
    return RunResult(
        finished_utc=utc_now(),
        num_epochs=progress.epoch,
        stopped_early=stopped_early,
        best_epoch=card.best_epoch,
        val_auroc=card.validation.auroc,
        val_accuracy=card.validation.accuracy,
        val_intervals=intervals,
        seconds=progress.seconds,
        images_per_second=rates[len(rates) // 2],
        peak_memory_bytes=peak_memory_bytes(),
        time_shares={name: seconds / total for name, seconds in progress.spent.items()},
        num_unreadable=len(progress.unreadable),
        unreadable=tuple(f"{image}: {reason}" for image, reason in progress.unreadable.items()),
        sha256={file.name: sha256_of(file) for file in (run.best_file, run.onnx_file)},
    )
