"""Every setting of the user: one field of one frozen pydantic model (:mod:`pneumocli.core.settings`).

A field's flag, bounds, default, help and JSON all come from here; ``cli/options.py`` turns a model into the options of
a command. Nothing edits a config after validation. ``None`` stands for "auto" where a field says so, and is resolved
once, from the device and the amount of work.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pneumocli.core.recipes import Recipe, setting_of, shown_default
from pneumocli.core.records import Fit, Split
from pneumocli.core.settings import (
    Device,
    Duration,
    EvaluationName,
    Flag,
    HtmlFile,
    InferenceDevice,
    InferencePrecision,
    JsonOrHtmlFile,
    OperatingPointRule,
    Probability,
    Settings,
    Shard,
)

DEFAULT_DATA = Path("data/chest_xray")
DATA_DEFAULT = f"{DEFAULT_DATA.as_posix()}, or the table's folder"
"""As help texts show it where a table may be given."""
DEFAULT_RUNS = Path("runs")

MOST_MEMBERS = 10
"""Networks in one model file, 45 MB each."""

SELECTED_BY = {"auroc": "AUROC", "hard": "balanced accuracy on hard films"}
"""The metric of the validation films behind each value of ``--select``, as people read it."""


def _by_recipe(setting: str) -> Any:  # noqa: ANN401 - stands where a default of any type would stand
    """The default of a setting that the recipe decides; :data:`pneumocli.core.recipes.SETTINGS` holds the table."""
    return Field(default_factory=lambda given: setting_of(given, setting))


def _films_folder() -> Any:  # noqa: ANN401 - as above
    """The default of a data folder: that of the table, whose field must come before, or where ``download`` puts it."""
    return Field(default_factory=lambda given: table.parent if (table := given.get("manifest")) else DEFAULT_DATA)


class TrainConfig(Settings):
    """Settings of ``pneumo train``. The defaults are the assignment's recipe, save for the validation films."""

    manifest: Annotated[Path | None, Flag(metavar="FILE.csv")] = None
    """Films from a CSV instead (image,label[,patient][,split]); image paths relative to --data."""
    data: Annotated[Path, Flag(metavar="DIR", default=DATA_DEFAULT)] = _films_folder()
    """Data folder, laid out train|val|test / NORMAL|PNEUMONIA."""
    weights: Annotated[Path | None, Flag(metavar="FILE")] = None
    """Start from this ResNet-18 state dict in torchvision's names, or a run's best.pt; implies --pretrained."""
    pretrained: Annotated[bool, Flag(("--pretrained/--scratch",), default="scratch")] = Field(
        default_factory=lambda given: given.get("weights") is not None
    )
    """Start from torchvision's ImageNet weights, or from scratch."""
    recipe: Recipe = "assignment"
    """Named set of the settings below that show a default by recipe; a flag given beside it wins."""
    freeze: Literal["none", "backbone"] = "none"
    """What is not trained: backbone trains the last layer only, BatchNorm in eval mode."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Passes over the training films."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Films per step."""
    accumulate: Annotated[int, Field(ge=1, le=1024)] = 1
    """Split each batch into N parts, one after the other, so that a large batch fits a small device.
    BatchNorm sees one part at a time."""
    learning_rate: Annotated[
        float, Flag(("--learning-rate", "--lr"), default="0.001 from scratch, 0.0001 pretrained")
    ] = Field(gt=0, le=10, allow_inf_nan=False, default_factory=lambda given: 1e-4 if given.get("pretrained") else 1e-3)
    """Adam's learning rate, the highest of a schedule."""
    schedule: Annotated[Literal["constant", "cosine"], Flag(default=shown_default("schedule"))] = _by_recipe("schedule")
    """How the learning rate runs: constant, or cosine, which falls to almost 0 at the last step."""
    warm_up: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False), Flag(default=shown_default("warm_up"))] = (
        _by_recipe("warm_up")
    )
    """Share of all steps over which the learning rate rises to its highest."""
    average_epochs: Annotated[
        float, Field(ge=0, le=1000, allow_inf_nan=False), Flag(default=shown_default("average_epochs"))
    ] = _by_recipe("average_epochs")
    """Keep a moving average of the weights over about this many epochs; validated, kept and exported is the average."""
    weight_decay: Annotated[
        float, Field(ge=0, le=1, allow_inf_nan=False), Flag(default=shown_default("weight_decay"))
    ] = _by_recipe("weight_decay")
    """Decoupled weight decay (AdamW) of convolutions and the last layer's weights."""
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, allow_inf_nan=False), Flag(default=shown_default("label_smoothing"))
    ] = _by_recipe("label_smoothing")
    """Train towards labels of 1 - X/2 and X/2 instead of 1 and 0."""
    crop_scale: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False), Flag(default=shown_default("crop_scale"))] = (
        _by_recipe("crop_scale")
    )
    """Smallest share of a film's area that a training crop holds."""
    mirror: Annotated[bool, Flag(("--mirror/--no-mirror",), default=shown_default("mirror"))] = _by_recipe("mirror")
    """Mirror half of the training films."""
    tone: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), Flag(default=shown_default("tone"))] = _by_recipe(
        "tone"
    )
    """Change gamma, contrast and brightness of a training film by up to this share."""
    noise: Annotated[float, Field(ge=0, le=64, allow_inf_nan=False), Flag(default=shown_default("noise"))] = _by_recipe(
        "noise"
    )
    """Add noise of up to this standard deviation, in grey levels, to a training film."""
    sharpness: Annotated[float, Field(ge=0, le=8, allow_inf_nan=False), Flag(default=shown_default("sharpness"))] = (
        _by_recipe("sharpness")
    )
    """Blur a training film by up to this radius in pixels, or sharpen it by up to this share of its edges."""
    jpeg_quality: Annotated[int, Field(ge=0, le=100), Flag(default=shown_default("jpeg_quality"))] = _by_recipe(
        "jpeg_quality"
    )
    """Encode a training film as JPEG again, at a quality from this to 100."""
    resample: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), Flag(default=shown_default("resample"))] = (
        _by_recipe("resample")
    )
    """Make a training film smaller by up to this share of its side, and as large as before again."""
    image_size: Annotated[int, Field(ge=32, le=1024)] = 224
    """Side of the square the network sees, in pixels."""
    fit: Fit = "crop"
    """How a film becomes square: crop cuts the longer side, squash ignores the aspect, pad adds black."""
    val: Literal["patient", "block", "official"] = "patient"
    """Validation films: whole patients at random, contiguous blocks of patient numbers, or the release's 16."""
    val_fraction: Annotated[float, Field(gt=0, le=0.5, allow_inf_nan=False)] = 0.1
    """Share of the training patients held out for validation, rounded to 1/k."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weigh the loss of each class by the inverse of its frequency."""
    hard_weight: Annotated[
        float, Field(ge=1, le=100, allow_inf_nan=False), Flag(default=shown_default("hard_weight"))
    ] = _by_recipe("hard_weight")
    """Weigh hard training films, whose label contradicts how they were made, X times in the loss."""
    operating_point: Annotated[OperatingPointRule, Flag(metavar="RULE", default=shown_default("operating_point"))] = (
        _by_recipe("operating_point")
    )
    """Threshold stored with the model: 0.5, or chosen on validation: youden, sensitivity=X, specificity=X,
    cost=X (a missed pneumonia costs X false alarms), or hard-balanced (equal sensitivity and specificity on hard
    films)."""
    skip_unreadable: bool = False
    """Leave unreadable films out and record them, instead of refusing to train."""
    device: Annotated[Device, Flag(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of forward and backward; auto is fp32 on CPU, bf16 or fp16 on CUDA."""
    compile: Annotated[bool | None, Flag(("--compile/--no-compile",), default="by device and amount of work")] = None
    """Compile the network with torch.compile."""
    workers: Annotated[int | None, Field(ge=0, le=256), Flag(default="by device")] = None
    """Processes that prepare batches; 0 for none beside the training process. Not given, a CUDA device keeps cached
    films that fit in a third of its free memory, and needs none."""
    low_memory: bool = False
    """On a CPU, give freed memory back within a step: 0.4 GB less at the peak, slower, the same results. Done by
    itself with less than 4 GB free."""
    cache: Annotated[bool, Flag(("--cache/--no-cache",), default="cache")] = True
    """Keep decoded films in the user's cache folder ($PNEUMO_CACHE)."""
    patience: Annotated[int | None, Field(ge=1), Flag(default="off")] = None
    """Stop after N epochs without a better one, as --select decides."""
    select: Literal["auroc", "hard"] = "auroc"
    """What decides the best epoch: validation AUROC, or balanced accuracy on the hard validation films, whose label
    contradicts how they were made."""
    checkpoint_minutes: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False), Flag(metavar="M")] = 10
    """Write a checkpoint every so many minutes within an epoch, so that a kill loses no more; 0 writes none but at the
    end of an epoch and at SIGTERM or SIGUSR1."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Decides initial weights, split, order and augmentation."""
    run_dir: Annotated[Path | None, Flag(metavar="DIR", default="runs/scratch or runs/transfer")] = None
    """Run folder to make; must not exist."""
    tensorboard: bool = False
    """Also write TensorBoard event files into the run folder."""
    views: Annotated[Literal[1, 2, 4], Flag(metavar="<1|2|4>")] = 1
    """Views of each film that the finished model averages: 1, the film; 2, and its mirror image; 4, these of the
    film's centre and of the whole frame, squashed (or padded, with --fit pad)."""
    folds: Annotated[int | None, Field(ge=2, le=50), Flag(metavar="K", default="one run")] = None
    """Train K runs into one folder, each of which holds out another K-th of the films by --val, and make them
    one model whose threshold and temperature come from the held-out scores of all films."""
    fold: Annotated[int | None, Field(ge=1), Flag(metavar="N", default="all")] = None
    """With --folds: train only this run, such as on another machine."""
    ensemble: bool = False
    """With --folds: also write one model file that gives the mean of the runs."""
    refer: Annotated[float | None, Field(gt=0, lt=0.5, allow_inf_nan=False), Flag(metavar="X", default="off")] = None
    """Answer REFER, a film for a person, where a class is not clear: limits from the validation films rule out the true
    class of at most this share of new patients of either class."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.weights is not None and not self.pretrained:
            raise ValueError("--scratch and --weights contradict each other: leave one out")
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"--accumulate {self.accumulate} splits a batch of {self.batch_size} into less than one film each"
            )
        # BatchNorm needs two numbers of a channel: at this size the last layers see one of each film.
        if self.batch_size // self.accumulate < 2 and self.image_size == 32 and self.freeze == "none":
            parts = "" if self.accumulate == 1 else f" --accumulate {self.accumulate}"
            raise ValueError(f"--batch-size {self.batch_size}{parts} at --image-size 32: expected two films at a time")
        return self

    @model_validator(mode="after")
    def _folds_consistent(self) -> Self:
        if self.folds is None:
            if self.fold is not None or self.ensemble:
                raise ValueError(f"{'--ensemble' if self.fold is None else '--fold'} belongs to --folds K: add it")
            return self
        if self.fold is not None and self.fold > self.folds:
            raise ValueError(f"--fold {self.fold} is none of --folds {self.folds}")
        if self.val == "official":
            raise ValueError(
                "--val official holds out the release's 16 films, --folds others each time: use --val patient"
            )
        if self.val_fraction != type(self).model_fields["val_fraction"].default:
            raise ValueError(f"--folds {self.folds} holds out 1/{self.folds} each time: leave --val-fraction out")
        if self.ensemble and self.folds > MOST_MEMBERS:
            raise ValueError(f"--ensemble takes at most --folds {MOST_MEMBERS}: its file would be too large")
        return self


class ResumeConfig(Settings):
    """What may stand beside ``pneumo train --resume RUN``; every other setting comes from the run."""

    resume: Annotated[Path, Flag(metavar="RUN")]
    """Continue this run where it was stopped; only --epochs and --device may stand beside it."""
    epochs: Annotated[int | None, Field(ge=1, le=100_000)] = None
    """New number of epochs in all."""
    device: Annotated[Device | None, Flag(metavar="DEVICE")] = None
    """New device; results are bit-identical on the same device only."""


class ContinueConfig(Settings):
    """What ``pneumo train --continue`` adds to the settings of a run."""

    until_done: Annotated[bool, Flag(("--continue",))] = False
    """Start the run, resume it where an earlier start with the same settings was stopped, or report that it is
    finished: the same command until it is done. Only --epochs and --device may change."""


class StartConfig(Settings):
    """Where settings of a new training come from, beside its flags; a flag wins."""

    like: Annotated[Path | None, Flag(metavar="RUN")] = None
    """Start from the settings of this run; flags beside it win."""
    config: Annotated[Path | None, Flag(metavar="FILE")] = None
    """Start from the settings in a TOML file, or a run's config.json; flags beside it win."""


class SeedsConfig(Settings):
    """What ``pneumo train --seeds N`` adds to the settings of a run."""

    seeds: Annotated[int, Field(ge=2, le=100)]
    """Train N runs that differ in the seed alone, from --seed on, and sum them up."""


def _refuse_split_of_others(manifest: Path | None, name: str | None, split: Split) -> None:
    if split == "test":
        return
    if manifest is not None:
        raise ValueError(f"--split {split} scores the run's own films, --manifest those of a table: leave one out")
    if name is not None:
        raise ValueError(f"--split {split} scores the run's own films, --name keeps those of others: leave one out")


def _refuse_int8_elsewhere(precision: str, device: str) -> None:
    if precision == "int8" and device != "cpu":
        raise ValueError(f"--precision int8 runs on the CPU, not on --device {device}: leave one out")


class EvaluateConfig(Settings):
    """Settings of ``pneumo evaluate``."""

    run: Annotated[Path, Flag(argument=True, metavar="RUN")]
    """Run folder of a finished training."""
    data: Annotated[Path | None, Flag(metavar="DIR", default="the run's, or the table's folder")] = None
    """Data folder; the one the run was trained on unless given."""
    manifest: Annotated[Path | None, Flag(metavar="FILE.csv")] = None
    """Films from a CSV instead (image,label[,patient][,split]): its test rows, or all where it has none; image paths
    relative to --data."""
    split: Split = "test"
    """Split to score; val is the run's own validation set."""
    threshold: Annotated[Probability | None, Flag(default="the stored one")] = None
    """Score at this threshold instead of the stored operating point."""
    device: Annotated[InferenceDevice, Flag(metavar="DEVICE")] = "cpu"
    """cpu (ONNX Runtime), cuda, cuda:N or mps (torch)."""
    precision: InferencePrecision = "fp32"
    """fp32, or int8: the file that pneumo quantize made; its evaluations are kept apart."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Films per forward pass."""
    skip_unreadable: bool = False
    """Leave unreadable films out and count them, instead of refusing."""
    prevalence: Annotated[float | None, Field(gt=0, lt=1, allow_inf_nan=False), Flag(default="the split's")] = None
    """Also give ppv and npv at this prevalence."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the bootstrap."""
    name: Annotated[EvaluationName | None, Flag(metavar="NAME", default="after the folder or table")] = None
    """Keep the evaluation of films of another place in RUN/evaluations/NAME."""
    by: Literal["film", "patient"] = "film"
    """What the table and the report begin with: films, or one answer per patient where patients have several."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse_split_of_others(self.manifest, self.name, self.split)
        _refuse_int8_elsewhere(self.precision, self.device)
        return self


class PredictionsConfig(Settings):
    """Settings of ``pneumo evaluate --predictions``."""

    predictions: Annotated[Path, Flag(metavar="FILE.csv")]
    """Evaluate anybody's scores instead of a run (image,label,probability or score[,patient][,kind])."""
    output: Annotated[Path | None, Flag(metavar="DIR", default="evaluations/NAME")] = None
    """Folder for the evaluation of --predictions."""
    name: Annotated[EvaluationName | None, Flag(metavar="NAME", default="after the table")] = None
    """Name of the evaluation."""
    threshold: Annotated[float | None, Field(allow_inf_nan=False), Flag(default="0.5")] = None
    """On probabilities, 0.5 unless given; scores have none of their own."""
    prevalence: Annotated[float | None, Field(gt=0, lt=1, allow_inf_nan=False)] = None
    """Also give ppv and npv at this prevalence."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the bootstrap."""
    by: Literal["film", "patient"] = "film"
    """What the table and the report begin with."""


class PredictConfig(Settings):
    """Settings of ``pneumo predict``."""

    inputs: Annotated[tuple[str, ...], Flag(argument=True, metavar="INPUT...")]
    """Films, folders, glob patterns, addresses (s3://, gs://, az://, https://), or - for one film on standard input."""
    run: Annotated[Path | None, Flag(metavar="RUN", default="$PNEUMO_RUN, else the latest under runs/")] = None
    """Run whose model to use."""
    model: Annotated[Path | None, Flag(metavar="FILE")] = None
    """Model file to use instead of a run: model.onnx or best.pt."""
    threshold: Annotated[Probability | None, Flag(default="the stored one")] = None
    """Threshold to use instead of the stored operating point."""
    explain: Annotated[Path | None, Flag(metavar="DIR")] = None
    """Write each film with its class activation map into this folder."""
    csv: Annotated[Path | None, Flag(metavar="FILE")] = None
    """Write the answers as a table, row by row."""
    report: Annotated[HtmlFile, Flag(metavar="FILE.html")] = None
    """Also write a page: counts, the uncertain and the unlike films, pictures; with --explain where the evidence
    lies."""
    resume: bool = False
    """Continue an interrupted --csv: films that stand in it are not run again."""
    shard: Annotated[Shard | None, Flag(metavar="I/N")] = None
    """Only every N-th film, beginning with the I-th: splits a folder among machines."""
    device: Annotated[InferenceDevice, Flag(metavar="DEVICE")] = "cpu"
    """cpu (ONNX Runtime), cuda, cuda:N or mps (torch)."""
    precision: InferencePrecision = "fp32"
    """fp32, or int8: the run's file that pneumo quantize made, faster on most CPUs."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Films per forward pass."""
    every: Annotated[bool, Flag(("--all",))] = False
    """List every film on the screen, however many there are."""

    shift: Annotated[JsonOrHtmlFile, Flag(metavar="FILE.json|.html")] = None
    """Write whether the films as a whole are like the model's validation films, and in what they differ."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.run is not None and self.model is not None:
            raise ValueError("--run and --model contradict each other: leave one out")
        if self.precision == "int8" and self.model is not None:
            raise ValueError("--precision chooses among the model files of a run, --model names one: leave one out")
        _refuse_int8_elsewhere(self.precision, self.device)
        if self.resume and self.csv is None:
            raise ValueError("--resume continues a table: name it with --csv FILE")
        if self.resume and self.report is not None:
            raise ValueError("--report shows all films, --resume runs what is left of them: leave one out")
        if self.shard is not None:
            index, count = map(int, self.shard.split("/"))
            if index > count:
                raise ValueError(f"--shard {self.shard}: there is no part {index} of {count}")
        return self


class MergeConfig(Settings):
    """Settings of ``pneumo predict --merge``."""

    merge: Annotated[Path, Flag(metavar="OUT.csv")]
    """Join the tables that --shard and --csv wrote, named instead of films, into this one; a shard that is missing,
    doubled, unfinished or of another model is refused."""
    inputs: Annotated[tuple[Path, ...], Field(min_length=1), Flag(argument=True, metavar="PART...")]
    """The tables of all shards."""
    run: Annotated[Path | None, Flag(metavar="RUN")] = None
    """Run whose model wrote the tables: compares the films of all shards with its training films."""
    model: Annotated[Path | None, Flag(metavar="FILE")] = None
    """Its model file instead of a run."""
    shift: Annotated[JsonOrHtmlFile, Flag(metavar="FILE.json|.html")] = None
    """Write that comparison."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.run is not None and self.model is not None:
            raise ValueError("--run and --model contradict each other: leave one out")
        if self.shift is not None and self.run is None and self.model is None:
            raise ValueError("--shift beside --merge needs the model that wrote the tables: add --run RUN")
        return self


class CompareConfig(Settings):
    """Settings of ``pneumo compare``."""

    runs: Annotated[tuple[Path, ...], Field(min_length=2), Flag(argument=True, metavar="RUN RUN...")]
    """Two or more run folders, or folders of evaluate --predictions."""
    data: Annotated[Path | None, Flag(metavar="DIR", default="the runs', or the table's folder")] = None
    """Data folder; the one the runs were trained on unless given."""
    manifest: Annotated[Path | None, Flag(metavar="FILE.csv")] = None
    """Films from a CSV instead, as for pneumo evaluate."""
    split: Split = "test"
    """Split to compare on."""
    output: Annotated[Path | None, Flag(metavar="DIR", default="comparisons/A-vs-B")] = None
    """Folder for the comparison."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the bootstrap."""
    name: Annotated[EvaluationName | None, Flag(metavar="NAME", default="after the folder or table")] = None
    """Name of the evaluations of films of another place, as for pneumo evaluate."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse_split_of_others(self.manifest, self.name, self.split)
        return self


class DownloadConfig(Settings):
    """Settings of ``pneumo download``."""

    source: Literal["kaggle", "mendeley", "phantom"] = "kaggle"
    """Where from: kaggle, mendeley (no account), or phantom (synthetic films, no network)."""
    archive: Annotated[Path | None, Flag(metavar="FILE.zip")] = None
    """Unpack this zip, fetched by hand, instead of downloading; it is never deleted."""
    data: Annotated[Path, Flag(metavar="DIR")] = DEFAULT_DATA
    """Folder to make."""
    force: bool = False
    """Start over even where DIR holds the set."""
    keep_archive: bool = False
    """Keep the downloaded zip beside DIR."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the phantoms."""


class VerifyDataConfig(Settings):
    """Settings of ``pneumo verify-data``."""

    manifest: Annotated[Path | None, Flag(metavar="FILE.csv")] = None
    """Films from a CSV instead (image,label[,patient][,split]); image paths relative to DIR."""
    data: Annotated[Path, Flag(argument=True, metavar="[DIR]", default=DATA_DEFAULT)] = _films_folder()
    """Data folder, or a run's manifest.csv."""
    quick: bool = False
    """Names and counts only, no decoding."""
    report: Annotated[HtmlFile, Flag(metavar="FILE.html")] = None
    """Also write a page with contact sheets, histograms and duplicates."""


RunSort = Literal["name", "age", "size", "val-auroc", "val-accuracy", "auroc", "accuracy", "sensitivity", "specificity"]


class RunsConfig(Settings):
    """Settings of ``pneumo runs``."""

    folder: Annotated[Path, Flag(argument=True, metavar="[DIR]")] = DEFAULT_RUNS
    """Folder of runs, or one run."""
    sort: Annotated[RunSort, Flag(metavar="METRIC")] = "name"
    """Order: name, age (newest first), size, or from the highest val-auroc, val-accuracy, or auroc, accuracy,
    sensitivity, specificity of the test films."""


class RecalibrateConfig(Settings):
    """Settings of ``pneumo recalibrate``."""

    run: Annotated[Path, Flag(argument=True, metavar="RUN")]
    """Run folder of a finished training."""
    data: Annotated[Path | None, Flag(metavar="DIR", default="the table's folder")] = None
    """Folder of the other place's labelled films, all of which are used."""
    manifest: Annotated[Path | None, Flag(metavar="FILE.csv")] = None
    """Films from a CSV instead (image,label[,patient]); image paths relative to --data."""
    name: Annotated[EvaluationName | None, Flag(metavar="NAME", default="after the folder or table")] = None
    """Keep the model in RUN/recalibrated/NAME."""
    operating_point: Annotated[OperatingPointRule | None, Flag(metavar="RULE", default="the stored one")] = None
    """Rule for the threshold: 0.5, youden, sensitivity=X, specificity=X or cost=X."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the cross-validation's folds and the bootstrap."""

    @model_validator(mode="after")
    def _films_named(self) -> Self:
        if self.data is None and self.manifest is None:
            raise ValueError("the other place's labelled films are missing: --data DIR or --manifest FILE.csv")
        return self

    @property
    def folder(self) -> Path:
        """That the films are below: the table's own unless ``data`` is given."""
        places = (self.data, None if self.manifest is None else self.manifest.parent)
        return next(place for place in places if place is not None)


class QuantizeConfig(Settings):
    """Settings of ``pneumo quantize``."""

    run: Annotated[Path, Flag(argument=True, metavar="RUN")]
    """Run folder of a finished training."""
    data: Annotated[Path | None, Flag(metavar="DIR", default="the run's")] = None
    """Data folder with the run's validation films; the one the run was trained on unless given."""


class TuneConfig(Settings):
    """Settings of ``pneumo tune``."""

    manifest: Annotated[Path | None, Flag(metavar="FILE.csv")] = None
    """Films from a CSV instead (image,label[,patient][,split]); image paths relative to --data."""
    data: Annotated[Path, Flag(metavar="DIR", default=DATA_DEFAULT)] = _films_folder()
    """Data folder; its test films are never looked at."""
    trials: Annotated[int, Field(ge=1, le=100_000), Flag(metavar="N")] = 30
    """Settings to try, by all workers together."""
    timeout: Annotated[Duration | None, Flag(metavar="T")] = None
    """Stop after this time, such as 90m or 8h; --continue goes on."""
    storage: Annotated[str | None, Flag(metavar="URL", default="a file in --output")] = None
    """Database that several workers share, as SQLAlchemy names it; each of them runs the same command with
    --continue."""
    objective: Literal["hard", "log-loss"] = "hard"
    """What is sought: the highest balanced accuracy on the hard films, or the lowest log loss on all, of held-out
    patients."""
    folds: Annotated[int, Field(ge=2, le=50), Flag(metavar="K")] = 3
    """Parts that the patients are cut into; each trial trains as many runs, each of which holds another part out."""
    seeds: Annotated[int, Field(ge=1, le=100), Flag(metavar="N")] = 3
    """Score the best settings with this many seeds in the end; the trials' own is one of them."""
    weights: Annotated[Path | None, Flag(metavar="FILE")] = None
    """Start from this ResNet-18 state dict; implies --pretrained."""
    pretrained: Annotated[bool, Flag(("--pretrained/--scratch",), default="scratch")] = Field(
        default_factory=lambda given: given.get("weights") is not None
    )
    """Start from torchvision's ImageNet weights, or from scratch."""
    fixed: Annotated[Path | None, Flag(("--config",), metavar="FILE")] = None
    """TOML file of settings of pneumo train that are fixed instead of tried."""
    device: Annotated[Device, Flag(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the folds, the trainings and the search."""
    output: Annotated[Path, Flag(metavar="DIR")] = Path("runs/tune")
    """Folder of the search; the study is named after it."""
    until_done: Annotated[bool, Flag(("--continue",))] = False
    """Start the search, go on with it, or report that it is done: the same command until it is."""


class DoctorConfig(Settings):
    """Settings of ``pneumo doctor``: it has none."""


class DemoConfig(Settings):
    """Settings of ``pneumo demo``."""

    output: Annotated[Path, Flag(metavar="DIR")] = Path("demo")
    """Folder for the demo's data, runs and comparison."""
    open: bool = False
    """Open the report in the browser at the end."""
