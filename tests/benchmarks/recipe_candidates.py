"""What a recipe could do and pneumo does not: ``pneumo`` with one candidate put into its training, to measure it.

    export PNEUMO_CACHE=FOLDER
    python -m tests.benchmarks.recipe_candidates CANDIDATE train --recipe robust ...
    python -m tests.benchmarks.recipe_candidates CANDIDATE evaluate RUN --split val

What helps becomes a setting of the recipes; what does not is named in docs/results.md and stays here, so that the
package holds no setting that nobody should use. Runs of a candidate are for its measurement alone: the model file of
one that changes films (clahe, stretch) must be evaluated through this script, too. clahe needs scikit-image.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import ResNet

from pneumocli.cli.app import main
from pneumocli.data.images import Film, read_film
from pneumocli.inference import scoring
from pneumocli.model.network import looked_up
from pneumocli.training import dataset, loader, step, train
from pneumocli.training.averaging import AveragedWeights
from pneumocli.training.schedule import Pacer

Pixels = NDArray[np.uint8]


def _seen_as(change: Callable[[Pixels], Pixels], name: str) -> None:
    """Every film that the network sees is changed first, at training and at evaluation; its properties are not."""
    os.environ["PNEUMO_CACHE"] = str(Path(os.environ["PNEUMO_CACHE"]) / name)  # decoded films are others

    def changed(*args: Any, **kwargs: Any) -> Film:
        film = read_film(*args, **kwargs)
        return replace(film, pixels=change(film.pixels))

    for module in (dataset, loader, scoring):
        vars(module)["read_film"] = changed


def clahe() -> None:
    """Contrast-limited adaptive histogram equalisation: 8 x 8 tiles, clip limit .01."""
    from skimage.exposure import equalize_adapthist

    def change(pixels: Pixels) -> Pixels:
        tile = (max(8, pixels.shape[0] // 8), max(8, pixels.shape[1] // 8))
        result: Pixels = np.round(255 * equalize_adapthist(pixels, tile, clip_limit=0.01)).astype(np.uint8)
        return result

    _seen_as(change, "clahe")


def stretch() -> None:
    """Grey values from the 1st to the 99th percentile of a film spread over all 256."""

    def change(pixels: Pixels) -> Pixels:
        low, high = np.percentile(pixels, (1, 99))
        result: Pixels = np.clip((pixels - low) / max(high - low, 1) * 255, 0, 255).round().astype(np.uint8)
        return result

    _seen_as(change, "stretch")


def _forward(change: Callable[[Tensor, torch.Generator], Tensor]) -> None:
    """The pictures of every batch are changed behind their augmentation."""
    generator = torch.Generator().manual_seed(0)

    def changed(pixels: Tensor, levels: Tensor) -> Tensor:
        return change(looked_up(pixels, levels), generator)

    vars(step)["looked_up"] = changed


def cutout() -> None:
    """A square of a quarter of a picture's area, at a place drawn for each film, is its mean grey."""

    def change(inputs: Tensor, generator: torch.Generator) -> Tensor:
        side = inputs.shape[-1] // 2
        for picture in inputs:
            row, column = torch.randint(0, inputs.shape[-1] - side + 1, (2,), generator=generator).tolist()
            picture[:, row : row + side, column : column + side] = picture.mean()
        return inputs

    _forward(change)


def mixup() -> None:
    """Pairs of films mixed with a share from Beta(.2, .2), their losses with the same (Zhang et al. 2018)."""
    rng = np.random.default_rng(0)
    drawn: dict[str, Any] = {}

    def change(inputs: Tensor, generator: torch.Generator) -> Tensor:
        share = float(rng.beta(0.2, 0.2))
        other = torch.randperm(len(inputs), generator=generator)
        drawn.update(share=share, other=other)
        return share * inputs + (1 - share) * inputs[other]

    _forward(change)
    loss = step._weighted_loss

    def mixed(learner: Any, logits: Tensor, targets: Any, films: Tensor, batch: list[int], tally: Any) -> Tensor:
        ours = loss(learner, logits, targets, films, batch, tally)
        counted = tally.loss_sum.clone()  # the other half would count every film twice
        theirs = loss(learner, logits, targets, films[drawn["other"]], batch, tally)
        tally.loss_sum = counted
        share: float = drawn["share"]
        return share * ours + (1 - share) * theirs

    step._weighted_loss = mixed


def swa() -> None:
    """The plain mean of the weights after each step from the fourth epoch on (Izmailov et al. 2018)."""

    class Mean(AveragedWeights):
        def __init__(self, network: ResNet, time_constant: float) -> None:
            super().__init__(network, time_constant)
            self._begins = round(3 * time_constant)  # the recipe's time constant is an epoch's steps

        @torch.no_grad()
        def follow(self, step: int) -> None:
            share = 1 / max(1, step - self._begins)
            for average, source in zip(self._averages, self._sources, strict=True):
                average.data.lerp_(source.data, share)

    vars(step)["AveragedWeights"] = Mean


def layerwise() -> None:
    """The learning rate of each stage is .6 of that of the stage above it; the last layer has the whole rate."""

    def optimizer(trained: list[nn.Parameter], method: Any, *, fused: bool) -> torch.optim.Adam:
        # In the order of the network: the stem's three, then four stages, then the last layer's two.
        counts = (3, 12, 15, 15, 15, 2)
        assert len(trained) == sum(counts)
        groups, start = [], 0
        for depth, count in enumerate(counts):
            share = 0.6 ** (len(counts) - 1 - depth)
            groups.append({"params": trained[start : start + count], "lr": method.learning_rate, "share": share})
            start += count
        return torch.optim.Adam(groups, lr=method.learning_rate, fused=fused)

    class Layered(Pacer):
        def begin_step(self, optimizer: torch.optim.Optimizer) -> None:
            super().begin_step(optimizer)
            for group in optimizer.param_groups:
                group["lr"] *= group["share"]

    step._optimizer = optimizer
    vars(step)["Pacer"] = Layered


def sampling() -> None:
    """An epoch is as many films as there are, drawn with replacement so that either class is half of them."""
    prepare = vars(train)["prepare"]
    chances: list[float] = []

    def prepared(*args: Any, **kwargs: Any) -> Any:
        data = prepare(*args, **kwargs)
        labels = data.train_labels
        chances[:] = [1 / labels.count(label) for label in labels]
        return data

    def drawn(num_films: int, seed: int, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(loader.film_seed(seed, epoch, 0))
        order: list[int] = torch.tensor(chances).multinomial(num_films, replacement=True, generator=generator).tolist()
        return order

    vars(train)["prepare"] = prepared
    vars(loader)["epoch_order"] = drawn


CANDIDATES = {made.__name__: made for made in (clahe, stretch, cutout, mixup, swa, layerwise, sampling)}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    CANDIDATES[name]()
    sys.argv = ["pneumo", *arguments]
    main()
