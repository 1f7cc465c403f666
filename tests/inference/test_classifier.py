"""One truth: the model file, at every setting, gives what the torch module gives."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pneumocli.core.errors import DeviceError, ModelFileError, RunError
from pneumocli.core.events import Event, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.data.images import fit_film, read_film
from pneumocli.inference.classifier import Classifier, OnnxBackend, logit_of
from pneumocli.inference.scoring import score_films
from pneumocli.model.network import DeployableNet, build_network
from pneumocli.model.weights import load_best
from pneumocli.run_folder import RunFolder
from pneumocli.training.export import export


@pytest.fixture(scope="module")
def films(phantoms: Path) -> list[Path]:
    return sorted((phantoms / "test").rglob("*.jpeg"))[:12]


@pytest.fixture(scope="module")
def pixels(films: list[Path]) -> np.ndarray:
    return np.stack([fit_film(read_film(film).pixels, 64, "crop") for film in films])[:, None]


@pytest.fixture(scope="module")
def truth(trained: RunFolder, pixels: np.ndarray) -> np.ndarray:
    """Logits of the torch module, film by film."""
    weights, _ = load_best(trained.best_file)
    network = build_network(seed=0)
    network.load_state_dict(weights)
    net = DeployableNet(network).eval()
    with torch.no_grad():
        return np.concatenate([net(torch.from_numpy(film[None]))[0].numpy() for film in pixels])


@pytest.mark.parametrize("throughput", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 5, 12])
def test_every_setting_gives_the_same_logits(
    trained: RunFolder, pixels: np.ndarray, truth: np.ndarray, throughput: bool, threads: int, batch: int
):
    backend = OnnxBackend(trained.onnx_file, image_size=64, throughput=throughput, threads=threads)
    found = np.concatenate([backend.run(pixels[i : i + batch]).logits for i in range(0, len(pixels), batch)])
    np.testing.assert_allclose(found, truth, atol=1e-4)


def test_film_by_film_both_model_files_give_the_same_logit(trained: RunFolder, films: list[Path], truth: np.ndarray):
    for name in ("model.onnx", "best.pt"):
        classifier = Classifier.load(trained.path / name)
        for batch_size in (1, 7):
            found = [film.logit for film in score_films(classifier, films, batch_size=batch_size)]
            np.testing.assert_allclose(found, logit_of(truth), atol=1e-4)


def test_the_map_sums_to_the_logit(trained: RunFolder, pixels: np.ndarray):
    outputs = Classifier.of_run(trained).run(pixels)
    weights, _ = load_best(trained.best_file)
    bias = weights["fc.bias"].numpy()
    np.testing.assert_allclose(outputs.cam.mean((2, 3)) + bias, outputs.logits, atol=1e-4)


def test_probability_uses_the_cards_temperature(trained: RunFolder):
    classifier = Classifier.of_run(trained)
    classifier.card = classifier.card.model_copy(update={"temperature": 2.0})
    assert classifier.probability(0.0) == 0.5
    assert classifier.probability(3.0) == pytest.approx(1 / (1 + np.exp(-1.5)))
    assert classifier.probability(1e6) == 1
    assert classifier.probability(-1e6) == 0


def test_order_is_kept_and_each_unreadable_film_has_its_own_error(
    trained: RunFolder, films: list[Path], tmp_path: Path
):
    empty = tmp_path / "empty.png"
    empty.touch()
    mixed = [films[0], empty, films[1], tmp_path / "missing.png", films[2]]
    events: list[Event] = []
    scored = list(score_films(Classifier.of_run(trained), mixed, batch_size=2, listener=events.append))
    assert [film.source for film in scored] == mixed
    assert [film.logit is None for film in scored] == [False, True, False, True, False]
    assert scored[1].error == "is empty (0 bytes)"
    assert str(scored[3].error).startswith("cannot be opened")
    assert events[0] == TaskStarted("scoring films", 5)
    assert [event.completed for event in events if isinstance(event, TaskAdvanced)] == [2, 4, 5]
    assert isinstance(events[-1], TaskFinished)


def test_films_are_read_only_a_little_ahead(trained: RunFolder, films: list[Path]):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield films[0]

    scores = score_films(Classifier.of_run(trained), endless(), batch_size=2)
    for _ in range(10):
        next(scores)
    scores.close()
    assert taken < 100


def copy_of(run: RunFolder, folder: Path) -> RunFolder:
    shutil.copytree(run.path, folder)
    return RunFolder(folder)


@pytest.mark.parametrize("name", ["model.onnx", "best.pt"])
def test_a_damaged_file_of_a_run_never_gives_an_answer(trained: RunFolder, tmp_path: Path, name: str):
    run = copy_of(trained, tmp_path / "run")
    file = run.path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a weight: the file is still well-formed
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match="SHA-256"):
        Classifier.load(file)
    if name == "model.onnx":
        with pytest.raises(ModelFileError, match="SHA-256"):
            Classifier.of_run(run)


def test_a_run_that_has_not_finished_gives_no_model(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "run")
    run.result_file.unlink()
    with pytest.raises(RunError):
        Classifier.of_run(run)


def test_a_model_file_on_its_own_works(trained: RunFolder, films: list[Path], tmp_path: Path):
    file = tmp_path / "moved \N{LUNGS}.onnx"
    shutil.copy(trained.onnx_file, file)
    (film,) = score_films(Classifier.load(file), films[:1])
    assert film.error is None
    with pytest.raises(ModelFileError, match="runs on the CPU only"):
        Classifier.load(file, device="cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_cpu_never_stands_in_for_a_gpu(trained: RunFolder):
    with pytest.raises(DeviceError, match="device cuda was asked for"):
        Classifier.of_run(trained, "cuda")


def test_weights_that_are_not_finite_are_refused(trained: RunFolder, tmp_path: Path, pixels: np.ndarray):
    import onnx

    model = onnx.load(trained.onnx_file)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("fc.bias"))
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([np.nan, 0], np.float32), tensor.name))
    file = tmp_path / "model.onnx"
    onnx.save(model, file)
    with pytest.raises(ModelFileError, match="not finite"):
        Classifier.load(file).run(pixels)


def test_a_card_for_another_size_is_refused(trained: RunFolder, tmp_path: Path):
    import onnx

    model = onnx.load(trained.onnx_file)
    (entry,) = (entry for entry in model.metadata_props if entry.key == "pneumo_card")
    entry.value = json.dumps({**json.loads(entry.value), "image_size": 96})
    file = tmp_path / "model.onnx"
    onnx.save(model, file)
    with pytest.raises(ModelFileError, match="its card expects"):
        Classifier.load(file)
    entry.value = "{}"
    onnx.save(model, file)
    with pytest.raises(ModelFileError, match="its card is damaged"):
        Classifier.load(file)


def test_the_graph_holds_no_paths_of_the_machine_it_was_made_on(trained: RunFolder):
    content = trained.onnx_file.read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[2]).encode() not in content


def test_an_export_that_differs_is_not_written(
    trained: RunFolder, tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    from pneumocli.core.errors import CheckFailed
    from pneumocli.training import export as module

    graph = trained.onnx_file.read_bytes()
    monkeypatch.setattr(module, "_graph", lambda net, card: graph)
    weights, card = load_best(trained.best_file)
    target = tmp_path / "model.onnx"
    assert export(trained.best_file, target, card, pixels) < 1e-4
    assert target.read_bytes() == graph
    from pneumocli.model.weights import save_best

    weights["fc.bias"] = weights["fc.bias"] + 0.01
    save_best(tmp_path / "best.pt", weights, card)
    with pytest.raises(CheckFailed, match=r"differ from the network's by 0\.01"):
        export(tmp_path / "best.pt", tmp_path / "other.onnx", card, pixels)
    assert not (tmp_path / "other.onnx").exists()


def test_the_onnx_path_loads_no_torch(trained: RunFolder, films: list[Path]):
    program = (
        "import sys; from pathlib import Path; from pneumocli.inference.classifier import Classifier;"
        "from pneumocli.inference.scoring import score_films;"
        "print(list(score_films(Classifier.load(Path(sys.argv[1])), [Path(sys.argv[2])]))[0].error);"
        "print({'torch', 'torchvision', 'sklearn', 'scipy', 'matplotlib', 'onnx', 'pydicom'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, trained.onnx_file, films[0]], capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\nset()\n"
