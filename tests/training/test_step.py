"""A training step: what a learner holds, and how it continues from a checkpoint."""

import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import OutOfMemory
from pneumocli.core.events import ignore
from pneumocli.model.network import build_network
from pneumocli.training import step
from pneumocli.training.distributed import Team
from pneumocli.training.loop import Training, _Ticker
from pneumocli.training.plan import Plan
from pneumocli.training.schedule import Method
from pneumocli.training.step import (
    Learner,
    Targets,
    features_of,
    layout,
    make_learner,
    restore,
    train_epoch,
    train_head_epoch,
    validation_outputs,
)
from pneumocli.training.tally import Tally
from tests.training.test_loader import Noise, batches


def learner_of(device: str = "cpu", precision: str = "fp32", freeze: str = "none") -> Learner:
    plan = Plan(device=device, precision=precision, compile=False, threads=2, workers=0, world_size=1)
    return make_learner(
        build_network(0),
        plan,
        method=Method(learning_rate=1e-3),
        freeze=freeze,
        full=4,
        team=Team(),
    )


def targets_of(count: int) -> Targets:
    return Targets(torch.arange(count) % 2, torch.ones(count))


class Squares(Noise):
    """Films after the evaluation preprocessing."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, number: int) -> np.ndarray:
        return super().__getitem__(number)[:32, :32]


@pytest.mark.parametrize("begun", ["bf16", "fp16"])
@pytest.mark.parametrize("continued", ["fp32", "fp16"])
def test_a_run_continues_in_any_precision(begun: str, continued: str):
    """fp16 alone scales the loss: a scale of the earlier session is taken over, without one it starts anew."""
    before, after = learner_of(precision=begun), learner_of(precision=continued)
    before.scaler.scale(torch.ones(()))
    before.scaler.update(1024.0)
    restore(after, before.optimizer.state_dict(), before.scaler.state_dict())
    after.scaler.scale(torch.ones(()))
    expected = 1.0 if continued != "fp16" else 1024.0 if begun == "fp16" else 2.0**16
    assert after.scaler.get_scale() == expected


def precision_of_convolutions() -> str:
    return torch.backends.cudnn.conv.fp32_precision


def test_validation_is_exact_and_training_as_torch_does_it():
    """cuDNN rounds to TF32 by itself on cards from 8.0 on, and validation chooses threshold and temperature."""
    learner, films, used = learner_of(), Squares(), []
    learner.network.conv1.register_forward_hook(lambda *_: used.append(precision_of_convolutions()))
    by_default = precision_of_convolutions()
    validation_outputs(learner, films, 4)
    assert used == ["ieee", "ieee"]
    assert precision_of_convolutions() == by_default


class NoBlindCopies(TorchDispatchMode):
    """Fails on a copy that nobody waits for, unless CUDA's streams keep its order: MPS gives garbage silently."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        copies = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        if copies and (kwargs.get("non_blocking") or (func is torch.ops.aten.copy_.default and args[2:] == (True,))):
            devices = {args[0].device.type, torch.device(kwargs.get("device") or args[0].device).type}
            assert "cuda" in devices, f"a copy among {devices} that nobody waits for"
        return func(*args, **kwargs)


def ticker() -> _Ticker:
    training = SimpleNamespace(
        listener=ignore, data=SimpleNamespace(train_labels=[0]), config=SimpleNamespace(epochs=1)
    )
    return _Ticker(training, None, 1)


@pytest.mark.slow
@pytest.mark.parametrize("resize", ["workers", "device"])
def test_only_cuda_copies_behind_the_programs_back(resize: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pneumocli.training.loop._LOOK_SECONDS", 0.0)
    learner, targets = learner_of(), targets_of(23)
    with NoBlindCopies():
        train_epoch(learner, batches(resize=resize).epoch(1), targets, ticker())
        validation_outputs(learner, Squares(), 4)


def test_a_frozen_backbone_copies_no_other_way():
    learner, targets = learner_of(freeze="backbone"), targets_of(23)
    with NoBlindCopies():
        features = features_of(learner, batches().epoch(1))
        train_head_epoch(learner, features, [[0, 1, 2], [3, 4]], targets, ticker())


def test_films_count_in_the_loss_as_they_weigh():
    """Two films of three: their losses -log(1/4) and -log(3/4) with weights 4 and 1, over the weights of the batch."""
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(3.0)]])
    targets = Targets(torch.tensor([1, 0, 1]), torch.tensor([4.0, 2.0, 1.0]))
    tally = Tally.empty(torch.device("cpu"))
    loss = step._weighted_loss(learner_of(), logits, targets.of_part(torch.tensor([0, 2]), [0, 1, 2]), tally)
    assert loss.item() == pytest.approx((4 * math.log(4) + math.log(4 / 3)) / 7)
    assert tally.loss_sum.item() == pytest.approx(math.log(4) + math.log(4 / 3)), "shown without weights"


@pytest.mark.parametrize(
    ("settings", "expected", "prevalence"),
    [
        ({"hard_weight": 3}, [1, 3, 1, 1], 5 / 6),
        ({"hard_weight": 3, "class_weights": "balanced"}, [2, 2, 2 / 3, 2 / 3], 10 / 16),
        ({"class_weights": "balanced"}, [2, 2 / 3, 2 / 3, 2 / 3], 1 / 2),
        ({}, [1, 1, 1, 1], 3 / 4),
    ],
)
def test_weights_of_classes_and_of_hard_films_multiply(
    settings: dict[str, Any], expected: list[float], prevalence: float
):
    hard = np.array([False, True, False, False])
    found = Targets.of(TrainConfig(**settings), [0, 1, 1, 1], hard)
    assert found.weights.tolist() == pytest.approx(expected)
    assert found.prevalence == pytest.approx(prevalence)
    nothing_predicts = Targets.of(TrainConfig(hard_weight=3), [0, 1], None)
    assert nothing_predicts.weights.tolist() == [1, 1]


def test_channels_last_is_left_to_devices_that_can_train_in_it():
    """Apple's GPU crashes in BatchNorm's backward pass on some releases of torch."""
    assert learner_of("cpu").network.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert layout(torch.device("cuda", 1)) == torch.channels_last
    assert layout(torch.device("mps")) == torch.contiguous_format
    other = learner_of("meta").network.conv1.weight  # a device that is neither
    assert not other.is_contiguous(memory_format=torch.channels_last)


def test_no_thread_of_a_training_opens_another_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """A loader pins memory on a thread that takes over the current device: left at 0, it would open a context there."""
    changes: list[int] = []
    monkeypatch.setattr(torch.cuda, "_exchange_device", lambda index: changes.append(index) or 0)
    monkeypatch.setattr(torch.cuda, "_maybe_exchange_device", lambda index: changes.append(index) or 1)
    training = SimpleNamespace(
        listener=ignore, plan=SimpleNamespace(device="cuda:1", threads=torch.get_num_threads()),
        config=SimpleNamespace(tensorboard=False), run=SimpleNamespace(path=tmp_path),
    )  # fmt: skip
    with Training._surroundings(training):
        assert changes == [1]
    assert changes == [1, 0]


@pytest.mark.parametrize(
    ("low_memory", "available", "chosen", "remarks"),
    [(False, 4e9, "keep", 0), (True, 4e9, "return", 0), (False, 3e9, "return", 1), (True, 3e9, "return", 0)],
)
def test_freed_memory_is_kept_where_there_is_enough(
    low_memory: bool, available: float, chosen: str, remarks: int, monkeypatch: pytest.MonkeyPatch
):
    done: list[str] = []
    events: list[object] = []
    monkeypatch.setattr("pneumocli.core.memory.available_memory_bytes", lambda: available)
    monkeypatch.setattr("pneumocli.training.loop.keep_freed_blocks", lambda: done.append("keep"))
    monkeypatch.setattr("pneumocli.training.loop.return_large_blocks", lambda: done.append("return"))
    config = SimpleNamespace(low_memory=low_memory)
    Training._choose_what_becomes_of_freed_memory(SimpleNamespace(config=config, team=Team(), listener=events.append))
    assert (done, len(events)) == ([chosen], remarks)


def test_too_little_memory_is_reported_wherever_the_device_is_used(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    learner, targets = learner_of(freeze="backbone"), targets_of(23)
    learner.network.fc.register_forward_hook(fail)
    for work in (
        lambda: train_epoch(learner, batches().epoch(1), targets, ticker()),
        lambda: validation_outputs(learner, Squares(), 4),
        lambda: features_of(learner, batches().epoch(1)),
        lambda: train_head_epoch(learner, torch.zeros(23, 512), [[0, 1]], targets, ticker()),
    ):
        with pytest.raises(OutOfMemory) as caught:
            work()
        assert "--accumulate 2" in (caught.value.hint or "")
    monkeypatch.setattr(learner.optimizer, "load_state_dict", fail)
    with pytest.raises(OutOfMemory, match="for the network and its optimiser"):
        restore(learner, {}, {})
    monkeypatch.setattr(torch.nn.Module, "to", fail)
    with pytest.raises(OutOfMemory, match="for the network and its optimiser"):
        learner_of()


@pytest.mark.slow
def test_a_compiler_of_cuda_without_a_gpu_is_no_news(tmp_path: Path):
    """What torch says of it, once the network is compiled, would stand in the middle of the progress."""
    program = (
        "from torch import nn\nfrom pneumocli.core.events import ignore\n"
        "from pneumocli.training.step import _Compiled\n{}\nimport torch.utils.cpp_extension"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program.format(made)], capture_output=True, text=True, check=True,
            env={**os.environ, "CUDA_HOME": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""},
        ).stderr
        for made in ("", "_Compiled(nn.Identity(), ignore)")
    ]  # fmt: skip
    assert "No CUDA runtime is found" in said[0], "torch says it no more: the line that silences it can go"
    assert said[1] == ""
