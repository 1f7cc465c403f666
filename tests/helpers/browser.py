"""The real browser of the machine."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def chromium() -> str:
    """Where it is; skips the test where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((place for name in names if (place := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    return found


def browse(page: Path, *flags: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Opens a page without a window, in a profile of its own; ``flags`` say what to do with it."""
    browser = chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        argv = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        return subprocess.run([*argv, *flags, page.as_uri()], capture_output=True, text=True, timeout=180, check=check)
