"""Several views of each film inside the network: mirrored, and the whole frame beside its centre. Outputs are averaged.

A caller hands in one square, as ever; the views are made in the module, and so in the exported graph. With four views
the square is the whole frame, 8/7 of the network's side: its middle is the centre crop, pixel by pixel, and the frame
reduced to the network's side is the other view.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models import ResNet

from pneumocli.core.records import Fit
from pneumocli.model.network import DeployableNet

# As in the evaluation preprocessing: a frame of 256 for a centre crop of 224.
_FRAME, _CROP = 256, 224

# ResNet-18 reduces a picture's side by this factor, rounded up.
_STRIDE = 32

# Lobes of the Lanczos filter.
_LOBES = 3


def delivered(image_size: int, fit: Fit, views: int) -> tuple[int, Fit]:
    """The square that a model with so many views takes.

    Args:
        image_size: Side of what the network sees.
        fit: How films become square for one view.
        views: 1, 2 or 4.

    Returns:
        Side in pixels, and how films become square: four views need the whole frame, so ``crop`` becomes ``squash``.
    """
    if views < 4:
        return image_size, fit
    return round(image_size * _FRAME / _CROP), "squash" if fit == "crop" else fit


def deployable(network: ResNet, image_size: int, views: int) -> DeployableNet:
    """A finished network as it is exported and run.

    Args:
        network: A ResNet-18 with a two-class head.
        image_size: Side of the square that it takes, as in the card.
        views: 1, 2 or 4, as in the card.
    """
    return DeployableNet(network) if views == 1 else _ViewedNet(network, image_size, views)


class _ViewedNet(DeployableNet):
    """The deployable module with two or four views of each film, run as one batch.

    The last layer is linear, so it is applied to the mean of the features: that is the mean of the logits.
    """

    reduce_rows: Tensor
    reduce_columns: Tensor
    spread_rows: Tensor
    spread_columns: Tensor

    def __init__(self, network: ResNet, image_size: int, views: int) -> None:
        super().__init__(network)
        self._whole_frame = views == 4
        if self._whole_frame:
            side = round(image_size * _CROP / _FRAME)
            # Python's rounding, as the evaluation preprocessing places its crop
            self._edge = round((image_size - side) / 2.0)
            self._far_edge = self._edge + side
            self._keep("reduce", reduction(image_size, side))
            self._keep("spread", _spread(-(-side // _STRIDE), self._edge / image_size, self._far_edge / image_size))

    def _keep(self, name: str, matrix: NDArray[np.float32]) -> None:
        rows = torch.from_numpy(matrix)
        self.register_buffer(f"{name}_rows", rows, persistent=False)
        self.register_buffer(f"{name}_columns", rows.T.contiguous(), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores films by all views, see :meth:`DeployableNet.forward`.

        Args:
            pixels: uint8 (N,1,S,S).

        Returns:
            Logits, class activation maps in the place of ``pixels``, and features, each the mean over the views.
        """
        films = pixels.shape[0]
        plain = self._plain_views(pixels)
        maps = self.maps(torch.cat([*plain, *(view.flip(3) for view in plain)]))
        features = _parts(maps.mean((2, 3)), films, 2 * len(plain))
        mean = sum(features[1:], features[0]) / len(features)
        cams = _parts(torch.einsum("ck,nkhw->nchw", self.network.fc.weight, maps), films, 2 * len(plain))
        upright = [(cam + mirrored.flip(3)) / 2 for cam, mirrored in zip(cams, cams[len(plain) :], strict=False)]
        cam = upright[0]
        if self._whole_frame:
            cam = (self.spread_rows @ cam @ self.spread_columns + upright[1]) / 2
        return self.network.fc(mean), cam, mean

    def _plain_views(self, pixels: Tensor) -> list[Tensor]:
        if not self._whole_frame:
            return [pixels]
        frame = pixels.to(torch.float32)
        middle = slice(self._edge, self._far_edge)
        return [frame[:, :, middle, middle], self.reduce_rows @ frame @ self.reduce_columns]


def _parts(stacked: Tensor, films: int, count: int) -> list[Tensor]:
    """A batch of views as ``count`` tensors of one view each.

    Cut off one after the other: every place is then a number of films itself, and the graph needs no arithmetic of
    shapes, whose operators a model file may not hold.
    """
    parts = []
    for _ in range(count - 1):
        parts.append(stacked[:films])
        stacked = stacked[films:]
    return [*parts, stacked]


def reduction(side: int, smaller: int) -> NDArray[np.float32]:
    """The matrix that reduces a row of pixels: Lanczos with three lobes, antialiased.

    Bilinear reduction would smooth a frame that was reduced once already, and sharpness predicts the class of the
    training films (docs/results.md).

    Returns:
        float32 (smaller,side); each row adds up to 1.

    References:
        Duchon 1979, doi:10.1175/1520-0450(1979)018<1016:LFIOAT>2.0.CO;2.
    """
    factor = side / smaller
    centres = (np.arange(smaller) + 0.5) * factor
    distance = (np.arange(side) + 0.5 - centres[:, None]) / factor
    weights = np.where(np.abs(distance) < _LOBES, np.sinc(distance) * np.sinc(distance / _LOBES), 0.0)
    matrix: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def _spread(cells: int, start: float, stop: float) -> NDArray[np.float32]:
    """The matrix that lays a row of cells, which covers ``start`` to ``stop`` of a frame, over the frame's cells.

    Each cell is dealt out by area, so that the sum, which is the logit, stays what it was.

    Returns:
        float32 (cells,cells); each column adds up to 1.
    """
    edges = np.linspace(0, 1, cells + 1)
    inner = start + (stop - start) * edges
    overlap = np.minimum(edges[1:, None], inner[None, 1:]) - np.maximum(edges[:-1, None], inner[None, :-1])
    shares = np.maximum(overlap, 0) / np.diff(inner)
    matrix: NDArray[np.float32] = (shares / shares.sum(axis=0)).astype(np.float32)
    return matrix
