"""Which films get a warning. ``PNEUMO_RUN=RUN pytest -m benchmark -s tests/benchmarks/test_familiarity.py``.

Needs a run trained on real films, and those films. Prints the share of films with a warning: of the run's validation
films and the test films, of those of another hospital ($PNEUMO_OTHER_FILMS), of validation films that were altered, of
phantoms, of photographs and of noise, as made here, grey and of the aspect of real films, so that neither colour nor
shape gives them away.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumocli.data.images import is_film_name, read_film
from pneumocli.data.phantom import write_phantoms
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.scoring import score_films
from pneumocli.run_folder import RunFolder

pytestmark = pytest.mark.benchmark

NUM_MADE = 200
Pixels = NDArray[np.uint8]

ALTERATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "negatives": lambda film: 255 - film,
    "turned by 90 degrees": np.rot90,
    "turned by 180 degrees": lambda film: film[::-1, ::-1],
    "upside down": lambda film: film[::-1],
    "the upper left quarter": lambda film: film[: len(film) // 2, : film.shape[1] // 2],
    "the middle quarter": lambda film: film[_middle(film.shape[0]), _middle(film.shape[1])],
    "the lower half": lambda film: film[len(film) // 2 :],
}


def _middle(length: int) -> slice:
    return slice(length // 4, length // 4 + length // 2)


@pytest.fixture(scope="module")
def run() -> RunFolder:
    if not os.environ.get("PNEUMO_RUN"):
        pytest.skip("PNEUMO_RUN names no run trained on real films")
    return RunFolder.open_finished(Path(os.environ["PNEUMO_RUN"]))


def photographs(rng: np.random.Generator) -> Iterator[Pixels]:
    """Scenes: a gradient of light, things of several shapes and textures, the noise of a sensor."""
    for _ in range(NUM_MADE):
        width, height = 320, int(320 / rng.uniform(1.0, 1.6))
        y, x = np.mgrid[:height, :width]
        scene = rng.uniform(0, 255) + rng.uniform(-120, 120) * y / height + rng.uniform(-120, 120) * x / width
        for _ in range(rng.integers(3, 12)):
            row, column, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(10, 150)
            if rng.random() < 0.5:
                inside = (y - row) ** 2 + (x - column) ** 2 < radius**2
            else:
                inside = (abs(y - row) < radius) & (abs(x - column) < radius * rng.uniform(0.2, 1))
            scene[inside] = rng.uniform(0, 255) + rng.uniform(-20, 20) * np.sin(x[inside] * rng.uniform(0.05, 1))
        scene += rng.normal(0, rng.uniform(1, 12), scene.shape)
        yield np.clip(scene, 0, 255).astype(np.uint8)


def noise(rng: np.random.Generator) -> Iterator[Pixels]:
    """White noise, uniform and Gaussian; smooth blobs; clouds with the spectrum of natural pictures."""
    for number in range(NUM_MADE):
        width, height = 320, int(320 / rng.uniform(1.0, 1.6))
        if number % 4 == 0:
            made = rng.uniform(0, 256, (height, width))
        elif number % 4 == 1:
            made = rng.normal(128, rng.uniform(5, 60), (height, width))
        elif number % 4 == 2:
            blobs = Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8))
            made = np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC), float)
        else:
            down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
            spectrum = np.fft.rfft2(rng.normal(size=(height, width)))
            made = np.fft.irfft2(spectrum / np.maximum(np.hypot(down, across), 1 / width) ** 1.2, (height, width))
            made = (made - made.mean()) / made.std() * 45 + 128
        yield np.clip(made, 0, 255).astype(np.uint8)


def saved(pictures: Iterable[Pixels], folder: Path) -> list[Path]:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:03}.png")
    return sorted(folder.iterdir())


def films_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if is_film_name(path.name))


def test_warnings(run: RunFolder, tmp_path: Path):
    manifest = run.manifest()
    write_phantoms(tmp_path / "phantoms", num_train=160, num_val=8, num_test=40)
    validation = [manifest.path(row) for row in manifest.of("val").rows]
    originals = [read_film(path).pixels for path in validation]
    groups = {
        "real films, the run's validation": validation,
        "real films, test": films_below(run.config().data / "test"),
        "adults of another hospital": films_below(Path(os.environ.get("PNEUMO_OTHER_FILMS", tmp_path / "none"))),
        **{name: saved(map(altered, originals), tmp_path / "altered" / name) for name, altered in ALTERATIONS.items()},
        "phantoms": films_below(tmp_path / "phantoms")[:NUM_MADE],
        "photographs": saved(photographs(np.random.default_rng(0)), tmp_path / "photographs"),
        "noise": saved(noise(np.random.default_rng(1)), tmp_path / "noise"),
    }
    classifier = Classifier.of_run(run, throughput=True)
    shares = {}
    print(f"\n{'films':34} {'number':>6} {'warned':>8} {'of those by the features':>26}")
    for name, films in groups.items():
        if not films:
            continue
        scored = list(score_films(classifier, films))
        warned = sum(bool(film.warnings) for film in scored)
        by_features = sum(any("to the network" in text for text in film.warnings) for film in scored)
        shares[name] = warned / len(films)
        print(f"{name:34} {len(films):6} {warned / len(films):8.1%} {by_features / len(films):26.1%}")
    assert shares["real films, the run's validation"] < 0.01
    assert min(shares[name] for name in ("negatives", "turned by 90 degrees")) > 0.95
    assert min(shares[name] for name in ("phantoms", "photographs", "noise")) > 0.95
