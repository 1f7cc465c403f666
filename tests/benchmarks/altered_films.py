"""What runs answer when films are made in another way: ``python -m tests.benchmarks.altered_films RUN...``.

Sharpness, resolution and encoder tell the classes of the set apart (docs/data.md), and another place has others. The
validation films of each run are altered, both classes alike, at the full size of their files, and scored again. A
network that looks at lungs hardly moves; one that reads how a film was made calls blurred healthy films sick. Printed
are, by alteration, sensitivity and specificity at the stored threshold, AUROC, and the mean logit of each class.
"""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from pneumocli import FilmScorer
from pneumocli.data.film import Pixels
from pneumocli.data.images import read_film
from pneumocli.data.manifest import Manifest
from pneumocli.metrics.classification import auroc
from pneumocli.run_folder import RunFolder
from pneumocli.training.alterations import Alteration

AS_THEY_ARE = Alteration(1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0, None)

# In pixels of the file: the films of chest_xray_224 have 224 a side.
ALTERATIONS = {
    "none": AS_THEY_ARE,
    "blurred by half a pixel": replace(AS_THEY_ARE, sharpness=-0.5),
    "blurred by a pixel": replace(AS_THEY_ARE, sharpness=-1.0),
    "sharpened": replace(AS_THEY_ARE, sharpness=1.0),
    "half the resolution": replace(AS_THEY_ARE, resolution=0.5),
    "JPEG, quality 30": replace(AS_THEY_ARE, quality=30),
    "noise of 4 grey levels": replace(AS_THEY_ARE, noise=4.0),
    "lighter": replace(AS_THEY_ARE, gamma=0.8),
    "darker": replace(AS_THEY_ARE, gamma=1.25),
    "half the contrast": replace(AS_THEY_ARE, contrast=0.5),
}


def main(*runs: Path) -> None:
    """Prints a table per run."""
    for run in map(RunFolder.open_finished, runs):
        films = run.manifest().of("val")
        scorer = FilmScorer(run.path)
        print(f"{run.path.name}: {len(films)} validation films, threshold {scorer.threshold:.1%}\n")
        print("| films | sensitivity | specificity | AUROC | mean logit: NORMAL | PNEUMONIA |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for name, alteration in ALTERATIONS.items():
            print(f"| {name} | {' | '.join(figures(films, alteration, scorer))} |", flush=True)
        print()


def figures(films: Manifest, alteration: Alteration, scorer: FilmScorer) -> list[str]:
    """Sensitivity, specificity, AUROC and the mean logit of each class, as shown."""
    rows = scorer(altered(read_film(films.path(row)).pixels, alteration) for row in films.rows)
    probabilities = np.array([row["probability"] for row in rows], float)
    sick = np.array([row.label for row in films.rows]) == 1
    positive = probabilities >= scorer.threshold
    logits = np.log(probabilities / (1 - probabilities))
    area = auroc(sick, probabilities)
    shares = (positive[sick].mean(), 1 - positive[~sick].mean(), area)
    return [*(f"{100 * share:.1f}" for share in shares), *(f"{logits[one].mean():+.1f}" for one in (~sick, sick))]


def altered(film: Pixels, alteration: Alteration) -> bytes:
    """The film as a file that loses nothing more."""
    content = io.BytesIO()
    Image.fromarray(film if alteration == AS_THEY_ARE else alteration.applied_to(film)).save(content, "PNG")
    return content.getvalue()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
