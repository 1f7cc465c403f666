"""``pneumo predict``."""

import os
from collections.abc import Sequence
from pathlib import Path

import typer

from pneumocli.cli.options import parameters_of, register_command
from pneumocli.cli.other_tools import OPTIONS, POSITIONAL, suggested_flags
from pneumocli.cli.output import Output
from pneumocli.cli.predict_tables import MOST_LISTED, answers, merged_line, on_one_line, prediction_table
from pneumocli.core.config import MergeConfig, PredictConfig
from pneumocli.core.errors import DataError, SettingError
from pneumocli.core.settings import flag_name, validated
from pneumocli.inference.tally import AnswerTally

__all__ = ["prediction_table", "register"]


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""
    films = parameters_of(PredictConfig)
    of_shards = [item for item in parameters_of(MergeConfig) if item.name not in PredictConfig.model_fields]
    register_command(app, "predict", [*films, *of_shards], _predict, json=True)


def _predict(output: Output, given: dict[str, object]) -> None:
    """Predict pneumonia for films, with a trained model.

    Films, folders (with everything below), glob patterns, or - for one film on standard input. A film that cannot
    be read gets an error, the others are scored, and the exit code is 1. Runs on ONNX Runtime, without torch,
    unless --device names a GPU. With --merge OUT.csv, the tables of shards become one.
    """
    if "merge" in given:
        _merge(output, given)
        return
    config = validated(PredictConfig, given)
    _refuse_pairs(config.inputs)
    from pneumocli.inference.predict import predict

    tally = AnswerTally(most=None if config.every else MOST_LISTED)
    if config.csv is not None:
        output.resume_hint = f"the same command with --resume continues {config.csv}"
    predictions = predict(config, output.listener)
    with output.json_list() as write:
        for prediction in predictions:
            tally.add(prediction)
            write(prediction)
    if tally.num_errors < tally.num_films or not tally.num_films:
        output.print(answers(tally, predictions.classifier.card, every=config.every))
    if tally.num_errors:
        raise DataError(*_failure(tally, config.csv))


def _refuse_pairs(inputs: Sequence[str]) -> None:
    """``source=x.jpeg``, as other tools have it, is no film."""
    own = {flag_name(PredictConfig, name) for name in PredictConfig.model_fields}
    flags = suggested_flags(inputs, own)
    # A pattern may have such a form, too, as in day=*/1.png.
    known = f"--{inputs[0].partition('=')[0]}" in own | OPTIONS.keys() | POSITIONAL.keys()
    if flags is not None and known and not any(map(os.path.lexists, inputs)):
        raise SettingError(
            f"{inputs[0]} is no film: expected films by their paths, then flags", f"pneumo predict {flags}"
        )


def _merge(output: Output, given: dict[str, object]) -> None:
    surplus = [flag_name(PredictConfig, name) for name in given if name not in MergeConfig.model_fields]
    if surplus:
        raise SettingError(f"{', '.join(surplus)} cannot stand beside --merge: it joins tables and scores no film")
    from pneumocli.inference.merge import merge

    output.show(merge(validated(MergeConfig, given), output.listener), merged_line)


def _failure(tally: AnswerTally, csv: Path | None) -> tuple[str, str | None]:
    """What could not be read, and where the rest is."""
    first = f"{on_one_line(tally.errors[0].image)} {tally.errors[0].error}"
    if tally.num_films == 1:
        return first, "name films, folders, patterns such as 'films/*.jpeg', or - for standard input"
    some = f"{tally.num_errors:,} of {tally.num_films:,} films could not be read"
    if csv is not None:
        return f"{some}: {first}", f"{csv} names them all"
    return f"{some}: {first}", None if tally.num_errors == tally.num_films else "the answers of the others stand above"
