"""A GPU's memory and load as its driver reports them."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from pneumocli.core.events import DeviceSampled
from pneumocli.training.gpu_probe import gpu_probe

UUIDS = ("11111111-aaaa-bbbb-cccc-000000000000", "22222222-aaaa-bbbb-cccc-000000000000")
MIB = 1 << 20


class NVMLError(Exception):
    pass


class FakeDriver:
    """What nvidia-ml-py reports of two GPUs, which the driver numbers in another order than CUDA.

    Args:
        missing: Functions that this driver or GPU does not support.
        prefix: Of its names of GPUs; those of slices of one begin with MIG.
    """

    NVMLError = NVMLError

    def __init__(self, *missing: str, prefix: str = "GPU-") -> None:
        self.missing = set(missing)
        self.prefix = prefix
        self.shut = False

    def __getattr__(self, function: str) -> object:
        def answer(*_: object) -> object:
            if function in self.missing:
                raise NVMLError("Not Supported")
            return {
                "nvmlInit": None,
                "nvmlDeviceGetName": b"NVIDIA T4",
                "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=10 * MIB, total=100 * MIB),
                "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=42),
            }[function]

        return answer

    def nvmlShutdown(self) -> None:  # noqa: N802 - the driver's names
        if "nvmlShutdown" in self.missing:
            raise NVMLError("Driver/library version mismatch")
        self.shut = True

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in [self.prefix + known for known in UUIDS] or "nvmlDeviceGetHandleByUUID" in self.missing:
            raise NVMLError("Not Found")
        self.asked = uuid
        return "handle"


@pytest.fixture(autouse=True)
def _cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """CUDA's own view of the two GPUs."""
    seen = [SimpleNamespace(uuid=uuid, name="Tesla T4") for uuid in UUIDS]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: seen[device.index or 0])
    monkeypatch.setattr(torch.version, "hip", None)


def sampled(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, index: int = 1) -> DeviceSampled | None:
    monkeypatch.setattr("pneumocli.training.gpu_probe.pynvml", driver)
    with gpu_probe(torch.device("cuda", index)) as probe:
        return None if probe is None else probe.sample()


@pytest.mark.parametrize("visible", ["", "3,5", "GPU-a,GPU-b"])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("prefix", ["GPU-", "MIG-"])
def test_the_probe_looks_at_the_gpu_of_this_uuid(
    index: int, visible: str, prefix: str, monkeypatch: pytest.MonkeyPatch
):
    """Neither the driver's order nor a container's choice of GPUs matters."""
    driver = FakeDriver(prefix=prefix)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert sampled(driver, monkeypatch, index) == DeviceSampled("NVIDIA T4", 10 * MIB, 100 * MIB, 0.42)
    assert driver.asked == prefix + UUIDS[index]
    assert driver.shut


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("nvmlDeviceGetUtilizationRates", DeviceSampled("NVIDIA T4", 10 * MIB, 100 * MIB, None)),
        ("nvmlDeviceGetMemoryInfo", DeviceSampled("NVIDIA T4", None, None, 0.42)),
        ("nvmlDeviceGetName", DeviceSampled("Tesla T4", 10 * MIB, 100 * MIB, 0.42)),
        ("nvmlDeviceGetHandleByUUID", None),
        ("nvmlInit", None),
    ],
)
def test_what_the_driver_does_not_report_is_left_out(
    missing: str, expected: DeviceSampled | None, monkeypatch: pytest.MonkeyPatch
):
    """A GB10 has no memory of its own, a slice of a GPU no utilisation, a container no driver's library."""
    assert sampled(FakeDriver(missing), monkeypatch) == expected


def test_a_gpu_that_is_lost_while_it_trains_does_not_end_the_probe(monkeypatch: pytest.MonkeyPatch):
    driver = FakeDriver()
    monkeypatch.setattr("pneumocli.training.gpu_probe.pynvml", driver)
    with gpu_probe(torch.device("cuda", 0)) as probe:
        assert probe is not None
        lost = {"nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetUtilizationRates", "nvmlShutdown"}
        driver.missing = lost
        assert probe.sample() == DeviceSampled("Tesla T4", None, None, None)


def test_torch_for_amds_gpus_is_not_looked_up_in_nvidias_driver(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.version, "hip", "7.0")
    assert sampled(FakeDriver(), monkeypatch) is None


def test_without_a_driver_training_goes_on_unseen():
    """The real nvidia-ml-py, which finds no library on a machine without a GPU."""
    with gpu_probe(torch.device("cuda", 0)) as probe:
        if not torch.cuda.is_available():
            assert probe is None


def test_the_cpu_has_no_probe():
    with gpu_probe(torch.device("cpu")) as probe:
        assert probe is None
