"""Averaged weights: an exponential moving average of what a network has been."""

import copy
import math

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torchvision.models import ResNet


class AveragedWeights:
    """A second network whose weights follow those of the trained one, averaged over its recent steps.

    BatchNorm's running statistics are averaged alike: they belong to the weights, and those of the last step would not
    fit the average. A pass over the training films would fit them more closely, at the cost of a third of an epoch.

    Args:
        network: The trained network, on its device; the average begins as a copy of it.
        time_constant: Steps after which a step's share has fallen to 1/e, above 0.

    Attributes:
        network: The average, in evaluation mode.

    References:
        Polyak & Juditsky 1992, doi:10.1137/0330046.
    """

    def __init__(self, network: ResNet, time_constant: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._decay = math.exp(-1 / time_constant)
        own = dict(self.network.named_parameters()) | dict(self.network.named_buffers())
        trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
        # A frozen backbone has frozen statistics, too.
        moving = dict(network.named_buffers()) if len(trained) == len(list(network.parameters())) else {}
        followed = trained | moving
        names = [name for name, tensor in followed.items() if tensor.is_floating_point()]
        self._averages, self._sources = [own[name] for name in names], [followed[name] for name in names]
        self._counters = [(own[name], tensor) for name, tensor in followed.items() if name not in names]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Takes up the weights after a step.

        Args:
            step: 1-based over all epochs. Early steps count for more, or the average would hold the initial weights
                for long: the share that is kept grows as (1 + step) / (10 + step).
        """
        kept = min(self._decay, (1 + step) / (10 + step))
        average: list[Tensor] = [tensor.data for tensor in self._averages]
        into = get_ema_multi_avg_fn(kept)  # type: ignore[no-untyped-call] # torch has left it without types
        into(average, [tensor.data for tensor in self._sources], None)
        for counter, source in self._counters:
            counter.copy_(source)
