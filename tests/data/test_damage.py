"""Thousands of damaged films: never a crash, a hang, or another exception; what is reported as damaged is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("count", [pytest.param(60, id="few"), pytest.param(4000, id="many", marks=pytest.mark.slow)])
def test_damaged_films(count: int):
    running = {
        form: subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.damage", form, str(count), "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for form in ("JPEG", "PNG", "TIFF", "BMP", "JPEG2000", "DICOM")
    }
    for form, program in running.items():
        with program:
            out, err = program.communicate(timeout=500)
        assert program.returncode == 0, f"{form}: {err}"
        ends = json.loads(out)
        print(form, ends)  # noqa: T201 - the figures of docs/data.md
        assert ends["refused"] + ends["passed"] == count
        assert ends["refused"] > count / 20
        assert ends.get("passed though reported", 0) == 0
        assert ends["leaked"] == 0
        assert "Muster" not in err
