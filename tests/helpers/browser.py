"""The real browser of the machine."""

import shutil

import pytest


def chromium() -> str:
    """Where it is; skips the test where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((place for name in names if (place := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    return found
