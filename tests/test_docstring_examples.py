"""The examples in the docstrings of every module hold."""

import doctest
import importlib

import pytest

from tests.helpers import import_graph

WITH_EXAMPLES = sorted(
    name for name, path in import_graph.modules_on_disk().items() if "    >>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_hold(name: str):
    found = doctest.testmod(importlib.import_module(f"pneumocli.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_examples_are_looked_for_in_the_right_place():
    assert {"core.errors", "metrics.classification"} <= set(WITH_EXAMPLES)
