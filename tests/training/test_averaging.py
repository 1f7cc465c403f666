"""averaging.py: a moving average of weights and BatchNorm statistics, worked out by hand."""

import math

import torch
from torchvision.models import ResNet

from pneumocli.model.network import build_network, freeze_backbone
from pneumocli.training.averaging import AveragedWeights


def fill(network: ResNet, value: float) -> None:
    for tensor in network.state_dict().values():
        tensor.fill_(value)


def test_it_follows_slowly_and_faster_at_first():
    network = build_network(0)
    fill(network, 1)
    average = AveragedWeights(network, time_constant=2)
    expected, decay = 1.0, math.exp(-1 / 2)
    for step, value in enumerate((3, 5, 2, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8), start=1):
        fill(network, value)
        average.follow(step)
        kept = min(decay, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * value
    for name, tensor in average.network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert tensor == 8
        else:
            torch.testing.assert_close(tensor, torch.full_like(tensor, expected))


def test_it_is_a_network_of_its_own_in_evaluation_mode():
    network = build_network(0)
    average = AveragedWeights(network, time_constant=100)
    assert network.training
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    before = average.network.fc.weight.clone()
    fill(network, 7)
    assert torch.equal(average.network.fc.weight, before)


def test_with_a_frozen_backbone_the_last_layer_alone_moves():
    network = build_network(0)
    freeze_backbone(network)
    average = AveragedWeights(network, time_constant=5)
    before = {name: tensor.clone() for name, tensor in average.network.state_dict().items()}
    fill(network, 7)
    average.follow(1)
    moved = {name for name, tensor in average.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"fc.weight", "fc.bias"}
