"""What benchmarks without pytest share: whole processes that print JSON, and trainings that leave nothing behind."""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def measured(*argv: object) -> tuple[dict[str, Any], float]:
    """What Python with these arguments prints, and the CPU seconds of its process and those that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, *map(str, argv)], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def trained(data: Path, *flags: object) -> tuple[dict[str, Any], float]:
    """The result of a training on the CPU, whose run folder goes, and the CPU seconds that it took."""
    with tempfile.TemporaryDirectory() as place:
        common = ("--data", data, "--device", "cpu", "--run-dir", Path(place) / "run", "--json", "--quiet")
        return measured("-m", "pneumocli", "train", *common, *flags)
