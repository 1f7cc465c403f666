"""Predictions for films from anywhere: through the library."""

import csv
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumocli.core.config import PredictConfig
from pneumocli.core.errors import ModelFileError, RunError
from pneumocli.core.events import Event, Remark, TaskStarted
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.predict import predict
from pneumocli.inference.scoring import score_films
from pneumocli.model.card import ReferLimits
from pneumocli.run_folder import RunFolder
from tests.conftest import change_card, copy_of


@pytest.fixture
def test_films(phantoms: Path) -> Path:
    return phantoms / "test"


def config(run: RunFolder, *inputs: object, **settings: object) -> PredictConfig:
    return PredictConfig.model_validate({"inputs": tuple(map(str, inputs)), "run": run.path, **settings})


def test_a_folder_gives_what_scoring_gives(trained: RunFolder, test_films: Path):
    predictions = predict(config(trained, test_films))
    scored = list(score_films(Classifier.of_run(trained), sorted(test_films.rglob("*.jpeg"))))
    found = list(predictions)
    assert [film.image for film in found] == [str(film.source) for film in scored]
    np.testing.assert_allclose([f.probability for f in found], [f.probability for f in scored], atol=1e-5)
    threshold = predictions.classifier.card.operating_point.threshold
    for film in found:
        assert film.probability is not None
        assert film.prediction == ("PNEUMONIA" if film.probability >= threshold else "NORMAL")


def test_a_threshold_given_wins_over_the_stored_one(trained: RunFolder, test_films: Path):
    assert {film.prediction for film in predict(config(trained, test_films, threshold=0.0))} == {"PNEUMONIA"}
    assert {film.threshold for film in predict(config(trained, test_films, threshold=0.125))} == {0.125}


def test_which_model_is_model_remark(
    trained: RunFolder, test_films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def model_remark(**settings: object) -> str:
        events: list[Event] = []
        list(predict(PredictConfig.model_validate({"inputs": (str(film),), **settings}), events.append))
        return next(event.text for event in events if isinstance(event, Remark))

    film = next(test_films.rglob("*.jpeg"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PNEUMO_RUN", raising=False)
    with pytest.raises(RunError, match="no finished run under runs"):
        model_remark()
    shutil.copytree(trained.path, "runs/first")
    shutil.copytree(trained.path, "runs/second")
    os.utime("runs/first/result.json", (1, 1))
    assert model_remark() == "model runs/second/model.onnx (the latest finished run)"
    first = RunFolder(Path("runs/first"))
    first.write_result(first.result().model_copy(update={"finished_utc": "2000-01-01T00:00:00+00:00"}))
    assert model_remark() == "model runs/second/model.onnx (the latest finished run)"  # whatever was copied last
    monkeypatch.setenv("PNEUMO_RUN", "runs/first")
    assert model_remark() == "model runs/first/model.onnx ($PNEUMO_RUN)"
    assert model_remark(run="runs/second") == "model runs/second/model.onnx (--run)"
    assert model_remark(model="runs/second/best.pt") == "model runs/second/best.pt (--model)"


def test_everything_wrong_from_the_start_is_raised_at_once(trained: RunFolder, tmp_path: Path):
    with pytest.raises(ModelFileError):
        predict(PredictConfig(inputs=(str(tmp_path),), model=tmp_path / "missing.onnx"))
    with pytest.raises(RunError):
        predict(PredictConfig(inputs=(str(tmp_path),), run=tmp_path))


@pytest.fixture
def odd_films(tmp_path: Path, test_films: Path) -> Path:
    """A folder of everything that can go wrong, between films that are all right."""
    folder = tmp_path / "odd films \N{LUNGS}"
    folder.mkdir()
    film = Image.open(next(test_films.rglob("*.jpeg"))).convert("L")
    film.save(folder / "good.png")
    film.save(folder / "two\nlines.tiff")
    Image.fromarray(np.asarray(film, np.uint16) * 200).save(folder / "sixteen.png")
    film.convert("RGB").save(folder / "rgb.bmp")
    film.convert("CMYK").save(folder / "cmyk.jpg")
    film.convert("P").save(folder / "palette.png")
    colour = np.random.default_rng(0).integers(0, 256, (*film.size[::-1], 3), dtype=np.uint8)
    Image.fromarray(colour).save(folder / "photograph.png")
    film.save(folder / "pages.tiff", save_all=True, append_images=[film])
    Image.new("L", (8, 8)).save(folder / "tiny.png")
    content = (folder / "good.png").read_bytes()
    (folder / "short.png").write_bytes(content[: len(content) // 2])
    (folder / "empty.jpeg").touch()
    (folder / "text.jpeg").write_text("no picture")
    (folder / "broken.png").symlink_to("nowhere.png")
    (folder / "folder.png").mkdir()
    (folder / "notes.txt").write_text("not mine")
    bomb = bytearray(content)
    bomb[16:24] = (200_000).to_bytes(4, "big") * 2  # width and height in the header
    (folder / "bomb.png").write_bytes(bomb)
    return folder


def test_each_film_that_cannot_be_read_has_its_own_error_and_the_rest_go_on(trained: RunFolder, odd_films: Path):
    found = {Path(film.image).name: film for film in predict(config(trained, odd_films))}
    good = {name for name, film in found.items() if film.error is None}
    assert good == {
        "good.png", "two\nlines.tiff", "sixteen.png", "rgb.bmp", "cmyk.jpg", "palette.png", "photograph.png",
    }  # fmt: skip
    bad = {"pages.tiff", "tiny.png", "short.png", "empty.jpeg", "text.jpeg", "broken.png", "bomb.png"}
    assert set(found) == good | bad
    for name in bad:
        assert found[name].probability is None
        assert found[name].prediction is None
        assert found[name].error
    assert "colour" in found["photograph.png"].warnings[0]
    assert found["rgb.bmp"].probability == pytest.approx(found["good.png"].probability, abs=1e-6)
    assert found["two\nlines.tiff"].probability == pytest.approx(found["good.png"].probability, abs=1e-6)


@pytest.mark.slow
def test_pictures_are_written_beside_each_other(trained: RunFolder, odd_films: Path, test_films: Path, tmp_path: Path):
    film = next((test_films / "NORMAL").glob("*.jpeg"))
    copy = tmp_path / "other" / film.name
    copy.parent.mkdir()
    shutil.copy(film, copy)
    target = tmp_path / "why"
    list(predict(config(trained, odd_films, film, copy, test_films / "PNEUMONIA", explain=target)))
    written = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert {"good.png.png", "two\nlines.tiff.png", f"{film.name}.png", f"{film.name}-2.png"} <= written
    assert len(written) == 7 + 2 + len(list((test_films / "PNEUMONIA").glob("*.jpeg")))
    assert not {"empty.jpeg.png", "bomb.png.png"} & written


def two_folders(test_films: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A film in each of two folders, both of one name."""
    films = sorted((test_films / "PNEUMONIA").glob("*.jpeg"))[:2]
    folders = tmp_path / "a", tmp_path / "b"
    for folder, film in zip(folders, films, strict=True):
        folder.mkdir()
        shutil.copy(film, folder / "x.jpeg")
    return folders


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_film_has_one_picture_in_shards_and_continuations_too(trained: RunFolder, test_films: Path, tmp_path: Path):
    first, second = two_folders(test_films, tmp_path)
    for name in ("whole", "shards", "continued"):
        (tmp_path / name).mkdir()
    list(predict(config(trained, first, second, explain=tmp_path / "whole")))
    expected = pictures(tmp_path / "whole")
    assert set(expected) == {"x.jpeg.png", "x.jpeg-2.png"}
    for shard in ("2/2", "1/2"):
        list(predict(config(trained, first, second, explain=tmp_path / "shards", shard=shard, csv=tmp_path / "s.csv")))
    assert pictures(tmp_path / "shards") == expected
    table = {"csv": tmp_path / "t.csv", "explain": tmp_path / "continued", "resume": True}
    list(predict(config(trained, first, **table)))
    list(predict(config(trained, first, second, **table)))
    assert pictures(tmp_path / "continued") == expected


def test_a_picture_takes_the_place_of_no_film(trained: RunFolder, test_films: Path, tmp_path: Path):
    folder, other = two_folders(test_films, tmp_path)
    Image.open(other / "x.jpeg").save(folder / "x.jpeg.png")
    film = (folder / "x.jpeg.png").read_bytes()
    for _ in range(2):  # what the first call has drawn, the second may draw anew
        list(predict(config(trained, folder / "x.jpeg", explain=folder)))
        assert (folder / "x.jpeg.png").read_bytes() == film
        assert set(pictures(folder)) == {"x.jpeg", "x.jpeg.png", "x.jpeg-2.png"}


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_an_interrupted_table_is_continued(trained: RunFolder, odd_films: Path, tmp_path: Path):
    whole, part = tmp_path / "whole.csv", tmp_path / "part.csv"
    all_films = list(predict(config(trained, odd_films, csv=whole, batch_size=2)))
    stopped = predict(config(trained, odd_films, csv=part, batch_size=2))
    for _ in range(5):
        next(stopped)
    stopped.close()
    assert len(rows(part)) == 5
    part.write_bytes(part.read_bytes() + b'"half a ro')
    rest = list(predict(config(trained, odd_films, csv=part, batch_size=2, resume=True)))
    assert len(rest) == len(all_films) - 5
    assert [row["image"] for row in rows(part)] == [row["image"] for row in rows(whole)]
    assert [row["error"] for row in rows(part)] == [row["error"] for row in rows(whole)]
    assert list(predict(config(trained, odd_films, csv=part, resume=True))) == []


def test_shards_are_parts_of_the_whole(trained: RunFolder, test_films: Path):
    whole = [film.image for film in predict(config(trained, test_films))]
    parts = [[film.image for film in predict(config(trained, test_films, shard=f"{i}/3"))] for i in (1, 2, 3)]
    assert parts[0] == whole[::3]
    assert sorted(image for part in parts for image in part) == sorted(whole)


@pytest.mark.slow
def test_the_progress_knows_how_many_films_there_are(trained: RunFolder, test_films: Path, tmp_path: Path):
    def total(**settings: object) -> int | None:
        events: list[Event] = []
        list(predict(config(trained, test_films, **settings), events.append))
        return next(event.total for event in events if isinstance(event, TaskStarted))

    assert total() == 40
    assert total(shard="2/3") == 13
    list(predict(config(trained, test_films / "NORMAL", csv=tmp_path / "a.csv")))
    num_normal = len(list((test_films / "NORMAL").iterdir()))
    assert total(csv=tmp_path / "a.csv", resume=True) == 40 - num_normal


def test_a_record_is_plain_data(trained: RunFolder, test_films: Path):
    film = next(predict(config(trained, test_films)))
    assert set(json.loads(film.model_dump_json())) == {
        "image", "probability", "prediction", "threshold", "warnings", "error",
    }  # fmt: skip


@pytest.mark.slow
def test_a_model_with_limits_answers_beside_its_prediction(trained: RunFolder, test_films: Path, tmp_path: Path):
    logits = sorted(
        film.logit or 0.0 for film in score_films(Classifier.of_run(trained), sorted(test_films.rglob("*.jpeg")))
    )
    low, high = (float(np.mean(logits[place : place + 2])) for place in (9, 29))  # clear of every film's logit
    run = copy_of(trained, tmp_path / "run")
    limits = ReferLimits(alpha=0.1, normal_up_to=high, pneumonia_from=low, num_normal=9, num_pneumonia=9)
    change_card(run, refer=limits)
    file = tmp_path / "answers.csv"
    found = list(predict(config(run, test_films, tmp_path / "none.png", csv=file)))
    assert Counter(film.model_dump()["answer"] for film in found) == {
        "NORMAL": 10, "REFER": 20, "PNEUMONIA": 10, None: 1,
    }  # fmt: skip
    assert {film.prediction for film in found[:-1]} <= {"NORMAL", "PNEUMONIA"}
    with file.open(encoding="utf-8", newline="") as table:
        assert [row["answer"] for row in csv.DictReader(table)] == [film.model_dump()["answer"] or "" for film in found]
