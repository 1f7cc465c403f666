"""Several model files as one: a graph that gives the mean of their graphs' outputs.

The graphs are joined as they were exported, whatever is inside them: one input, one copy of each network, then sums.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pneumocli.core.errors import CheckFailed
from pneumocli.core.files import write_bytes
from pneumocli.inference.classifier import Backend, MeanBackend, OnnxBackend
from pneumocli.model.card import ModelCard
from pneumocli.model.onnx_file import CARD_KEY, GRAPH_INPUT, GRAPH_OUTPUTS, REFERENCE_KEY
from pneumocli.model.reference import Reference
from pneumocli.training.export import LARGEST_DIFFERENCE, largest_difference

_NUM_MEMBERS = "num_members"


def write_ensemble(
    files: Sequence[Path],
    onnx_file: Path,
    card: ModelCard,
    check_pixels: NDArray[np.uint8],
    reference: Reference | None,
) -> None:
    """Write the mean of several model files as one, and prove that it gives the mean of their logits.

    Args:
        files: Model files of one image size.
        onnx_file: Written atomically, and only when the proof succeeds.
        card: Goes into the file in the place of the members' cards.
        check_pixels: uint8 (N,1,S,S), N at least 1: the films that it is proven on.
        reference: Goes into the file: the films that later ones are compared with.

    Raises:
        CheckFailed: A logit differs by 1e-4 or more, or is not finite. Nothing is written.
    """
    content = _joined([onnx.load_model(file) for file in files], card, reference)
    size = card.image_size
    for throughput in (False, True):
        found = OnnxBackend(content, image_size=size, throughput=throughput)
        expected = MeanBackend([OnnxBackend(file, image_size=size, throughput=throughput) for file in files])
        difference = largest_difference(partial(_logits, expected), [found], check_pixels)
        if not difference < LARGEST_DIFFERENCE:  # "not <" catches nan, too
            raise CheckFailed(
                f"the graph of the {len(files)} networks gives logits that differ from their mean by "
                f"{difference:.2g}, expected less than {LARGEST_DIFFERENCE:g}: {onnx_file.name} was not written"
            )
    write_bytes(onnx_file, content)


def _logits(backend: Backend, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return backend.run(pixels).logits


def _joined(members: Sequence[Any], card: ModelCard, reference: Reference | None) -> bytes:
    """The content of the file; the members are changed."""
    graph = onnx.GraphProto(name="ensemble")
    graph.input.append(members[0].graph.input[0])
    for number, member in enumerate(members, start=1):
        _rename(member.graph, f"member{number}/")
        graph.node.extend(member.graph.node)
        graph.initializer.extend(member.graph.initializer)
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(len(members), np.float32), _NUM_MEMBERS))
    for index, output in enumerate(GRAPH_OUTPUTS):
        graph.node.extend(_mean([member.graph.output[index].name for member in members], output))
        described = onnx.ValueInfoProto()
        described.CopyFrom(members[0].graph.output[index])
        described.name = output
        graph.output.append(described)
    model = onnx.helper.make_model(graph, opset_imports=members[0].opset_import)
    model.ir_version = max(member.ir_version for member in members)
    kept = {CARD_KEY: card, REFERENCE_KEY: reference}
    onnx.helper.set_model_props(model, {key: item.model_dump_json() for key, item in kept.items() if item is not None})
    content: bytes = model.SerializeToString()
    return content


def _rename(graph: Any, prefix: str) -> None:  # noqa: ANN401 - a protobuf message, whose classes have no types
    """Gives every name of a graph a prefix, save for its input and for inputs that are left out."""

    def renamed(name: str) -> str:
        return name if name in ("", GRAPH_INPUT) else prefix + name

    for node in graph.node:
        node.name = prefix + node.name
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for item in (*graph.initializer, *graph.output):
        item.name = renamed(item.name)


def _mean(names: Sequence[str], output: str) -> list[Any]:
    """Nodes that add up values in order and divide once."""
    nodes, total = [], names[0]
    for number, name in enumerate(names[1:], start=2):
        nodes.append(onnx.helper.make_node("Add", [total, name], [f"{output}/sum{number}"], f"{output}/sum{number}"))
        total = f"{output}/sum{number}"
    return [*nodes, onnx.helper.make_node("Div", [total, _NUM_MEMBERS], [output], f"{output}/mean")]
