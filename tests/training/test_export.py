"""export.py: proven before it is written, for calm and for wild networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pneumocli.model.network import build_network
from pneumocli.model.weights import load_best, save_best
from pneumocli.run_folder import RunFolder
from pneumocli.training.export import export


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
