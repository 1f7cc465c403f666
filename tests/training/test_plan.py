"""What a training settles once, before its first step: device, precision, compiling, workers."""

import importlib.metadata
from dataclasses import replace

import pytest
import torch

from pneumocli.core.config import ResumeConfig, TrainConfig
from pneumocli.core.errors import DeviceError, SettingError
from pneumocli.core.events import Remark, ignore
from pneumocli.model.device import has_cpp_compiler
from pneumocli.training.alterations import Alterations
from pneumocli.training.augmentation import Augmentation
from pneumocli.training.distributed import Team
from pneumocli.training.plan import Plan, describe, make_plan, restored_plan, where_to_resize

CPU = torch.device("cpu")
PLAN = Plan(device="cpu", precision="fp32", compile=False, threads=2, workers=0, world_size=1)


@pytest.fixture(autouse=True)
def cpu_of_unknown_abilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneumocli.training.plan.cpu_multiplies_bf16", lambda: None)


def test_the_record_of_a_machine():
    record = describe(PLAN)
    assert record.device == "cpu"
    assert record.versions["torch"] == torch.__version__.split("+")[0] or record.versions["torch"] == torch.__version__


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
        plan, remarks = planned(TrainConfig(epochs=1, compile=True))
        assert plan.compile
        assert "compiling" in remarks[0]


def test_without_a_compiler_training_goes_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pneumocli.training.plan.has_cpp_compiler", lambda: False)
    plan, remarks = planned(TrainConfig(compile=True))
    assert not plan.compile
    assert "needs a C++ compiler" in remarks[0]


def test_a_setting_without_effect_is_reported(two_gpus: None):
    assert "no effect" in planned(TrainConfig(compile=True, freeze="backbone", pretrained=True))[1][0]
    assert "no effect" in planned(TrainConfig(compile=True), team=Team(0, 2))[1][0]


def test_a_cpu_that_is_faster_in_bf16_is_reported_and_left_to_the_user(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pneumocli.training.plan.cpu_multiplies_bf16", lambda: True)
    plan, remarks = planned(TrainConfig(compile=False))
    assert plan.precision == "fp32"
    assert remarks == ["this CPU multiplies bfloat16 in hardware: --precision bf16 is 1.4 to 2.5 times as fast"]
    assert planned(TrainConfig(compile=False, precision="fp32"))[1] == []
    in_bf16 = TrainConfig(compile=False, precision="bf16")
    assert planned(in_bf16) == (replace(plan, precision="bf16"), [])
    monkeypatch.setattr("pneumocli.training.plan.cpu_multiplies_bf16", lambda: False)
    assert planned(TrainConfig(compile=False))[1] == []
    assert planned(in_bf16)[1] == [
        "--precision bf16 is slower than fp32 on this CPU: it has neither AMX nor AVX512_BF16"
    ]


def test_precision_has_no_effect_on_a_frozen_backbone():
    remarks = planned(TrainConfig(precision="bf16", freeze="backbone", pretrained=True))[1]
    assert remarks == ["--precision bf16 has no effect: the backbone is frozen"]


def test_workers_follow_the_device(two_gpus: None):
    assert planned(TrainConfig())[0].workers == 0
    assert planned(TrainConfig(cache=False))[0].workers >= 1
    assert planned(TrainConfig(), device=torch.device("cuda", 0))[0].workers >= 1
    assert planned(TrainConfig(freeze="backbone", pretrained=True))[0].workers == 0
    assert planned(TrainConfig(workers=3))[0].workers == 3


def test_a_resume_restores_the_plan(two_gpus: None, tmp_path):
    config = ResumeConfig(resume=tmp_path)
    assert restored_plan(PLAN, config, TrainConfig(), Team()) == PLAN
    assert restored_plan(PLAN, ResumeConfig(resume=tmp_path, device="cpu"), TrainConfig(), Team()) == PLAN
    moved = restored_plan(PLAN, ResumeConfig(resume=tmp_path, device="cuda"), TrainConfig(), Team())
    assert (moved.device, moved.precision, moved.compile) == ("cuda:0", "fp16", False)


@pytest.mark.parametrize(
    ("begun", "here", "words"),
    [(1, 2, "one process and continues with 2"), (3, 1, "3 processes and continues with one")],
)
def test_a_resume_by_another_number_of_processes_shares_the_batches_anew(begun: int, here: int, words: str, tmp_path):
    recorded, events = replace(PLAN, world_size=begun, threads=7, compile=True), []
    config, settings = ResumeConfig(resume=tmp_path), TrainConfig(cache=False)
    team = Team(0, here, 0, here)
    plan = restored_plan(recorded, config, settings, team, events.append)
    assert plan == replace(make_plan(settings, CPU, 0, team, ignore), compile=here == 1)
    (remark,) = events
    assert words in remark.text
    assert "its last bits differ" in remark.text


def test_shares_of_a_batch_are_reported_or_refused():
    assert planned(TrainConfig(batch_size=32), team=Team(0, 4, 0, 4))[1] == []
    assert planned(TrainConfig(batch_size=32), team=Team(0, 3, 0, 3))[1] == [
        "--batch-size 32 cannot be divided evenly among 3 processes: some take 11 films of each batch, some 10"
    ]
    with pytest.raises(SettingError, match=r"--batch-size 5 is too small for 3 processes: .* so 6 in a batch"):
        planned(TrainConfig(batch_size=5), team=Team(0, 3, 0, 3))
    frozen = TrainConfig(batch_size=5, freeze="backbone", pretrained=True)
    assert planned(frozen, team=Team(0, 3, 0, 3))[1] == []


def test_threads_are_those_of_the_machine_among_its_own_processes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pneumocli.training.plan.usable_cores", lambda: 8)
    assert planned(TrainConfig(), team=Team(5, 8, 1, 4))[0].threads == 2


def test_a_resume_by_several_processes_takes_each_ones_gpu(two_gpus: None, tmp_path):
    begun = replace(PLAN, device="cuda:0", precision="fp16", world_size=2)
    for asked in (None, "auto", "cuda"):
        config = ResumeConfig(resume=tmp_path, device=asked)
        assert restored_plan(begun, config, TrainConfig(), Team(1, 2, 1, 2)).device == "cuda:1"
    on_cpu = replace(PLAN, world_size=2)
    assert restored_plan(on_cpu, ResumeConfig(resume=tmp_path), TrainConfig(), Team(1, 2, 1, 2)).device == "cpu"


@pytest.mark.parametrize("asked", [None, "cuda"])
@pytest.mark.parametrize(
    ("setting", "capability", "precision", "remark"),
    [
        ("auto", (8, 0), "bf16", None),
        ("auto", (7, 5), "fp16", "begun in bf16, which this GPU computes slowly: it continues in fp16 with a new loss"),
        ("bf16", (7, 5), "bf16", "bf16 is slow on this GPU"),
    ],
)
def test_a_bf16_run_on_a_card_without_it_continues_in_fp16(
    setting: str,
    capability: tuple[int, int],
    precision: str,
    remark: str | None,
    asked: str | None,
    two_gpus: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path,
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", list)
    begun = replace(PLAN, device="cuda:0", precision="bf16", compile=True)
    settings, events = TrainConfig(precision=setting), []
    config = ResumeConfig(resume=tmp_path, device=asked)
    plan = restored_plan(begun, config, settings, Team(), events.append)
    assert plan == replace(begun, precision=precision)
    assert [event.level for event in events] == (["warning"] if remark else [])
    assert all(remark in event.text for event in events)


def test_a_resume_on_another_device_reports_another_precision(two_gpus: None, tmp_path):
    events = []
    restored_plan(PLAN, ResumeConfig(resume=tmp_path, device="cuda"), TrainConfig(), Team(), events.append)
    assert events == [Remark("the run was begun in fp32 on cpu: it continues in fp16 on cuda:0", "warning")]


def test_a_resume_without_its_device_is_refused(no_gpu: None, tmp_path):
    gpu_plan = Plan(device="cuda:0", precision="fp16", compile=False, threads=2, workers=4, world_size=1)
    with pytest.raises(DeviceError, match=r"begun on cuda:0, which is not here"):
        restored_plan(gpu_plan, ResumeConfig(resume=tmp_path), TrainConfig(), Team())


@pytest.mark.parametrize(
    ("device", "place"), [("cpu", "workers"), ("mps", "workers"), ("cuda", "device"), ("cuda:1", "device")]
)
def test_cuda_resizes_crops_itself(device: str, place: str):
    assert where_to_resize(torch.device(device), Augmentation()) == place
    assert where_to_resize(torch.device(device), Augmentation(crop_scale=0.5, mirror=False)) == place


def test_crops_that_are_altered_are_resized_by_workers_on_every_device():
    assert where_to_resize(torch.device("cuda"), Augmentation(alterations=Alterations(tone=0.1))) == "workers"


def test_the_environment_lists_every_package_as_pip_takes_it():
    requirements = describe(make_plan(TrainConfig(device="cpu"), torch.device("cpu"), 10, Team(), ignore)).requirements
    assert f"torch=={importlib.metadata.version('torch')}" in requirements
    assert all("==" in line and " " not in line for line in requirements)
    assert not any(line.lower().startswith("pneumocli==") for line in requirements)
    assert list(requirements) == sorted(requirements, key=str.lower)
