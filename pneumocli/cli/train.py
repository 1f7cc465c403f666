"""``pneumo train``."""

import typer

from pneumocli.cli.options import parameters_of, register_command
from pneumocli.cli.output import Output
from pneumocli.cli.render import group_summary, seeds_summary, training_summary
from pneumocli.core.config import ContinueConfig, ResumeConfig, SeedsConfig, StartConfig, TrainConfig
from pneumocli.core.errors import SettingError
from pneumocli.core.parallel import process_count, process_number, restarts
from pneumocli.core.settings import Settings, flag_name, validated
from pneumocli.core.settings_file import chosen_settings, read_settings
from pneumocli.run_folder import RunFolder, refuse_taken


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""
    settings = parameters_of(TrainConfig)
    resume = [parameter for parameter in parameters_of(ResumeConfig) if parameter.name == "resume"]
    seeds, until_done, start = parameters_of(SeedsConfig), parameters_of(ContinueConfig), parameters_of(StartConfig)
    register_command(app, "train", [*settings, *seeds, *resume, *until_done, *start], _train, json=True)


def _train(output: Output, given: dict[str, object]) -> int | None:
    """Train a classifier and write a run folder.

    From scratch unless --pretrained or --weights is given. The best epoch by validation AUROC is kept and exported; the
    run folder is all that evaluate, predict and compare need.
    """
    # Settings and places are checked before torch is imported: a typing mistake is answered at once.
    if "resume" in given:
        _resume(output, given)
    elif "seeds" in given:
        _train_seeds(output, _with_start(given))
    else:
        _train_once(output, _with_start(given))
    return None


def _with_start(given: dict[str, object]) -> dict[str, object]:
    """What was given, on top of the settings of another run and of a file."""
    flags, start = _apart(given, StartConfig)
    places = validated(StartConfig, start)
    values: dict[str, object] = {}
    if places.like is not None:
        run = RunFolder.open(places.like)
        values |= chosen_settings(run.config().model_dump(), run.config_file)
    if places.config is not None:
        values |= read_settings(places.config)
    if flags.get("pretrained") is False:
        values.pop("weights", None)  # --scratch on top of a run that began with weights
    return values | flags


def _train_once(output: Output, given: dict[str, object]) -> None:
    settings, asked = _apart(given, ContinueConfig)
    if asked or restarts() > 0:
        config = _config_of_run(settings, may_be_there=True)
        from pneumocli.training.train import train_until_done

        run = train_until_done(config, output.listener, restarted=not asked)
    else:
        config = _config_of_run(settings)
        if process_count() == 1 and config.folds is None:
            refuse_taken(config.run_dir)
        from pneumocli.training.train import train

        run = train(config, output.listener)
    _show_run(output, run, config.fold)


def _resume(output: Output, given: dict[str, object]) -> None:
    config = _resume_config(given)
    if process_count() == 1:
        RunFolder.open(config.resume)
    from pneumocli.training.train import resume

    _show_run(output, resume(config, output.listener, restarted=restarts() > 0))


def _train_seeds(output: Output, given: dict[str, object]) -> None:
    settings, seeds = _apart(given, SeedsConfig)
    settings, asked = _apart(settings, ContinueConfig)
    count = validated(SeedsConfig, seeds).seeds
    until_done = bool(asked) or restarts() > 0
    config = _config_of_run(settings, may_be_there=until_done)
    from pneumocli.training.seeds import train_seeds

    summary = train_seeds(config, count, output.listener, until_done=until_done, restarted=until_done and not asked)
    if process_number() == 0:
        output.show(summary, seeds_summary)


def _apart(given: dict[str, object], model: type[Settings]) -> tuple[dict[str, object], dict[str, object]]:
    """What was given without the fields of ``model``, and those."""
    own = {name: value for name, value in given.items() if name in model.model_fields}
    return {name: value for name, value in given.items() if name not in own}, own


def _show_run(output: Output, run: RunFolder, fold: int | None = None) -> None:
    if process_number() != 0:
        return
    shown = run.fold(fold) if fold is not None and not run.finished else run
    summary = group_summary if shown.is_group else training_summary
    output.show(shown.result(), lambda result: summary(shown, result))


def _config_of_run(given: dict[str, object], *, may_be_there: bool = False) -> TrainConfig:
    config = validated(TrainConfig, given)
    # Of several processes, one checks it in the core. A finished run needs no films.
    if process_count() == 1 and not may_be_there:
        from pneumocli.data.layout import check_folder

        check_folder(config.data)
    return config


def _resume_config(given: dict[str, object]) -> ResumeConfig:
    surplus = [
        flag_name(ContinueConfig if name in ContinueConfig.model_fields else TrainConfig, name)
        for name in given
        if name not in ResumeConfig.model_fields
    ]
    if surplus:
        raise SettingError(
            f"{', '.join(surplus)} cannot stand beside --resume: the settings come from the run, "
            "only --epochs and --device may change"
        )
    return validated(ResumeConfig, given)
