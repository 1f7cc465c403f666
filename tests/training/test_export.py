"""A model file is proven before it is written, for calm and for wild networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pneumocli.core.errors import CheckFailed
from pneumocli.data.images import fit_film, read_film
from pneumocli.inference.classifier import NetworkOutput
from pneumocli.model.network import build_network
from pneumocli.model.weights import load_best, save_best
from pneumocli.run_folder import RunFolder
from pneumocli.training.export import LARGEST_DIFFERENCE, largest_difference
from tests.helpers.exported import export


class Off:
    """A graph whose logits lie somewhat off what they must be."""

    def __init__(self, logits: np.ndarray, by: float) -> None:
        self.logits = (logits + by).astype(np.float32)

    def run(self, pixels: np.ndarray) -> NetworkOutput:
        return NetworkOutput(self.logits[: len(pixels)], np.zeros((1, 2, 1, 1), np.float32), np.zeros((1, 512), "f4"))


@pytest.mark.parametrize(
    ("reach", "off", "holds"),
    [
        (3.0, 9e-5, True),
        (3.0, 1.1e-4, False),
        (16.8, 1.25e-4, True),  # met on a CPU with AVX2 after four epochs from ImageNet weights
        (34.3, 9.7e-5, True),  # likewise
        (16.8, 5e-4, False),
        (300.0, 1e-2, False),
    ],
)
def test_what_float32_holds_depends_on_the_largest_logit(reach: float, off: float, holds: bool):
    logits = np.array([[reach, -1.0], [0.5, -0.5]], np.float32)
    pixels = np.zeros((2, 1, 4, 4), np.uint8)
    difference = largest_difference(lambda _: logits, [Off(logits, 0.0), Off(logits, off)], pixels)
    assert (difference < LARGEST_DIFFERENCE) == holds


@pytest.mark.slow
def test_a_wild_network_is_exported_within_what_float32_holds(trained: RunFolder, tmp_path: Path):
    """After an epoch of a few steps logits reach several hundred: 1e-4 is below their rounding."""
    _, card = load_best(trained.best_file)
    weights = build_network(0).state_dict()
    weights["fc.weight"] *= 2000
    save_best(tmp_path / "best.pt", weights, card)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 1, card.image_size, card.image_size), np.uint8)
    difference = export(tmp_path / "best.pt", tmp_path / "model.onnx", card, pixels)
    assert difference < 1e-4
    assert (tmp_path / "model.onnx").stat().st_size > 40_000_000
    assert torch.load(tmp_path / "best.pt", weights_only=True)["schema_version"] == 1


def test_the_graph_holds_no_paths_of_the_machine_it_was_made_on(trained: RunFolder):
    content = trained.onnx_file.read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[2]).encode() not in content


@pytest.mark.slow
def test_an_export_that_differs_is_not_written(
    trained: RunFolder, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    films = sorted((phantoms / "test").rglob("*.jpeg"))[:12]
    pixels = np.stack([fit_film(read_film(film).pixels, 64, "crop") for film in films])[:, None]
    graph = trained.onnx_file.read_bytes()
    monkeypatch.setattr("tests.helpers.exported.graph_of", lambda net, side: graph)
    weights, card = load_best(trained.best_file)
    target = tmp_path / "model.onnx"
    assert export(trained.best_file, target, card, pixels) < 1e-4
    assert target.read_bytes() == graph
    weights["fc.bias"] = weights["fc.bias"] + 0.01
    save_best(tmp_path / "best.pt", weights, card)
    with pytest.raises(CheckFailed, match=r"differ from the network's by 0\.0") as refusal:
        export(tmp_path / "best.pt", tmp_path / "other.onnx", card, pixels)
    assert refusal.value.hint is None
    weights["fc.weight"] = weights["fc.weight"] * 1e12
    save_best(tmp_path / "best.pt", weights, card)
    with pytest.raises(CheckFailed, match="differ") as refusal:
        export(tmp_path / "best.pt", tmp_path / "other.onnx", card, pixels)
    assert "the training came apart, train again with a smaller --lr" in (refusal.value.hint or "")
    assert not (tmp_path / "other.onnx").exists()
