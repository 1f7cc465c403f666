"""Commands, flags and values as people from other tools type them, and what they are called here."""

import re
from collections.abc import Container, Sequence

COMMANDS = {
    "val": "evaluate", "validate": "evaluate", "validation": "evaluate", "test": "evaluate", "eval": "evaluate",
    "score": "evaluate", "report": "evaluate", "fit": "train", "finetune": "train", "fine-tune": "train",
    "resume": "train", "tune": "train", "classify": "predict", "detect": "predict", "infer": "predict",
    "inference": "predict", "explain": "predict", "checks": "doctor", "check": "doctor", "info": "doctor",
    "env": "doctor", "settings": "doctor", "list": "runs", "ls": "runs", "show": "runs", "verify": "verify-data",
    "check-data": "verify-data", "get": "download", "fetch": "download", "diff": "compare", "benchmark": "compare",
}  # fmt: skip
"""Our command for each; only those that exist are suggested."""

OPTIONS = {
    "--imgsz": "--image-size", "--img": "--image-size", "--img-size": "--image-size", "--size": "--image-size",
    "--batch": "--batch-size", "--bs": "--batch-size", "--lr0": "--learning-rate", "--num-workers": "--workers",
    "--amp": "--precision", "--half": "--precision", "--name": "--run-dir", "--project": "--run-dir",
    "--output-dir": "--run-dir", "--conf": "--threshold", "--ckpt": "--weights", "--checkpoint": "--weights",
    "--model": "--weights", "--wd": "--weight-decay", "--val-split": "--val-fraction", "--gpu": "--device cuda",
    "--cuda": "--device cuda", "--cpu": "--device cpu", "--table": "--csv", "--heatmap": "--explain",
    "--weights": "--model", "--cam": "--explain", "--visualize": "--explain", "--out": "--output",
    "--exist-ok": "--run-dir",
}  # fmt: skip
"""Our flag for each, where the command has it; with a value where the other is a switch."""

POSITIONAL = {"--source": "INPUT", "--input": "INPUT", "--image": "INPUT", "--images": "INPUT", "--runs": "RUN"}
"""What stands without a flag here, where the command has such an argument."""

_GPUS = re.compile(r"\d+(,\d+)+")
_GPU = re.compile(r"(?:gpu|cuda|cuda:)?[:\s]?(\d+)", re.IGNORECASE)


def suggested_device(value: str) -> str | None:
    """The device that another tool's name means.

    >>> suggested_device("0"), suggested_device("gpu"), suggested_device("tpu")
    ('cuda:0', 'cuda', None)
    """
    if found := _GPU.fullmatch(value):
        return f"cuda:{found[1]}"
    return {"gpu": "cuda", "metal": "mps", "m1": "mps", "-1": "cpu", "none": "cpu"}.get(value.lower())


def suggested_value(flag: str, value: object) -> str | None:
    """A flag with the value that another tool's word means, ready to paste; ``None`` where none is known.

    >>> suggested_value("--device", "0"), suggested_value("--split", "valid")
    ('--device cuda:0', '--split val')
    >>> suggested_value("--device", "0,1")
    'torchrun --nproc-per-node 2 -m pneumocli train trains on several GPUs, one process for each'
    """
    word = str(value)
    meant = None
    if flag == "--device" and _GPUS.fullmatch(word):
        number = word.count(",") + 1
        return f"torchrun --nproc-per-node {number} -m pneumocli train trains on several GPUs, one process for each"
    if flag == "--device":
        meant = suggested_device(word)
    elif flag == "--split":
        meant = {"valid": "val", "validation": "val", "dev": "val", "training": "train", "testing": "test"}.get(word)
    return None if meant is None else f"{flag} {meant}"


def suggested_flags(arguments: Sequence[str], own: Container[str] = ()) -> str | None:
    """``data=films epochs=3`` of other tools as flags; what stands without a flag here comes first.

    Args:
        arguments: What was typed.
        own: Flags that the command has itself, whatever they mean elsewhere.

    >>> suggested_flags(["data=films", "lr0=0.1"]), suggested_flags(["films"])
    ('--data films --learning-rate 0.1', None)
    >>> suggested_flags(["model=best.onnx", "source=films"], {"--model"})
    'films --model best.onnx'
    """
    pairs = [argument.partition("=") for argument in arguments]
    if not all(name.isidentifier() and separator and value for name, separator, value in pairs):
        return None
    flags = [(f"--{name.replace('_', '-')}", value) for name, _, value in pairs]
    first = [value for flag, value in flags if flag in POSITIONAL and flag not in own]
    others = ((flag, value) for flag, value in flags if flag not in POSITIONAL or flag in own)
    return " ".join(
        [*first, *(f"{flag if flag in own else OPTIONS.get(flag, flag)} {value}" for flag, value in others)]
    )
