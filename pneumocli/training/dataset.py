"""From a data folder to films that can be trained on: listed, hashed, split, decoded."""

from dataclasses import dataclass, replace
from pathlib import Path

from pneumocli.core.config import TrainConfig
from pneumocli.core.errors import DataError
from pneumocli.core.events import Listener, Remark
from pneumocli.core.records import CLASS_NAMES, Fit
from pneumocli.data.film import Pixels
from pneumocli.data.images import fit_film, read_film
from pneumocli.data.manifest import Manifest, find_unreadable, prove_unchanged, readable_films, scan, with_hashes
from pneumocli.data.splits import joined_by_content, training_pool, with_fold, with_validation
from pneumocli.training.film_cache import Films, FilmsOnDisk, Selected, cached_films
from pneumocli.training.hard_films import HardFilms, find_hard_films
from pneumocli.training.loader import CropSource
from pneumocli.training.referral import refuse_too_few_patients

_FEW_TO_SELECT = 100  # validation films: of fewer, one is more than a hundredth of the accuracy
_NOTABLE_SHARE = 0.02  # by which more films are held out than --val-fraction names


@dataclass(frozen=True)
class TrainingData:
    """The films of a training.

    Attributes:
        manifest: Training and validation films.
        crops: Sources of crops, in the order of the training films.
        val_films: After the evaluation preprocessing, in the order of the validation films.
        unreadable: Films left out, with the reason.
        hard: Which validation films are hard, and the shortcuts that mark them.
    """

    manifest: Manifest
    crops: Films
    val_films: Films
    unreadable: dict[str, str]
    hard: HardFilms

    @property
    def train_labels(self) -> list[int]:
        """0 or 1 for each training film."""
        return [row.label for row in self.manifest.of("train").rows]

    @property
    def val_labels(self) -> list[int]:
        """0 or 1 for each validation film."""
        return [row.label for row in self.manifest.of("val").rows]


@dataclass(frozen=True, slots=True)
class EvaluationForm:
    """Reads a film as every evaluation does: the one reader, then the one evaluation preprocessing."""

    image_size: int
    fit: Fit

    @property
    def form(self) -> str:
        """What decides the pixels, beside the file."""
        return f"evaluation {self.image_size} {self.fit}"

    def __call__(self, path: Path) -> Pixels:
        """The film's pixels, uint8 (S,S)."""
        return self.with_aspect(path)[0]

    def with_aspect(self, path: Path) -> tuple[Pixels, float]:
        """The film's pixels, uint8 (S,S), and width / height of its file."""
        pixels = read_film(path).pixels
        height, width = pixels.shape
        return fit_film(pixels, self.image_size, self.fit), width / height


def prepare(config: TrainConfig, listener: Listener) -> TrainingData:
    """List, hash, decode and split the films of a new training.

    Raises:
        DataError: The folder is missing, empty or not laid out as expected; films are unreadable and
            ``skip_unreadable`` was not asked for; or they cannot be split.
    """
    found = scan(config.data, config.manifest, listener)
    pool = with_hashes(training_pool(found), listener)
    crops, unreadable = _crop_sources(config, pool, listener)
    readable = readable_films(pool, unreadable, skip=config.skip_unreadable, listener=listener)
    if config.fold is None:
        _describe_copies(readable, listener)
    numbers = {row.image: number for number, row in enumerate(pool.rows)}
    if config.folds is not None and config.fold is not None:
        manifest, fraction = with_fold(readable, config.val, config.folds, config.fold, config.seed)
    else:
        manifest, fraction = with_validation(readable, config.val, config.val_fraction, config.seed)
    _check_and_describe_split(config, manifest, fraction, listener)
    if config.fold is None:
        refuse_too_few_patients(config, manifest.of("val").rows)
    return _with_films(config, manifest, Selected(crops, _numbers_of(manifest, numbers)), unreadable, listener)


def prepare_pool(config: TrainConfig, listener: Listener) -> Manifest:
    """List, hash and decode the films that a group of folds is made of, without test films.

    Raises:
        DataError: As :func:`prepare`.
    """
    pool = with_hashes(training_pool(scan(config.data, config.manifest, listener)), listener)
    _, unreadable = _crop_sources(config, pool, listener)
    readable = readable_films(pool, unreadable, skip=config.skip_unreadable, listener=listener)
    _describe_copies(readable, listener)
    return readable


def _describe_copies(films: Manifest, listener: Listener) -> None:
    """Reports films that lie there under several patients' names: they are no independent ones."""
    joined = joined_by_content(films.rows)
    if joined:
        number = len({*joined, *joined.values()})
        text = f"{number:,} patients share films of the same bytes: they are held out together, as one"
        listener(Remark(f"{text}; pneumo verify-data lists them", "warning"))


def prepare_again(config: TrainConfig, recorded: Manifest, listener: Listener) -> TrainingData:
    """Load the films of a training that is resumed and prove that they are those it began with.

    Args:
        config: The run's settings.
        recorded: The run's manifest.
        listener: Gets progress.

    Raises:
        RunError: A film is gone or its content has changed.
        DataError: A film cannot be read any more.
    """
    now = prove_unchanged(recorded, "the run's films", "restore them, or begin a new run", listener)
    pool = replace(now, rows=tuple(sorted(now.rows, key=lambda row: row.image)))
    crops, unreadable = _crop_sources(config, pool, listener)
    readable_films(pool, unreadable, skip=False)
    numbers = {row.image: number for number, row in enumerate(pool.rows)}
    return _with_films(config, recorded, Selected(crops, _numbers_of(recorded, numbers)), {}, listener)


def _numbers_of(manifest: Manifest, numbers: dict[str, int]) -> tuple[int, ...]:
    return tuple(numbers[row.image] for row in manifest.of("train").rows)


def _crop_sources(config: TrainConfig, pool: Manifest, listener: Listener) -> tuple[Films, dict[str, str]]:
    """Crop sources of the whole pool, so that the same cache serves every split of it."""
    decode = CropSource(config.image_size, config.fit)
    if config.cache:
        return cached_films(pool, decode, decode.form, listener)
    unreadable = find_unreadable(pool, listener)
    return FilmsOnDisk(tuple(pool.path(row) for row in pool.rows), decode), unreadable


def _with_films(
    config: TrainConfig, manifest: Manifest, crops: Films, unreadable: dict[str, str], listener: Listener
) -> TrainingData:
    """Adds the validation films; those are kept after the evaluation preprocessing itself."""
    form = EvaluationForm(config.image_size, config.fit)
    val_films = validation_films(manifest, form, cache=config.cache, listener=listener)
    hard = find_hard_films(manifest, listener)
    hard.check(config)
    return TrainingData(manifest, crops, val_films, unreadable, hard)


def validation_films(manifest: Manifest, form: EvaluationForm, *, cache: bool, listener: Listener) -> Films:
    """The validation films of a manifest after the evaluation preprocessing.

    Args:
        manifest: Of the run.
        form: The preprocessing.
        cache: Keep them in the user's cache folder.
        listener: Gets progress.

    Raises:
        DataError: A film cannot be read.
    """
    val = manifest.of("val")
    if not cache:
        return FilmsOnDisk(tuple(val.path(row) for row in val.rows), form)
    films, broken = cached_films(val, form, form.form, _without_notes(listener))
    readable_films(val, broken, skip=False)  # a draft read may take what a full read refuses
    return films


def _without_notes(listener: Listener) -> Listener:
    """Progress and warnings of the second cache; what it has to note, the first has noted."""
    return lambda event: None if isinstance(event, Remark) and event.level == "note" else listener(event)


def _check_and_describe_split(config: TrainConfig, manifest: Manifest, fraction: float, listener: Listener) -> None:
    train, val = manifest.of("train"), manifest.of("val")
    counts = [sum(row.label == label for row in train.rows) for label in (0, 1)]
    if not all(counts):
        raise DataError(f"no {CLASS_NAMES[counts.index(0)]} films are left to train on in {config.data}")
    listener(
        Remark(
            f"{len(train.rows):,} training films of {train.num_patients:,} patients, "
            f"{len(val.rows):,} validation films of {val.num_patients:,} (by {config.val}, {fraction:.1%})"
        )
    )
    if config.val != "official" and config.fold is None and fraction - config.val_fraction > _NOTABLE_SHARE:
        alone = "" if config.manifest is None else " (--val official takes these alone)"
        listener(
            Remark(
                f"--val-fraction {config.val_fraction:g} is a share of the patients of train; the films of val join "
                f"them{alone}, and patients differ in films: {fraction:.1%} of all"
            )
        )
    if config.val == "official" and len(val.rows) < _FEW_TO_SELECT:
        listener(
            Remark(
                f"{len(val.rows)} validation films are too few to select the best epoch: one film is "
                f"{1 / len(val.rows):.0%} of the accuracy; --val patient or --val block hold out more",
                "warning",
            )
        )
