"""``pneumo train``."""

import typer

from pneumocli.cli.options import parameters_of, register_command
from pneumocli.cli.output import Output
from pneumocli.cli.render import seeds_summary, training_summary
from pneumocli.core.config import ResumeConfig, SeedsConfig, TrainConfig, flag_name, validated
from pneumocli.core.errors import SettingError
from pneumocli.core.parallel import process_count, process_number
from pneumocli.run_folder import RunFolder, refuse_taken


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""
    settings = parameters_of(TrainConfig)
    resume = [parameter for parameter in parameters_of(ResumeConfig) if parameter.name == "resume"]
    seeds = parameters_of(SeedsConfig)
    register_command(app, "train", [*settings, *seeds, *resume], _train, json=True)


def _train(output: Output, given: dict[str, object]) -> int | None:
    """Train a classifier and write a run folder.

    From scratch unless --pretrained or --weights is given. The best epoch by validation AUROC is kept and exported; the
    run folder is all that evaluate, predict and compare need.
    """
    # Settings and places are checked before torch is imported: a typing mistake is answered at once.
    if "resume" in given:
        _resume(output, given)
    elif "seeds" in given:
        _train_seeds(output, given)
    else:
        _train_once(output, given)
    return None


def _train_once(output: Output, given: dict[str, object]) -> None:
    config = _config_of_new_runs(given)
    if process_count() == 1:
        refuse_taken(config.run_dir)
    from pneumocli.training.train import train

    _show_run(output, train(config, output.listener))


def _resume(output: Output, given: dict[str, object]) -> None:
    config = _resume_config(given)
    if process_count() == 1:
        RunFolder.open(config.resume)
    from pneumocli.training.train import resume

    _show_run(output, resume(config, output.listener))


def _train_seeds(output: Output, given: dict[str, object]) -> None:
    count = validated(SeedsConfig, {"seeds": given["seeds"]}).seeds
    config = _config_of_new_runs({name: value for name, value in given.items() if name != "seeds"})
    from pneumocli.training.seeds import train_seeds

    summary = train_seeds(config, count, output.listener)
    if process_number() == 0:
        output.show(summary, seeds_summary)


def _show_run(output: Output, run: RunFolder) -> None:
    if process_number() == 0:
        output.show(run.result(), lambda result: training_summary(run, result))


def _config_of_new_runs(given: dict[str, object]) -> TrainConfig:
    config = validated(TrainConfig, given)
    if process_count() == 1:  # of several, one process checks it in the core
        from pneumocli.data.layout import check_folder

        check_folder(config.data)
    return config


def _resume_config(given: dict[str, object]) -> ResumeConfig:
    surplus = [flag_name(TrainConfig, name) for name in given if name not in ResumeConfig.model_fields]
    if surplus:
        raise SettingError(
            f"{', '.join(surplus)} cannot stand beside --resume: the settings come from the run, "
            "only --epochs and --device may change"
        )
    return validated(ResumeConfig, given)
