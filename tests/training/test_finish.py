"""What is written at the end of a training comes from the proven graph itself."""

from pathlib import Path

import numpy as np
import pytest

from pneumocli.core.config import ResumeConfig
from pneumocli.core.errors import CheckFailed
from pneumocli.data.images import fit_film, read_film
from pneumocli.inference.classifier import Classifier, card_of_run
from pneumocli.metrics.records import Evaluation
from pneumocli.model.out_of_distribution import Appearance, fit
from pneumocli.model.packed_numbers import packed, unpacked
from pneumocli.run_folder import RunFolder
from pneumocli.training import finish
from pneumocli.training.train import resume, train
from tests.conftest import copy_of, tiny


def seen_by(classifier: Classifier, run: RunFolder, split: str, numbers: list[int] | None = None):
    """Squares, aspects and features of a split's films, in batches as at the end of a training."""
    manifest = run.manifest()
    rows = manifest.of(split).rows
    films = [read_film(manifest.path(rows[number])).pixels for number in numbers or range(len(rows))]
    squares = np.stack([fit_film(film, classifier.card.image_size, classifier.card.fit) for film in films])[:, None]
    features = [classifier.run(squares[start : start + 16]).features for start in range(0, len(squares), 16)]
    return squares, np.array([film.shape[1] / film.shape[0] for film in films]), np.concatenate(features)


@pytest.mark.slow
def test_the_card_describes_the_training_films_as_the_model_file_sees_them(trained: RunFolder):
    classifier = Classifier.of_run(trained, throughput=True)
    squares, aspects, features = seen_by(classifier, trained, "train")
    _, _, val_features = seen_by(classifier, trained, "val")
    input_range, model = fit(features, val_features, Appearance.of(squares, aspects))
    stored = classifier.card.feature_model
    assert stored is not None
    assert classifier.card.input_range == input_range
    assert stored.limit == pytest.approx(model.limit, rel=1e-3)
    assert stored.residual_variance == pytest.approx(model.residual_variance, rel=1e-3)
    for ours, theirs in zip((stored.mean, stored.variances), (model.mean, model.variances), strict=True):
        np.testing.assert_allclose(unpacked(ours, ""), unpacked(theirs, ""), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_of_many_training_films_some_are_described_from_the_first_to_the_last(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(finish, "_FAMILIAR_FILMS", 11)
    run = RunFolder(tmp_path / "run")
    train(tiny(phantoms, run.path, epochs=1))
    classifier = Classifier.of_run(run, throughput=True)
    last = len(run.manifest().of("train").rows) - 1
    chosen = finish.evenly_spaced(last + 1, 11)
    assert (chosen[0], chosen[-1], len(set(chosen))) == (0, last, 11)
    _, _, features = seen_by(classifier, run, "train", chosen)
    stored = classifier.card.feature_model
    assert stored is not None
    expected = unpacked(packed(np.sqrt(np.maximum(features, 0)).mean(axis=0)), "")
    np.testing.assert_allclose(unpacked(stored.mean, ""), expected, rtol=1e-3, atol=1e-6)


def unfinished(trained: RunFolder, folder: Path) -> RunFolder:
    """A run that was killed after its last epoch."""
    run = copy_of(trained, folder, checkpoint=True)
    run.onnx_file.unlink()
    run.result_file.unlink()
    return run


@pytest.mark.slow
def test_validation_films_are_not_looked_at_again(trained: RunFolder, tmp_path: Path, monkeypatch):
    """The training's own validation has their outputs; without them, as a former version left it, they are computed."""
    looked_at = []

    def counted(backend: finish.Backend, pixels):
        looked_at.append(len(pixels))
        return outputs_of(backend, pixels)

    outputs_of = finish._outputs_of_graph
    monkeypatch.setattr(finish, "_outputs_of_graph", counted)
    num_train, num_val = (len(trained.manifest().of(split).rows) for split in ("train", "val"))
    with_outputs = card_of_run(resume(ResumeConfig(resume=unfinished(trained, tmp_path / "run").path)))
    assert sum(looked_at) == num_train

    monkeypatch.setattr(finish, "load_outputs", lambda file: None)
    without = card_of_run(resume(ResumeConfig(resume=unfinished(trained, tmp_path / "as-before").path)))
    assert sum(looked_at) == 2 * num_train + num_val
    assert without.model_copy(update={"feature_model": None}) == with_outputs.model_copy(update={"feature_model": None})
    assert with_outputs.feature_model is not None
    assert without.feature_model is not None
    assert without.feature_model.limit == pytest.approx(with_outputs.feature_model.limit, rel=1e-3)


def test_a_run_is_finished_when_everything_else_is_written(trained: RunFolder, tmp_path: Path, monkeypatch):
    run = unfinished(trained, tmp_path / "run")
    for file in (run.card_file, run.card_page):
        file.unlink()

    def killed(*_: object) -> None:
        raise RuntimeError("the end")

    monkeypatch.setattr(RunFolder, "write_result", killed)
    with pytest.raises(RuntimeError, match="the end"):
        resume(ResumeConfig(resume=run.path))
    assert run.card_file.is_file()
    assert run.card_page.is_file()
    assert not run.finished


@pytest.mark.slow
def test_the_card_keeps_the_evaluations_of_a_model_that_stays(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path):
    run = copy_of(evaluated[0], tmp_path / "run", evaluations=True, checkpoint=True)
    known = run.card_file.read_text()
    assert "No test film has been scored yet" not in known
    for file in (run.onnx_file, run.result_file, run.card_file):
        file.unlink()
    resume(ResumeConfig(resume=run.path))
    assert "No test film has been scored yet" not in run.card_file.read_text()
    metrics = run.evaluation_folder("test").metrics_file
    metrics.write_text(metrics.read_text().replace(run.model_sha256, "0" * 64))
    run.result_file.unlink()
    resume(ResumeConfig(resume=run.path))
    assert "No test film has been scored yet" in run.card_file.read_text()


@pytest.mark.slow
def test_a_graph_that_differs_ends_the_training_without_a_model_file(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import onnx

    another = onnx.load(trained.onnx_file)
    for tensor in another.graph.initializer:
        if tensor.name.endswith("fc.bias"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32([1, 0]), tensor.name))
    monkeypatch.setattr(finish, "graph_of", lambda net, side: another.SerializeToString())
    run = unfinished(trained, tmp_path / "run")
    with pytest.raises(CheckFailed, match=r"model\.onnx was not written"):
        resume(ResumeConfig(resume=run.path))
    assert not run.onnx_file.exists()
    assert not run.finished
