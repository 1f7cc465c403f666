"""``doctor()``: what is fine on this machine for this program, and what is not."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pneumocli.core.amounts import counted, size
from pneumocli.core.errors import PneumoError, shell_word
from pneumocli.core.files import cache_folder, sizes_below
from pneumocli.core.locks import locked
from pneumocli.core.memory import available_memory_bytes
from pneumocli.core.parallel import usable_cores
from pneumocli.core.records import Record
from pneumocli.core.version import __version__

CheckState = Literal["ok", "note", "problem"]

_SET_BYTES = 6_000_000_000  # the zip, the unpacked films, their decoded form and a run
_LEAST_MEMORY = 4_000_000_000
_LEAST_SHARED = 500_000_000
_DRIVER_SECONDS = 20


class Check(Record):
    """One line of ``pneumo doctor``."""

    name: str
    state: CheckState
    text: str
    """What was found."""
    hint: str | None = None
    """What to do, where something is to be done."""


class Diagnosis(Record):
    """``pneumo doctor --json``."""

    schema_version: Literal[1] = 1
    checks: tuple[Check, ...]

    @property
    def problems(self) -> tuple[Check, ...]:
        """The checks that found something that will fail."""
        return tuple(check for check in self.checks if check.state == "problem")


def doctor() -> Diagnosis:
    """Checks this machine: nothing is changed, nothing is sent, credentials are looked for and never shown."""
    parts: tuple[Callable[[], Iterator[Check]], ...] = (
        _python, _torch, _gpu, _onnx_runtime, _memory, _disk, _cores, _file_system, _kaggle, _cache,
    )  # fmt: skip
    return Diagnosis(checks=tuple(check for part in parts for check in part()))


def _python() -> Iterator[Check]:
    yield Check(name="pneumo", state="ok", text=f"{__version__}, Python {platform.python_version()}, {sys.platform}")


def _torch() -> Iterator[Check]:
    try:
        import torch
        import torchvision
    except (ImportError, OSError) as error:  # OSError: a library of it does not load
        yield Check(
            name="torch", state="problem", text=f"cannot be loaded: {error}",
            hint="https://pytorch.org/get-started names the build for this machine; predict works without it",
        )  # fmt: skip
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "ROCm" if torch.version.hip else "CPU only"
    yield Check(name="torch", state="ok", text=f"{torch.__version__} ({build}), torchvision {torchvision.__version__}")
    if not _has_compiler():
        yield Check(name="compiler", state="note", text="no C++ compiler: --compile has no effect on the CPU")


def _has_compiler() -> bool:
    from pneumocli.model.device import has_cpp_compiler

    return has_cpp_compiler()


def _gpu() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError):
        return  # reported by the check of torch
    from pneumocli.model.device import why_no_cuda

    driver = _driver()
    if driver:
        yield Check(name="driver", state="ok", text=f"NVIDIA {driver}")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield _card(index)
    elif torch.backends.mps.is_available():
        yield Check(name="GPU", state="ok", text=f"Apple GPU ({platform.machine()}), --device mps")
    else:
        found = "a GPU is there, but " if driver else ""
        state: CheckState = "problem" if driver and torch.version.cuda is None else "note"
        yield Check(name="GPU", state=state, text=f"{found}{why_no_cuda()}", hint="--device cpu works everywhere")


def _card(index: int) -> Check:
    """One CUDA device: its name, memory, and whether the installed torch runs a kernel on it."""
    import torch

    from pneumocli.model.device import resolve_device, resolve_precision

    name = f"GPU {index}"
    try:
        device = resolve_device(f"cuda:{index}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            right = int(torch.ones(1024, device=device).sum()) == 1024
            free, total = torch.cuda.mem_get_info(device)
    except PneumoError as error:
        return Check(name=name, state="problem", text=error.message, hint=error.hint)
    except RuntimeError as error:  # of CUDA: no kernel image, a card that another process holds, a broken driver
        first = str(error).splitlines()[0]
        return Check(
            name=name, state="problem", text=f"a kernel did not run: {first}", hint="nvidia-smi shows its state"
        )
    if not right:
        return Check(name=name, state="problem", text="a sum on it is wrong", hint="nvidia-smi -q shows memory errors")
    major, minor = torch.cuda.get_device_capability(device)
    shown = f"{torch.cuda.get_device_name(device)}, compute capability {major}.{minor}, kernels run"
    memory = f"{size(free)} of {size(total)} free, --precision auto is {resolve_precision('auto', device)}"
    return Check(name=name, state="ok", text=f"{shown}; {memory}")


def _driver() -> str | None:
    """The version of NVIDIA's driver; ``None`` without one."""
    try:
        told = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", told):
            return found[1]
    except OSError:
        pass
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - the driver's own program
            [program, "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=_DRIVER_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.split()
    return lines[0] if done.returncode == 0 and lines else None


def _onnx_runtime() -> Iterator[Check]:
    try:
        yield Check(name="ONNX Runtime", state="ok", text=version("onnxruntime"))
    except PackageNotFoundError:
        yield Check(
            name="ONNX Runtime", state="problem", text="is not installed: predict and evaluate need it",
            hint="pip install onnxruntime",
        )  # fmt: skip


def _memory() -> Iterator[Check]:
    free = available_memory_bytes()
    if free is not None:
        enough = free >= _LEAST_MEMORY
        hint = None if enough else "a smaller --batch-size, or --accumulate, needs less"
        yield Check(name="memory", state="ok" if enough else "note", text=f"{size(free)} available", hint=hint)
    shared = Path("/dev/shm")  # noqa: S108 - looked at, not written to
    if shared.is_dir():
        total = shutil.disk_usage(shared).total
        if total < _LEAST_SHARED:
            yield Check(
                name="shared memory", state="note", text=f"{shared} holds {size(total)}: worker processes need more",
                hint="docker run --shm-size 1g, or --workers 0",
            )  # fmt: skip


def _disk() -> Iterator[Check]:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free >= _SET_BYTES
    text = f"{size(free)} free here" + ("" if enough else f"; the Kaggle set with a run takes {size(_SET_BYTES)}")
    yield Check(name="disk", state="ok" if enough else "note", text=text)


def _cores() -> Iterator[Check]:
    usable, there = usable_cores(), os.cpu_count() or 1
    text = counted(usable, "core") + (f" of {there} usable by this process" if usable < there else "")
    yield Check(name="processor", state="ok", text=f"{text}, {platform.machine()}")


def _file_system() -> Iterator[Check]:
    """Whether files can be written, locked and told apart by case in the current folder."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".pneumo-", dir=Path.cwd()) as folder,
            locked(Path(folder) / "Case", "a lock of our own is held by another process") as warning,
        ):
            same = (Path(folder) / "cASE").exists()
    except (OSError, PneumoError) as error:
        reason = error.message if isinstance(error, PneumoError) else error.strerror
        yield Check(
            name="file system", state="problem", text=f"{Path.cwd()} cannot be written to: {reason}",
            hint="change to a folder of your own",
        )  # fmt: skip
        return
    locks = "no locks: let one machine at a time write here" if warning else "locks work"
    case = "upper and lower case are the same name" if same else "upper and lower case differ"
    yield Check(name="file system", state="note" if warning else "ok", text=f"{locks}, {case}")


def _kaggle() -> Iterator[Check]:
    """Which credentials are there; their content is never read."""
    from pneumocli.release.kaggle import credentials

    found = credentials()
    if not found:
        yield Check(
            name="Kaggle", state="note", text="no credentials: public sets are fetched without a login",
            hint="pneumo download --source mendeley needs no account",
        )  # fmt: skip
        return
    files = [Path(place) for place in found if Path(place).is_file()]
    open_ones = [file for file in files if os.name == "posix" and file.stat().st_mode & 0o077]
    hint = f"chmod 600 {shell_word(open_ones[0])}" if open_ones else None
    text = f"credentials in {', '.join(found)}" + (": other users can read them" if open_ones else "")
    yield Check(name="Kaggle", state="note" if open_ones else "ok", text=text, hint=hint)


def _cache() -> Iterator[Check]:
    folder = cache_folder()
    files = sizes_below(folder)
    remove = "rmdir /s" if os.name == "nt" else "rm -r"
    hint = f"{remove} {shell_word(folder)} clears it" if files else None
    yield Check(
        name="cache", state="ok", text=f"{folder}: {size(sum(files))} in {counted(len(files), 'file')}", hint=hint
    )
