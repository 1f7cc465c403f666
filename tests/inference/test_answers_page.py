"""The page of ``predict --report``: what it states, what it shows, what it leaves out, and that names are no markup."""

import shutil
from pathlib import Path

import pytest

from pneumocli.core.config import PredictConfig
from pneumocli.core.errors import PneumoError, SettingError
from pneumocli.core.events import FileWritten
from pneumocli.core.settings import validated
from pneumocli.inference import answers_page
from pneumocli.inference.answers_page import answers_page as page_for
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.predict import predict
from pneumocli.inference.records import ReferringPrediction
from pneumocli.inference.tally import AnswerTally
from pneumocli.run_folder import RunFolder

HOSTILE = "<img src=x onerror=alert(1)>.jpeg"


@pytest.fixture(scope="module")
def films(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine films, one of a hostile name, one that is none, one of another size and brightness."""
    folder = tmp_path_factory.mktemp("films")
    for film in sorted((phantoms / "test").rglob("*.jpeg"))[::6][:6]:
        shutil.copy(film, folder)
    shutil.copy(next((phantoms / "test").rglob("*.jpeg")), folder / HOSTILE)
    (folder / "broken.jpeg").write_bytes(b"\xff\xd8\xff")
    return folder


def page_of(run: RunFolder, films: Path, page: Path, **settings: object) -> str:
    events = []
    list(
        predict(
            validated(PredictConfig, {"inputs": (str(films),), "run": run.path, "report": page, **settings}),
            events.append,
        )
    )
    assert page in [event.path for event in events if isinstance(event, FileWritten)]
    return page.read_text(encoding="utf-8")


def test_the_page_counts_shows_and_names_what_failed(trained: RunFolder, films: Path, tmp_path: Path):
    page = page_of(trained, films, tmp_path / "page.html")
    assert "8 films: " in page
    assert "1 could not be read." in page
    assert "broken.jpeg" in page
    all_films = page[page.index("<h2>All films</h2>") :]
    assert all_films.count("data:image/jpeg;base64,") == 7
    assert "Not a medical device" in page


def test_names_are_escaped_and_no_script_is_added(trained: RunFolder, films: Path, tmp_path: Path):
    page = page_of(trained, films, tmp_path / "page.html")
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;.jpeg" in page
    assert page.count("<script") == 1
    assert "default-src 'none'" in page


def test_with_explain_each_film_has_its_map_and_coarse_ones_are_called_so(
    trained: RunFolder, films: Path, tmp_path: Path
):
    page = page_of(trained, films, tmp_path / "page.html", explain=tmp_path / "maps")
    all_films = page[page.index("<h2>All films</h2>") :]
    assert all_films.count("data:image/jpeg;base64,") == 14
    assert "2 x 2 cells" in page
    assert "Fewer than 7 x 7 cells are coarse" in page


def test_uncertain_films_stand_first(trained: RunFolder, films: Path, tmp_path: Path):
    (certain, *_) = predict(validated(PredictConfig, {"inputs": (str(films),), "run": trained.path}))
    page = page_of(trained, films, tmp_path / "page.html", threshold=certain.probability)
    gallery = page[page.index('id="uncertain"') : page.index("unlike the training films?</h2>")]
    assert Path(certain.image).name.replace("<", "&lt;").replace(">", "&gt;") in gallery
    assert "close to the threshold (" in page


def test_a_page_of_many_films_is_bounded(
    trained: RunFolder, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(answers_page, "MOST_PICTURES", 3)
    monkeypatch.setattr("pneumocli.inference.predict.MOST_ROWS", 5)
    monkeypatch.setattr("pneumocli.inference.predict.EXAMPLES", 2)
    page = page_of(trained, films, tmp_path / "page.html")
    assert "of 7 are shown: a page holds a bounded number of pictures" in page
    assert "The first 5 of 8; predict --csv writes all." in page


def test_what_contradicts_the_page_is_refused(trained: RunFolder, films: Path, tmp_path: Path):
    with pytest.raises(SettingError, match="--report shows all films, --resume runs what is left"):
        page_of(trained, films, tmp_path / "page.html", csv=tmp_path / "a.csv", resume=True)
    (tmp_path / "file").touch()
    with pytest.raises(PneumoError):
        page_of(trained, films, tmp_path / "file" / "page.html")


def test_a_film_is_named_below_the_folder_of_all(trained: RunFolder, films: Path, tmp_path: Path):
    page = page_of(trained, films, tmp_path / "page.html")
    assert page.count(films.as_posix()) == 1  # once for all, not below each film
    assert f"Films in {films.as_posix()}/" in page


def test_both_answers_of_a_model_that_refers_are_told_apart(trained: RunFolder):
    tally = AnswerTally(most=None)
    for name, answer in (("a.png", "PNEUMONIA"), ("b.png", "REFER"), ("c.png", "NORMAL")):
        tally.add(ReferringPrediction(image=name, probability=0.497, prediction="NORMAL", threshold=0.5, answer=answer))
    page = page_for(tally, Classifier.of_run(trained), 0.5, maps=False, shard=None, shift=None)
    assert "3 films: 1 called NORMAL, 1 called PNEUMONIA, 1 left to a person." in page
    assert "1 is left to a person (REFER)" in page
    tiles = page[page.index("<h2>All films</h2>") : page.index("<summary>As a table")]
    assert tiles.count("NORMAL, probability 49.7%") == 3  # as the threshold has it
    assert tiles.count("by its limits PNEUMONIA") == tiles.count("REFER: a person should look") == 1
    assert "by its limits</th>" in page
