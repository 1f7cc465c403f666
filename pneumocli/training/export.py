"""From ``best.pt`` to ``model.onnx``: one file that holds the network, its normalisation and its card, and is proven.

The graph takes 8-bit grey pixels, so a caller cannot normalise them wrongly, and gives the class activation maps and
features beside the logits, so that an explanation and a warning need no second model.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pneumocli.core.errors import CheckFailed
from pneumocli.core.files import write_bytes
from pneumocli.inference.classifier import Backend, OnnxBackend
from pneumocli.model.card import ModelCard
from pneumocli.model.network import DeployableNet
from pneumocli.model.onnx_file import CARD_KEY, GRAPH_INPUT, GRAPH_OUTPUTS, REFERENCE_KEY, with_metadata

# Newest operator set that onnxruntime 1.22, the oldest supported, implements in full; torch 2.9 exports it natively.
_OPSET = 20

LARGEST_DIFFERENCE = 1e-4
"""Of a logit; the arithmetic differs by about 2e-6."""

_BATCH = 16


# Largest logit that float32 arithmetic holds to a third of the tolerance. Measured on a CPU with AVX2 on trained
# networks whose logits reach 6 to 34: ONNX Runtime lies by 3 to 8 millionths of the largest logit off what float64
# gives, torch by 1 to 2. A graph that computes anything else is off by hundredths.
_FLOAT32_HOLDS = 4.0
_LEARNT = 1e4  # logits of networks that have learnt anything stay far below


def graph_of(net: DeployableNet, side: int) -> bytes:
    """A network as ONNX, without the card that makes a model file of it.

    Args:
        net: On the CPU, in evaluation mode.
        side: Of the square that it takes, in pixels.

    Raises:
        CheckFailed: torch gives no graph.
    """
    # An example of one film would let the exporter take the batch dimension for a constant.
    example = torch.zeros((2, 1, side, side), dtype=torch.uint8)
    with _silence():
        program = torch.onnx.export(
            net,
            (example,),
            dynamo=True,
            external_data=False,
            opset_version=_OPSET,
            input_names=[GRAPH_INPUT],
            output_names=list(GRAPH_OUTPUTS),
            dynamic_shapes={"pixels": {0: torch.export.Dim("N")}},
            verbose=False,
        )
    if program is None:
        raise CheckFailed("torch exported no graph")
    model = program.model_proto
    # The exporter notes for each node where in which source file it came from: paths of the machine, of no use.
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    content: bytes = model.SerializeToString()
    return content


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps the exporter's progress lines and remarks about its own internals off the user's screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def proven(
    net: DeployableNet, graph: bytes, pixels: NDArray[np.uint8], *, of: str, threads: int | None = None
) -> tuple[OnnxBackend, float]:
    """A graph ready for many films, after it gave the network's logits at both levels of optimisation.

    Args:
        net: On the CPU, in evaluation mode.
        graph: Of :func:`graph_of`.
        pixels: uint8 (N,1,S,S), N at least 1: the films that they are compared on.
        of: Whose network it is, for the message.
        threads: Of ONNX Runtime, inside one operation; one per usable core unless given.

    Returns:
        The graph at the fullest optimisation, and the largest difference of a logit.

    Raises:
        CheckFailed: The difference is 1e-4 or more, or not finite.
    """
    quick, full = (
        OnnxBackend(graph, image_size=pixels.shape[-1], throughput=level, threads=threads) for level in (False, True)
    )
    difference = largest_difference(partial(_logits, net), [quick, full], pixels)
    if not difference < LARGEST_DIFFERENCE:  # "not <" catches nan, too
        with torch.no_grad():
            reach = float(net(torch.from_numpy(pixels))[0].abs().max())
        came_apart = f"its logits reach {reach:.0e}: the training came apart, train again with a smaller --lr"
        raise CheckFailed(
            f"the exported graph of {of} gives logits that differ from the network's by {difference:.2g}, "
            f"expected less than {LARGEST_DIFFERENCE:g}: model.onnx was not written",
            came_apart if reach > _LEARNT else None,
        )
    return full, difference


def _logits(net: DeployableNet, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = net(torch.from_numpy(pixels))[0].numpy()
    return logits


def largest_difference(
    expected: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    backends: Sequence[Backend],
    pixels: NDArray[np.uint8],
) -> float:
    """The largest difference of a logit between what graphs give and what they must give; nan where one is not finite.

    Where logits exceed 4 it is taken relative to the largest: after an epoch of a few steps BatchNorm's running
    statistics are far from the films', logits reach several hundred, and float32 itself cannot hold 1e-4.

    Args:
        expected: Logits (n,2) of films.
        backends: The graphs.
        pixels: uint8 (N,1,S,S), N at least 1: the films that they are compared on.
    """
    largest = 0.0
    for start in range(0, len(pixels), _BATCH):
        part = np.ascontiguousarray(pixels[start : start + _BATCH])
        wanted = expected(part)
        scale = max(1.0, float(np.abs(wanted).max()) / _FLOAT32_HOLDS)
        for backend in backends:
            found = backend.run(part).logits
            largest = float(np.maximum(largest, np.abs(wanted - found).max() / scale))  # maximum keeps nan
    return largest


def write_model_file(onnx_file: Path, graph: bytes, card: ModelCard, reference: str | None) -> None:
    """Writes a proven graph with what travels in it; the graph stays as it is, byte for byte.

    Args:
        onnx_file: Written atomically.
        graph: Of :func:`graph_of`.
        card: Metadata key ``pneumo_card``.
        reference: Of the validation films, :class:`pneumocli.model.reference.Reference` as JSON.
    """
    entries = {CARD_KEY: card.model_dump_json()} | ({} if reference is None else {REFERENCE_KEY: reference})
    write_bytes(onnx_file, with_metadata(graph, entries))
