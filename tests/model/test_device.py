"""environment.py and planning.py: devices that are there, and devices that are not."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from pneumocli.core.config import ResumeConfig, TrainConfig
from pneumocli.core.errors import DeviceError, RunError
from pneumocli.core.events import DeviceSampled, Remark
from pneumocli.core.files import cache_folder
from pneumocli.model.device import cpu_multiplies_bf16, has_cpp_compiler, resolve_device, resolve_precision
from pneumocli.training.distributed import Team
from pneumocli.training.gpu_probe import gpu_probe
from pneumocli.training.plan import Plan, describe, make_plan, own_device, restored_plan, where_to_resize

CPU = torch.device("cpu")
PLAN = Plan(device="cpu", precision="fp32", compile=False, threads=2, workers=0, world_size=1)


@pytest.fixture(autouse=True)
def cpu_of_which_torch_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneumocli.training.plan.cpu_multiplies_bf16", lambda: None)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))


def test_a_missing_gpu_is_never_replaced(no_gpu: None):
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(DeviceError, match=f"device {name} was asked for"):
            resolve_device(name)
    assert resolve_device("auto") == CPU


def test_auto_takes_the_first_gpu(two_gpus: None):
    assert resolve_device("auto") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match="has 2 CUDA devices"):
        resolve_device("cuda:2")


def test_precision_follows_the_device(two_gpus: None, monkeypatch: pytest.MonkeyPatch):
    gpu = torch.device("cuda", 0)
    assert resolve_precision("auto", CPU) == "fp32"
    assert resolve_precision("auto", gpu) == "fp16"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert resolve_precision("auto", gpu) == "bf16"
    assert resolve_precision("bf16", CPU) == "bf16"
    with pytest.raises(DeviceError, match="fp16 needs a GPU"):
        resolve_precision("fp16", CPU)


class FakeDriver:
    """What nvidia-ml-py tells of one GPU."""

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


def test_utilisation_that_is_not_told_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", FakeDriver(busy=False))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with gpu_probe(torch.device("cuda", 0)) as probe:
        assert probe is not None
        assert probe.sample().utilisation is None


def test_without_a_driver_training_goes_on_unseen():
    with gpu_probe(torch.device("cuda", 0)) as probe:
        if not torch.cuda.is_available():
            assert probe is None
    with gpu_probe(CPU) as probe:
        assert probe is None


@pytest.mark.gpu
def test_a_real_gpu_is_seen():
    with gpu_probe(torch.device("cuda", 0)) as probe:
        assert probe is not None
        assert probe.sample().memory_total_bytes > 1 << 30


def test_the_record_of_a_machine():
    record = describe(PLAN)
    assert record.device == "cpu"
    assert record.versions["torch"] == torch.__version__.split("+")[0] or record.versions["torch"] == torch.__version__


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("PNEUMO_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("PNEUMO_CACHE")
    assert cache_folder().name == "pneumo"


def planned(config: TrainConfig, films: int = 5000, team: Team | None = None, device: torch.device = CPU):
    events = []
    plan = make_plan(config, device, films, team or Team(), events.append)
    return plan, [event.text for event in events if isinstance(event, Remark)]


def test_compiling_follows_from_the_amount_of_work_alone(two_gpus: None):
    gpu = torch.device("cuda", 0)
    assert not planned(TrainConfig(epochs=5))[0].compile
    assert planned(TrainConfig(epochs=100), device=gpu)[0].compile
    assert not planned(TrainConfig(epochs=20), device=gpu)[0].compile
    assert not planned(TrainConfig(epochs=100, compile=False), device=gpu)[0].compile
    if has_cpp_compiler():
        plan, told = planned(TrainConfig(epochs=1, compile=True))
        assert plan.compile
        assert "compiling" in told[0]


def test_without_a_compiler_training_goes_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pneumocli.training.plan.has_cpp_compiler", lambda: False)
    plan, told = planned(TrainConfig(compile=True))
    assert not plan.compile
    assert "needs a C++ compiler" in told[0]


def test_a_setting_without_effect_is_told(two_gpus: None):
    assert "no effect" in planned(TrainConfig(compile=True, freeze="backbone", pretrained=True))[1][0]
    assert "no effect" in planned(TrainConfig(compile=True), team=Team(0, 2))[1][0]


def test_a_cpu_that_is_faster_in_bf16_is_told_of_and_left_to_the_user(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pneumocli.training.plan.cpu_multiplies_bf16", lambda: True)
    plan, told = planned(TrainConfig(compile=False))
    assert plan.precision == "fp32"
    assert told == ["this CPU multiplies bfloat16 in hardware: --precision bf16 is 1.4 to 2.5 times as fast"]
    assert planned(TrainConfig(compile=False, precision="fp32"))[1] == []
    in_bf16 = TrainConfig(compile=False, precision="bf16")
    assert planned(in_bf16) == (replace(plan, precision="bf16"), [])
    monkeypatch.setattr("pneumocli.training.plan.cpu_multiplies_bf16", lambda: False)
    assert planned(TrainConfig(compile=False))[1] == []
    assert planned(in_bf16)[1] == ["--precision bf16 is slower than fp32 on this CPU: it has no AMX"]


def test_precision_has_no_effect_on_a_frozen_backbone():
    told = planned(TrainConfig(precision="bf16", freeze="backbone", pretrained=True))[1]
    assert told == ["--precision bf16 has no effect: the backbone is frozen"]


@pytest.mark.parametrize(("told", "expected"), [({"amx_bf16": True}, True), ({"amx_bf16": False}, False), ({}, None)])
def test_what_torch_tells_of_the_cpu(told: dict[str, bool], expected: bool | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert cpu_multiplies_bf16() is expected


def test_workers_follow_the_device(two_gpus: None):
    assert planned(TrainConfig())[0].workers == 0
    assert planned(TrainConfig(cache=False))[0].workers >= 1
    assert planned(TrainConfig(), device=torch.device("cuda", 0))[0].workers >= 1
    assert planned(TrainConfig(freeze="backbone", pretrained=True))[0].workers == 0
    assert planned(TrainConfig(workers=3))[0].workers == 3


def test_a_process_takes_its_own_gpu():
    assert own_device("cuda", Team(3, 4, 1)) == "cuda:1"
    assert own_device("cpu", Team(3, 4, 1)) == "cpu"
    assert own_device("cuda", Team()) == "cuda"


def test_a_resume_restores_the_plan(two_gpus: None, tmp_path):
    config = ResumeConfig(resume=tmp_path)
    assert restored_plan(PLAN, config, TrainConfig(), Team()) == PLAN
    assert restored_plan(PLAN, ResumeConfig(resume=tmp_path, device="cpu"), TrainConfig(), Team()) == PLAN
    moved = restored_plan(PLAN, ResumeConfig(resume=tmp_path, device="cuda"), TrainConfig(), Team())
    assert (moved.device, moved.precision, moved.compile) == ("cuda:0", "fp16", False)
    with pytest.raises(RunError, match="begun by 1 processes"):
        restored_plan(PLAN, config, TrainConfig(), Team(0, 2))


def test_a_resume_without_its_device_is_told(no_gpu: None, tmp_path):
    gpu_plan = Plan(device="cuda:0", precision="fp16", compile=False, threads=2, workers=4, world_size=1)
    with pytest.raises(DeviceError, match=r"begun on cuda:0, which is not here"):
        restored_plan(gpu_plan, ResumeConfig(resume=tmp_path), TrainConfig(), Team())


@pytest.mark.parametrize(
    ("device", "place"), [("cpu", "workers"), ("mps", "workers"), ("cuda", "device"), ("cuda:1", "device")]
)
def test_cuda_resizes_crops_itself(device: str, place: str):
    assert where_to_resize(torch.device(device)) == place
