"""The folder beside a data folder where everything unfinished lives, and the rename that makes it the data folder."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pneumocli.core.config import DownloadConfig
from pneumocli.core.errors import DataError, DownloadError, shell_word
from pneumocli.core.files import write_failure
from pneumocli.core.locks import locked, mark_of
from pneumocli.release.installed import checked, surplus_in


class Workplace:
    """The target and the folder beside it where the work is done.

    Attributes:
        target: Data folder to make.
        work: Folder for everything unfinished.
        new: The new set while it is not whole.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.work = target.with_name(f".{target.name}.download")
        self.new = self.work / "new"
        self._old = self.work / "old"
        self._lock = self.work / "lock"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Holds the folder for this process alone; in the end only a part worth continuing is left of it."""
        made = _missing_parents(self.work)
        message = f"another pneumo download is at work on {self.target}"
        try:
            with ExitStack() as stack:
                # Without locks two downloads at once are unlikely, and the set is put in place whole all the same.
                stack.enter_context(locked(self._lock, message, "wait until it has finished"))
                stack.callback(self._leave)
                self._recover()
                yield
        except OSError as error:
            if error.errno is None:  # made by a library, not by the system: not about a file
                raise
            failure = write_failure(self.work, error)
            raise DownloadError(failure.message, "choose a folder that you may write to with --data DIR") from error
        finally:
            for folder in made:
                _remove_if_empty(folder)

    def _recover(self) -> None:
        """Puts right what a killed process left: the old set returns where the new one was not yet in its place."""
        if self._old.exists() and not self.target.exists():
            self._old.rename(self.target)
        for folder in (self._old, self.new):
            shutil.rmtree(folder, ignore_errors=True)

    def _leave(self) -> None:
        self._recover()  # Ctrl-C may come between the two renames, too
        if {item.name for item in self.work.iterdir()} <= {self._lock.name, mark_of(self._lock).name}:
            try:
                self._lock.unlink()
                mark_of(self._lock).unlink(missing_ok=True)
            except PermissionError:  # Windows removes no open file; an empty lock does no harm
                return
            _remove_if_empty(self.work)

    def refuse_others(self, config: DownloadConfig) -> None:
        """Refuses to replace what is no data set, and an incomplete one unless ``--force`` was given.

        Raises:
            DownloadError: The target is in the way.
        """
        if not self.target.exists() or (self.target.is_dir() and not any(self.target.iterdir())):
            return
        elsewhere = "choose another folder with --data DIR"
        if not self.target.is_dir():
            raise DownloadError(f"{config.data} is a file, expected a folder to make", elsewhere)
        surplus = surplus_in(self.target)
        if surplus or (config.archive and self.target in config.archive.resolve().parents):
            raise DownloadError(
                f"{config.data} holds what is no part of the set ({surplus or config.archive}), and is not replaced",
                elsewhere,
            )
        if not config.force:
            raise DownloadError(
                f"{config.data} exists already, and is not known to be whole: {_found_in(self.target)}",
                f"pneumo download --data {shell_word(config.data)} --force replaces it; or {elsewhere}",
            )

    def put_in_place(self) -> None:
        """Makes the new set the set, in one rename; an old one is deleted on leaving."""
        if hasattr(os, "sync"):
            os.sync()  # or a power cut after the rename could leave films without their bytes
        if self.target.exists():
            self.target.rename(self._old)
        self.new.rename(self.target)

    def clear(self, keep: Path | None = None) -> None:
        """Deletes what earlier calls left to continue: the set is whole, whatever it was made from.

        Args:
            keep: The user's own zip, which may lie among it: an earlier call fetched it.
        """
        for item in self.work.iterdir():
            if item.is_file() and item != self._lock and (keep is None or not item.samefile(keep)):
                item.unlink()


def _missing_parents(folder: Path) -> list[Path]:
    """The folders above ``folder`` that do not exist, innermost first."""
    return [parent for parent in folder.parents if not parent.exists()]


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return


def _found_in(target: Path) -> str:
    try:
        return f"found {checked(target).title}"
    except DataError as error:
        return error.message
