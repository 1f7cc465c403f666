"""What is left to do of a training whose command is given again."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pneumocli.core.config import ResumeConfig, TrainConfig
from pneumocli.core.errors import RunError, resume_command
from pneumocli.core.settings import flag_name
from pneumocli.run_folder import RunFolder, default_run, last_default_run


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do.

    Attributes:
        action: Start a new run, resume the one that is there, or nothing because it is done.
        run_dir: Of the run; ``None`` for a new one under the first default name that is free.
        epochs: A number of epochs to resume with, where it is not the run's.
        device: A device to resume on, where it is not the run's setting.
    """

    action: Literal["start", "resume", "done"]
    run_dir: Path | None
    epochs: int | None = None
    device: str | None = None

    def resume_config(self) -> ResumeConfig:
        """The settings of the resume."""
        return ResumeConfig.model_validate({"resume": self.run_dir, "epochs": self.epochs, "device": self.device})


def place_of(config: TrainConfig, *, restarted: bool) -> Path | None:
    """Find the folder that an earlier start with these settings wrote into.

    Args:
        config: The settings.
        restarted: Whether torchrun started the command again. Then a command without ``run_dir`` took the first default
            name that was free, and its run is the last one under these names.

    Returns:
        The folder, which need not exist; ``None`` where there is no run under a default name.
    """
    if config.run_dir is not None:
        return config.run_dir
    return last_default_run(pretrained=config.pretrained) if restarted else default_run(pretrained=config.pretrained)


def next_step(config: TrainConfig, *, restarted: bool) -> NextStep:
    """Decide how a command continues, and clear away what a start left before its first epoch was done.

    Only the number of epochs and the device may differ from the run's settings; after a restart they may not, either.

    Args:
        config: The settings that were asked for.
        restarted: As for :func:`place_of`. Nobody asked to continue, so a run that cannot be of the same command is
            left alone.

    Raises:
        RunError: The folder holds no run or a run with other settings, or another process trains into it.
    """
    path = place_of(config, restarted=restarted)
    if path is None or not os.path.lexists(path):
        return NextStep("start", path)
    run = RunFolder(path)
    if restarted and config.run_dir is None and not _may_be_of_this_command(run, config):
        return NextStep("start", None)
    if run.holds_less_than_an_epoch():
        if restarted:
            refuse_other_settings(run, config)
        run.remove_start()
        return NextStep("start", path)
    _refuse_what_is_no_run(run)
    refuse_other_settings(run, config, may_differ=() if restarted else ("epochs", "device"))
    if is_done(run, config.epochs):
        return NextStep("done", path)
    found = run.config()
    return NextStep(
        "resume",
        path,
        epochs=config.epochs if config.epochs != found.epochs else None,
        device=config.device if config.device != found.device else None,
    )


def _may_be_of_this_command(run: RunFolder, config: TrainConfig) -> bool:
    return run.config_file.is_file() and not run.finished and not differences(run, config)


def _refuse_what_is_no_run(run: RunFolder) -> None:
    hint = "choose another --run-dir"
    if not run.path.is_dir():
        raise RunError(f"{run.path} is no folder, so it holds no run to continue", hint)
    if not run.config_file.is_file():
        raise RunError(f"{run.path} is no run folder: it has no {run.config_file.name}, but other files", hint)
    if not run.can_resume and not run.finished:
        raise RunError(
            f"{run.path} cannot be continued: it has no {run.checkpoint_file.name}, but more than a start leaves", hint
        )


def is_done(run: RunFolder, epochs: int) -> bool:
    """Whether a run has finished what so many epochs ask for: all of them, or fewer because nothing got better.

    Raises:
        RunError: It has finished fewer, and lost the checkpoint to train on from.
    """
    if not run.finished:
        return False
    result = run.result()
    if result.num_epochs == epochs or (result.stopped_early and result.num_epochs < epochs):
        return True
    if not run.checkpoint_file.is_file():
        raise RunError(
            f"{run.path} has finished its {result.num_epochs} epochs and lost its {run.checkpoint_file.name}: "
            f"it cannot be trained to {epochs}",
            "choose another --run-dir",
        )
    return False


def differences(run: RunFolder, asked: TrainConfig, may_differ: Collection[str] = ()) -> dict[str, tuple[str, str]]:
    """Settings of a run that are not those asked for: what was found and what was asked, by flag.

    Paths are compared as absolute ones. A run without ``config.json`` has no settings that could differ.

    Args:
        run: The run.
        asked: The settings that were asked for.
        may_differ: Fields beside ``run_dir`` that are not compared.

    Raises:
        RunError: ``config.json`` is damaged.
    """
    if not run.config_file.is_file():
        return {}
    found = run.config()
    return {
        flag_name(TrainConfig, name): (_shown(was), _shown(wanted))
        for name in TrainConfig.model_fields
        if name != "run_dir" and name not in may_differ
        for was, wanted in [(getattr(found, name), getattr(asked, name))]
        if _comparable(was) != _comparable(wanted)
    }


def refuse_other_settings(run: RunFolder, asked: TrainConfig, may_differ: Collection[str] = ()) -> None:
    """Refuse to continue a run with settings that are not its own.

    Raises:
        RunError: Settings differ; each is named with what was found and what was asked for.
    """
    found = differences(run, asked, may_differ)
    if found:
        listed = "; ".join(f"{flag}: found {was}, asked for {wanted}" for flag, (was, wanted) in found.items())
        raise RunError(
            f"the run {run.path} has other settings: {listed}",
            f"{resume_command(run.path)} continues it with its own; otherwise choose another --run-dir",
        )


def _comparable(value: object) -> object:
    return value.absolute() if isinstance(value, Path) else value


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
