"""A sample of the films of a folder, of fixed size however many there are, the same in whatever order they come.

The films with the smallest hashes are kept, at most one for each patient: films of a patient are not independent, and
copies of a film are one. The hash is that of the picture as the network sees it, so that neither names, nor folders,
nor batches, nor threads change the sample; and the samples of the parts of a folder join to that of the whole.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumocli.core.records import Count, Record
from pneumocli.data.acquisition import Acquisition, read_acquisition
from pneumocli.data.film import Film, Pixels
from pneumocli.model.reference import FilmRows, StoredRows

SAMPLE_SIZE = 400
"""Patients that a sample and a reference hold at most."""

_FEATURE_PRECISION = np.float16  # as in the reference, so that a film equals itself there
_FARTHEST = float(np.finfo(_FEATURE_PRECISION).max)  # of a few training films all others are farther than that


@dataclass(frozen=True, slots=True)
class Look:
    """A film before the network has seen it.

    Attributes:
        key: Of the picture, the same for the same pixels.
        patient: Of the patient, or of the picture where the patient is not known.
        numbers: In the order of :data:`pneumocli.model.reference.NUMBERS`.
        encoder: What made the file.
        age: Of the patient in years, where the file says so.
        view: ``PA``, ``AP``, ``lateral``, or empty where the file does not say.
    """

    key: int
    patient: int
    numbers: tuple[float, ...]
    encoder: str
    age: float | None = None
    view: str = ""


@dataclass(frozen=True, slots=True)
class Sampled:
    """A film of a sample: its :class:`Look`, its coordinates (K,), and its logit."""

    look: Look
    features: NDArray[np.float16]
    logit: float

    @property
    def key(self) -> int:
        """Of the picture."""
        return self.look.key

    @property
    def patient(self) -> int:
        """Of the patient, or of the picture where the patient is not known."""
        return self.look.patient


class FilmSample:
    """A sample of films that grows to a fixed size.

    Args:
        patient_of: The patient of a film by what names it; an empty string where it is not known.
        most: Patients to keep.

    Attributes:
        num_films: Films seen.
    """

    def __init__(self, patient_of: Callable[[object], str] = lambda _: "", most: int = SAMPLE_SIZE) -> None:
        self.num_films = 0
        self._patient_of = patient_of
        self._most = most
        self._kept: dict[int, Sampled] = {}
        self._largest: list[int] = []  # the patients kept, negated: a heap whose first is the largest

    def __len__(self) -> int:
        return len(self._kept)

    def look(self, source: object, content: bytes, film: Film, square: Pixels) -> Look | None:
        """A film as far as it is needed: ``None`` where it will not be in the sample. For any thread.

        Args:
            source: What names the film.
            content: Of the file.
            film: As read from it.
            square: uint8 (S,S), as the network sees it.
        """
        key = _hashed(square.tobytes())
        patient = _hashed_name(self._patient_of(source)) or key
        if len(self._kept) >= self._most and patient > -self._largest[0]:
            return None
        measured = square_appearance(square)
        return _look(key, patient, read_acquisition(content, film, measured=measured), measured)

    def look_of(self, patient: str, made: Acquisition, square: Pixels) -> Look:
        """A film whose making is known already.

        Args:
            patient: Whom it shows; empty where that is not known.
            made: How it was made.
            square: uint8 (S,S), as the network sees it.
        """
        key = _hashed(square.tobytes())
        return _look(key, _hashed_name(patient) or key, made, square_appearance(square))

    def add(self, look: Look | None, features: NDArray[np.float32], logit: float) -> None:
        """Takes a film in.

        Args:
            look: Of :meth:`look`.
            features: Its coordinates, (K,).
            logit: Of pneumonia.
        """
        self.num_films += 1
        if look is not None:
            within = features.clip(-_FARTHEST, _FARTHEST).astype(_FEATURE_PRECISION)
            self._keep(Sampled(look, within, logit))

    def join(self, others: Iterable["FilmSample"]) -> "FilmSample":
        """The sample of all films that this sample and others were drawn from."""
        joined = FilmSample(self._patient_of, self._most)
        for sample in (self, *others):
            joined.num_films += sample.num_films
            for film in sample._kept.values():
                joined._keep(film)
        return joined

    def kept(self) -> "list[Sampled]":
        """The films of the sample, in the order of their patients' hashes."""
        return [self._kept[patient] for patient in sorted(self._kept)]

    def rows(self) -> FilmRows:
        """The numbers of the films of :meth:`kept`."""
        kept = self.kept()
        ages, views = (tuple(getattr(film.look, name) for film in kept) for name in ("age", "view"))
        return FilmRows(
            features=np.array([film.features for film in kept], np.float32),
            logits=np.array([film.logit for film in kept], np.float32),
            numbers=np.array([film.look.numbers for film in kept], np.float32),
            encoders=tuple(film.look.encoder for film in kept),
            ages=ages if any(age is not None for age in ages) else (),
            views=views if any(views) else (),
        )

    def _keep(self, film: Sampled) -> None:
        known = self._kept.get(film.patient)
        if known is not None:
            if film.key < known.key:
                self._kept[film.patient] = film
        elif len(self._kept) < self._most:
            self._kept[film.patient] = film
            heapq.heappush(self._largest, -film.patient)
        elif film.patient < -self._largest[0]:
            self._kept[film.patient] = film
            del self._kept[-heapq.heapreplace(self._largest, -film.patient)]


class StoredSample(Record):
    """A sample as a file keeps it, to be joined with the samples of other parts of a folder."""

    num_films: Count
    """Films that it was drawn from."""
    patients: tuple[Count, ...]
    """Hash of each film's patient, or of its picture where the patient is not known."""
    keys: tuple[Count, ...]
    """Hash of each film's picture."""
    films: StoredRows | None
    """``None`` where there are none."""

    @classmethod
    def of(cls, sample: FilmSample) -> "StoredSample":
        """The stored form of a sample."""
        kept = sample.kept()
        return cls(
            num_films=sample.num_films,
            patients=tuple(film.patient for film in kept),
            keys=tuple(film.key for film in kept),
            films=StoredRows.of(sample.rows()) if kept else None,
        )

    def sample(self) -> FilmSample:
        """The sample.

        Raises:
            ModelFileError: The numbers are damaged.
        """
        sample = FilmSample()
        if self.films is not None:
            rows = self.films.rows()
            for place, (patient, key) in enumerate(zip(self.patients, self.keys, strict=True)):
                numbers = tuple(map(float, rows.numbers[place]))
                age, view = rows.ages[place] if rows.ages else None, rows.views[place] if rows.views else ""
                look = Look(key, patient, numbers, rows.encoders[place], age, view)
                sample.add(look, rows.features[place], float(rows.logits[place]))
        sample.num_films = self.num_films
        return sample


def square_appearance(square: Pixels) -> tuple[float, float, float]:
    """Brightness, contrast and sharpness of a film as the network sees it, uint8 (S,S).

    >>> square_appearance(np.array([[0, 0], [10, 10]], np.uint8))
    (5.0, 5.0, 10.0)
    """
    values = square.astype(np.float32)
    return float(values.mean()), float(values.std()), float(np.abs(np.diff(values, axis=0)).mean())


def _look(key: int, patient: int, made: Acquisition, appearance: tuple[float, float, float]) -> Look:
    size = (made.width * made.height) ** 0.5
    return Look(key, patient, (size, made.aspect, *appearance), made.encoder, made.age, made.view)


def _hashed_name(name: str) -> int:
    """Of a patient; 0 where there is no name."""
    return _hashed(name.encode("utf-8", "surrogateescape")) if name else 0


def _hashed(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
