"""Makes the reference that a model file keeps, from the validation films of its training."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.records import ManifestRow
from pneumocli.data.acquisition import Acquisition
from pneumocli.data.film import Pixels
from pneumocli.model.reference import Reference, StoredRows
from pneumocli.shift.sample import FilmSample


def reference_of(
    rows: Sequence[ManifestRow],
    made: Sequence[Acquisition],
    squares: Sequence[Pixels],
    features: NDArray[np.float32],
    logits: NDArray[np.floating],
) -> Reference | None:
    """What a model file keeps of its validation films, at most one of each patient.

    Args:
        rows: The films, in the order of the rest.
        made: How each was made.
        squares: uint8 (S,S) each, as the network sees them.
        features: Their coordinates, (N,K).
        logits: Of pneumonia, (N,).

    Returns:
        ``None`` where there are no films.
    """
    sample = FilmSample()
    labels: dict[int, int] = {}
    for row, film, square, coordinates, logit in zip(rows, made, squares, features, logits, strict=True):
        look = sample.look_of(row.patient, film, square)
        labels[look.key] = row.label
        sample.add(look, coordinates, float(logit))
    if not len(sample):
        return None
    return Reference.model_validate(
        {"films": StoredRows.of(sample.rows()), "labels": [labels[film.key] for film in sample.kept()]}
    )
