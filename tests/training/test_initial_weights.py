"""Which part of the weights in a file a training starts from, as it reports it."""

from pathlib import Path

import pytest
import torch

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import ModelFileError
from pneumocli.core.events import Event, Remark
from pneumocli.model.network import build_network, check_state_dict
from pneumocli.model.weights import load_best, save_best
from pneumocli.run_folder import RunFolder
from pneumocli.training.train import _initial_network


@pytest.mark.parametrize(
    ("classes", "remark"),
    [
        (1, "the last layer of w.pth is left out: it is for 1 class, expected 2"),
        (3, "the last layer of w.pth is left out: it is for 3 classes, expected 2"),
        (2, "starting from w.pth, its last layer included"),
        (1000, None),  # ImageNet's: nobody expects it to be kept
    ],
)
def test_a_last_layer_that_is_left_out_is_reported(
    classes: int, remark: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    state = build_network(seed=1).state_dict()
    state["fc.weight"], state["fc.bias"] = torch.ones(classes, 512), torch.ones(classes)
    torch.save(state, "w.pth")
    events: list[Event] = []
    network = _initial_network(TrainConfig(weights=Path("w.pth")), events.append)
    assert [event.text for event in events if isinstance(event, Remark)] == ([] if remark is None else [remark])
    assert torch.equal(network.conv1.weight, state["conv1.weight"])
    assert bool((network.fc.bias == 1).all()) == (classes == 2)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("fc.weight", torch.tensor(1.0), "fc.weight has shape \\(\\), expected"),
        ("fc.weight", torch.ones(2, 512).to_sparse(), "no plain tensor of real numbers"),
        ("fc.bias", torch.ones(2, dtype=torch.complex64), "no plain tensor of real numbers \\(torch.complex64\\)"),
        ("fc.bias", torch.ones(2, dtype=torch.int32), "no plain tensor of real numbers \\(torch.int32\\)"),
        ("fc.bias", torch.ones(2, device="meta"), "no plain tensor"),
        ("bn1.running_var", -torch.ones(64), "holds negative variances"),
        ("bn1.weight", None, "holds no state dict"),
    ],
)
def test_weights_that_no_network_takes_are_refused(
    name: str, tensor: torch.Tensor | None, message: str, tmp_path: Path
):
    state = build_network(seed=1).state_dict() | {name: tensor}
    with pytest.raises(ModelFileError, match=message):
        check_state_dict(tmp_path / "w.pth", state)


def test_a_model_of_ten_classes_is_no_model_of_this_program(trained: RunFolder, tmp_path: Path):
    _, card = load_best(trained.best_file)
    state = build_network(seed=1).state_dict()
    state["fc.weight"], state["fc.bias"] = torch.ones(10, 512), torch.ones(10)
    save_best(tmp_path / "best.pt", state, card)
    with pytest.raises(ModelFileError, match="its network is for 10 classes, expected 2"):
        load_best(tmp_path / "best.pt")
