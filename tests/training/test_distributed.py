"""Which device each process of a training takes, and what the processes talk through."""

import pytest
import torch
import torch.distributed as dist

from pneumocli.core.errors import DeviceError, FirstProcessFailed, PneumoError
from pneumocli.model.device import resolve_device
from pneumocli.training.distributed import Team, team

SETTINGS = ("auto", "cuda", "cuda:1", "mps", "cpu")

# By GPUs of the machine, processes on it, and the order of SETTINGS: what process 0 and the last one get.
REFUSED = "refused"
NO_GPU = "no GPU"
MATRIX = {
    (0, 1): ["cpu", NO_GPU, NO_GPU, NO_GPU, "cpu"],
    (0, 2): ["cpu", NO_GPU, REFUSED, REFUSED, "cpu"],
    (1, 1): ["cuda:0", "cuda:0", NO_GPU, NO_GPU, "cpu"],
    (1, 2): [REFUSED, REFUSED, REFUSED, REFUSED, "cpu"],
    (2, 1): ["cuda:0", "cuda:0", "cuda:1", NO_GPU, "cpu"],
    (2, 2): ["cuda:*", "cuda:*", REFUSED, REFUSED, "cpu"],
    (4, 2): ["cuda:*", "cuda:*", REFUSED, REFUSED, "cpu"],
    (4, 4): ["cuda:*", "cuda:*", REFUSED, REFUSED, "cpu"],
    (4, 8): [REFUSED, REFUSED, REFUSED, REFUSED, "cpu"],
}
CASES = [
    pytest.param(gpus, count, local_rank, setting, outcome, id=f"{setting}, {gpus} GPUs, process {local_rank}/{count}")
    for (gpus, count), outcomes in MATRIX.items()
    for setting, outcome in zip(SETTINGS, outcomes, strict=True)
    for local_rank in sorted({0, count - 1})
]


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Stands for the other processes and the GPUs: notes which backend is asked for and which GPU is made current."""
    noted: list[object] = []
    monkeypatch.setattr("pneumocli.training.distributed._store", lambda size: None)
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **_: noted.append(backend))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_device", noted.append)
    return noted


def machine(monkeypatch: pytest.MonkeyPatch, gpus: int, count: int, local_rank: int) -> None:
    """A machine of so many GPUs, on which torchrun has started so many processes: this one, on the second of two."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    if count > 1:
        monkeypatch.setenv("WORLD_SIZE", str(2 * count))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(count))
        monkeypatch.setenv("RANK", str(count + local_rank))
        monkeypatch.setenv("LOCAL_RANK", str(local_rank))


@pytest.mark.parametrize(("gpus", "count", "local_rank", "setting", "outcome"), CASES)
def test_every_process_gets_a_device_of_its_own_or_one_sentence(
    gpus: int,
    count: int,
    local_rank: int,
    setting: str,
    outcome: str,
    joined: list[object],
    monkeypatch: pytest.MonkeyPatch,
):
    machine(monkeypatch, gpus, count, local_rank)
    if outcome in (REFUSED, NO_GPU):
        with pytest.raises(PneumoError) as caught, team(setting) as processes:
            resolve_device(processes.own_device(setting))
        assert isinstance(caught.value, DeviceError if local_rank == 0 else FirstProcessFailed)
        assert caught.value.hint or local_rank > 0
        assert ("processes" in caught.value.message) == (outcome == REFUSED)
        assert joined == []
        return
    with team(setting) as processes:
        device = resolve_device(processes.own_device(setting))
    assert device == torch.device(outcome.replace("*", str(local_rank)))
    if count == 1:
        assert joined == []
    elif device.type == "cuda":
        assert joined == [device.index, "cpu:gloo,cuda:nccl"]
    else:
        assert joined == ["gloo"]


def test_an_apple_gpu_is_not_taken_by_several_processes(joined: list[object], monkeypatch: pytest.MonkeyPatch):
    machine(monkeypatch, 0, 2, 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with team("auto") as processes:
        assert processes.own_device("auto") == "cpu"
    with pytest.raises(DeviceError, match="device mps was asked for by 4 processes"), team("mps"):
        pass
    assert resolve_device(Team().own_device("auto")) == torch.device("mps")
