"""The graph surgery before quantisation: exact, and only what may be rounded is."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pneumocli.inference.classifier import OnnxBackend, logit_of
from pneumocli.model.int8_graph import correct_biases, fold_normalisation, int8_graph
from pneumocli.run_folder import RunFolder


@pytest.fixture
def films() -> np.ndarray:
    """Pictures that are bright at their edges, where a folded constant would show."""
    return np.random.default_rng(0).integers(0, 256, (4, 1, 64, 64), np.uint8)


def test_the_folded_normalisation_is_exact(trained: RunFolder, films: np.ndarray):
    model = onnx.load(trained.onnx_file)
    fold_normalisation(model)
    before, after = (
        OnnxBackend(content, image_size=64, throughput=True).run(films)
        for content in (trained.onnx_file.read_bytes(), model.SerializeToString())
    )
    assert np.abs(logit_of(after.logits) - logit_of(before.logits)).max() < 1e-4
    np.testing.assert_allclose(after.cam, before.cam, atol=1e-4)


def test_first_and_last_layers_stay_float(trained: RunFolder, films: np.ndarray):
    model = onnx.load_from_string(int8_graph(trained.onnx_file.read_bytes(), [films]))
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 20
    assert weights[convolutions[0].input[1]].dtype == np.float32
    for node in convolutions[1:]:
        stored = weights[makers[node.input[1]].input[0]]
        assert stored.dtype == np.int8
        assert np.abs(stored.astype(int)).max() <= 64  # 7 bits: no CPU overflows
    for node in model.graph.node:
        if node.op_type in ("MaxPool", "ReduceMean", "Gemm", "Einsum"):
            assert not any(makers[name].op_type == "DequantizeLinear" for name in node.input if name in makers)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}


def _biases(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Those of the convolutions on integers, first to last."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"][1:]
    return [tensors[makers[node.input[2]].input[0]] for node in convolutions]


@pytest.mark.slow
def test_a_shifted_bias_is_taken_back(trained: RunFolder, films: np.ndarray):
    content = trained.onnx_file.read_bytes()
    model = onnx.load_from_string(content)
    fold_normalisation(model)
    quantised = onnx.load_from_string(int8_graph(content, [films]))
    expected = [numpy_helper.to_array(bias) for bias in _biases(quantised)]
    shifted = _biases(quantised)[3]
    shifted.CopyFrom(numpy_helper.from_array(expected[3] + np.int32(500), shifted.name))
    correct_biases(quantised, model, [films])
    for bias, before in zip(_biases(quantised), expected, strict=True):
        assert np.abs(numpy_helper.to_array(bias) - before).max() <= 1


@pytest.mark.slow
def test_the_same_run_gives_the_same_file(trained: RunFolder, films: np.ndarray):
    content = trained.onnx_file.read_bytes()
    assert int8_graph(content, [films]) == int8_graph(content, [films])
