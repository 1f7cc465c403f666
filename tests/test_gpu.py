"""The same promises on a GPU: ``pytest -m gpu`` where there is one, see "First run on a GPU" in docs/training.md."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pneumocli.core.config import ResumeConfig
from pneumocli.core.errors import OutOfMemory
from pneumocli.core.events import DeviceSampled, Event, Remark
from pneumocli.data.images import fit_film, read_film
from pneumocli.inference.classifier import Classifier
from pneumocli.model.network import build_network
from pneumocli.model.views import deployable
from pneumocli.run_folder import RunFolder
from pneumocli.training.augmentation import Augmentation
from pneumocli.training.checkpoint import load_checkpoint
from pneumocli.training.device_films import moved
from pneumocli.training.distributed import Team
from pneumocli.training.film_cache import FilmCache, write_films
from pneumocli.training.finish import _outputs
from pneumocli.training.gpu_probe import gpu_probe
from pneumocli.training.loader import Batching, TrainingBatches
from pneumocli.training.step import make_learner, validation_outputs
from pneumocli.training.train import resume, train
from tests.conftest import tiny
from tests.training.test_train import Stop, stopped, stopping_after, timeless

CUDA = torch.cuda.is_available()
MPS = torch.backends.mps.is_available()
COUNT = torch.cuda.device_count() if CUDA else 0
BF16 = CUDA and torch.cuda.get_device_capability() >= (8, 0)

pytestmark = pytest.mark.gpu
needs_cuda = pytest.mark.skipif(not CUDA, reason="no CUDA device")
needs_bf16 = pytest.mark.skipif(not BF16, reason="no CUDA device with bf16 (compute capability 8.0, A100 and later)")
needs_two = pytest.mark.skipif(COUNT < 2, reason="fewer than two CUDA devices")
needs_mps = pytest.mark.skipif(not MPS, reason="no Apple GPU")
DEVICES = [pytest.param("cuda", marks=needs_cuda), pytest.param("mps", marks=needs_mps)]

# A learning rate at which the last bits of sums, which differ on a GPU from run to run, do not grow within an epoch.
CALM = {"epochs": 3, "learning_rate": 1e-5}


def assert_alike(one: Path, other: Path, rel: float) -> None:
    for ours, theirs in zip(timeless(one), timeless(other), strict=True):
        assert float(ours["train_loss"]) == pytest.approx(float(theirs["train_loss"]), rel=rel)


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        pytest.param("cuda", "fp32", marks=needs_cuda),
        pytest.param("cuda", "fp16", marks=needs_cuda, id="cuda-fp16 as on a T4"),
        pytest.param("cuda", "bf16", marks=needs_bf16, id="cuda-bf16 as on an A100"),
        pytest.param("cuda", "auto", marks=needs_cuda),
        pytest.param("mps", "auto", marks=needs_mps),
    ],
)
def test_a_run_is_trained_exported_and_proven(device: str, precision: str, phantoms: Path, tmp_path: Path):
    events: list[Event] = []
    run = train(tiny(phantoms, tmp_path / "run", device=device, precision=precision), events.append)
    assert run.finished
    assert run.result().val_auroc is not None
    plan = load_checkpoint(run).plan
    assert plan.device == ("cuda:0" if device == "cuda" else "mps")
    by_itself = "fp32" if device == "mps" else "bf16" if BF16 else "fp16"
    assert plan.precision == (by_itself if precision == "auto" else precision)
    samples = [event for event in events if isinstance(event, DeviceSampled)]
    assert all(sample.name for sample in samples)


@pytest.mark.parametrize("device", DEVICES)
def test_the_first_epoch_is_that_of_the_cpu(device: str, phantoms: Path, tmp_path: Path):
    """The same films, crops and order in the same network; garbage in a copy would show as another loss."""
    settings = CALM | {"precision": "fp32"}
    on_gpu = stopped(tiny(phantoms, tmp_path / "gpu", device=device, **settings), 1)
    on_cpu = stopped(tiny(phantoms, tmp_path / "cpu", device="cpu", **settings), 1)
    assert_alike(on_gpu, on_cpu, rel=1e-2)


@pytest.mark.parametrize("device", DEVICES)
def test_a_resumed_run_follows_the_uninterrupted_one(device: str, phantoms: Path, tmp_path: Path):
    """The same films in the same order and augmentation; the last bits of sums may differ on a GPU."""
    settings = CALM | {"device": device, "precision": "fp32"}
    whole = stopped(tiny(phantoms, tmp_path / "whole", **settings), 2)
    parts = stopped(tiny(phantoms, tmp_path / "parts", **settings), 1)
    with pytest.raises(Stop):
        resume(ResumeConfig(resume=parts), stopping_after(2))
    assert_alike(whole, parts, rel=1e-4)


@needs_cuda
def test_films_in_a_gpus_memory_give_the_crops_of_the_loader(tmp_path: Path):
    rng = np.random.default_rng(0)
    write_films(tmp_path / "x.films", (rng.integers(0, 256, (300 + n, 500 - n), np.uint8) for n in range(150)))
    films = FilmCache(tmp_path / "x.films")
    gpu = torch.device("cuda", 0)
    batching = Batching(image_size=224, batch_size=40, seed=0, device=gpu, workers=2, resize="device")
    loaded = TrainingBatches(films, Augmentation(), batching, Team())
    gathered = TrainingBatches(moved(films, films.sizes, gpu), Augmentation(), batching, Team())
    for one, other in zip(loaded.epoch(1), gathered.epoch(1), strict=True):
        assert torch.equal(one.films, other.films)
        assert other.pixels.device == gpu
        assert torch.equal(one.pixels, other.pixels)


@needs_cuda
def test_a_training_that_keeps_its_films_on_the_gpu_follows_one_with_workers(phantoms: Path, tmp_path: Path):
    settings, events = CALM | {"epochs": 1, "device": "cuda", "precision": "fp32"}, list[Event]()
    kept = train(tiny(phantoms, tmp_path / "kept", **settings), events.append)
    assert any("stay in the GPU's memory" in event.text for event in events if isinstance(event, Remark))
    loaded = train(tiny(phantoms, tmp_path / "loaded", workers=2, **settings))
    assert_alike(kept.path, loaded.path, rel=1e-4)


@needs_cuda
@pytest.mark.parametrize(
    ("begun", "continued"),
    [
        ({"device": "cpu"}, "cuda"),
        ({"device": "cuda"}, "cpu"),
        ({"device": "cuda", "precision": "fp16"}, None),
    ],
    ids=["from the CPU to a GPU", "from a GPU to the CPU", "fp16 with its loss scale"],
)
def test_a_run_moves_between_devices(begun: dict[str, str], continued: str | None, phantoms: Path, tmp_path: Path):
    run = RunFolder(stopped(tiny(phantoms, tmp_path / "run", **begun), 1))
    remarks: list[Event] = []
    resumed = resume(ResumeConfig(resume=run.path, device=continued), remarks.append)
    assert resumed.finished
    plan = load_checkpoint(resumed).plan
    assert plan.device == {"cuda": "cuda:0", "cpu": "cpu", None: "cuda:0"}[continued]
    if continued == "cuda":
        assert plan.precision == ("bf16" if BF16 else "fp16")
        assert any("it continues in" in event.text for event in remarks if isinstance(event, Remark))


@needs_bf16
def test_a_run_in_bf16_continues_on_a_card_without_it(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A100 yesterday, T4 today: the checkpoint of the first, and a card that calls itself the second."""
    run = stopped(tiny(phantoms, tmp_path / "run", device="cuda"), 1)
    assert load_checkpoint(RunFolder(run)).plan.precision == "bf16"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    resumed = resume(ResumeConfig(resume=run))
    assert load_checkpoint(resumed).plan.precision == "fp16"
    assert load_checkpoint(resumed).scaler


@needs_cuda
def test_a_batch_too_large_is_refused_with_what_to_do(phantoms: Path, tmp_path: Path):
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.01)
    try:
        with pytest.raises(OutOfMemory) as caught:
            train(tiny(phantoms, tmp_path / "run", device="cuda", image_size=512, batch_size=54))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    hint = caught.value.hint or ""
    assert "--accumulate 2" in hint or "--device" in hint


@needs_cuda
def test_too_many_films_at_once_are_refused_with_a_smaller_batch(trained: RunFolder):
    classifier = Classifier.load(trained.best_file, device="cuda")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.001)
    try:
        with pytest.raises(OutOfMemory) as caught:
            classifier.run(np.zeros((4096, 1, 224, 224), np.uint8))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert caught.value.hint == "--batch-size 2048"


@pytest.mark.parametrize("device", DEVICES)
def test_scoring_gives_the_logits_of_onnx_runtime(device: str, trained: RunFolder, phantoms: Path):
    """In IEEE float32: with TF32, the default of cuDNN on an A100, logits differ from the third digit on."""
    films = sorted((phantoms / "test").rglob("*.jpeg"))[:16]
    pixels = np.stack([fit_film(read_film(film).pixels, 64, "crop") for film in films])[:, None]
    expected = Classifier.load(trained.onnx_file).run(pixels).logits
    found = Classifier.load(trained.best_file, device=device).run(pixels).logits
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_validation_gives_the_logits_of_the_cpu(device: str, trained: RunFolder, phantoms: Path):
    from pneumocli.model.network import build_network
    from pneumocli.model.weights import load_best
    from pneumocli.training.dataset import EvaluationForm
    from pneumocli.training.film_cache import FilmsOnDisk
    from pneumocli.training.plan import Plan
    from pneumocli.training.schedule import Method

    manifest = trained.manifest().of("val")
    films = FilmsOnDisk(tuple(manifest.path(row) for row in manifest.rows), EvaluationForm(64, "crop"))
    logits = []
    on_cpu = Plan(device="cpu", precision="fp32", compile=False, threads=2, workers=0, world_size=1)
    for plan in (on_cpu, replace(on_cpu, device=device)):
        network = build_network(0)
        network.load_state_dict(load_best(trained.best_file)[0])
        learner = make_learner(network, plan, method=Method(1e-3), freeze="none", full=8, team=Team())
        logits.append(validation_outputs(learner, films, 8).logits)
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-3, atol=1e-3)


@needs_cuda
def test_a_run_is_finished_with_the_numbers_of_the_cpu():
    """Temperature, threshold and the reference of films come from these logits and features."""
    pixels = torch.randint(0, 256, (70, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    net = deployable(build_network(0).to(memory_format=torch.channels_last), 64, 2).eval()
    on_cpu = _outputs(net, pixels.numpy())
    on_gpu = _outputs(net.to("cuda"), pixels.numpy())
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


@needs_cuda
def test_the_gpu_is_seen_and_named_as_cuda_names_it():
    last = torch.device("cuda", COUNT - 1)
    with gpu_probe(last) as probe:
        assert probe is not None
        sample = probe.sample()
    assert sample.name == torch.cuda.get_device_name(last)
    if sample.memory_total_bytes is not None:
        assert sample.memory_total_bytes > 1 << 30


def command(*argv: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    program = [sys.executable, *(launcher if processes > 1 else []), "-m", "pneumocli", "train", *argv]
    return subprocess.run(program, capture_output=True, text=True, timeout=300, env={**os.environ}, check=False)


def tiny_flags(phantoms: Path, run: Path) -> list[str]:
    return ["--data", str(phantoms), "--run-dir", str(run), "--image-size", "64", "--val-fraction", "0.25",
            "--epochs", "1", "--batch-size", "8"]  # fmt: skip


@needs_two
def test_each_process_takes_a_gpu_of_its_own_without_a_flag(phantoms: Path, tmp_path: Path):
    done = command(*tiny_flags(phantoms, tmp_path / "run"), processes=2)
    assert done.returncode == 0, done.stderr
    run = RunFolder(tmp_path / "run")
    assert run.finished
    plan = load_checkpoint(run).plan
    assert (plan.device, plan.world_size) == ("cuda:0", 2)


@needs_cuda
def test_more_processes_than_gpus_are_refused(phantoms: Path, tmp_path: Path):
    done = command(*tiny_flags(phantoms, tmp_path / "run"), processes=COUNT + 1)
    assert done.returncode != 0
    assert (
        f"error: {COUNT + 1} processes on this machine need a CUDA device each, and torch sees {COUNT}" in done.stderr
    )
    assert not (tmp_path / "run").exists()


OPENED = """
import torch, sys
from pathlib import Path
from tests.conftest import tiny
from pneumocli.training.train import train
workers = int(sys.argv[3]) if len(sys.argv) > 3 else None
train(tiny(Path(sys.argv[1]), Path(sys.argv[2]), device="cuda:1", epochs=1, workers=workers))
print("contexts", [torch._C._cuda_hasPrimaryContext(index) for index in range(2)])
"""


@needs_two
@pytest.mark.parametrize("workers", [(), ("1",)], ids=["films on the GPU", "a worker"])
def test_the_second_gpu_is_used_without_the_first(workers: tuple[str, ...], phantoms: Path, tmp_path: Path):
    program = [sys.executable, "-c", OPENED, str(phantoms), str(tmp_path / "run"), *workers]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.endswith("contexts [False, True]\n"), done.stdout + done.stderr
