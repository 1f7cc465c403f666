"""``demo()``: the program's own story on synthetic films, on any machine, without network.

The same network learns from the same few films twice: from scratch, and from weights that another task has trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumocli.core.config import CompareConfig, DemoConfig, EvaluateConfig, PredictConfig, TrainConfig
from pneumocli.core.errors import PneumoError, shell_word
from pneumocli.core.events import Event, Listener, Remark, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.data.nodules import write_nodules
from pneumocli.data.phantom import write_phantoms
from pneumocli.evaluation.compare import compare
from pneumocli.evaluation.evaluate import evaluate
from pneumocli.inference.predict import predict
from pneumocli.inference.records import Prediction
from pneumocli.metrics.records import Comparison, Evaluation
from pneumocli.run_folder import RunFolder
from pneumocli.training.train import train

_NUM_STEPS = 6
_EXPLAINED_PER_CLASS = 3
_STRENGTHS = (0.9, 1.6)  # neither hidden nor plain: what another task has taught must still count


# No cache, and no process beside this one: what the demo writes lies in its folder, and each start would take seconds.
# All phantoms are made alike: what their brightness and sharpness tell of the class is what they show, no shortcut.
_COMMON: dict[str, Any] = {
    "recipe": "robust",
    "hard_weight": 1,
    "crop_scale": 0.5,
    "device": "cpu",
    "cache": False,
    "workers": 0,
}


@dataclass(frozen=True)
class Sizes:
    """How much is drawn and how long is trained. The defaults take about two minutes on two cores.

    Attributes:
        num_nodules: Films of the first task.
        nodule_epochs: Passes over them.
        num_train: Training films.
        num_val: Films that join the validation films held out of those.
        num_test: Test films.
        epochs: Passes over the training films, of either run.
        image_size: What the network sees of a film, in pixels.
    """

    num_nodules: int = 800
    nodule_epochs: int = 6
    num_train: int = 160
    num_val: int = 120  # of each class some 50 to choose a threshold by
    num_test: int = 160
    epochs: int = 7
    image_size: int = 80


@dataclass(frozen=True)
class Demonstration:
    """What a demo left behind.

    Attributes:
        folder: Holds ``data``, ``nodules``, ``runs``, ``explanations`` and ``comparison``.
        runs: From scratch, and transferred.
        evaluations: Of the test films, one per run.
        predictions: Of a few test films, by the transferred run.
        comparison: Of the two runs.
    """

    folder: Path
    runs: tuple[RunFolder, RunFolder]
    evaluations: tuple[Evaluation, ...]
    predictions: tuple[Prediction, ...]
    comparison: Comparison

    @property
    def explanations(self) -> Path:
        """The folder of the pictures with heat maps."""
        return self.folder / "explanations"

    @property
    def comparison_page(self) -> Path:
        """The page of the comparison."""
        return self.folder / "comparison" / "comparison.html"


def demo(config: DemoConfig, listener: Listener = ignore, sizes: Sizes | None = None) -> Demonstration:
    """Trains a small network from scratch and from another task's weights, and measures, explains and compares both.

    Args:
        config: Where to.
        listener: Gets one remark per step, the progress within it, and warnings.
        sizes: How much is drawn and how long is trained.

    Raises:
        PneumoError: The folder exists, or a step failed.
    """
    folder, sizes = config.output, sizes or Sizes()
    if folder.exists() and any(folder.iterdir()):
        raise PneumoError(
            f"{folder} exists already and is not empty", f"rm -r {shell_word(folder)}, or choose another --output"
        )
    inner = _without_details(listener)
    _step(listener, 1, f"draw {sizes.num_nodules + _num_films(sizes):,} synthetic chest films")
    table = write_nodules(folder / "nodules", number=sizes.num_nodules, short_sides=_short_sides(sizes), listener=inner)
    data = _drawn_films(folder / "data", sizes, inner)
    _step(listener, 2, f"learn another task first: which of {sizes.num_nodules} chests hold nodules?")
    nodules = train(_nodule_training(table, folder / "runs" / "nodules", sizes), inner)
    _step(listener, 3, f"learn pneumonia from {sizes.num_train} films, from scratch")
    scratch = train(_film_training(data, folder / "runs" / "scratch", sizes), inner)
    _step(listener, 4, "learn it from the same films, with the weights of step 2: transfer")
    transfer = train(_film_training(data, folder / "runs" / "transfer", sizes, weights=nodules.best_file), inner)
    _step(listener, 5, f"score both on {sizes.num_test} films that neither has seen")
    runs = (scratch, transfer)
    # evaluate warns of thresholds from few films: on films made in another way. All phantoms are made alike.
    evaluations = tuple(evaluate(EvaluateConfig(run=run.path), _without_remarks(listener)) for run in runs)
    _step(listener, 6, "draw where the network looked, and compare the two")
    predictions = _explained(data, transfer, folder / "explanations", inner)
    settings = CompareConfig(runs=tuple(run.path for run in runs), output=folder / "comparison")
    return Demonstration(folder, runs, evaluations, predictions, compare(settings, inner))


def _step(listener: Listener, number: int, text: str) -> None:
    listener(Remark(f"{number}/{_NUM_STEPS}  {text}"))


def _without_details(listener: Listener) -> Listener:
    """Hands on progress and warnings, and neither epochs nor notes: one line per step is what a newcomer follows."""
    progress = _without_remarks(listener)

    def hand_on(event: Event) -> None:
        if isinstance(event, Remark) and event.level == "warning":
            listener(event)
        progress(event)

    return hand_on


def _without_remarks(listener: Listener) -> Listener:
    """Hands on progress alone."""

    def hand_on(event: Event) -> None:
        if isinstance(event, TaskStarted | TaskAdvanced | TaskFinished):
            listener(event)

    return hand_on


def _num_films(sizes: Sizes) -> int:
    return sizes.num_train + sizes.num_val + sizes.num_test


def _drawn_films(folder: Path, sizes: Sizes, listener: Listener) -> Path:
    write_phantoms(
        folder,
        num_train=sizes.num_train,
        num_val=sizes.num_val,
        num_test=sizes.num_test,
        short_sides=_short_sides(sizes),
        strengths=_STRENGTHS,
        listener=listener,
    )
    return folder


def _short_sides(sizes: Sizes) -> tuple[int, int]:
    side = sizes.image_size * 8 // 7  # what --fit crop scales a film to
    return side, side * 3 // 2


def _nodule_training(table: Path, run_dir: Path, sizes: Sizes) -> TrainConfig:
    return TrainConfig(
        data=table.parent,
        manifest=table,
        run_dir=run_dir,
        epochs=sizes.nodule_epochs,
        image_size=sizes.image_size,
        batch_size=32,
        **_COMMON,
    )


def _film_training(data: Path, run_dir: Path, sizes: Sizes, weights: Path | None = None) -> TrainConfig:
    """The same settings for both runs: only the weights that they start from differ."""
    return TrainConfig(
        data=data,
        run_dir=run_dir,
        weights=weights,
        learning_rate=3e-4,
        epochs=sizes.epochs,
        image_size=sizes.image_size,
        batch_size=8,
        operating_point="youden",
        **_COMMON,
    )


def _explained(data: Path, run: RunFolder, folder: Path, listener: Listener) -> tuple[Prediction, ...]:
    """The answers for a few test films of either class, with a picture each."""
    films: list[str] = []
    for place in sorted((data / "test").iterdir()):
        found = sorted(place.glob("*.jpeg"))
        films += map(str, found[:: max(1, len(found) // _EXPLAINED_PER_CLASS)][:_EXPLAINED_PER_CLASS])
    return tuple(predict(PredictConfig(inputs=tuple(films), run=run.path, explain=folder), listener))
