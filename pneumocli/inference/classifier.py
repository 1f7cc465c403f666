"""A finished model at work: the only place where one runs, on ONNX Runtime or, for GPUs and ``best.pt``, on torch.

On the ONNX path neither torch nor torchvision is imported.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeGuard

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import ValidationError

from pneumocli.core.errors import ModelFileError, OutOfMemory, RunError, resume_command
from pneumocli.core.files import sha256_of
from pneumocli.core.parallel import usable_cores
from pneumocli.model.card import ModelCard
from pneumocli.model.device import (
    current_device,
    ieee_float32,
    lacks_memory,
    memory_errors_translated,
    resolve_device,
    to_device,
)
from pneumocli.model.onnx_file import GRAPH_INPUT, GRAPH_OUTPUTS, card_text, int8_text, reference_text
from pneumocli.model.out_of_distribution import NUM_FEATURES, Familiarity
from pneumocli.run_folder import RunFolder

if TYPE_CHECKING:
    from pneumocli.model.reference import Reference

ort.disable_telemetry_events()  # Windows does not heed what the package sets in the environment

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def _is_exception(value: object) -> TypeGuard[type[Exception]]:
    return isinstance(value, type) and issubclass(value, Exception)


# onnxruntime's exceptions derive from Exception alone and have no common base.
_ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(kind for kind in vars(ort.capi.onnxruntime_pybind11_state).values() if _is_exception(kind)),
)


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """What the network returns for N films.

    Attributes:
        logits: float32 (N,2).
        cam: Class activation maps, float32 (N,2,h,w); their mean plus the last layer's bias is the logit.
        features: Pooled activations, float32 (N,512).
    """

    logits: Floats
    cam: Floats
    features: Floats


class Backend(Protocol):
    """A library that runs a network."""

    def run(self, pixels: Bytes) -> NetworkOutput:
        """Scores films, uint8 (N,1,S,S)."""


def in_batches(
    backend: Backend, pixels: Bytes, size: int, advanced: Callable[[int], None] = lambda _: None
) -> NetworkOutput:
    """What a network returns for films that are too many to be run at once.

    Args:
        backend: Runs it.
        pixels: uint8 (N,1,S,S), N at least 1.
        size: Films at once.
        advanced: Called after each batch with its number of films.
    """
    parts = []
    for start in range(0, len(pixels), size):
        batch = pixels[start : start + size]
        parts.append(backend.run(batch))
        advanced(len(batch))
    return NetworkOutput(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.cam for part in parts]),
        np.concatenate([part.features for part in parts]),
    )


class OnnxBackend:
    """A network on ONNX Runtime, on the CPU.

    Args:
        model: The file, checked by :func:`pneumocli.model.onnx_file.card_text`, or the content of one made here.
        image_size: Side of the square that it must take.
        throughput: Optimise for many films. The fullest level of graph optimisation takes some 100 MB more and runs
            batches 1.7 x faster.
        threads: Inside one operation; one per usable core unless given.

    Raises:
        ModelFileError: It is no ONNX file that can be loaded.
    """

    def __init__(
        self, model: Path | bytes, *, image_size: int, throughput: bool = False, threads: int | None = None
    ) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        # Waiting threads must not spin: they would take the cores from the decoding of the next films.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.graph_optimization_level = (
            ort.GraphOptimizationLevel.ORT_ENABLE_ALL if throughput else ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        )
        source = model if isinstance(model, bytes) else str(model)
        try:
            # Without its fallback, which prints on standard output before it tries the same again.
            self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        except _ORT_ERRORS as error:
            name = "the model" if isinstance(model, bytes) else str(model)
            raise ModelFileError(f"{name} is no ONNX file that can be loaded") from error
        taken = self._session.get_inputs()[0]
        if (taken.type, taken.shape[1:]) != ("tensor(uint8)", [1, image_size, image_size]):
            raise ModelFileError(
                f"the model takes {taken.type} {taken.shape}, its card expects uint8 (N,1,{image_size},{image_size})"
            )

    def run(self, pixels: Bytes) -> NetworkOutput:
        """Scores films, uint8 (N,1,S,S)."""
        try:
            logits, cam, features = self._session.run(list(GRAPH_OUTPUTS), {GRAPH_INPUT: pixels})
        except _ORT_ERRORS as error:
            if lacks_memory(error):
                raise OutOfMemory(*_no_memory("this machine", len(pixels))) from error
            raise ModelFileError("the model file is damaged: its network cannot be run") from error
        return NetworkOutput(logits, cam, features)


class TorchBackend:
    """A network on torch, on any device, in float32 as exact as ONNX Runtime's.

    Attributes:
        net: On the device.
        card: Recorded in the file.

    Args:
        file: A run's ``best.pt``.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    """

    def __init__(self, file: Path, device: str) -> None:
        import torch

        from pneumocli.model.network import build_network
        from pneumocli.model.views import deployable
        from pneumocli.model.weights import load_best

        self._torch = torch
        self._device = resolve_device(device)
        weights, self.card = load_best(file)
        network = build_network(seed=0)
        network.load_state_dict(weights)
        with memory_errors_translated(*_no_memory(self._device, 1)):
            self.net = deployable(network, self.card.image_size, self.card.views).eval().to(self._device)

    def run(self, pixels: Bytes) -> NetworkOutput:
        """Scores films, uint8 (N,1,S,S)."""
        with (
            memory_errors_translated(*_no_memory(self._device, len(pixels))),
            self._torch.inference_mode(),
            ieee_float32(),
            current_device(self._device),
        ):
            outputs = self.net(to_device(self._torch.from_numpy(pixels), self._device))
            logits, cam, features = (output.float().cpu().numpy() for output in outputs)
        return NetworkOutput(logits, cam, features)


class MeanBackend:
    """The mean of several networks, run one after another: a group of folds without a model file of its own.

    Args:
        members: At least one.
    """

    def __init__(self, members: Sequence[Backend]) -> None:
        self._members = members

    def run(self, pixels: Bytes) -> NetworkOutput:
        """Scores films, uint8 (N,1,S,S)."""
        found = [member.run(pixels) for member in self._members]
        return NetworkOutput(
            _mean([one.logits for one in found]),
            _mean([one.cam for one in found]),
            _mean([one.features for one in found]),
        )


def _mean(parts: Sequence[Floats]) -> Floats:
    """As the graph of an ensemble computes it: the sum in order, then one division."""
    return reduce(np.add, parts) / np.float32(len(parts))


def _no_memory(device: object, films: int) -> tuple[str, str]:
    """What is wrong and what helps where a device lacks the memory for so many films."""
    if films == 1:
        return f"{device} has too little memory for the network", "end other programs that use it, or --device cpu"
    return f"{device} has too little memory for {films} films at once", f"--batch-size {films // 2}"


class Classifier:
    """A finished model, ready to score films. :meth:`load` and :meth:`of_run` make one.

    Attributes:
        file: The model file.
        card: Recorded in the file: image size, fit, classes, threshold, temperature.
    """

    def __init__(self, file: Path, card: ModelCard, backend: Backend) -> None:
        self.file = file
        self.card = card
        self._backend = backend
        self.familiarity = Familiarity(card.input_range, card.feature_model, card.brightness_map)

    @classmethod
    def load(
        cls, file: Path, *, device: str = "cpu", throughput: bool = False, threads: int | None = None
    ) -> "Classifier":
        """The model in a file.

        Args:
            file: A run's ``model.onnx``, or its ``best.pt``, which torch runs.
            device: ``cpu``, or ``cuda``, ``cuda:N``, ``mps`` for ``best.pt``.
            throughput: Optimise for many films rather than for a quick start.
            threads: Of ONNX Runtime, inside one operation; one per usable core unless given.

        Raises:
            ModelFileError: The file is missing, foreign, damaged or absurdly large; or it lies in a run's folder and
                is not the one that its training wrote.
            DeviceError: The device is not there.
        """
        _check_belongs(file)
        return cls._open(file, device=device, throughput=throughput, threads=threads)

    @classmethod
    def _open(cls, file: Path, *, device: str, throughput: bool, threads: int | None) -> "Classifier":
        if file.suffix == ".pt" or device != "cpu":
            weights = file if file.suffix == ".pt" else RunFolder(file.parent).best_file
            if file != weights and file.is_file() and not (weights.is_file() and int8_text(file) is None):
                raise ModelFileError(
                    f"{file} runs on the CPU only", f"--device {device} needs the run's {weights.name}"
                )
            backend = TorchBackend(weights, device)
            return cls(weights, backend.card, backend)
        card = _card_of(file, card_text(file))
        size = card.image_size
        return cls(file, card, OnnxBackend(file, image_size=size, throughput=throughput, threads=threads))

    @classmethod
    def of_run(
        cls, run: RunFolder, device: str = "cpu", *, throughput: bool = False, threads: int | None = None
    ) -> "Classifier":
        """The model of a finished run, after its file was checked against the run's ``result.json``.

        A group of folds without a model file of its own, or on a GPU, runs its networks one after another.

        Raises:
            RunError: The run has not finished, or a run of a group is not the one that the group was made of.
            ModelFileError: The file is missing or another than the training wrote.
            DeviceError: The device is not there.
        """
        if run.is_group and not (device == "cpu" and run.has_model_file):
            file = run.model_file(run.group_card_file.name)
            return cls.of_folds(file, card_of_run(run), run.folds, device, threads=threads)
        file = run.model_file((run.onnx_file if device == "cpu" else run.best_file).name)
        return cls._open(file, device=device, throughput=throughput, threads=threads)

    @classmethod
    def of_folds(
        cls,
        file: Path,
        card: ModelCard,
        folds: Sequence[RunFolder],
        device: str = "cpu",
        *,
        threads: int | None = None,
    ) -> "Classifier":
        """The mean of a group's networks.

        Args:
            file: Where the card is kept.
            card: Of the group.
            folds: Its finished runs, in order.
            device: Of all of them.
            threads: As for :meth:`load`.

        Raises:
            RunError: A run is missing, unfinished, or another than the group was made of.
        """
        members = []
        for fold, expected in zip(folds, card.members, strict=True):
            found = RunFolder.open_finished(fold.path).model_sha256
            if found != expected:
                raise RunError(
                    f"{fold.path} is not the run that its group was made of: its model's SHA-256 begins {found[:12]}, "
                    f"the group's card records {expected[:12]}",
                    f"restore {fold.path} from a backup, or remove the group's result.json and continue the group: "
                    f"{resume_command(fold.path.parent)}",
                )
            members.append(cls.of_run(fold, device, throughput=True, threads=threads)._backend)
        return cls(file, card, MeanBackend(members))

    @cached_property
    def sha256(self) -> str:
        """Of the model file's content."""
        return sha256_of(self.file)

    @cached_property
    def reference(self) -> "Reference | None":
        """What the file keeps of its validation films, a group of its out-of-fold films; ``None`` in version 0.1.0.

        Raises:
            ModelFileError: It is damaged.
        """
        from pneumocli.model.reference import Reference  # a single film needs none

        if self.file.suffix == ".pt":
            from pneumocli.model.weights import load_reference

            text = load_reference(self.file)
        elif self.file.suffix == ".json":  # the card of a group of folds, which has a file beside it
            text = RunFolder(self.file.parent).reference_text()
        else:
            text = reference_text(self.file)
        return None if text is None else Reference.read(text).moved(self.card.offset)

    def run(self, pixels: Bytes) -> NetworkOutput:
        """Scores films; PNEUMONIA's logit includes the card's offset.

        Args:
            pixels: uint8 (N,1,S,S), prepared by :func:`pneumocli.data.images.fit_film` for the card's size and fit.

        Raises:
            ModelFileError: The network's answer is not finite: the file is damaged.
        """
        outputs = self._backend.run(pixels)
        count = len(pixels)
        sound = (
            outputs.logits.shape == (count, len(self.card.class_names))
            and outputs.features.shape == (count, NUM_FEATURES)
            and outputs.cam.ndim == 4
            and outputs.cam.shape[:2] == outputs.logits.shape
        )
        if not sound or not all(np.isfinite(part).all() for part in (outputs.logits, outputs.cam, outputs.features)):
            raise ModelFileError(f"{self.file} is damaged: what it gives has the wrong shape or is not finite")
        if self.card.offset:
            outputs = replace(outputs, logits=outputs.logits + np.array([0, self.card.offset], np.float32))
        return outputs

    def probability(self, logit: float) -> float:
        """Probability of pneumonia, 0-1, at the card's temperature."""
        return sigmoid_of(logit / self.card.temperature)


def sigmoid_of(logit: float) -> float:
    """The probability of one logit, to the last digit that of :func:`pneumocli.metrics.classification.sigmoid`.

    >>> sigmoid_of(0.0), sigmoid_of(-800.0)
    (0.5, 0.0)
    """
    try:
        return 1 / (1 + math.exp(-logit))
    except OverflowError:
        return 0.0


def logit_of(logits: Floats) -> NDArray[np.float64]:
    """The logit of pneumonia, (N,), of the classes' logits (N,2)."""
    pair = logits.astype(np.float64)
    difference: NDArray[np.float64] = pair[:, 1] - pair[:, 0]
    return difference


def card_of_run(run: RunFolder) -> ModelCard:
    """The card in a finished run's ``model.onnx``, or beside a group's, read without loading the network.

    Raises:
        RunError: The run has not finished.
        ModelFileError: The file is missing or another than the training wrote.
    """
    if run.is_group:
        file = run.model_file(run.group_card_file.name)
        return _card_of(file, file.read_text(encoding="utf-8"))
    file = run.model_file()
    return _card_of(file, card_text(file))


def _check_belongs(file: Path) -> None:
    """A run's model file named on its own is held against the run's ``result.json``, too."""
    run = RunFolder(file.parent)
    if run.finished and file.is_file() and run.is_model_file(file):
        run.model_file(file.name)


def _card_of(file: Path, text: str) -> ModelCard:
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        raise ModelFileError(f"{file}: its card is damaged or from another version of pneumo") from error
