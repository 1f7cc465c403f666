"""The answer for one film."""

from pneumocli.core.records import Answer, ClassName, Fraction, Record


class Prediction(Record):
    """One film's answer from ``pneumo predict``."""

    image: str
    """As the caller named it."""
    probability: Fraction | None
    """Of pneumonia; ``None`` where the film could not be read."""
    prediction: ClassName | None
    threshold: Fraction
    warnings: tuple[str, ...] = ()
    error: str | None = None
    """Why there is no answer."""


class ReferringPrediction(Prediction):
    """The answer of a model trained with ``--refer``."""

    answer: Answer | None
    """A class where it is clear, ``REFER`` where a person should look; ``None`` where the film could not be read."""
