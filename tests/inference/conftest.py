"""What tests of inference share: a few films, as the network sees them, and the torch module's logits for them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pneumocli.data.images import fit_film, read_film
from pneumocli.model.network import DeployableNet, build_network
from pneumocli.model.weights import load_best
from pneumocli.run_folder import RunFolder


@pytest.fixture(scope="module")
def films(phantoms: Path) -> list[Path]:
    return sorted((phantoms / "test").rglob("*.jpeg"))[:12]


@pytest.fixture(scope="module")
def pixels(films: list[Path]) -> np.ndarray:
    return np.stack([fit_film(read_film(film).pixels, 64, "crop") for film in films])[:, None]


@pytest.fixture(scope="module")
def truth(trained: RunFolder, pixels: np.ndarray) -> np.ndarray:
    """Logits of the torch module, film by film."""
    weights, _ = load_best(trained.best_file)
    network = build_network(seed=0)
    network.load_state_dict(weights)
    net = DeployableNet(network).eval()
    with torch.no_grad():
        return np.concatenate([net(torch.from_numpy(film[None]))[0].numpy() for film in pixels])
