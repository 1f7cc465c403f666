"""A GPU's memory and load as its driver reports them."""

from types import SimpleNamespace

import pytest
import torch

from pneumocli.core.events import DeviceSampled
from pneumocli.training.gpu_probe import gpu_probe


class FakeDriver:
    """What nvidia-ml-py reports of one GPU."""

    NVMLError = RuntimeError

    def __init__(self, busy: bool) -> None:
        self.busy = busy
        self.shut = False
        self.asked: object = None

    def nvmlInit(self) -> None: ...  # noqa: N802 - the driver's names

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.shut = True

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        self.asked = index
        return "handle"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        self.asked = uuid
        return "handle"

    def nvmlDeviceGetName(self, handle: str) -> bytes:  # noqa: N802
        return b"NVIDIA T4"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=10, total=100)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:  # noqa: N802
        if not self.busy:
            raise self.NVMLError
        return SimpleNamespace(gpu=42)


@pytest.mark.parametrize(
    ("visible", "asked"), [("", 1), ("3,5", 5), ("GPU-a,GPU-b", "GPU-b")], ids=["all", "numbers", "uuids"]
)
def test_the_probe_looks_at_the_right_gpu(visible: str, asked: object, monkeypatch: pytest.MonkeyPatch):
    driver = FakeDriver(busy=True)
    monkeypatch.setitem(__import__("sys").modules, "pynvml", driver)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with gpu_probe(torch.device("cuda", 1)) as probe:
        assert probe is not None
        assert probe.sample() == DeviceSampled("NVIDIA T4", 10, 100, 0.42)
    assert driver.asked == asked
    assert driver.shut


def test_utilisation_that_is_not_reported_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", FakeDriver(busy=False))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with gpu_probe(torch.device("cuda", 0)) as probe:
        assert probe is not None
        assert probe.sample().utilisation is None


def test_without_a_driver_training_goes_on_unseen():
    with gpu_probe(torch.device("cuda", 0)) as probe:
        if not torch.cuda.is_available():
            assert probe is None
    with gpu_probe(torch.device("cpu")) as probe:
        assert probe is None


@pytest.mark.gpu
def test_a_real_gpu_is_seen():
    with gpu_probe(torch.device("cuda", 0)) as probe:
        assert probe is not None
        assert probe.sample().memory_total_bytes > 1 << 30
