"""What tests share: phantoms, one trained run, and a machine that no test can leave traces on."""

import ctypes
import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import settings

from pneumocli.core.config import EvaluateConfig, TrainConfig
from pneumocli.core.files import sha256_of
from pneumocli.core.records import ClassName
from pneumocli.data.phantom import write_phantoms
from pneumocli.metrics.classification import sigmoid
from pneumocli.metrics.records import Evaluation, ScoredFilm
from pneumocli.model.card import ModelCard
from pneumocli.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# On a machine that other work shares, a tenth of a second's example takes one: time says nothing about what is right.
settings.register_profile("pneumo", deadline=None)
settings.load_profile("pneumo")

# As the command line sets it: threads that wait for work give their core away soon.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# The reference machine has two cores: one thread for each of two processes of tests, both for a single one.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

# Messages are wrapped to this width where they do not go to a terminal: tests look for whole sentences.
os.environ["COLUMNS"] = "300"

# A shell starts its background jobs deaf to Ctrl-C, and what they start inherits it: tests that send it would fail.
signal.signal(signal.SIGINT, signal.default_int_handler)

_PR_CAPBSET_DROP = 24  # linux/prctl.h
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_FOWNER = 1, 2, 3  # linux/capability.h


def obey_permissions() -> None:
    """For ``preexec_fn``: the program that follows obeys the permissions of files even if root starts it."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_FOWNER):
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


SHARED = Path(os.environ.get("PNEUMO_SHARED", Path(__file__).parents[1] / ".." / "shared")).resolve()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the tests that need the trained run one comes first, the others last: none waits while another trains it.

    Behind them all come the long ones, which are left out where time is short.
    """

    def needs(item: pytest.Item) -> int:
        names = getattr(item, "fixturenames", ())
        return ("trained" in names) + ("evaluated" in names)

    short = sorted((item for item in items if not item.get_closest_marker("long")), key=needs)
    short[:0] = [short.pop()] if short else []
    items[:] = [*short, *(item for item in items if item.get_closest_marker("long"))]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leaves out, with a reason that the summary shows, what has not begun at the time in $PNEUMO_TESTS_UNTIL.

    ``.ci/run`` sets it, in seconds since 1970: on a slow processor the whole check would take more than an hour.
    """
    until = os.environ.get("PNEUMO_TESTS_UNTIL")
    if until is not None and time.time() > float(until):
        pytest.skip(f"{item.name}: left out on a machine too slow for the whole check")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Decoded films and hashes go into a folder of the test session."""
    before = os.environ.get("PNEUMO_CACHE")
    os.environ["PNEUMO_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["PNEUMO_CACHE"]
    else:
        os.environ["PNEUMO_CACHE"] = before


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Has one of all processes of a test session make a folder, while the others wait for it."""
    own = tmp_path_factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        with FileLock(root / f"{name}.lock"):
            if not (done := root / f"{name}.done").exists():
                fill(root / name)
                done.touch()
        return root / name

    return make


@pytest.fixture(scope="session")
def phantoms(made_once) -> Path:
    """A data folder of small phantoms: read it, never change it."""
    films = {"num_train": 72, "num_val": 8, "num_test": 40, "short_sides": (90, 130)}
    return made_once("chest_xray", lambda folder: write_phantoms(folder, **films))


def tiny(films: Path, run_dir: Path, **settings: object) -> TrainConfig:
    """Settings of the smallest training that still learns something."""
    values = {"image_size": 64, "batch_size": 8, "epochs": 2, "device": "cpu", "val_fraction": 0.25} | settings
    return TrainConfig.model_validate({"run_dir": run_dir, "data": films} | values)


@pytest.fixture(scope="session")
def trained(phantoms: Path, made_once) -> RunFolder:
    """A finished run on the phantoms: read it, never change it (copy it first)."""

    def fill(folder: Path) -> None:
        from pneumocli.training.train import train

        train(tiny(phantoms, folder))

    return RunFolder(made_once("scratch", fill))


@pytest.fixture(scope="module")
def nearly_tied():
    """The fixtures' networks have learnt next to nothing: their films are nearly tied, and which of them change places
    on integers, the last bits of a training decide, and with them the processor. So those two bounds do not count."""
    with pytest.MonkeyPatch.context() as patch:
        for bound in ("LARGEST_AUROC_DIFFERENCE", "LARGEST_SHARE_CHANGED"):
            patch.setattr(f"pneumocli.evaluation.quantize.{bound}", 1.0)
        yield


def copy_of(run: RunFolder, folder: Path, *, evaluations: bool = False, checkpoint: bool = False) -> RunFolder:
    """A copy of a run that a test may change, with or without its evaluations and the checkpoint's 134 MB."""
    left_out = [] if evaluations else ["evaluations"]
    left_out += [] if checkpoint else [run.checkpoint_file.name]
    shutil.copytree(run.path, folder, ignore=shutil.ignore_patterns(*left_out))
    return RunFolder(folder)


def change_card(run: RunFolder, **values: object) -> None:
    """Gives the model file of a copied run another card, as if it had been trained so."""
    import onnx

    from pneumocli.model.onnx_file import CARD_KEY

    model = onnx.load(run.onnx_file)
    (entry,) = [item for item in model.metadata_props if item.key == CARD_KEY]
    card = ModelCard.model_validate_json(entry.value)
    entry.value = card.model_copy(update=values).model_dump_json()
    run.onnx_file.write_bytes(model.SerializeToString())
    result = run.result()
    found = result.sha256 | {run.onnx_file.name: sha256_of(run.onnx_file)}
    run.write_result(result.model_copy(update={"sha256": found}))


def scored_film(image: str, label: ClassName, logit: float, patient: str = "p") -> ScoredFilm:
    """A scored film as an uncalibrated model at threshold 0.5 gives it."""
    probability = float(sigmoid(logit))
    return ScoredFilm(
        image=image, patient=patient, kind="unknown", label=label, logit=logit, probability=probability,
        prediction="PNEUMONIA" if probability >= 0.5 else "NORMAL",
    )  # fmt: skip


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose torch finds no GPU."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose torch finds two CUDA devices without bf16."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))


@pytest.fixture(scope="session")
def evaluated(trained: RunFolder, made_once) -> tuple[RunFolder, Evaluation]:
    """A copy of the trained run with its test films evaluated: read it, never change it."""
    from pneumocli.evaluation.evaluate import evaluate
    from pneumocli.evaluation.store import read_evaluation

    def fill(folder: Path) -> None:
        evaluate(EvaluateConfig(run=copy_of(trained, folder / "scratch", checkpoint=True).path))

    run = RunFolder(made_once("evaluated", fill) / "scratch")
    return run, read_evaluation(run, "test")[0]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real films, for tests marked ``real_data``."""
    if not SHARED.is_dir():
        pytest.skip(f"no real films at {SHARED}: set PNEUMO_SHARED to a folder that holds them")
    return SHARED


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> "dict[Figure, list[str]]":
    """The formats that each figure is saved in; an empty file stands for the picture, which takes long to draw."""
    from matplotlib.figure import Figure

    formats: dict[Figure, list[str]] = {}

    def save(figure: Figure, file: IO[bytes] | IO[str], *, format: str, **_: object) -> None:
        formats.setdefault(figure, []).append(format)
        file.write("<svg></svg>" if isinstance(file, io.StringIO) else b"")

    monkeypatch.setattr(Figure, "savefig", save)
    return formats
