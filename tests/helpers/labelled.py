"""Tables of films that a model of tests ranks as wished: so small a network tells nothing apart by itself."""

import csv
from pathlib import Path

import numpy as np

from pneumocli.core.records import CLASS_NAMES
from pneumocli.data.manifest import scan
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.scoring import score_films


def table_of(file: Path, films: Path, classifier: Classifier, *, mixed: bool = False, most: int = 999) -> Path:
    """The test films with labels that the network's scores give, or that have nothing to do with them."""
    rows = scan(films).of("test").rows[:most]
    results = list(score_films(classifier, [films / row.image for row in rows]))
    order = np.argsort([result.logit for result in results])
    labels = np.zeros(len(rows), int)
    labels[order[len(rows) // 2 :]] = 1
    labels[order[len(rows) // 2 - 2]] = 1
    if mixed:
        labels[order] = np.arange(len(rows)) // 2 % 2
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["image", "label", "patient"])
        writer.writerows(
            [row.image, CLASS_NAMES[label], number]
            for number, (row, label) in enumerate(zip(rows, labels, strict=True))
        )
    return file
