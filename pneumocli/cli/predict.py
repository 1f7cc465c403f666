"""``pneumo predict``."""

import typer

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.cli.predict_tables import Tally, answers, prediction_table
from pneumocli.core.config import PredictConfig
from pneumocli.core.errors import DataError

__all__ = ["prediction_table", "register"]

_SHOWN = 100  # answers on the screen; all are counted, and --csv or --json has them all


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

        tally = Tally(most=_SHOWN)
        if config.csv is not None:
            output.resume_hint = f"the same command with --resume continues {config.csv}"
        predictions = run_predict(config, output.listener)
        with output.json_list() as write:
            for prediction in predictions:
                tally.add(prediction)
                write(prediction)
        output.print(answers(tally, predictions.classifier.card, str(predictions.classifier.file)))
        if tally.num_errors:
            raise DataError(
                f"{tally.num_errors:,} of {tally.num_films:,} films could not be read: {tally.first_error}",
                "the answers of the others stand above" if config.csv is None else f"{config.csv} names them all",
            )
