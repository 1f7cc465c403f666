"""A run with several views: the exported graph, the torch path, the card and every reader agree."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from pneumocli import evaluate, predict, quantize
from pneumocli.core.config import EvaluateConfig, PredictConfig, QuantizeConfig
from pneumocli.core.errors import RunError, SettingError
from pneumocli.data.images import fit_film, read_film
from pneumocli.inference.classifier import Classifier
from pneumocli.metrics.classification import accuracy, auroc, log_loss
from pneumocli.run_folder import RunFolder
from pneumocli.training.train import train, train_until_done
from tests.conftest import copy_of, tiny


@pytest.fixture(scope="module", params=[2, 4])
def viewed(
    request: pytest.FixtureRequest, phantoms: Path, made_once: Callable[[str, Callable[[Path], object]], Path]
) -> RunFolder:
    """A finished run with several views: read it, never change it but for its evaluation."""
    settings = {"views": request.param, "epochs": 1, "operating_point": "youden"}
    return RunFolder(made_once(f"views-{request.param}", lambda folder: train(tiny(phantoms, folder, **settings))))


@pytest.mark.slow
def test_graph_and_torch_agree_and_the_weights_stay_torchvisions(viewed: RunFolder, phantoms: Path):
    graph, network = (Classifier.load(file) for file in (viewed.onnx_file, viewed.best_file))
    views = viewed.config().views
    assert graph.card == network.card
    assert (graph.card.views, graph.card.image_size) == (views, 64 if views == 2 else 73)
    assert graph.card.fit == ("crop" if views == 2 else "squash")
    films = sorted((phantoms / "test").rglob("*.jpeg"))[:5]
    pixels = np.stack([fit_film(read_film(film).pixels, graph.card.image_size, graph.card.fit) for film in films])
    for one, other in ((graph, network), (graph, Classifier.load(viewed.onnx_file, throughput=True))):
        first, second = one.run(pixels[:, None]), other.run(pixels[:, None])
        for name in ("logits", "cam", "features"):
            np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=1e-4, rtol=1e-4)
    plain = resnet18(num_classes=2)
    plain.load_state_dict(torch.load(viewed.best_file, weights_only=True)["weights"])


@pytest.mark.slow
def test_the_card_holds_the_figures_of_the_averaged_logits(viewed: RunFolder):
    card = Classifier.load(viewed.onnx_file).card
    scored = evaluate(EvaluateConfig(run=viewed.path, split="val"))
    rows = (viewed.evaluation_folder("val").path / "predictions.csv").read_text().splitlines()
    columns = rows[0].split(",")
    table = [dict(zip(columns, row.split(","), strict=True)) for row in rows[1:]]
    labels = np.array([row["label"] == "PNEUMONIA" for row in table]).astype(int)
    logits = np.array([float(row["logit"]) for row in table])
    assert card.validation.loss == pytest.approx(log_loss(labels, logits), abs=1e-4)
    assert card.validation.accuracy == accuracy(labels, logits >= 0)
    assert card.validation.auroc == pytest.approx(auroc(labels, logits))
    assert scored.metrics["sensitivity"].value == card.operating_point.sensitivity
    assert viewed.result().val_auroc == card.validation.auroc
    assert f"| views | {card.views}, averaged" in viewed.card_file.read_text()


@pytest.mark.slow
def test_predict_explains_and_finds_nothing_odd_about_films_like_the_training_films(
    viewed: RunFolder, phantoms: Path, tmp_path: Path
):
    films = sorted((phantoms / "train").rglob("*.jpeg"))[:8]
    found = list(predict(PredictConfig(inputs=tuple(map(str, films)), run=viewed.path, explain=tmp_path / "maps")))
    assert not [warning for film in found for warning in film.warnings if "unlike" in warning]
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 8
    by_torch = predict(PredictConfig(inputs=tuple(map(str, films)), model=viewed.best_file))
    for one, other in zip(found, by_torch, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("nearly_tied")
def test_a_viewed_run_on_integers(viewed: RunFolder, tmp_path: Path):
    run = copy_of(viewed, tmp_path / "run")
    done = quantize(QuantizeConfig(run=run.path))
    assert done.card.proof.map_correlation > 0.99
    assert Classifier.of_run(run.in_precision("int8")).card.views == viewed.config().views


@pytest.mark.slow
def test_a_viewed_run_that_is_trained_on_keeps_views_and_weights(viewed: RunFolder, phantoms: Path, tmp_path: Path):
    run = RunFolder(tmp_path / "copy")
    shutil.copytree(viewed.path, run.path)
    views = viewed.config().views
    train_until_done(tiny(phantoms, run.path, views=views, epochs=2, operating_point="youden"))
    whole = train(tiny(phantoms, tmp_path / "whole", views=views, epochs=2, operating_point="youden"))
    found, expected = (Classifier.load(item.onnx_file).card for item in (run, whole))
    assert found == expected


def test_views_of_another_number_are_refused(phantoms: Path, tmp_path: Path):
    from pneumocli.core.config import TrainConfig
    from pneumocli.core.settings import validated

    with pytest.raises(SettingError, match=r"--views: expected 1, 2 or 4 \(found 3\)"):
        validated(TrainConfig, {"views": 3})


def test_views_cannot_be_added_to_a_run_that_has_one(trained: RunFolder, phantoms: Path):
    with pytest.raises(RunError, match=r"has other settings: --views: found 1, asked for 2"):
        train_until_done(tiny(phantoms, trained.path, views=2))


def test_a_model_of_the_first_release_has_one_view(trained: RunFolder):
    from pneumocli.model.card import ModelCard

    content = Classifier.load(trained.onnx_file).card.model_dump()
    del content["views"]
    assert ModelCard.model_validate(content).views == 1


@pytest.mark.long
@pytest.mark.slow
def test_a_group_of_folds_is_one_file_that_gives_the_mean_over_folds_and_their_views(phantoms: Path, tmp_path: Path):
    asked = tiny(phantoms, tmp_path / "group", views=4, epochs=1, val_fraction=0.1, folds=2, ensemble=True)
    group = train(asked.model_copy(update={"image_size": 32}))
    model, folds = Classifier.of_run(group), [Classifier.load(fold.best_file) for fold in group.folds]
    assert model.file == group.onnx_file
    assert (model.card.views, len(model.card.members)) == (4, 2)
    assert "| views | 4, averaged" in group.card_file.read_text()
    films = sorted((phantoms / "test").rglob("*.jpeg"))[:4]
    pixels = np.stack([fit_film(read_film(film).pixels, model.card.image_size, model.card.fit) for film in films])
    found, wanted = model.run(pixels[:, None]), [fold.run(pixels[:, None]) for fold in folds]
    for name in ("logits", "cam", "features"):
        mean = sum(getattr(one, name) for one in wanted) / 2
        np.testing.assert_allclose(getattr(found, name), mean, atol=1e-4, rtol=1e-4)
    answers = predict(PredictConfig(inputs=tuple(map(str, films)), run=group.path, explain=tmp_path / "maps"))
    probabilities = [film.probability for film in answers]
    logits = found.logits[:, 1] - found.logits[:, 0]
    assert probabilities == pytest.approx([model.probability(float(logit)) for logit in logits], abs=1e-4)
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 4
    assert evaluate(EvaluateConfig(run=group.path)).model_sha256 == group.model_sha256
