"""Split conformal prediction per class: which films a model answers, and which it refers to a person.

A class is in a film's set unless the film lies further towards the other class than almost all validation films of
that class: all but ``alpha`` of them, by rank. The set of a new film then lacks its true class with a probability of at
most ``alpha``, for each class, whatever the network and however rare the class, as long as the film is exchangeable
with the validation films. A film whose set holds one class gets that class as its answer; one whose set holds both, or
none, is referred.

Films of one patient are alike, so that films are not exchangeable one by one. Patients are: one film of each enters,
chosen by a hash, and the guarantee is for one film of a new patient.

References:
    Vovk 2013, doi:10.1007/s10994-013-5355-6 (per class); Dunn, Wasserman and Ramdas 2023,
    doi:10.1080/01621459.2022.2060112 (one film of each patient); Angelopoulos and Bates 2023, doi:10.1561/2200000101.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumocli.core.records import CLASS_NAMES, REFER, Answer, ManifestRow
from pneumocli.model.card import ReferLimits

_ROUNDING = 1e-9  # 0.1 * 30 is a little more than 3 in binary, 0.07 * 100 a little more than 7


def least_patients(alpha: float) -> int:
    """Patients of a class that ``alpha`` needs: with fewer, no film could be ruled out.

    >>> least_patients(0.05), least_patients(0.1), least_patients(0.3)
    (19, 9, 3)
    """
    return math.ceil(1 / alpha - 1 - _ROUNDING)


def one_of_each_patient(labels: ArrayLike, patients: Sequence[str], keys: Sequence[str]) -> NDArray[np.int64]:
    """Places of one film of each patient and class, in rising order: that with the smallest hash.

    Args:
        labels: 0 or 1, (N,).
        patients: Patient of each film.
        keys: What names each film, its SHA-256 or its path: the choice depends on nothing else.
    """
    chosen: dict[tuple[str, int], tuple[bytes, int]] = {}
    for place, (label, patient, key) in enumerate(zip(np.asarray(labels).tolist(), patients, keys, strict=True)):
        hashed = (hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).digest(), place)
        chosen[patient, label] = min(hashed, chosen.get((patient, label), hashed))
    return np.array(sorted(place for _, place in chosen.values()), np.int64)


def refer_limits(logits: ArrayLike, labels: ArrayLike, alpha: float) -> ReferLimits:
    """The limits that leave out at most ``alpha`` of each class.

    Args:
        logits: Of pneumonia, (N,), one film of each patient, see :func:`one_of_each_patient`.
        labels: 0 or 1, (N,).
        alpha: Share of each class that may be left out, between 0 and 0.5.

    Raises:
        ValueError: A class has fewer than :func:`least_patients`.

    With 19 patients of each class and 0.05 no film of the class is left out, with 20 neither, with 39 one:

    >>> normal, pneumonia = list(range(-39, 0)), list(range(1, 40))
    >>> found = refer_limits(normal + pneumonia, [0] * 39 + [1] * 39, 0.05)
    >>> found.normal_up_to, found.pneumonia_from
    (-2.0, 2.0)
    """
    values, classes = np.asarray(logits, np.float64), np.asarray(labels)
    normal, pneumonia = np.sort(values[classes == 0]), np.sort(values[classes == 1])
    left_out = [math.floor(alpha * (len(one) + 1) + _ROUNDING) for one in (normal, pneumonia)]
    if min(left_out) < 1:
        raise ValueError(f"{alpha} needs {least_patients(alpha)} patients of each class")
    return ReferLimits(
        alpha=alpha,
        normal_up_to=float(normal[-left_out[0]]),
        pneumonia_from=float(pneumonia[left_out[1] - 1]),
        num_normal=len(normal),
        num_pneumonia=len(pneumonia),
    )


def limits_of_films(films: Sequence[ManifestRow], logits: ArrayLike, alpha: float) -> ReferLimits:
    """The limits that films set, of which one of each patient and class counts.

    Args:
        films: The films.
        logits: Of pneumonia, (N,).
        alpha: As for :func:`refer_limits`.
    """
    labels = np.array([row.label for row in films], np.int64)
    chosen = one_of_each_patient(labels, [row.patient for row in films], [row.sha256 for row in films])
    return refer_limits(np.asarray(logits)[chosen], labels[chosen], alpha)


def answer_of(limits: ReferLimits, logit: float) -> Answer:
    """The answer for a film with this logit of pneumonia."""
    normal, pneumonia = logit <= limits.normal_up_to, logit >= limits.pneumonia_from
    return REFER if normal == pneumonia else CLASS_NAMES[pneumonia]


def sets_of(limits: ReferLimits, logits: ArrayLike) -> NDArray[np.bool_]:
    """Whether NORMAL and PNEUMONIA are in each film's set, (N,2), from logits of pneumonia, (N,)."""
    values = np.asarray(logits, np.float64)
    return np.stack([values <= limits.normal_up_to, values >= limits.pneumonia_from], axis=1)
