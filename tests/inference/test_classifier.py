"""One truth: the model file, at every setting, gives what the torch module gives; a damaged one gives nothing."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pneumocli.core.errors import DeviceError, ModelFileError, OutOfMemory, RunError
from pneumocli.inference.classifier import Classifier, OnnxBackend, TorchBackend, sigmoid_of
from pneumocli.inference.scoring import score_films
from pneumocli.metrics.classification import sigmoid
from pneumocli.model.weights import load_best
from pneumocli.run_folder import RunFolder
from tests.conftest import copy_of


def test_torch_scores_in_exact_float32(trained: RunFolder, pixels: np.ndarray):
    """cuDNN rounds to TF32 by itself on cards from 8.0 on: logits would not be those of the other backend."""
    backend, used = TorchBackend(trained.best_file, "cpu"), []
    convolutions = torch.backends.cudnn.conv
    backend.net.network.conv1.register_forward_hook(lambda *_: used.append(convolutions.fp32_precision))
    by_default = convolutions.fp32_precision
    backend.run(pixels)
    assert used == ["ieee"]
    assert convolutions.fp32_precision == by_default


def fail(*_: object) -> None:
    raise RuntimeError("MPS backend out of memory (MPS allocated: 17.99 GB)")


def test_too_little_memory_is_reported_with_a_smaller_batch(
    trained: RunFolder, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    on_torch = TorchBackend(trained.best_file, "cpu")
    on_torch.net.network.layer4.register_forward_hook(fail)
    on_onnx = OnnxBackend(trained.onnx_file, image_size=64)
    monkeypatch.setattr(on_onnx, "_session", SimpleNamespace(run=fail))
    for backend in (on_torch, on_onnx):
        for count, hint in ((12, "--batch-size 6"), (1, "end other programs that use it, or --device cpu")):
            with pytest.raises(OutOfMemory, match="too little memory") as caught:
                backend.run(pixels[:count])
            assert caught.value.hint == hint
    monkeypatch.setattr(torch.nn.Module, "to", fail)
    with pytest.raises(OutOfMemory, match="too little memory for the network"):
        TorchBackend(trained.best_file, "cpu")


@pytest.mark.parametrize("throughput", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 5, 12])
def test_every_setting_gives_the_same_logits(
    trained: RunFolder, pixels: np.ndarray, truth: np.ndarray, throughput: bool, threads: int, batch: int
):
    backend = OnnxBackend(trained.onnx_file, image_size=64, throughput=throughput, threads=threads)
    found = np.concatenate([backend.run(pixels[i : i + batch]).logits for i in range(0, len(pixels), batch)])
    np.testing.assert_allclose(found, truth, atol=1e-4)


def test_the_map_sums_to_the_logit(trained: RunFolder, pixels: np.ndarray):
    outputs = Classifier.of_run(trained).run(pixels)
    weights, _ = load_best(trained.best_file)
    bias = weights["fc.bias"].numpy()
    np.testing.assert_allclose(outputs.cam.mean((2, 3)) + bias, outputs.logits, atol=1e-4)


def test_probability_uses_the_cards_temperature(trained: RunFolder):
    classifier = Classifier.of_run(trained)
    classifier.card = classifier.card.model_copy(update={"temperature": 2.0})
    assert classifier.probability(0.0) == 0.5
    assert classifier.probability(3.0) == pytest.approx(1 / (1 + np.exp(-1.5)))
    assert classifier.probability(1e6) == 1
    assert classifier.probability(-1e6) == 0


@pytest.mark.parametrize("name", ["model.onnx", "best.pt"])
def test_a_damaged_file_of_a_run_never_gives_an_answer(trained: RunFolder, tmp_path: Path, name: str):
    run = copy_of(trained, tmp_path / "run")
    file = run.path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a weight: the file is still well-formed
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match="SHA-256"):
        Classifier.load(file)
    if name == "model.onnx":
        with pytest.raises(ModelFileError, match="SHA-256"):
            Classifier.of_run(run)


def test_a_run_that_has_not_finished_gives_no_model(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    run.result_file.unlink()
    with pytest.raises(RunError):
        Classifier.of_run(run)


def test_a_model_file_on_its_own_works(trained: RunFolder, films: list[Path], tmp_path: Path):
    file = tmp_path / "moved \N{LUNGS}.onnx"
    shutil.copy(trained.onnx_file, file)
    (film,) = score_films(Classifier.load(file), films[:1])
    assert film.error is None
    with pytest.raises(ModelFileError, match="runs on the CPU only"):
        Classifier.load(file, device="cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_cpu_never_stands_in_for_a_gpu(trained: RunFolder):
    with pytest.raises(DeviceError, match="device cuda was asked for"):
        Classifier.of_run(trained, "cuda")


def test_weights_that_are_not_finite_are_refused(trained: RunFolder, tmp_path: Path, pixels: np.ndarray):
    import onnx

    model = onnx.load(trained.onnx_file)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("fc.bias"))
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([np.nan, 0], np.float32), tensor.name))
    file = tmp_path / "model.onnx"
    onnx.save(model, file)
    with pytest.raises(ModelFileError, match="not finite"):
        Classifier.load(file).run(pixels)


def test_a_card_for_another_size_is_refused(trained: RunFolder, tmp_path: Path):
    import onnx

    model = onnx.load(trained.onnx_file)
    (entry,) = (entry for entry in model.metadata_props if entry.key == "pneumo_card")
    entry.value = json.dumps({**json.loads(entry.value), "image_size": 96})
    file = tmp_path / "model.onnx"
    onnx.save(model, file)
    with pytest.raises(ModelFileError, match="its card expects"):
        Classifier.load(file)
    entry.value = "{}"
    onnx.save(model, file)
    with pytest.raises(ModelFileError, match="its card is damaged"):
        Classifier.load(file)


def test_a_films_probability_is_that_of_the_evaluation_to_the_last_digit():
    logits = np.r_[np.random.default_rng(0).normal(size=2000) * 20, -800, -38, 0, 38, 800]
    assert [sigmoid_of(float(logit)) for logit in logits] == sigmoid(logits).tolist()
