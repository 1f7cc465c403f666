"""The docstrings of a model's fields: what people read of a setting or of a number on disk.

Pydantic can keep them (``use_attribute_docstrings``), but looks for the source of each class by itself, which costs
every command a tenth of its start (docs/benchmarks.md); a module is parsed once here.
"""

import ast
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel


def field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The text below each field of a model and of those it extends, each on one line."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if issubclass(part, BaseModel) and part is not BaseModel:
            found |= _of_module(part.__module__).get(part.__name__, {})
    return found


@cache
def _of_module(name: str) -> dict[str, dict[str, str]]:
    tree = ast.parse(Path(str(sys.modules[name].__file__)).read_text(encoding="utf-8"))
    return {item.name: _of_class(item) for item in tree.body if isinstance(item, ast.ClassDef)}


def _of_class(definition: ast.ClassDef) -> dict[str, str]:
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
