"""model.py: the network, its initial weights, the deployable module."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from pneumocli.core.errors import ModelFileError
from pneumocli.model.network import (
    DeployableNet,
    build_network,
    freeze_backbone,
    imagenet_weights,
    load_initial_weights,
    looked_up,
    read_state_dict,
    set_training,
)
from tests.helpers.meta_memory import MemoryInUse

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_the_seed_decides_the_weights_and_nothing_else():
    before = torch.get_rng_state()
    one, same, other = build_network(1).fc.weight, build_network(1).fc.weight, build_network(2).fc.weight
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_deployable_module_is_the_network_with_its_normalisation():
    network = build_network(0).eval()
    pixels = torch.randint(0, 256, (3, 1, 64, 64), dtype=torch.uint8)
    logits, cam, features = DeployableNet(network)(pixels)
    by_hand = (pixels.expand(-1, 3, -1, -1) / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    torch.testing.assert_close(logits, network(by_hand), atol=1e-5, rtol=1e-5)
    assert (logits.shape, cam.shape, features.shape) == ((3, 2), (3, 2, 2, 2), (3, 512))
    # the class activation map is exact: its mean and the bias are the logit
    torch.testing.assert_close(cam.mean((2, 3)) + network.fc.bias, logits, atol=1e-5, rtol=1e-5)


def normalised_and_cast(net: DeployableNet, pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The input of the first convolution without a table."""
    return net.normalise(pixels).contiguous(memory_format=torch.channels_last).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_that_are_looked_up_are_normalised_bit_for_bit(dtype: torch.dtype):
    net = DeployableNet(build_network(0))
    pixels = torch.arange(256, dtype=torch.uint8).repeat(12).view(3, 1, 32, 32)
    inputs = looked_up(pixels, net.levels(dtype))
    assert inputs.dtype == dtype
    assert torch.equal(inputs, normalised_and_cast(net, pixels, dtype))
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    single = looked_up(pixels[:1], net.levels(dtype))
    assert torch.equal(single, inputs[:1]), "a film alone is as it is in a batch"


def memory_of(make: Callable[[torch.Tensor], torch.Tensor], count: int) -> int:
    """Bytes that it takes at the most to make a network's input of so many squares of 224 pixels."""
    pixels = torch.empty(count, 1, 224, 224, dtype=torch.uint8, device="meta")
    with MemoryInUse() as memory:
        made = make(pixels)
    assert made.shape == (count, 3, 224, 224)
    return memory.peak


@pytest.mark.parametrize(("dtype", "bytes_before", "bytes_now"), [(torch.float32, 24, 16), (torch.bfloat16, 24, 10)])
def test_looking_pixels_up_takes_less_memory(dtype: torch.dtype, bytes_before: int, bytes_now: int):
    """Per pixel: an index of 4 bytes and three numbers of the dtype, instead of two float32 pictures."""
    net = DeployableNet(build_network(0)).to("meta")
    levels, pixels = net.levels(dtype), 32 * 224 * 224
    assert memory_of(lambda films: normalised_and_cast(net, films, dtype), 32) >= bytes_before * pixels
    assert memory_of(lambda films: looked_up(films, levels), 32) == bytes_now * pixels


@pytest.mark.slow
def test_the_network_computes_what_torchvisions_does_bit_for_bit():
    """Its first pooling comes before its first relu: outputs, gradients and running statistics are the same."""
    network, original = build_network(0), resnet18(num_classes=2)
    original.load_state_dict(network.state_dict())
    inputs = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for net in (network, original):
        net.to(memory_format=torch.channels_last)
        net(inputs).square().sum().backward()
    for (name, mine), theirs in zip(network.named_parameters(), original.parameters(), strict=True):
        assert torch.equal(mine.grad, theirs.grad), name
    for name, buffer in original.state_dict().items():
        assert torch.equal(network.state_dict()[name], buffer), name
    assert torch.equal(network.eval()(inputs), original.eval()(inputs))


def test_imagenets_head_is_left_behind_and_a_runs_head_is_taken_over(tmp_path: Path):
    imagenet = resnet18(num_classes=1000).state_dict()
    network = build_network(0)
    head = network.fc.weight.clone()
    assert not load_initial_weights(network, read_state_dict(saved(tmp_path / "imagenet.pth", imagenet)))
    assert torch.equal(network.conv1.weight, imagenet["conv1.weight"])
    assert torch.equal(network.fc.weight, head)
    best = {"schema_version": 1, "weights": build_network(5).state_dict(), "card": {}}
    assert load_initial_weights(network, read_state_dict(saved(tmp_path / "best.pt", best)))
    assert torch.equal(network.fc.weight, best["weights"]["fc.weight"])


def broken_weights() -> dict[str, object]:
    whole = build_network(0).state_dict()
    return {
        "missing, such as fc.weight": {name: value for name, value in whole.items() if name != "fc.weight"},
        "unknown, such as head.weight": {**whole, "head.weight": torch.zeros(1)},
        "conv1.weight has shape (64, 1, 7, 7), expected (64, 3, 7, 7)": {
            **whole,
            "conv1.weight": torch.zeros(64, 1, 7, 7),
        },
        "conv1.weight holds numbers that are not finite": {
            **whole,
            "conv1.weight": torch.full((64, 3, 7, 7), torch.nan),
        },
        "of different numbers of classes": {**whole, "fc.bias": torch.zeros(3)},
        "holds no state dict": ["a", "list"],
    }


@pytest.mark.parametrize("words", broken_weights())
def test_foreign_weights_are_refused_with_what_differs(words: str, tmp_path: Path):
    with pytest.raises(ModelFileError) as caught:
        read_state_dict(saved(tmp_path / "w.pth", broken_weights()[words]))
    assert words in caught.value.message
    assert "w.pth" in caught.value.message


class Payload:
    """An object whose unpickling would run code."""

    def __reduce__(self):
        return print, ("code from a model file ran",)


def test_a_weights_file_cannot_run_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ModelFileError, match="cannot be loaded safely"):
        read_state_dict(saved(tmp_path / "evil.pth", {"weights": Payload()}))
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", [b"", b"no weights", b"PK\x03\x04" + bytes(200), pickle.dumps({"a": 1}, protocol=5)]
)
def test_a_damaged_weights_file_is_told(content: bytes, tmp_path: Path):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"w\.pth"):
        read_state_dict(tmp_path / "w.pth")


def test_a_missing_weights_file_is_told(tmp_path: Path):
    with pytest.raises(ModelFileError, match="no file at"):
        read_state_dict(tmp_path / "none.pth")


def test_imagenet_weights_without_network_name_the_place_and_the_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # A proxy that refuses: the real download code runs and fails as it does without internet.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(ModelFileError) as caught:
        imagenet_weights()
    assert str(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth") in caught.value.message
    assert "--weights FILE" in (caught.value.hint or "")


def test_a_frozen_backbone_trains_the_head_alone_and_keeps_its_statistics():
    network = build_network(0)
    freeze_backbone(network)
    set_training(network, "backbone")
    assert [name for name, value in network.named_parameters() if value.requires_grad] == ["fc.weight", "fc.bias"]
    before = network.bn1.running_mean.clone()
    network(torch.randn(2, 3, 64, 64))
    assert torch.equal(network.bn1.running_mean, before)
    assert not network.bn1.training
    assert network.fc.training
