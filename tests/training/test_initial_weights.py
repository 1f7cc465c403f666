"""Which part of the weights in a file a training starts from, as it reports it."""

from pathlib import Path

import pytest
import torch

from pneumocli.core.config import TrainConfig
from pneumocli.core.events import Event, Remark
from pneumocli.model.network import build_network
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
