"""Calls of ``download`` and what they left."""

from collections.abc import Callable
from pathlib import Path

from pneumocli.core.config import DownloadConfig
from pneumocli.core.events import Event, Remark
from pneumocli.release.download import DownloadResult, download
from tests.helpers.kaggle_server import ReleaseServer

Serve = Callable[..., ReleaseServer]


def get(target: Path, listener: Callable[[Event], None] = lambda event: None, **settings: object) -> DownloadResult:
    """Downloads into ``target``."""
    return download(DownloadConfig.model_validate({"data": target, **settings}), listener)


def remarks(events: list[Event], level: str = "warning") -> list[str]:
    """The texts of a level."""
    return [event.text for event in events if isinstance(event, Remark) and event.level == level]


def left_beside(target: Path) -> list[str]:
    """What lies in the parent beside the set itself."""
    return sorted(item.name for item in target.parent.iterdir() if item != target) if target.parent.exists() else []
