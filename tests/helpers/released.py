"""The Kaggle release without its films: rows, and folders of tiny stand-ins under the release's names."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from pneumocli.core.records import ManifestRow
from pneumocli.data.patients import patient_of
from pneumocli.data.release_lists import kaggle_films


def kaggle_rows() -> tuple[ManifestRow, ...]:
    rows = []
    for split, name, file in sorted(kaggle_films()):
        parsed = patient_of(file)
        assert parsed is not None
        patient, kind = parsed
        label = int(name == "PNEUMONIA")
        rows.append(
            ManifestRow(image=f"{split}/{name}/{file}", label=label, kind=kind, patient=patient, split=split, sha256="")
        )
    return tuple(rows)


def empty_films(folder: Path, images: Iterable[str]) -> Path:
    """Files of no content: enough for names and counts."""
    for image in images:
        place = folder / image
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return folder


def some_of(split: str, name: str, count: int) -> list[str]:
    """The first names of the release in a split and class."""
    return sorted(f"{s}/{n}/{file}" for s, n, file in kaggle_films() if (s, n) == (split, name))[:count]


def film_bytes(seed: int, *, width: int = 90, height: int = 70, form: str = "JPEG", level: int = 128) -> bytes:
    """A picture that differs from those of other seeds in its large structures, as chests do not."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(level, 60, (24, 32)).clip(0, 255).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(content, form)
    return content.getvalue()


def write_films(folder: Path, images: Iterable[str], **options: object) -> Path:
    """Films of differing sizes, all different."""
    for number, image in enumerate(images):
        place = folder / image
        place.parent.mkdir(parents=True, exist_ok=True)
        sizes = {"width": 90 + number % 7, "height": 70 + number % 5}
        place.write_bytes(film_bytes(number, **(sizes | options)))
    return folder
