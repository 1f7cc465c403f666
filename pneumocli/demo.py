"""``demo()``: everything the program does, on synthetic films, on any machine, without network."""

from dataclasses import dataclass
from pathlib import Path

from pneumocli.core.config import CompareConfig, DemoConfig, EvaluateConfig, PredictConfig, TrainConfig
from pneumocli.core.errors import PneumoError, shell_word
from pneumocli.core.events import Listener, Remark, ignore
from pneumocli.data.phantom import write_phantoms
from pneumocli.evaluation.compare import compare
from pneumocli.evaluation.evaluate import evaluate
from pneumocli.inference.predict import predict
from pneumocli.inference.records import Prediction
from pneumocli.metrics.records import Comparison, Evaluation
from pneumocli.run_folder import RunFolder
from pneumocli.training.train import train

_LEARNING_RATES = (0.001, 0.0001)
_PREDICTED = 6


@dataclass(frozen=True)
class Demonstration:
    """What a demo left behind.

    Attributes:
        folder: Holds ``data``, ``runs`` and ``comparison``.
        runs: The two runs.
        evaluations: Of the test films, one per run.
        predictions: Of a few test films, by the first run.
        comparison: Of the two runs.
    """

    folder: Path
    runs: tuple[RunFolder, ...]
    evaluations: tuple[Evaluation, ...]
    predictions: tuple[Prediction, ...]
    comparison: Comparison


def demo(config: DemoConfig, listener: Listener = ignore) -> Demonstration:
    """Draws phantoms, trains two small networks that differ in the learning rate, and measures, uses and compares them.

    Args:
        config: Where to.
        listener: Gets the progress of every step.

    Raises:
        PneumoError: The folder exists, or a step failed.
    """
    folder = config.output
    if folder.exists() and any(folder.iterdir()):
        raise PneumoError(
            f"{folder} exists already and is not empty", f"rm -r {shell_word(folder)}, or choose another --output"
        )
    data = folder / "data"
    listener(Remark(f"1/5  drawing synthetic films into {data}"))
    write_phantoms(data, num_train=240, num_val=16, num_test=80, listener=listener)
    listener(Remark("2/5  training two small networks that differ in the learning rate"))
    runs = tuple(
        train(
            TrainConfig(
                data=data,
                run_dir=folder / "runs" / f"lr-{rate:g}",
                learning_rate=rate,
                epochs=6,
                image_size=96,
                batch_size=16,
                device="cpu",
                cache=False,
            ),
            listener,
        )
        for rate in _LEARNING_RATES
    )
    listener(Remark("3/5  evaluating both on the test films"))
    evaluations = tuple(evaluate(EvaluateConfig(run=run.path), listener) for run in runs)
    listener(Remark("4/5  predicting a few test films"))
    films = sorted(str(film) for film in (data / "test").rglob("*.jpeg"))[:: 80 // _PREDICTED][:_PREDICTED]
    predictions = tuple(
        predict(PredictConfig(inputs=tuple(films), run=runs[0].path, explain=folder / "explanations"), listener)
    )
    listener(Remark("5/5  comparing the two runs"))
    settings = CompareConfig(runs=tuple(run.path for run in runs), output=folder / "comparison")
    return Demonstration(folder, runs, evaluations, predictions, compare(settings, listener))
