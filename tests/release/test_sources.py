"""What is known of the sources."""

import dataclasses

import pytest

from pneumocli.release import sources


def test_known_mendeley_zip() -> None:
    assert sources.MENDELEY.num_bytes == 1_235_512_464
    assert str(sources.MENDELEY.sha256).startswith("13efc0556297")
    assert all(url.startswith("https://data.mendeley.com/") for url in sources.MENDELEY.urls)


def test_known_sources_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        sources.KAGGLE.title = "x"  # type: ignore[misc]
