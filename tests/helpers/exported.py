"""A model file of a ``best.pt``, as the end of a training writes it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumocli.model.card import ModelCard
from pneumocli.model.network import build_network
from pneumocli.model.views import deployable
from pneumocli.model.weights import load_best, load_reference
from pneumocli.training.export import graph_of, proven, write_model_file


def export(best_file: Path, onnx_file: Path, card: ModelCard, check_pixels: NDArray[np.uint8]) -> float:
    """Writes the file once it is proven on these films, uint8 (N,1,S,S); the largest difference of a logit."""
    weights, _ = load_best(best_file)
    network = build_network(seed=0)
    network.load_state_dict(weights)
    net = deployable(network, card.image_size, card.views).eval()
    graph = graph_of(net, card.image_size)
    _, difference = proven(net, graph, check_pixels, of=str(best_file))
    write_model_file(onnx_file, graph, card, load_reference(best_file))
    return difference
