"""Thousands of damaged films: never a crash, a hang, or another exception; what is reported as damaged is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("count", [pytest.param(60, id="few"), pytest.param(4000, id="many", marks=pytest.mark.slow)])
def test_damaged_films(count: int):
    forms = ("JPEG", "PNG", "TIFF", "BMP", "JPEG2000", "DICOM")
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.damage", ",".join(forms), str(count), "0"],
        cwd=ROOT, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert tuple(found) == forms
    for form, ends in found.items():
        print(form, ends)  # noqa: T201 - the figures of docs/data.md
        assert ends["refused"] + ends["passed"] == count
        assert ends["refused"] > count / 20
        assert ends.get("passed though reported", 0) == 0
        assert ends["leaked"] == 0
    assert "Muster" not in done.stderr
