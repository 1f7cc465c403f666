"""The same promises on a CUDA device: run ``pytest -m gpu`` where there is one."""

from pathlib import Path

import pytest
import torch

from pneumocli.core.config import ResumeConfig
from pneumocli.core.errors import OutOfMemory
from pneumocli.run_folder import RunFolder
from pneumocli.training.step import make_learner, validation_logits
from pneumocli.training.train import resume, train
from tests.conftest import tiny
from tests.training.test_train import Stop, stopped, stopping_after, timeless

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_run_is_trained_exported_and_proven(precision: str, phantoms: Path, tmp_path: Path):
    run = train(tiny(phantoms, tmp_path / "run", device="cuda", precision=precision))
    assert run.finished
    assert run.result().val_auroc is not None


def test_a_resumed_run_follows_the_uninterrupted_one(phantoms: Path, tmp_path: Path):
    """The same films in the same order and augmentation; the last bits of sums may differ on a GPU."""
    settings = {"device": "cuda", "epochs": 3, "learning_rate": 1e-5, "precision": "fp32"}
    whole = RunFolder(stopped(tiny(phantoms, tmp_path / "whole", **settings), 2))
    parts = stopped(tiny(phantoms, tmp_path / "parts", **settings), 1)
    with pytest.raises(Stop):
        resume(ResumeConfig(resume=parts), stopping_after(2))
    for one, other in zip(timeless(whole.path), timeless(parts), strict=True):
        assert float(one["train_loss"]) == pytest.approx(float(other["train_loss"]), rel=1e-4)


def test_a_batch_too_large_is_told_with_what_to_do(phantoms: Path, tmp_path: Path):
    torch.cuda.set_per_process_memory_fraction(0.01)
    try:
        with pytest.raises(OutOfMemory) as caught:
            train(tiny(phantoms, tmp_path / "run", device="cuda", image_size=512, batch_size=54))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "--accumulate 2" in (caught.value.hint or "")


def test_validation_gives_the_logits_of_the_cpu(trained: RunFolder, phantoms: Path):
    from pneumocli.model.network import build_network
    from pneumocli.model.weights import load_best
    from pneumocli.training.dataset import EvaluationForm
    from pneumocli.training.distributed import Team
    from pneumocli.training.film_cache import FilmsOnDisk
    from pneumocli.training.plan import Plan
    from pneumocli.training.schedule import Method

    manifest = trained.manifest().of("val")
    films = FilmsOnDisk(tuple(manifest.path(row) for row in manifest.rows), EvaluationForm(64, "crop"))
    logits = []
    for device in ("cpu", "cuda:0"):
        network = build_network(0)
        network.load_state_dict(load_best(trained.best_file)[0])
        plan = Plan(device=device, precision="fp32", compile=False, threads=2, workers=0, world_size=1)
        learner = make_learner(
            network, plan, method=Method(1e-3), freeze="none", class_weights=torch.ones(2), full=8, team=Team()
        )
        logits.append(validation_logits(learner, films, 8))
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-2, atol=1e-2)  # TF32 where the GPU has it
