"""What the tests of training share."""

from tests.evaluation.conftest import saved

__all__ = ["saved"]
