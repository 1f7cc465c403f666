"""The network: torchvision's ResNet-18 with two classes, its initial weights, and the deployable module around it."""

import contextlib
import io
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import ResNet, ResNet18_Weights, resnet18

from pneumocli.core.errors import ModelFileError, shell_word
from pneumocli.core.files import again_if_stale
from pneumocli.core.records import CLASS_NAMES

# Mean and standard deviation of ImageNet's photographs per channel, on a 0-1 scale: what the pretrained weights were
# trained with (torchvision, IMAGENET1K_V1 transforms). Used from scratch, too, so that one graph serves both.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)

_HEAD = ("fc.weight", "fc.bias")
IMAGENET_CLASSES = 1000

StateDict = dict[str, Tensor]


def build_network(seed: int) -> ResNet:
    """A ResNet-18 with a two-class head and torchvision's random initial weights.

    Names of its tensors and its results are torchvision's, bit for bit; its first pooling comes before its first relu.

    Args:
        seed: Decides the weights; torch's global generator is left as it was.

    Returns:
        The network on the CPU, in training mode, float32.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: ResNet = resnet18(weights=None, num_classes=len(CLASS_NAMES))
    # max(relu(x)) = relu(max(x)), gradients included: pooled first, relu has a quarter of the numbers to go through,
    # the largest of the network. Measured: 4 % of a training step on a CPU.
    network.relu, network.maxpool = nn.Identity(), nn.Sequential(network.maxpool, network.relu)
    return network


def imagenet_weights() -> StateDict:
    """torchvision's ImageNet weights, downloaded once into torch's cache and checked by hash.

    Raises:
        ModelFileError: They are not in the cache and cannot be fetched.
    """
    weights = ResNet18_Weights.IMAGENET1K_V1
    name = weights.url.rsplit("/", 1)[-1]
    place = Path(torch.hub.get_dir()) / "checkpoints" / name
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # torch announces the download there
            state: StateDict = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:  # RuntimeError: the hash of a fetched file is wrong
        reason = error.reason if isinstance(error, URLError) else error
        raise ModelFileError(
            f"the ImageNet weights {name} are not at {place} and could not be fetched: {reason}",
            f"put {name} there, or train with --weights FILE",
        ) from error
    return state


def read_state_dict(file: Path) -> StateDict:
    """The ResNet-18 weights in a file: a plain state dict in torchvision's names, or a run's ``best.pt``.

    Nothing in the file is executed (``weights_only=True``).

    Returns:
        Tensors by name, on the CPU; the head may be of any number of classes.

    Raises:
        ModelFileError: The file is missing, damaged, or holds other names or shapes.
    """
    loaded = load_tensors(file)
    state = loaded["weights"] if isinstance(loaded, Mapping) and "weights" in loaded else loaded
    return check_state_dict(file, state)


def load_tensors(file: Path) -> object:
    """Loads a file of ``torch.save`` without running code in it, on the CPU.

    Raises:
        ModelFileError: The file is missing, damaged, or holds objects other than plain data.
    """
    if not file.is_file():
        raise ModelFileError(f"no file at {file}", f"ls -l {shell_word(file.parent)} shows what is there")
    try:
        with warnings.catch_warnings():
            # A newer pickle protocol either loads or is refused below: its warning is of no use to the user.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return again_if_stale(lambda: torch.load(file, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise ModelFileError(
            f"{file} cannot be loaded safely: it is damaged, or holds objects other than tensors and plain data",
            "expected tensors by name, as torch.save(model.state_dict(), FILE) writes",
        ) from error
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
    ) as error:
        # torch.load raises any of these on a damaged file, depending on the byte that is wrong.
        raise ModelFileError(
            f"{file} is damaged or no file of torch.save", "copy or download the weights anew"
        ) from error


def check_state_dict(file: Path, state: object) -> StateDict:
    """Checks names, shapes and numbers against torchvision's ResNet-18; only the number of classes is free.

    Args:
        file: Where it was read from, for the messages.
        state: As :func:`load_tensors` gave it.

    Returns:
        The tensors by name.

    Raises:
        ModelFileError: It is no state dict; a name is missing or unknown, a shape differs, or a tensor is no plain one
            of real, finite numbers.
    """
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelFileError(
            f"{file} holds no state dict",
            "expected tensors by name, as torch.save(model.state_dict(), FILE) writes",
        )
    with torch.device("meta"):
        expected = resnet18(weights=None, num_classes=len(CLASS_NAMES)).state_dict()
    # Files saved before torch 0.4.1 lack these counters, which nothing reads when BatchNorm has a momentum.
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name not in expected]
    if missing or unknown:
        raise ModelFileError(
            f"{file} is no ResNet-18 in torchvision's names: "
            + "; ".join(
                f"{len(names)} {what}, such as {names[0]}"
                for what, names in (("missing", missing), ("unknown", unknown))
                if names
            ),
            "expected the names of torchvision.models.resnet18().state_dict()",
        )
    for name, tensor in state.items():
        if not _is_plain(tensor) or not (name.endswith("num_batches_tracked") or tensor.dtype in _REAL):
            raise ModelFileError(
                f"{file}: {name} is no plain tensor of real numbers ({tensor.dtype})",
                "save the network's float32 state dict anew: dense, not quantised",
            )
        free = name in _HEAD and tensor.dim() > 0
        shape = (tensor.shape[0], *expected[name].shape[1:]) if free else expected[name].shape
        if tensor.shape != torch.Size(shape):
            raise ModelFileError(
                f"{file}: {name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}",
                "take the weights of a ResNet-18, not of a ResNet-34 or -50",
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(
                f"{file}: {name} holds numbers that are not finite",
                "the training that wrote it had diverged: take other weights",
            )
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise ModelFileError(f"{file}: {name} holds negative variances", "copy or download the weights anew")
    if state["fc.weight"].shape[0] != state["fc.bias"].shape[0]:
        raise ModelFileError(
            f"{file}: fc.weight and fc.bias are of different numbers of classes", "save the network's state dict anew"
        )
    return dict(state)


_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense and in memory: files can hold others, which no network takes."""
    if tensor.is_nested or tensor.is_quantized:
        return False
    return tensor.layout is torch.strided and tensor.device.type == "cpu"


def load_initial_weights(network: ResNet, state: Mapping[str, Tensor]) -> bool:
    """Copies weights into ``network``; a head of another number of classes stays as it was initialised.

    Args:
        network: Changed in place.
        state: Checked by :func:`check_state_dict`.

    Returns:
        Whether the head was taken over, too.
    """
    takes_head = state["fc.weight"].shape[0] == len(CLASS_NAMES)
    chosen = {name: tensor for name, tensor in state.items() if takes_head or name not in _HEAD}
    network.load_state_dict(chosen, strict=False)  # what may be missing was checked: head and counters
    return takes_head


def freeze_backbone(network: ResNet) -> None:
    """Leaves only the last layer to be trained. :func:`set_training` keeps the BatchNorm layers in eval mode."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad = name in _HEAD


def set_training(network: ResNet, freeze: Literal["none", "backbone"]) -> None:
    """Puts the network into training mode; a frozen backbone stays in eval mode, or its BatchNorm would drift."""
    network.train(freeze == "none")
    network.fc.train()


class DeployableNet(nn.Module):
    """A finished network with its normalisation inside: 8-bit grey pixels in, everything a caller needs out.

    Args:
        network: A ResNet-18 with a two-class head.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1) * 255, persistent=False)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Grey pixels, uint8 (N,1,S,S), as the network's input, float32 (N,3,S,S)."""
        return (pixels.to(torch.float32) - self.mean) / self.std

    def levels(self, dtype: torch.dtype) -> Tensor:
        """What each grey level becomes in each channel, (256,3): a table for :func:`looked_up`.

        Args:
            dtype: Of the numbers, which are those of :meth:`normalise`, rounded to it.
        """
        grey = torch.arange(256, dtype=torch.uint8, device=self.mean.device)
        return self.normalise(grey.view(256, 1, 1, 1)).view(256, 3).to(dtype)

    def maps(self, pixels: Tensor) -> Tensor:
        """Activations before pooling, (N,512,h,w), of uint8 pixels (N,1,S,S)."""
        network = self.network
        out = network.maxpool(network.relu(network.bn1(network.conv1(self.normalise(pixels)))))
        return network.layer4(network.layer3(network.layer2(network.layer1(out))))  # type: ignore[no-any-return]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores films.

        Args:
            pixels: uint8 (N,1,S,S), grey, prepared by :func:`pneumocli.data.images.fit_film`.

        Returns:
            ``logits`` (N,2); ``cam`` (N,2,h,w), whose mean over h and w plus the bias of the last layer is the
            class's logit; ``features`` (N,512), the pooled activations.

        References:
            Class activation maps: Zhou et al. 2016, doi:10.1109/CVPR.2016.319.
        """
        maps = self.maps(pixels)
        features = maps.mean((2, 3))
        logits = self.network.fc(features)
        cam = torch.einsum("ck,nkhw->nchw", self.network.fc.weight, maps)
        return logits, cam, features


def looked_up(pixels: Tensor, levels: Tensor) -> Tensor:
    """Grey pixels, uint8 (N,1,S,S), as the network's input, (N,3,S,S) in ``channels_last``.

    The numbers are those of :meth:`DeployableNet.normalise`, without its float32 pictures in between. The exported
    graph has the arithmetic itself.

    Args:
        pixels: On the device of the table.
        levels: Of :meth:`DeployableNet.levels`; decides the dtype.
    """
    rows = levels.index_select(0, pixels.int().view(-1))
    return rows.view(len(pixels), *pixels.shape[2:], 3).permute(0, 3, 1, 2)
