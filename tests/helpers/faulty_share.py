"""Makes a folder behave like a poor network share.

As a program: ``python -m tests.helpers.faulty_share FOLDER FAULT COMMAND...``.

A fault is a call and an error: ``flock:ENOLCK``, ``chmod:EPERM``, ``fsync-folder:EINVAL``, ``fsync:ENOTCONN``; with
``fsync:ESTALE:5`` the first five calls succeed. COMMAND is pneumo's command line.
"""

import errno
import fcntl
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def install(folder: Path, fault: str, replace: Callable[[Any, str, object], None] = setattr) -> None:
    """Lets a system call fail for whatever lies below ``folder``."""
    call, name, *rest = fault.split(":")
    left = int(rest[0]) if rest else 0

    def below(path: str | Path) -> bool:
        return Path(path).resolve().is_relative_to(folder.resolve())

    def fail(real: Callable[..., object], concerns: Callable[[Any], bool]) -> Callable[..., object]:
        def called(target: Any, *args: object, **options: object) -> object:
            nonlocal left
            if concerns(target):
                left -= 1
                if left < 0:
                    number = getattr(errno, name)
                    raise OSError(number, os.strerror(number))
            return real(target, *args, **options)

        return called

    def opened(target: int) -> Path:
        return Path(f"/proc/self/fd/{target}").readlink()

    if call == "flock":
        replace(fcntl, "flock", fail(fcntl.flock, lambda target: below(opened(target))))
    elif call == "chmod":
        replace(os, "chmod", fail(os.chmod, lambda target: below(os.fspath(target))))
    else:
        wants_folder = call == "fsync-folder"

        def concerned(target: int) -> bool:
            return below(opened(target)) and opened(target).is_dir() == wants_folder

        replace(os, "fsync", fail(os.fsync, concerned))


if __name__ == "__main__":
    from pneumocli.cli.app import main

    install(Path(sys.argv[1]), sys.argv[2])
    sys.argv = ["pneumo", *sys.argv[3:]]
    main()
