"""``pneumo predict``."""

from pathlib import Path

import typer

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.cli.predict_tables import MOST_LISTED, answers, on_one_line, prediction_table
from pneumocli.cli.tally import Tally
from pneumocli.core.config import PredictConfig
from pneumocli.core.errors import DataError

__all__ = ["prediction_table", "register"]


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "predict", PredictConfig, json=True)
    def predict(config: PredictConfig, output: Output) -> None:
        """Predict pneumonia for films, with a trained model.

        Films, folders (with everything below), glob patterns, or - for one film on standard input. A film that cannot
        be read gets an error, the others are scored, and the exit code is 1. Runs on ONNX Runtime, without torch,
        unless --device names a GPU.
        """
        from pneumocli.inference.predict import predict as run_predict

        tally = Tally(most=None if config.every else MOST_LISTED)
        if config.csv is not None:
            output.resume_hint = f"the same command with --resume continues {config.csv}"
        predictions = run_predict(config, output.listener)
        with output.json_list() as write:
            for prediction in predictions:
                tally.add(prediction)
                write(prediction)
        if tally.num_errors < tally.num_films or not tally.num_films:
            output.print(answers(tally, predictions.classifier.card, every=config.every))
        if tally.num_errors:
            raise DataError(*_failure(tally, config.csv))


def _failure(tally: Tally, csv: Path | None) -> tuple[str, str | None]:
    """What could not be read, and where the rest is."""
    first = f"{on_one_line(tally.errors[0].image)} {tally.errors[0].error}"
    if tally.num_films == 1:
        return first, "name films, folders, patterns such as 'films/*.jpeg', or - for standard input"
    some = f"{tally.num_errors:,} of {tally.num_films:,} films could not be read"
    if csv is not None:
        return f"{some}: {first}", f"{csv} names them all"
    return f"{some}: {first}", None if tally.num_errors == tally.num_films else "the answers of the others stand above"
