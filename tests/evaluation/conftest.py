"""What the tests of evaluations share."""

import io
from typing import IO

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> dict[Figure, list[str]]:
    """The formats that each figure is saved in; an empty file stands for the picture, which takes long to draw."""
    formats: dict[Figure, list[str]] = {}

    def save(figure: Figure, file: IO[bytes] | IO[str], *, format: str, **_: object) -> None:
        formats.setdefault(figure, []).append(format)
        file.write("<svg></svg>" if isinstance(file, io.StringIO) else b"")

    monkeypatch.setattr(Figure, "savefig", save)
    return formats
