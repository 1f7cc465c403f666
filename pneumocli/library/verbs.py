"""The verbs of the package, one for each command: a config or settings as keywords, paths as text, results to look at.

Every function takes, beside its settings, ``listener``, which gets events (:mod:`pneumocli.core.events`), and
``progress``, whether they are drawn: by default in a notebook.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumocli.core.config import (
    CompareConfig,
    DownloadConfig,
    EvaluateConfig,
    PredictConfig,
    PredictionsConfig,
    QuantizeConfig,
    RecalibrateConfig,
    ResumeConfig,
    RunsConfig,
    TrainConfig,
    TuneConfig,
    VerifyDataConfig,
)
from pneumocli.core.errors import SettingError
from pneumocli.core.events import Listener
from pneumocli.library.predictions import Predictions
from pneumocli.library.progress import shown
from pneumocli.library.results import Comparison, Diagnosis, Evaluation, RunFolder, Runs, Verification
from pneumocli.library.settings import config_of, takes

if TYPE_CHECKING:  # their rooms load requests and scikit-learn
    from pneumocli.library.downloaded import Downloaded
    from pneumocli.library.quantized import Quantized
    from pneumocli.library.recalibrated import Recalibrated
    from pneumocli.library.tuned import Tuned

AnyPath = str | os.PathLike[str]


@takes(TrainConfig)
def train(
    config: TrainConfig | None = None,
    listener: Listener | None = None,
    *,
    progress: bool | None = None,
    until_done: bool = False,
    **settings: Any,  # noqa: ANN401 - each field has a type of its own
) -> RunFolder:
    """Train a classifier and write its run folder: ``train(data="films", epochs=2)``.

    Args:
        config: Settings to start from; keywords win.
        listener: Gets progress, one event per epoch, and remarks.
        progress: Whether to draw progress; by default in a notebook.
        until_done: Start the run, resume it, or find it finished: the same call until it is done.
        **settings: By name, see below.

    Returns:
        The finished run.

    Raises:
        PneumoError: As :func:`pneumocli.training.train.train`.
    """
    from pneumocli.training import train as room

    with shown(listener, progress=progress) as listen:
        chosen = config_of(TrainConfig, config, settings)
        run = room.train_until_done(chosen, listen) if until_done else room.train(chosen, listen)
    return RunFolder(run.path)


@takes(TuneConfig)
def tune(
    config: TuneConfig | None = None,
    listener: Listener | None = None,
    *,
    progress: bool | None = None,
    **settings: Any,  # noqa: ANN401
) -> "Tuned":
    """Search the settings of a training on folds of patients: ``tune(data="films", trials=50, timeout="8h")``.

    Args:
        config: Settings to start from; keywords win.
        listener: Gets progress.
        progress: Whether to draw progress; by default in a notebook.
        **settings: By name, see below.

    Returns:
        The best settings.

    Raises:
        PneumoError: As :func:`pneumocli.tuning.tune.tune`.
    """
    from pneumocli.library.tuned import Tuned
    from pneumocli.tuning import tune as room

    with shown(listener, progress=progress) as listen:
        return Tuned.model_construct(**dict(room.tune(config_of(TuneConfig, config, settings), listen)))


@takes(ResumeConfig, without=("resume",))
def resume(
    run: AnyPath | ResumeConfig,
    listener: Listener | None = None,
    *,
    progress: bool | None = None,
    **settings: Any,  # noqa: ANN401
) -> RunFolder:
    """Continue a run after its last finished epoch: ``resume("runs/scratch", epochs=40)``.

    Args:
        run: The run, or a config.
        listener: Gets progress, one event per epoch, and remarks.
        progress: Whether to draw progress; by default in a notebook.
        **settings: By name, see below.

    Raises:
        PneumoError: As :func:`pneumocli.training.train.resume`.
    """
    from pneumocli.training import train as room

    with shown(listener, progress=progress) as listen:
        chosen = config_of(ResumeConfig, run, settings, "resume")
        return RunFolder(room.resume(chosen, listen).path)


@takes(EvaluateConfig, without=("run",))
def evaluate(
    run: AnyPath | EvaluateConfig | PredictionsConfig | None = None,
    listener: Listener | None = None,
    *,
    progress: bool | None = None,
    **settings: Any,  # noqa: ANN401
) -> Evaluation:
    """Score films with a finished run and write the folder of the evaluation: ``evaluate("runs/transfer")``.

    ``evaluate(predictions="scores.csv")`` evaluates anybody's scores, with the settings of
    :class:`.PredictionsConfig`.

    Args:
        run: The run, or a config; ``None`` beside ``predictions``.
        listener: Gets progress and warnings.
        progress: Whether to draw progress; by default in a notebook.
        **settings: By name, see below.

    Raises:
        PneumoError: As :func:`pneumocli.evaluation.evaluate.evaluate`.
    """
    from pneumocli.evaluation.evaluate import evaluate as room

    with shown(listener, progress=progress) as listen:
        chosen: EvaluateConfig | PredictionsConfig
        if isinstance(run, PredictionsConfig) or (run is None and "predictions" in settings):
            chosen = config_of(PredictionsConfig, run, settings)
        else:
            chosen = config_of(EvaluateConfig, run, settings, "run")
        return Evaluation.model_construct(**dict(room(chosen, listen)))


@takes(PredictConfig, without=("inputs", "every"))
def predict(
    *inputs: AnyPath | Iterable[AnyPath] | PredictConfig,
    listener: Listener | None = None,
    progress: bool | None = None,
    **settings: Any,  # noqa: ANN401
) -> Predictions:
    """Answer for films: ``predict("film.jpeg", run="runs/transfer")``.

    Args:
        inputs: Films, folders and patterns, one by one or in lists, or a config.
        listener: Gets which model is used, what was left out, and the progress.
        progress: Whether to draw progress; by default in a notebook.
        **settings: By name, see below.

    Returns:
        An iterator over one record per film, see :func:`pneumocli.inference.predict.predict`. In a notebook it shows
        the answers; ``to_frame`` makes a table of them.

    Raises:
        PneumoError: As :func:`pneumocli.inference.predict.predict`.
        SettingError: No film is named.
        TypeError: Something is no name, or films are named beside a config, which names its own.
    """
    from pneumocli.inference.predict import predict as room

    first = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], PredictConfig) else tuple(_names(inputs))
    if not first and "inputs" not in settings:
        raise SettingError("no film is named: expected films, folders or patterns")
    with shown(listener, progress=progress) as listen:
        chosen = config_of(PredictConfig, first, _model(settings), "inputs")
        return Predictions(room(chosen, listen))


def _names(inputs: Iterable[object]) -> Iterable[str]:
    for item in inputs:
        if isinstance(item, str | os.PathLike):
            yield os.fspath(item)
        elif isinstance(item, Iterable) and not isinstance(item, PredictConfig):  # pydantic's models are iterable
            yield from _names(item)
        else:
            raise TypeError(f"expected films, folders or patterns by name, found {type(item).__name__}")


def _model(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, where ``model`` may name a run, too."""
    named = settings.get("model")
    if named is None or not Path(named).is_dir():
        return settings
    return {name: value for name, value in settings.items() if name != "model"} | {"run": named}


@takes(CompareConfig, without=("runs",))
def compare(
    *runs: AnyPath | CompareConfig | Sequence[AnyPath],
    listener: Listener | None = None,
    progress: bool | None = None,
    **settings: Any,  # noqa: ANN401
) -> Comparison:
    """Compare runs on the same films and write the folder of the comparison: ``compare("runs/a", "runs/b")``.

    Args:
        runs: Two or more runs, or folders of evaluated tables, one by one or as a list; or a config.
        listener: Gets progress and warnings.
        progress: Whether to draw progress; by default in a notebook.
        **settings: By name, see below.

    Raises:
        PneumoError: As :func:`pneumocli.evaluation.compare.compare`.
    """
    from pneumocli.evaluation.compare import compare as room

    alone = runs[0] if len(runs) == 1 else None
    first = alone if isinstance(alone, CompareConfig | list | tuple) else runs
    with shown(listener, progress=progress) as listen:
        chosen = config_of(CompareConfig, first, settings, "runs")
        return Comparison.model_construct(**dict(room(chosen, listen)))


@takes(VerifyDataConfig, without=("data",))
def verify_data(
    data: AnyPath | VerifyDataConfig | None = None,
    listener: Listener | None = None,
    *,
    progress: bool | None = None,
    **settings: Any,  # noqa: ANN401
) -> Verification:
    """Check a data folder, a table of films, or a run's manifest: ``verify_data("films", report="films.html")``.

    Args:
        data: The folder, ``data/chest_xray`` without it, or a config.
        listener: Gets progress.
        progress: Whether to draw progress; by default in a notebook.
        **settings: By name, see below.

    Raises:
        PneumoError: As :func:`pneumocli.verification.verify.verify_data`.
    """
    from pneumocli.verification.verify import verify_data as room

    with shown(listener, progress=progress) as listen:
        chosen = config_of(VerifyDataConfig, data, settings, "data")
        return Verification.model_construct(**dict(room(chosen, listen)))


@takes(DownloadConfig)
def download(
    config: DownloadConfig | None = None,
    listener: Listener | None = None,
    *,
    progress: bool | None = None,
    **settings: Any,  # noqa: ANN401
) -> "Downloaded":
    """Get the set: ``download(source="mendeley", data="films")``.

    Args:
        config: Settings to start from; keywords win.
        listener: Gets progress in bytes and films, and remarks.
        progress: Whether to draw progress; by default in a notebook.
        **settings: By name, see below.

    Returns:
        What is on disk now, and what it took.

    Raises:
        PneumoError: As :func:`pneumocli.release.download.download`.
    """
    from pneumocli.library.downloaded import Downloaded
    from pneumocli.release.download import download as room

    with shown(listener, progress=progress) as listen:
        return Downloaded.model_construct(**dict(room(config_of(DownloadConfig, config, settings), listen)))


@takes(RecalibrateConfig, without=("run",))
def recalibrate(
    run: AnyPath | RecalibrateConfig,
    listener: Listener | None = None,
    *,
    progress: bool | None = None,
    **settings: Any,  # noqa: ANN401
) -> "Recalibrated":
    """Fit a run's probabilities and threshold to films of another place: ``recalibrate("runs/a", data="films")``.

    Args:
        run: The run, or a config.
        listener: Gets progress.
        progress: Whether to draw progress; by default in a notebook.
        **settings: By name, see below.

    Returns:
        The model and how it was made.

    Raises:
        PneumoError: As :func:`pneumocli.evaluation.recalibrate.recalibrate`.
    """
    from pneumocli.evaluation.recalibrate import recalibrate as room
    from pneumocli.library.recalibrated import Recalibrated

    with shown(listener, progress=progress) as listen:
        chosen = config_of(RecalibrateConfig, run, settings, "run")
        return Recalibrated.model_construct(**dict(room(chosen, listen)))


@takes(QuantizeConfig, without=("run",))
def quantize(
    run: AnyPath | QuantizeConfig,
    listener: Listener | None = None,
    *,
    progress: bool | None = None,
    **settings: Any,  # noqa: ANN401
) -> "Quantized":
    """Make a run's ``model-int8.onnx``, with the proof of what that changes: ``quantize("runs/transfer")``.

    Args:
        run: The run, or a config.
        listener: Gets progress.
        progress: Whether to draw progress; by default in a notebook.
        **settings: By name, see below.

    Returns:
        The file and its proof.

    Raises:
        PneumoError: As :func:`pneumocli.evaluation.quantize.quantize`.
    """
    from pneumocli.evaluation.quantize import quantize as room
    from pneumocli.library.quantized import Quantized

    with shown(listener, progress=progress) as listen:
        return Quantized.model_construct(**dict(room(config_of(QuantizeConfig, run, settings, "run"), listen)))


@takes(RunsConfig, without=("folder",))
def runs(folder: AnyPath | RunsConfig | None = None, **settings: Any) -> Runs:  # noqa: ANN401
    """List the runs of a folder, finished, unfinished and broken: ``runs()``.

    Args:
        folder: The folder, ``runs`` without it, or a config.
        **settings: By name, see below.

    Raises:
        PneumoError: There is no such folder, or no run in it.
    """
    from pneumocli.run_list import runs as room

    with shown(None, progress=False):
        return Runs(room(config_of(RunsConfig, folder, settings, "folder")))


def doctor() -> Diagnosis:
    """Check this machine: nothing is changed, nothing is sent, credentials are looked for and never shown."""
    from pneumocli.diagnosis import doctor as room

    return Diagnosis.model_construct(**dict(room()))
