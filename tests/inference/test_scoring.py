"""Films scored one after the other: in order, in constant memory, with the same logit from either model file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumocli.core.events import Event, TaskAdvanced, TaskFinished, TaskStarted
from pneumocli.data.grey import CLIPPED
from pneumocli.data.images import read_film
from pneumocli.data.polarity import LOOKS_INVERTED
from pneumocli.inference.classifier import Classifier, logit_of
from pneumocli.inference.scoring import score_films
from pneumocli.run_folder import RunFolder


@pytest.mark.slow
def test_film_by_film_both_model_files_give_the_same_logit(trained: RunFolder, films: list[Path], truth: np.ndarray):
    for name in ("model.onnx", "best.pt"):
        classifier = Classifier.load(trained.path / name)
        for batch_size in (1, 7):
            found = [film.logit for film in score_films(classifier, films, batch_size=batch_size)]
            np.testing.assert_allclose(found, logit_of(truth), atol=1e-4)


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


@pytest.mark.slow
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


def test_what_is_odd_about_a_films_file_is_a_warning(trained: RunFolder, films: list[Path], tmp_path: Path):
    pixels = read_film(films[0]).pixels
    Image.fromarray(255 - pixels).save(tmp_path / "negative.png")
    marked = pixels.astype(np.uint16) * 16
    marked[:3, :3] = 65535
    Image.fromarray(marked).save(tmp_path / "marked.png")
    paths = [films[0], tmp_path / "negative.png", tmp_path / "marked.png"]
    upright, negative, clipped = score_films(Classifier.of_run(trained), paths)
    assert LOOKS_INVERTED.text not in upright.warnings
    assert LOOKS_INVERTED.text in negative.warnings
    assert CLIPPED.text in clipped.warnings
