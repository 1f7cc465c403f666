"""A training step on a CUDA device that is not there: fake tensors know devices and shapes, and hold no numbers."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from pneumocli.model.network import build_network
from pneumocli.training import step
from pneumocli.training.augmentation import Crop, Crops, Place, resized_at_once, together
from pneumocli.training.device_films import FilmsOnDevice
from pneumocli.training.distributed import Team
from pneumocli.training.loader import Part
from pneumocli.training.plan import Plan
from pneumocli.training.schedule import Method
from pneumocli.training.step import Learner, make_learner
from pneumocli.training.tally import Tally

GPU = torch.device("cuda:0")

# Both make the program wait for the device: one reads a number of it, the other must know how many it found.
WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.item", "aten.equal", "aten.is_nonzero")

# Counted with torch 2.14: 301 from the crops to the scaled loss, 20 convolutions and as many BatchNorms among them.
MOST_OPERATIONS = 320


class Operations(TorchDispatchMode):
    """Counts what is asked of the device, and notes the dtypes of what comes out by its shape."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.dtypes: defaultdict[tuple[int, ...], set[torch.dtype]] = defaultdict(set)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if not str(func).startswith("prim."):
            self.count[str(func)] += 1
        if isinstance(made, torch.Tensor):
            self.dtypes[tuple(made.shape)].add(made.dtype)
        return made


@pytest.fixture
def without_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fake tensors cannot do: move a module, pin memory, half precision (torch leaves it out without CUDA)."""
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, *_, **__: module)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)


def fake_learner() -> Learner:
    """A learner in fp16, its parameters fake tensors of a GPU."""
    plan = Plan(device=str(GPU), precision="fp16", compile=False, threads=2, workers=0, world_size=1)
    with GPU:
        learner = make_learner(build_network(0), plan, method=Method(1e-3), freeze="none", full=4, team=Team())
        return replace(learner, scaler=torch.amp.GradScaler("cuda"))


def loaded_crops() -> Crops:
    """As a worker makes them."""
    return together([Crop(np.zeros((90, 80), np.uint8), False)] * 4)


def crops_on_the_device() -> Crops:
    """Of 20,000 films in a GPU's memory, 3.8 GB."""
    height, width, count = 384, 500, 20_000
    pixels = torch.zeros(count * height * width, dtype=torch.uint8, device=GPU)
    starts, sizes = np.arange(count) * height * width, np.full((count, 2), (height, width))
    return FilmsOnDevice(pixels, starts, sizes).crops([7, 0, 19_999, 3], [Place(9, 5, 90, 80, True)] * 4)


@pytest.mark.parametrize("drawn", [loaded_crops, crops_on_the_device])
@pytest.mark.skipif(torch.cuda.is_available(), reason="real CUDA devices have tests of their own: pytest -m gpu")
def test_a_step_stays_on_the_device_and_waits_for_nothing(drawn: Callable[[], Crops], without_numbers: None):
    with FakeTensorMode(allow_non_fake_inputs=True):
        learner = fake_learner()
        crops = drawn()
        targets = step.Targets(torch.zeros(4, dtype=torch.int64), torch.ones(4))
        tally = Tally.empty(GPU)
        with Operations() as operations:
            there = crops.to(GPU)
            pixels = resized_at_once(there, 64)
            part = Part(pixels, torch.arange(4), [0, 1, 2, 3], True)
            scaled = learner.scaler.scale(step._part_loss(learner, part, targets, tally))
    assert (pixels.device, scaled.device, tally.loss_sum.device) == (GPU, GPU, GPU)
    assert pixels.shape == (4, 1, 64, 64)
    assert (there.pixels is crops.pixels) == (drawn is crops_on_the_device), "films stay where they are"
    assert operations.count["aten.convolution.default"] == 20
    assert not [name for name in operations.count if name.startswith(WAITS)]
    assert operations.dtypes[4, 3, 64, 64] == {torch.float16}, "pixels become numbers of the working precision at once"
    assert operations.count.total() <= MOST_OPERATIONS
