"""The answer for one film."""

from pneumocli.core.records import ClassName, Fraction, Record


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
