"""From a float32 graph to one whose convolutions run on 8-bit integers, by ONNX Runtime's own quantisation.

Weights get one scale per output channel, activations one per tensor, from the ranges that a few films reach. Weights
use 7 of their 8 bits: two products with 8-bit activations then fit into 16 bits, so that CPUs without VNNI
instructions, which add up such pairs, do not overflow and every machine gives the logits that were proven. 7 bits cost
nothing: mean difference of a logit of 245 validation films 0.152 against 0.214 with 8 (transfer, robust, 224 pixels).

Rounded weights shift a channel's mean, as what they are multiplied with is never negative, and the shifts of 19 layers
add up: 0.39 of a mean difference of 0.41 in that network. So each layer's bias takes its shift back, measured on the
films that set the ranges, the layers before it corrected already.

In float32 stay the first convolution with the pooling behind it and, behind the last one, everything that makes
features, logits and maps. The first convolution alone would move a logit by 1.2: its 49 weights add up smooth pictures,
and so their rounding errors. ONNX Runtime pools bytes at 4.2 ms a film on one core, a third of the network, and floats
at 0.3 (version 1.32, 224 pixels).

References:
    Jacob et al. 2018, doi:10.1109/CVPR.2018.00286.
    Nagel et al. 2019, doi:10.1109/ICCV.2019.00141, for the biases (with films: "empirical bias correction").
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, also for ``reduce_range``.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.events import Listener, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.parallel import usable_cores
from pneumocli.model.onnx_file import GRAPH_INPUT

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_QUANTISED = ["Conv", "Add", "Relu"]

Bytes = NDArray[np.uint8]


def int8_graph(content: bytes, films: Sequence[Bytes], listener: Listener = ignore) -> bytes:
    """A model file's content with a network that computes on 8-bit integers.

    Args:
        content: Of a file that :func:`pneumocli.model.onnx_file.card_text` has checked, of a single network.
        films: uint8 (n,1,S,S) batches whose activations set the ranges.
        listener: Gets progress.

    Returns:
        The new file's content, without any card.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load_from_string(content)
    fold_normalisation(model)
    in_float = onnx.ModelProto()
    in_float.CopyFrom(model)  # quantize_static() moves the weights of what it is given into files
    kept = _kept_in_float(model.graph)
    add_pre_process_metadata(model)  # or a remark that the graph was not prepared goes to the root logger
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            file,
            _reader(films),
            quant_format=QuantFormat.QDQ,  # its operators are standard ONNX; ONNX Runtime fuses them when it loads
            op_types_to_quantize=_QUANTISED,
            nodes_to_exclude=kept,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        quantised = onnx.load(file)
    correct_biases(quantised, in_float, films, listener)
    del quantised.metadata_props[:]
    found: bytes = quantised.SerializeToString()
    return found


def _reader(batches: Iterable[Bytes]) -> Any:  # noqa: ANN401 - the class exists only where onnxruntime is loaded
    """Batches as ONNX Runtime's calibration takes them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches: Iterator[Bytes] = iter(batches)

        def get_next(self) -> dict[str, Bytes] | None:
            batch = next(self._batches, None)
            return None if batch is None else {GRAPH_INPUT: batch}

    return Reader()


def fold_normalisation(model: "ModelProto") -> None:
    """Folds ``(pixels - mean) / std`` of three channels into the first convolution, in place and exactly.

    The three channels of a grey film differ by shift and scale alone. Their sum is one convolution of the film, and a
    constant, which is 0 where the convolution reaches beyond the film's edge. So the constant becomes a second channel:
    1 inside, 0 outside.

    Args:
        model: Changed; its first convolution has three input channels.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    sub = next(node for node in graph.node if node.op_type == "Sub")
    div = next(node for node in graph.node if node.op_type == "Div" and node.input[0] == sub.output[0])
    conv = next(node for node in graph.node if node.op_type == "Conv" and node.input[0] == div.output[0])
    mean, std = (numpy_helper.to_array(arrays[node.input[1]]).reshape(3).astype(float) for node in (sub, div))
    weights = numpy_helper.to_array(arrays[conv.input[1]]) / std[:, None, None]
    channels = [weights.sum(axis=1), -(weights * mean[:, None, None]).sum(axis=1)]
    arrays[conv.input[1]].CopyFrom(numpy_helper.from_array(np.stack(channels, 1).astype(np.float32), conv.input[1]))
    graph.initializer.append(numpy_helper.from_array(np.array(1, np.uint8), "one"))
    films, before = _films_in_bytes(graph, sub.input[0])
    place = list(graph.node).index(sub)
    added = [
        *before,
        helper.make_node("Clip", [films, "one", "one"], ["inside"], name="fold_inside"),
        helper.make_node("Concat", [films, "inside"], ["both"], name="fold_both", axis=1),
        # Not DequantizeLinear: ONNX Runtime would round the weights of a convolution behind one itself.
        helper.make_node("Cast", ["both"], ["first"], name="fold_first", to=TensorProto.FLOAT),
    ]
    for number, node in enumerate(added):
        graph.node.insert(place + number, node)
    conv.input[0] = "first"
    graph.node.remove(sub)
    graph.node.remove(div)
    _remove_unused(graph)


def correct_biases(
    quantised: "ModelProto", model: "ModelProto", films: Sequence[Bytes], listener: Listener = ignore
) -> None:
    """Gives every convolution on integers the mean output, per channel, that it has in float32.

    Layer by layer from the first on, so that each also takes back what the layers before it could not.

    Args:
        quantised: Changed: the 32-bit integers of its biases.
        model: What it was made from, with the same names of convolutions.
        films: uint8 (n,1,S,S) batches to measure on.
        listener: Gets progress.
    """
    from onnx import numpy_helper

    arrays = {tensor.name: tensor for tensor in quantised.graph.initializer}
    makers = {node.output[0]: node for node in quantised.graph.node if node.op_type == "DequantizeLinear"}
    in_float = {node.name: node.output[0] for node in model.graph.node if node.op_type == "Conv"}
    layers = [node for node in quantised.graph.node if node.op_type == "Conv" and node.input[1] in makers]
    listener(TaskStarted(task := "correcting layers", len(layers), "layers"))
    expected = _channel_means(model, [in_float[layer.name] for layer in layers], films)
    for number, (layer, means) in enumerate(zip(layers, expected, strict=True), 1):
        (found,) = _channel_means(quantised, [layer.output[0]], films)
        bias, step = (arrays[name] for name in makers[layer.input[2]].input[:2])
        corrected = numpy_helper.to_array(bias) + np.round((means - found) / numpy_helper.to_array(step))  # in float64
        bounds = np.iinfo(np.int32)  # a channel of tiny weights has tiny steps
        clipped = corrected.clip(bounds.min, bounds.max).astype(np.int32)
        bias.CopyFrom(numpy_helper.from_array(clipped, bias.name))
        listener(TaskAdvanced(task, number))
    listener(TaskFinished(task))


def _channel_means(model: "ModelProto", values: Sequence[str], films: Sequence[Bytes]) -> list[NDArray[np.float64]]:
    """The mean of each channel of these (n,C,H,W) values over the films."""
    import onnxruntime
    from onnx import ModelProto, TensorProto, helper

    probe = ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]  # what only these need is not computed
    for value in values:
        mean = f"{value}_mean"
        probe.graph.node.append(helper.make_node("GlobalAveragePool", [value], [mean], name=mean))
        probe.graph.output.append(helper.make_tensor_value_info(mean, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = usable_cores()
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    batches = [session.run(None, {GRAPH_INPUT: batch}) for batch in films]
    return [np.concatenate(found).mean(axis=(0, 2, 3), dtype=np.float64) for found in zip(*batches, strict=True)]


def _films_in_bytes(graph: "GraphProto", name: str) -> tuple[str, list["NodeProto"]]:
    """The value that was normalised as 8-bit pixels, and the nodes that make it: several views are float32 before."""
    from onnx import helper, numpy_helper

    maker = next(node for node in graph.node if name in node.output)
    if maker.op_type == "Cast":
        return maker.input[0], []
    for name_of, value in (("grey_level", np.float32(1)), ("black", np.uint8(0))):
        graph.initializer.append(numpy_helper.from_array(np.array(value), name_of))
    rounded = helper.make_node("QuantizeLinear", [name, "grey_level", "black"], ["views_in_bytes"], name="fold_views")
    return "views_in_bytes", [rounded]


def _kept_in_float(graph: "GraphProto") -> list[str]:
    """Nodes that are not quantised: the first convolution with its pooling, and all that follows the last one."""
    order = [node for node in graph.node if node.op_type in _QUANTISED]
    convolutions = [number for number, node in enumerate(order) if node.op_type == "Conv"]
    pooled = next(node.output[0] for node in graph.node if node.op_type == "MaxPool")
    first_relu = next(node for node in order if node.op_type == "Relu" and node.input[0] == pooled)
    kept = [order[convolutions[0]], first_relu, *order[convolutions[-1] + 1 :]]
    return [node.name for node in kept]


def _remove_unused(graph: "GraphProto") -> None:
    """Drops what no node needs any more, in place."""
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for node in [node for node in graph.node if not used & set(node.output)]:
        graph.node.remove(node)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    del graph.value_info[:]  # of values that have other shapes now
