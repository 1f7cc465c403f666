"""What a model file keeps of its validation films, so that later films can be compared with them as a whole.

Numbers alone, of one film for each patient: no picture, no name, no patient, in an order drawn by hash.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from pneumocli.core.errors import ModelFileError
from pneumocli.core.records import Count, Record
from pneumocli.model.packed_numbers import packed, unpacked

NUMBERS = ("size", "aspect", "brightness", "contrast", "sharpness")
"""What is known of each film beside its encoder: root of width x height in pixels, width / height; and of the square
that the network sees, in grey values, the mean, the standard deviation, and the mean difference of vertical neighbours.
"""

Floats = NDArray[np.float32]
Age = Annotated[float, Field(ge=0, lt=1000)]

_DAMAGED = "the model file's reference of its validation films is damaged or from another version"


@dataclass(frozen=True)
class FilmRows:
    """Films as they are compared, one entry per film in each.

    Attributes:
        features: Coordinates of :meth:`pneumocli.model.out_of_distribution.Familiarity.coordinates`, float32 (N,K).
        logits: Of pneumonia, float32 (N,).
        numbers: In the order of :data:`NUMBERS`, float32 (N,5).
        encoders: See :attr:`pneumocli.data.acquisition.Acquisition.encoder`.
        ages: Of the patients in years, ``None`` where a file does not say; empty where none does.
        views: ``PA``, ``AP``, ``lateral``, or empty where a file does not say; empty where none does.
    """

    features: Floats
    logits: Floats
    numbers: Floats
    encoders: tuple[str, ...]
    ages: tuple[float | None, ...] = ()
    views: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.encoders)

    def take(self, rows: NDArray[np.intp]) -> "FilmRows":
        """Some of the films."""
        encoders = tuple(self.encoders[row] for row in rows)
        ages = tuple(self.ages[row] for row in rows) if self.ages else ()
        views = tuple(self.views[row] for row in rows) if self.views else ()
        return FilmRows(self.features[rows], self.logits[rows], self.numbers[rows], encoders, ages, views)


class StoredRows(Record):
    """Films as a file keeps them."""

    features: str
    """Base64 of float16, little-endian, (N,K)."""
    logits: str
    """Base64 of float32, little-endian, (N,)."""
    numbers: str
    """Base64 of float32, little-endian, (N,5)."""
    encoders: tuple[str, ...]
    """Each once."""
    encoder: tuple[Count, ...]
    """Of each film the place in ``encoders``."""
    ages: tuple[Age | None, ...] = ()
    """Of each film's patient in years, ``None`` where the file does not say; empty where no file does."""
    views: tuple[Literal["PA", "AP", "lateral", ""], ...] = ()
    """Of each film, empty where the file does not say; empty where no file does."""

    @classmethod
    def of(cls, rows: FilmRows) -> "StoredRows":
        """The stored form of films."""
        names = sorted(set(rows.encoders))
        return cls(
            features=packed(rows.features, "<f2"),
            logits=packed(rows.logits),
            numbers=packed(rows.numbers),
            encoders=tuple(names),
            encoder=tuple(names.index(name) for name in rows.encoders),
            ages=rows.ages,
            views=rows.views,
        )

    def rows(self) -> FilmRows:
        """The films.

        Raises:
            ModelFileError: The numbers are damaged.
        """
        count = len(self.encoder)
        features = unpacked(self.features, _DAMAGED, "<f2")
        logits, numbers = unpacked(self.logits, _DAMAGED), unpacked(self.numbers, _DAMAGED)
        sound = (
            count > 0
            and max(self.encoder) < len(self.encoders)
            and features.size >= count
            and features.size % count == 0
            and logits.size == count
            and numbers.size == count * len(NUMBERS)
            and len(self.ages) in (0, count)
            and len(self.views) in (0, count)
            and all(bool(np.isfinite(part).all()) for part in (features, logits, numbers))
        )
        if not sound:
            raise ModelFileError(_DAMAGED)
        encoders = tuple(self.encoders[place] for place in self.encoder)
        shaped = features.reshape(count, -1), logits, numbers.reshape(count, -1)
        return FilmRows(*shaped, encoders, self.ages, self.views)


class Reference(Record):
    """The validation films that a model file keeps, and what must be known to compare with them."""

    schema_version: Literal[1] = 1
    films: StoredRows
    labels: tuple[Literal[0, 1], ...]
    """0 or 1 for each film."""

    @classmethod
    def read(cls, text: str) -> "Reference":
        """The reference in a model file.

        Raises:
            ModelFileError: It is damaged, or from a later version of pneumo.
        """
        try:
            reference = cls.model_validate_json(text)
        except ValidationError as error:
            raise ModelFileError(_DAMAGED) from error
        if len(reference.labels) != len(reference.films.encoder):
            raise ModelFileError(_DAMAGED)
        return reference

    def moved(self, offset: float) -> "Reference":
        """The same films with ``offset`` added to their logits, as a recalibrated model gives them."""
        if not offset:
            return self
        logits = unpacked(self.films.logits, _DAMAGED) + np.float32(offset)
        films = self.films.model_copy(update={"logits": packed(logits)})
        return self.model_copy(update={"films": films})
