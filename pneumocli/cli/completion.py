"""What the shell offers for a value: run folders and devices; choices such as splits it knows by itself."""

from collections.abc import Callable
from pathlib import Path

from pneumocli.core.config import DEFAULT_RUNS
from pneumocli.run_folder import RunFolder

_DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps")


def completion_of(metavar: str | None) -> Callable[[str], list[str]] | None:
    """The function that completes values of this kind; ``None`` where the shell's own completion of files serves."""
    if metavar is not None and metavar.split()[0] == "RUN":
        return run_folders
    return devices if metavar == "DEVICE" else None


def run_folders(incomplete: str) -> list[str]:
    """Run folders whose path begins so: those under ``runs/``, and those in the folder that is being typed."""
    typed = Path(incomplete)
    around = typed if incomplete.endswith("/") else typed.parent
    places = dict.fromkeys([DEFAULT_RUNS, around])
    found = {run.as_posix() for place in places if place.is_dir() for run in place.iterdir() if _is_run(run)}
    return sorted(name for name in found if name.startswith(incomplete))


def devices(incomplete: str) -> list[str]:
    """Devices whose name begins so."""
    return [name for name in _DEVICES if name.startswith(incomplete)]


def _is_run(path: Path) -> bool:
    return RunFolder(path).config_file.is_file()
