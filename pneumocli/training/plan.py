"""Resolve every ``auto`` of a training once, from the device and the amount of work, never from a clock."""

import importlib.metadata
import platform
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from pneumocli.core.config import ResumeConfig, TrainConfig
from pneumocli.core.errors import DeviceError, SettingError, resume_command
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.core.files import utc_now
from pneumocli.core.parallel import usable_cores
from pneumocli.core.records import Environment
from pneumocli.core.version import __version__
from pneumocli.model.device import (
    Precision,
    cpu_multiplies_bf16,
    device_name,
    has_cpp_compiler,
    resolve_device,
    resolve_precision,
)
from pneumocli.training.augmentation import Augmentation
from pneumocli.training.distributed import Team

# Planned films (films x epochs) from which torch.compile pays for itself. On CPU measured, see docs/benchmarks.md: half
# a minute against 1 to 5 % of some 55 ms a film, paid back after 55,000 films at the latest. On CUDA
# reckoned, not measured: a minute against a quarter of 0.6 ms a film.
_COMPILE_FILMS = {"cpu": 60_000, "cuda": 400_000}

# Workers on a GPU: each prepares some 4,500 films/s, so eight keep up with any GPU that exists.
_MOST_WORKERS = 8

_LEAST_SHARE = 2  # films of a batch in each process

# Of the memory that is free before the network is there. The rest is for its activations, of large batches above all.
_SHARE_FOR_FILMS = 1 / 3

# What decides a result: recorded with every run.
_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn", "scipy", "onnx", "onnxruntime", "pydicom")


@dataclass(frozen=True, slots=True)
class Plan:
    """Every ``auto`` resolved, from the device and the amount of work, once: recorded, and restored by a resume.

    Attributes:
        device: As resolved, such as ``cuda:0``.
        precision: Arithmetic of forward and backward.
        compile: Whether the network is compiled.
        threads: CPU threads inside one operation.
        workers: Processes that prepare batches.
        world_size: Training processes.
    """

    device: str
    precision: Precision
    compile: bool
    threads: int
    workers: int
    world_size: int


def where_to_resize(device: torch.device, augmentation: Augmentation) -> Literal["workers", "device"]:
    """Where training crops are resized; the pixels are the same, see :mod:`pneumocli.training.augmentation`."""
    if augmentation.alterations:  # which the CPU makes of resized crops
        return "workers"
    # A worker that leaves resizing to a GPU prepares twice as many films (measured, see docs/benchmarks.md), for
    # 0.13 GFLOP a film beside 11 of a step (reckoned, not measured). Apple's GPU has no float64 for the weights.
    return "device" if device.type == "cuda" else "workers"


def keeps_films(config: TrainConfig, device: torch.device, num_bytes: int) -> bool:
    """Whether a device keeps the training films in its memory and cuts the crops that it resizes out of them itself.

    The pixels are the same, so this is asked anew in each session and process, and no plan records it.

    Args:
        config: The settings; ``workers`` in them asks for processes that prepare batches.
        device: As resolved.
        num_bytes: Of all training films, decoded.
    """
    if config.workers is not None or where_to_resize(device, Augmentation.of(config)) != "device":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return num_bytes <= _SHARE_FOR_FILMS * free


def make_plan(config: TrainConfig, device: torch.device, num_films: int, processes: Team, listener: Listener) -> Plan:
    """Resolves every ``auto`` of a new training.

    Args:
        config: The settings.
        device: As resolved.
        num_films: Training films.
        processes: The processes of the training.
        listener: Gets remarks on settings without effect, on faster ones, and on the time that compiling takes.

    Raises:
        DeviceError: The device cannot do what was asked.
        SettingError: The batch is too small for so many processes.
    """
    if config.low_memory and device.type != "cpu":
        listener(Remark("--low-memory has no effect: it is about the memory of a CPU", "warning"))
    _check_shares(config, processes, listener)
    threads = _threads(processes)
    return Plan(
        device=str(device),
        precision=_precision(config, device, listener),
        compile=_compiles(config, device, num_films, processes, listener),
        threads=threads,
        workers=_workers(config, device, threads),
        world_size=processes.size,
    )


def _check_shares(config: TrainConfig, processes: Team, listener: Listener) -> None:
    if processes.size == 1 or config.freeze == "backbone":  # whose last layer sees whole batches in every process
        return
    share, rest = divmod(config.batch_size, processes.size)
    if share < _LEAST_SHARE:
        raise SettingError(
            f"--batch-size {config.batch_size} is too small for {processes.size} processes: BatchNorm needs "
            f"{_LEAST_SHARE} films in each, so {_LEAST_SHARE * processes.size} in a batch"
        )
    if rest:
        found = f"--batch-size {config.batch_size} cannot be divided evenly among {processes.size} processes"
        listener(Remark(f"{found}: some take {share + 1} films of each batch, some {share}"))


def _threads(processes: Team) -> int:
    return max(1, usable_cores() // processes.local_size)


def _workers(config: TrainConfig, device: torch.device, threads: int) -> int:
    if config.workers is not None:
        return config.workers
    if config.freeze == "backbone":
        return 0  # few passes over the films
    if device.type == "cpu":
        # Cropping takes under 1 % of a step, and every worker would take a core from the step. Decoding takes more.
        return 0 if config.cache else min(_MOST_WORKERS, max(1, threads // 2))
    return min(_MOST_WORKERS, threads)


def _precision(config: TrainConfig, device: torch.device, listener: Listener) -> Precision:
    if config.freeze == "backbone":
        if config.precision in ("bf16", "fp16"):
            listener(Remark(f"--precision {config.precision} has no effect: the backbone is frozen", "warning"))
    elif device.type == "cpu":
        # Never by itself: results would depend on which CPU there is. Measured, see docs/benchmarks.md.
        if config.precision == "auto" and cpu_multiplies_bf16():
            listener(Remark("this CPU multiplies bfloat16 in hardware: --precision bf16 is 1.4 to 2.5 times as fast"))
        if config.precision == "bf16" and cpu_multiplies_bf16() is False:
            listener(
                Remark(
                    "--precision bf16 is slower than fp32 on this CPU: it has neither AMX nor AVX512_BF16", "warning"
                )
            )
    return resolve_precision(config.precision, device)


def _compiles(config: TrainConfig, device: torch.device, num_films: int, processes: Team, listener: Listener) -> bool:
    planned = num_films * config.epochs
    if config.freeze == "backbone" or processes.size > 1:
        if config.compile:
            why = "the backbone is frozen" if config.freeze == "backbone" else "there are several processes"
            listener(Remark(f"--compile has no effect: {why}", "warning"))
        return False
    if config.compile is None and (device.type not in _COMPILE_FILMS or planned < _COMPILE_FILMS[device.type]):
        return False
    if config.compile is False:
        return False
    if device.type == "cpu" and not has_cpp_compiler():
        listener(Remark("torch.compile needs a C++ compiler, and there is none: training without it", "warning"))
        return False
    listener(Remark("compiling the network (about a minute, once; --no-compile does without)"))
    return True


def restored_plan(
    recorded: Plan, config: ResumeConfig, settings: TrainConfig, processes: Team, listener: Listener = ignore
) -> Plan:
    """The plan of a run that is resumed: what it began with, unless another device is asked for.

    Args:
        recorded: The plan in the checkpoint.
        config: What was asked of the resume.
        settings: The run's settings.
        processes: The processes of the training.
        listener: Gets a remark where the arithmetic is another one from here on.

    Raises:
        DeviceError: The device is not there.
        SettingError: The batch is too small for so many processes.
    """
    if recorded.world_size != processes.size:
        recorded = _redistributed(recorded, settings, processes, listener)
    if config.device is None:
        begun_on = recorded.device.partition(":")[0] if processes.size > 1 else recorded.device
        try:
            device = resolve_device(processes.own_device(begun_on))
        except DeviceError as error:
            raise DeviceError(
                f"the run was begun on {recorded.device}, which is not here: {error.message}",
                f"{resume_command(config.resume)} --device cpu (not bit-identical)",
            ) from error
        return _on_this_card(replace(recorded, device=str(device)), settings, listener)
    device = resolve_device(processes.own_device(config.device))
    if str(device) == recorded.device:
        return _on_this_card(recorded, settings, listener)
    moved = make_plan(settings.model_copy(update={"compile": False}), device, 0, processes, ignore)
    if moved.precision != recorded.precision and settings.freeze == "none":
        what = f"the run was begun in {recorded.precision} on {recorded.device}: it continues in {moved.precision}"
        listener(Remark(f"{what} on {moved.device}", "warning"))
    return replace(moved, threads=recorded.threads)


def _redistributed(plan: Plan, settings: TrainConfig, processes: Team, listener: Listener) -> Plan:
    """The plan for another number of processes: the same batches in other shares."""
    _check_shares(settings, processes, listener)
    begun = "one process" if plan.world_size == 1 else f"{plan.world_size} processes"
    here = "one" if processes.size == 1 else f"{processes.size}"
    what = f"the run was written by {begun} and continues with {here}: the same batches, in other shares"
    listener(Remark(f"{what}; its last bits differ from those of an uninterrupted run", "warning"))
    threads = _threads(processes)
    return replace(
        plan,
        world_size=processes.size,
        threads=threads,
        workers=_workers(settings, torch.device(plan.device), threads),
        compile=plan.compile and processes.size == 1,
    )


def _on_this_card(plan: Plan, settings: TrainConfig, listener: Listener) -> Plan:
    """The plan for the GPU that bears this name now: a cloud's machines may have another one each day."""
    device = torch.device(plan.device)
    if device.type != "cuda" or plan.precision != "bf16" or settings.freeze == "backbone":
        return plan
    here = resolve_precision("auto", device)
    if here == "bf16":
        return plan
    if settings.precision == "bf16":
        listener(Remark("--precision bf16 is slow on this GPU, which has no arithmetic for it", "warning"))
        return plan
    what = f"the run was begun in bf16, which this GPU computes slowly: it continues in {here} with a new loss scale"
    listener(Remark(f"{what}; results differ slightly", "warning"))
    return replace(plan, precision=here)


def describe(plan: Plan) -> Environment:
    """The record of this process and machine for ``environment.json``."""
    import torch

    return Environment(
        started_utc=utc_now(),
        package_version=__version__,
        commit=_source_commit(),
        argv=tuple(sys.argv),
        versions={"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES},
        platform=platform.platform(),
        device=plan.device,
        device_name=device_name(torch.device(plan.device)),
        precision=plan.precision,
        compile=plan.compile,
        threads=plan.threads,
        workers=plan.workers,
        world_size=plan.world_size,
        requirements=_requirements(),
    )


def _requirements() -> tuple[str, ...]:
    """Every installed package but this one, as ``pip install -r`` takes them."""
    found = {item.metadata["Name"]: item.version for item in importlib.metadata.distributions()}
    own = __name__.partition(".")[0]
    lines = (f"{name}=={number}" for name, number in found.items() if name and name.lower() != own)
    return tuple(sorted(lines, key=str.lower))


def _source_commit() -> str | None:
    """The commit of the checkout that the package runs from; ``None`` for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None
