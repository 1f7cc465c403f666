"""A model file is looked at before anything runs it."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from pneumocli.core.errors import ModelFileError
from pneumocli.model.card import ModelCard
from pneumocli.model.onnx_file import INT8_KEY, card_text
from pneumocli.run_folder import RunFolder


@pytest.fixture(scope="module")
def model(trained: RunFolder) -> onnx.ModelProto:
    return onnx.load(trained.onnx_file)


def changed(model: onnx.ModelProto, file: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    change(copy)
    file.write_bytes(copy.SerializeToString())
    return file


def test_an_exported_file_passes_and_gives_its_card(trained: RunFolder):
    assert ModelCard.model_validate_json(card_text(trained.onnx_file)).image_size == 64


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def huge(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]


def operator(name: str, **attributes: object) -> Callable[[onnx.ModelProto], None]:
    def add(model: onnx.ModelProto) -> None:
        model.graph.node.append(onnx.helper.make_node(name, ["pixels"], ["x"], **attributes))

    return add


def foreign_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.evil"


def spread_over_batch(model: onnx.ModelProto) -> None:
    next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [1, 3, 1, 1]).dims[:] = [512, 1, 1, 1]


def padded(model: onnx.ModelProto) -> None:
    attribute = next(a for node in model.graph.node for a in node.attribute if a.name == "pads")
    attribute.ints[:] = [100_000] * 4


def other_equation(model: onnx.ModelProto) -> None:
    attribute = next(a for node in model.graph.node for a in node.attribute if a.name == "equation")
    attribute.s = b"ab,cdef->abcdef"


def no_card(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def renamed(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "scores"


def function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="d")


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def joined_again_and_again(model: onnx.ModelProto) -> None:
    for number in range(2):
        model.graph.node.append(onnx.helper.make_node("Concat", ["pixels"] * 4, [f"x{number}"], axis=0))


def joined_in_a_chain(model: onnx.ModelProto) -> None:
    as_an_ensemble_of_ten(model)
    for number in range(2):
        model.graph.node.append(
            onnx.helper.make_node("Concat", [f"x{number}" if number else "pixels"] * 4, [f"x{number + 1}"], axis=0)
        )


def as_an_ensemble_of_ten(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"pneumo_card": '{"members": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}'})


def out_of_order(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, onnx.helper.make_node("Relu", ["logits"], ["x"]))


def joined_of_five(model: onnx.ModelProto) -> None:
    model.graph.node.append(onnx.helper.make_node("Concat", ["pixels"] * 5, ["x"], axis=0))


def steep(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(onnx.helper.make_tensor("steep", onnx.TensorProto.FLOAT, [1, 500], [0.0] * 500))
    model.graph.node.append(onnx.helper.make_node("MatMul", ["pixels", "steep"], ["x"]))


def spread_behind(name: str, *more: str) -> Callable[[onnx.ModelProto], None]:
    """Weights spread over the batch that only an operator's output are."""

    def add(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(onnx.helper.make_tensor("w", onnx.TensorProto.INT8, [512, 1, 1, 1], [0] * 512))
        model.graph.initializer.append(onnx.helper.make_tensor("one", onnx.TensorProto.FLOAT, [], [1.0]))
        model.graph.node.append(onnx.helper.make_node(name, ["w", *more], ["large"]))
        model.graph.node.append(onnx.helper.make_node("Add", ["pixels", "large"], ["x"]))

    return add


def joined_as_int8(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key=INT8_KEY, value="{}")
    for number in range(3):
        model.graph.node.append(onnx.helper.make_node("Concat", ["pixels"] * 2, [f"x{number}"], axis=1))


def many(model: onnx.ModelProto) -> None:
    for number in range(400):
        model.graph.node.append(onnx.helper.make_node("Relu", ["pixels"], [f"x{number}"]))


BRANCH = onnx.helper.make_graph([], "branch", [], [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "its weights lie in another file"),
        (huge, "which no ResNet-18 has"),
        (operator("If", then_branch=BRANCH, else_branch=BRANCH), "graph or tensor inside"),
        (operator("Expand"), "the operator 'Expand'"),
        (operator("Einsum", equation="a" * 64), "unknown setting"),
        (operator("Cast", to=-5), "out of range"),
        (foreign_domain, "operators of 'com.evil'"),
        (spread_over_batch, "which no ResNet-18 has"),
        (padded, "out of range"),
        (other_equation, "unknown equation"),
        (no_card, "holds no card"),
        (renamed, "not pixels and logits, cam, features"),
        (function, "functions of its own"),
        (sparse, "sparse weights"),
        (many, "more operations than a ResNet-18"),
        (joined_again_and_again, "'Concat' more often than 4 views need"),
        (joined_in_a_chain, "'Concat' more often than 4 views need"),
        (out_of_order, "not in the order in which they run"),
        (spread_behind("DequantizeLinear", "one"), r"the weights 'large' have the shape \[512, 1, 1, 1\]"),
        (spread_behind("Identity"), r"the weights 'large' have the shape \[512, 1, 1, 1\]"),
        (joined_as_int8, "'Concat' more often"),
        (joined_of_five, "joins more than 4 views"),
        (operator("MatMul"), "a matrix that no view needs"),
        (steep, "a matrix that no view needs"),
    ],
)
def test_what_no_export_writes_is_refused(
    model: onnx.ModelProto, tmp_path: Path, change: Callable[[onnx.ModelProto], object], message: str
):
    file = changed(model, tmp_path / "model.onnx", change)
    with pytest.raises(ModelFileError, match=message):
        card_text(file)


def test_a_file_cut_off_anywhere_is_refused(trained: RunFolder, tmp_path: Path):
    content = trained.onnx_file.read_bytes()
    file = tmp_path / "model.onnx"
    for size in (1, 5, 100, 10_000, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            card_text(file)


@pytest.mark.parametrize("content", [b"", b"\x00", b"\xff" * 40, b"PK\x03\x04" + b"\x00" * 40, b"<html>"])
def test_other_files_are_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(ModelFileError):
        card_text(file)


def test_a_file_too_large_is_not_read(tmp_path: Path):
    file = tmp_path / "model.onnx"
    with file.open("wb") as handle:
        handle.truncate(3_000_000_000)  # takes no space
    with pytest.raises(ModelFileError, match="3,000,000,000 bytes"):
        card_text(file)


def test_a_missing_file_is_told(tmp_path: Path):
    with pytest.raises(ModelFileError, match="no model file at"):
        card_text(tmp_path / "model.onnx")
