"""What an ONNX file holds, looked at before anything runs it: a foreign file must not read, write or eat up anything.

Only what :mod:`pneumocli.training.export` produces passes: the operators of a ResNet-18, weights inside the file, sizes
of that network. The protobuf encoding is read here in a few lines, because the ``onnx`` package takes as long to import
as the rest of a prediction and would decode 45 MB of weights for it.

References:
    https://protobuf.dev/programming-guides/encoding/ and onnx.proto, https://github.com/onnx/onnx.
"""

import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pneumocli.core.config import MOST_MEMBERS
from pneumocli.core.errors import ModelFileError

CARD_KEY = "pneumo_card"
REFERENCE_KEY = "pneumo_reference"
"""Of :class:`pneumocli.model.reference.Reference`, here and in ``best.pt``."""
INT8_KEY = "pneumo_int8"
"""Of :class:`pneumocli.model.card.Int8Card`, in files of ``pneumo quantize``."""

GRAPH_INPUT = "pixels"
GRAPH_OUTPUTS = ("logits", "cam", "features")

# Of each network in a file. ResNet-18 in float32 takes 45 MB; anything much larger is another model.
_MOST_BYTES = 200_000_000
_MOST_NODES = 300
_LARGEST_DIMENSION = 512  # channels of the last layer
_LARGEST_SIDE = 1170  # of a frame of four views, and so of the matrix that reduces it
_MOST_VIEWS = 4
_STEEPEST = 1.25  # of a matrix that reduces a frame, its longer side to its shorter one: 8/7
_LARGEST_NUMBER = 8  # of kernels, strides, pads, dilations: 7 in the first layer

_OPERATORS = frozenset(
    {
        "Add",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "Conv",
        "DequantizeLinear",
        "Div",
        "Einsum",
        "Gemm",
        "Identity",
        "MatMul",
        "MaxPool",
        "Mul",
        "QuantizeLinear",
        "ReduceMean",
        "Relu",
        "Shape",
        "Slice",
        "Sub",
    }
)
_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div"})

# What enlarges the data, and how often the views of a network need it on the way to a value: a longer chain would use
# up the memory. The networks of an ensemble stand side by side, so that each has as many.
_MOST_OF = {"Concat": 1, "MatMul": 4}
_MOST_OF_INT8 = {"Concat": 2, "MatMul": 4}  # the films and their inside, see pneumocli.model.int8_graph
_EQUATION = "ck,nkhw->nchw"

# Field numbers of onnx.proto that are looked at.
_MODEL_GRAPH, _MODEL_FUNCTIONS, _MODEL_METADATA = 7, 25, 14
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_INT, _ATTRIBUTE_STRING, _ATTRIBUTE_INTS = 3, 4, 8
_ATTRIBUTE_NESTED = (5, 6, 9, 10, 11, 14, 15, 22, 23)  # tensors and graphs inside an attribute
_TENSOR_DIMS, _TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 8, 13, 14

_Value = int | memoryview


class _MalformedError(Exception):
    """The bytes are no protobuf message of this kind, or hold what a pneumo model does not."""


@dataclass(slots=True)
class _Node:
    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


@dataclass
class _Found:
    nodes: list[_Node] = field(default_factory=list)
    tensors: dict[str, list[int]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)


def card_text(file: Path) -> str:
    """Checks that a file holds a network as ``pneumo train`` exports it, and returns its card as JSON.

    Nothing is executed and nothing but the file is opened.

    Raises:
        ModelFileError: The file is missing, too large, damaged, or holds another network or no card.
    """
    return _metadata(file)[CARD_KEY]


def reference_text(file: Path) -> str | None:
    """The reference that a file keeps of its validation films as JSON; ``None`` in files of version 0.1.0.

    Raises:
        ModelFileError: As for :func:`card_text`.
    """
    return _metadata(file).get(REFERENCE_KEY)


def int8_text(file: Path) -> str | None:
    """How a file of ``pneumo quantize`` was made and what it differs by, as JSON; ``None`` in any other.

    Raises:
        ModelFileError: As for :func:`card_text`.
    """
    return _metadata(file).get(INT8_KEY)


def _metadata(file: Path) -> dict[str, str]:
    """What a checked file keeps under the names of this module, the card among it."""
    if not file.is_file():
        raise ModelFileError(f"no model file at {file}", "name a run's model.onnx or best.pt")
    size = file.stat().st_size
    if not 0 < size <= _MOST_BYTES * MOST_MEMBERS:
        raise ModelFileError(f"{file} has {size:,} bytes; a model file of pneumo has about 45,000,000")
    try:
        # Mapped, because 45 MB of weights need not be read to be skipped. Never closed by hand: views of the map may
        # live on in an exception's frames, and it closes with the last of them.
        with file.open("rb") as handle:
            mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        found = _read_model(memoryview(mapped))
        members = _num_members(found.metadata.get(CARD_KEY))
        _check(found, members)
    except OSError as error:
        raise ModelFileError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _refused(file, "it is damaged") from error
    except _MalformedError as error:
        raise _refused(file, str(error)) from error
    if CARD_KEY not in found.metadata:
        raise _refused(file, "it holds no card")
    if size > _MOST_BYTES * members:
        raise ModelFileError(f"{file} has {size:,} bytes; a model file of pneumo has about {45_000_000 * members:,}")
    if len(found.nodes) > _MOST_NODES * members:
        raise _refused(file, "it holds more operations than a ResNet-18")
    return found.metadata


def _num_members(card: str | None) -> int:
    """How many networks a file may hold: those that its card lists."""
    try:
        members = json.loads(card or "{}").get("members", ())
        return min(MOST_MEMBERS, max(1, len(members)))
    except (ValueError, AttributeError, TypeError):  # a card that is none: refused by who reads it
        return 1


def with_metadata(content: bytes, entries: Mapping[str, str]) -> bytes:
    """A model file's content with other metadata under some keys; every other byte stays as it is.

    Args:
        content: Of a file that :func:`card_text` has checked.
        entries: Texts by key, such as :data:`CARD_KEY`.
    """
    view, kept, position = memoryview(content), [], 0
    while position < len(view):
        start = position
        key, position = _varint(view, position)
        size, position = _varint(view, position)  # a number, or how many bytes follow
        body, position = position, position + (size if key & 7 == 2 else 0)
        is_entry = key == _MODEL_METADATA << 3 | 2
        if not is_entry or _text(dict(_fields(view[body:position])).get(1, view[:0])) not in entries:
            kept.append(view[start:position])
    added = [_delimited(1, key.encode()) + _delimited(2, text.encode()) for key, text in entries.items()]
    return b"".join([*kept, *(_delimited(_MODEL_METADATA, entry) for entry in added)])


def _delimited(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes."""
    size, rest = bytearray(), len(content)
    while rest >= 128:
        size.append(rest & 127 | 128)
        rest >>= 7
    return bytes([number << 3 | 2, *size, rest]) + content


def _refused(file: Path, reason: str) -> ModelFileError:
    return ModelFileError(f"{file} is no model file that can be used: {reason}", "name a run's model.onnx")


def _read_model(content: memoryview) -> _Found:
    found = _Found()
    for number, value in _fields(content):
        if number == _MODEL_FUNCTIONS:
            raise _MalformedError("it defines functions of its own")
        if number == _MODEL_GRAPH:
            _read_graph(_message(value), found)
        elif number == _MODEL_METADATA:
            entry = dict(_fields(_message(value)))
            key = _text(entry.get(1, memoryview(b"")))
            if key in (CARD_KEY, REFERENCE_KEY, INT8_KEY):
                found.metadata[key] = _text(entry.get(2, memoryview(b"")))
    return found


def _read_graph(content: memoryview, found: _Found) -> None:
    for number, value in _fields(content):
        if number == _GRAPH_NODE:
            found.nodes.append(_read_node(_message(value)))
            if len(found.nodes) > _MOST_NODES * MOST_MEMBERS:
                raise _MalformedError("it holds more operations than a ResNet-18")
        elif number == _GRAPH_INITIALIZER:
            name, dimensions = _read_tensor(_message(value))
            found.tensors[name] = dimensions
        elif number == _GRAPH_SPARSE:
            raise _MalformedError("it holds sparse weights")
        elif number == _GRAPH_INPUT:
            found.inputs.append(_name_of(_message(value)))
        elif number == _GRAPH_OUTPUT:
            found.outputs.append(_name_of(_message(value)))


def _read_node(content: memoryview) -> _Node:
    node = _Node()
    for number, value in _fields(content):
        if number == _NODE_INPUT:
            node.inputs.append(_text(value))
        elif number == _NODE_OUTPUT:
            node.outputs.append(_text(value))
        elif number == _NODE_OPERATOR:
            node.operator = _text(value)
        elif number == _NODE_DOMAIN and _text(value) not in ("", "ai.onnx"):
            raise _MalformedError(f"it uses operators of {_text(value)[:40]!r}")
        elif number == _NODE_ATTRIBUTE:
            _check_attribute(_message(value))
    if node.operator not in _OPERATORS:
        raise _MalformedError(f"it uses the operator {node.operator[:40]!r}, which no ResNet-18 needs")
    return node


def _check_attribute(content: memoryview) -> None:
    for number, value in _fields(content):
        if number in _ATTRIBUTE_NESTED:
            raise _MalformedError("it holds a graph or tensor inside an operator")
        if number == _ATTRIBUTE_STRING and len(_message(value)) > 32:
            raise _MalformedError("it holds an unknown setting of an operator")
        if number == _ATTRIBUTE_STRING and b"->" in bytes(_message(value)) and _text(value) != _EQUATION:
            raise _MalformedError("it holds an unknown equation")
        if number == _ATTRIBUTE_INT and value != 0 and not 0 < _integer(value) <= _LARGEST_DIMENSION:
            raise _MalformedError("a setting of an operator is out of range")
        if number == _ATTRIBUTE_INTS and any(not 0 <= item <= _LARGEST_NUMBER for item in _integers(value)):
            raise _MalformedError("a setting of an operator is out of range")


def _read_tensor(content: memoryview) -> tuple[str, list[int]]:
    name, dimensions = "", []
    for number, value in _fields(content):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0):
            raise _MalformedError("its weights lie in another file")
        if number == _TENSOR_DIMS:
            dimensions.extend(_integers(value))
        elif number == _TENSOR_NAME:
            name = _text(value)
    largest = _LARGEST_SIDE if len(dimensions) == 2 else _LARGEST_DIMENSION
    if len(dimensions) > 4 or any(not 0 < size <= largest for size in dimensions):
        raise _MalformedError(f"the weights {name[:40]!r} have the shape {dimensions[:8]}, which no ResNet-18 has")
    return name, dimensions


def _check(found: _Found, members: int) -> None:
    inputs = [name for name in found.inputs if name not in found.tensors]
    if inputs != [GRAPH_INPUT] or tuple(found.outputs) != GRAPH_OUTPUTS:
        raise _MalformedError(
            f"it takes {inputs[:4]} and gives {found.outputs[:4]}, not pixels and logits, cam, features"
        )
    counted = _MOST_OF_INT8 if INT8_KEY in found.metadata else _MOST_OF
    for operator, most in counted.items():
        if sum(node.operator == operator for node in found.nodes) > most * members:
            raise _too_often(operator)
    _check_chains(found, counted)
    shapes = dict(found.tensors)
    for node in found.nodes:
        _check_node(node, shapes)
        # What is computed of weights alone is a weight, too: quantised ones are first made float.
        if node.inputs and all(name in shapes for name in node.inputs):
            shapes.update(dict.fromkeys(node.outputs, shapes[node.inputs[0]]))


def _check_node(node: _Node, shapes: Mapping[str, list[int]]) -> None:
    """Checks what an operator does with weights, whose shapes are known by name."""
    if node.operator == "Concat" and len(node.inputs) > _MOST_VIEWS:
        raise _MalformedError(f"it joins more than {_MOST_VIEWS} views")
    if node.operator == "MatMul" and not any(_is_nearly_square(shapes.get(name, [])) for name in node.inputs):
        raise _MalformedError("it multiplies by a matrix that no view needs")
    for name in node.inputs if node.operator in _ELEMENTWISE else ():
        shape = shapes.get(name, [])
        # Weights spread over the batch would multiply the memory.
        if len(shape) == 4 and (shape[0] != 1 or shape[2:] != [1, 1]):
            raise _MalformedError(f"the weights {name[:40]!r} have the shape {shape}, which no ResNet-18 has")


def _check_chains(found: _Found, most_of: Mapping[str, int]) -> None:
    """Refuses a value on whose way the data are enlarged more often than the views of one network need."""
    enlarged = {name: (0,) * len(most_of) for name in ("", GRAPH_INPUT, *found.tensors)}
    for node in found.nodes:
        if not all(name in enlarged for name in node.inputs):
            raise _MalformedError("its operations are not in the order in which they run")
        before = [max(counts) for counts in zip(*(enlarged[name] for name in node.inputs), strict=True)]
        counts = tuple(
            count + (node.operator == operator)
            for count, operator in zip(before or [0] * len(most_of), most_of, strict=True)
        )
        for count, (operator, most) in zip(counts, most_of.items(), strict=True):
            if count > most:
                raise _too_often(operator)
        enlarged.update(dict.fromkeys(node.outputs, counts))


def _too_often(operator: str) -> _MalformedError:
    return _MalformedError(f"it uses the operator {operator!r} more often than {_MOST_VIEWS} views need")


def _is_nearly_square(shape: list[int]) -> bool:
    return len(shape) == 2 and max(shape) <= _STEEPEST * min(shape)


def _name_of(content: memoryview) -> str:
    return next((_text(value) for number, value in _fields(content) if number == 1), "")


def _fields(content: memoryview) -> Iterator[tuple[int, _Value]]:
    """Number and value of each field of a protobuf message: an integer, or the bytes of the rest."""
    position, end = 0, len(content)
    while position < end:
        key, position = _varint(content, position)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, position = _varint(content, position)
            yield number, value
            continue
        if kind == 2:
            size, position = _varint(content, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise _MalformedError("it is no ONNX file, or damaged")
        if position + size > end:
            raise _MalformedError("it is cut off or damaged")
        yield number, content[position : position + size]
        position += size


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(content) and shift < 64:
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise _MalformedError("it is no ONNX file, or damaged")


def _message(value: _Value) -> memoryview:
    if isinstance(value, int):
        raise _MalformedError("it is no ONNX file, or damaged")
    return value


def _text(value: _Value) -> str:
    return bytes(_message(value)).decode()


def _integer(value: _Value) -> int:
    if not isinstance(value, int):
        raise _MalformedError("it is no ONNX file, or damaged")
    return value


def _integers(value: _Value) -> list[int]:
    """A repeated integer: one at a time, or packed."""
    if isinstance(value, int):
        return [value]
    numbers, position = [], 0
    while position < len(value):
        number, position = _varint(value, position)
        numbers.append(number)
    return numbers
