"""How fast films get their answers. ``pytest -m benchmark -s tests/benchmarks/test_inference_speed.py``.

Both sides are timed in turn, several times, and the best counts, so that another program on the machine disturbs both
alike.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from pneumocli import __version__
from pneumocli.core.parallel import usable_cores
from pneumocli.model.card import ModelCard, OperatingPoint, ValidationSummary
from pneumocli.model.network import build_network
from pneumocli.model.weights import save_best
from tests.benchmarks.conftest import Run, python
from tests.helpers.exported import export

pytestmark = pytest.mark.benchmark

HERE = Path(__file__).parent
ROUNDS = 5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``best.pt`` and ``model.onnx`` at the default size; what the weights are does not matter here."""
    folder = tmp_path_factory.mktemp("model")
    card = ModelCard(
        package_version=__version__,
        image_size=224,
        fit="crop",
        initial_weights="scratch",
        operating_point=OperatingPoint(
            threshold=0.5, rule="0.5", chosen_on="fixed", sensitivity=None, specificity=None
        ),
        temperature=1,
        data_fingerprint="0" * 64,
        num_train_images=0,
        best_epoch=1,
        validation=ValidationSummary(
            method="patient", num_images=0, num_patients=0, fraction=0, loss=0, accuracy=0, auroc=None
        ),
    )
    save_best(folder / "best.pt", build_network(seed=0).state_dict(), card)
    export(folder / "best.pt", folder / "model.onnx", card, np.zeros((2, 1, 224, 224), np.uint8))
    return folder


def in_turn(*commands: tuple[object, ...]) -> list[list[Run]]:
    """Each command's runs, taken in turn; the first round, which fills the caches, does not count."""
    rounds = [[python(*command) for command in commands] for _ in range(ROUNDS + 1)][1:]
    return [list(runs) for runs in zip(*rounds, strict=True)]


def report(title: str, lines: list[tuple[str, str]]) -> None:
    print(f"\n{title} ({usable_cores()} cores)")
    for name, value in lines:
        print(f"  {name:44} {value}")


def test_cold_start(films: Path, model: Path):
    film = sorted(films.rglob("*.jpeg"))[0]
    ours, theirs = in_turn(
        ("-m", "pneumocli", "predict", film, "--model", model / "model.onnx", "--quiet"),
        (HERE / "torchvision_script.py", model / "best.pt", film),
    )
    seconds, other = (min(r.seconds for r in runs) for runs in (ours, theirs))
    memory, other_memory = (max(r.peak_megabytes for r in runs) for runs in (ours, theirs))
    report(
        "One film, whole process",
        [
            ("pneumo predict", f"{seconds:.2f} s, {memory:.0f} MB"),
            ("torchvision script", f"{other:.2f} s, {other_memory:.0f} MB"),
            ("ratio", f"{seconds / other:.3f}"),
        ],
    )
    assert seconds <= 0.15 * other
    assert seconds <= 0.9
    assert memory <= 220


def test_folder(films: Path, model: Path):
    workers = usable_cores()
    ours, theirs = in_turn(
        (HERE / "predict_folder.py", model / "model.onnx", films),
        (HERE / "torch_loop.py", model / "best.pt", films, workers),
    )

    def rate(runs: list[Run]) -> float:
        return max(found["films"] / found["seconds"] for found in (json.loads(r.output) for r in runs))

    memory, other_memory = (max(r.peak_megabytes for r in runs) for runs in (ours, theirs))
    report(
        "A folder of films, without the start of the process",
        [
            ("pneumo predict", f"{rate(ours):.1f} films/s, {memory:.0f} MB"),
            (f"torch eager, DataLoader with {workers} workers", f"{rate(theirs):.1f} films/s, {other_memory:.0f} MB"),
            ("ratio", f"{rate(ours) / rate(theirs):.2f}"),
        ],
    )
    assert rate(ours) >= 1.5 * rate(theirs)
