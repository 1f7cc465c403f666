"""Scores films one after the other, in constant memory."""

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumocli.core.events import Listener, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.parallel import ordered_map
from pneumocli.data.film import FilmWarning
from pneumocli.data.images import Film, UnreadableFilm, fit_film, read_content, read_film
from pneumocli.data.polarity import warnings_of
from pneumocli.inference.classifier import Bytes, Classifier, Floats, logit_of
from pneumocli.inference.remote import RemoteFilm
from pneumocli.model.out_of_distribution import Appearance

if TYPE_CHECKING:  # not needed for a single film
    from pneumocli.shift.sample import FilmSample, Look

# Large enough that the network works at its full speed, small enough that memory stays low and decoding keeps ahead.
_DEFAULT_BATCH = 16


Source = Path | RemoteFilm | bytes | UnreadableFilm
"""A film to score; an error stands for a film that is known to be missing, and comes back as its answer."""


@dataclass(frozen=True, slots=True)
class ScoringResult:
    """What became of one film.

    Attributes:
        source: As given: a file, the content of one, or why there is none.
        logit: logits[1] - logits[0]; ``None`` where the film could not be read.
        probability: Of pneumonia, 0-1; ``None`` likewise.
        warnings: In which way the film is unlike the training films, and what was odd about its file.
        error: Why there is no answer.
        film: As read; with ``keep_maps`` only.
        cam: Class activation maps, float32 (2,h,w); with ``keep_maps`` only.
    """

    source: Source
    logit: float | None = None
    probability: float | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    film: Film | None = None
    cam: Floats | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """Films to score whose number is known before they are read: it is shown as the total of the progress.

    Attributes:
        sources: Read lazily, once.
        total: How many there are.
    """

    sources: Iterable[Source]
    total: int

    def __iter__(self) -> Iterator[Source]:
        return iter(self.sources)

    def __len__(self) -> int:
        return self.total


def score_films(  # noqa: PLR0913 - two that must be given, and options by name
    classifier: Classifier,
    sources: Iterable[Source],
    *,
    batch_size: int = _DEFAULT_BATCH,
    keep_maps: bool = False,
    sample: "FilmSample | None" = None,
    threads: int | None = None,
    listener: Listener = ignore,
) -> Iterator[ScoringResult]:
    """Scores films one after the other, in constant memory: decoding runs on threads ahead of the network.

    Args:
        classifier: Scores.
        sources: Read lazily; with a length, such as :class:`Counted` gives, the progress has a total.
        batch_size: Films per forward pass; a film that the model looks at in several views counts as so many.
        keep_maps: Also hand on the film's pixels and class activation maps.
        sample: Takes in the films that can be read, to compare them as a whole with the model's validation films.
        threads: That decode; one per usable core unless given.
        listener: Gets the progress.

    Yields:
        One result per film, in the order of ``sources``; an unreadable film gives one with an ``error``.

    Raises:
        ModelFileError: The network's answer is not finite.
    """
    task = "scoring films"
    listener(TaskStarted(task, len(sources) if isinstance(sources, Sized) else None))
    size, fit = classifier.card.image_size, classifier.card.fit

    def prepare(source: Source) -> "_Prepared":
        try:
            if isinstance(source, UnreadableFilm):
                raise source
            content = source.read_bytes() if isinstance(source, RemoteFilm) else read_content(source)
            film = read_film(content)
        except UnreadableFilm as error:
            return _Prepared(source, None, None, error.reason)
        square = fit_film(film.pixels, size, fit)
        look = None if sample is None else sample.look(source, content, film, square)
        return _Prepared(source, film, square, None, warnings_of(film), look)

    done = 0
    films_at_once = max(1, batch_size // classifier.card.views)
    for batch in _in_batches(ordered_map(prepare, sources, threads=threads), films_at_once):
        yield from _scored(classifier, batch, sample, keep_maps=keep_maps)
        done += len(batch)
        listener(TaskAdvanced(task, done))
    listener(TaskFinished(task))


@dataclass(frozen=True, slots=True)
class _Prepared:
    source: Source
    film: Film | None
    square: Bytes | None
    error: str | None
    warnings: tuple[FilmWarning, ...] = ()
    look: "Look | None" = None


def _scored(
    classifier: Classifier, batch: list[_Prepared], sample: "FilmSample | None", *, keep_maps: bool
) -> Iterator[ScoringResult]:
    """The results of one batch."""
    readable = [item for item in batch if item.film is not None]
    answers: Iterator[ScoringResult] = iter(())
    if readable:
        pixels = np.stack([item.square for item in readable if item.square is not None])[:, None]
        outputs = classifier.run(pixels)
        films = [item.film for item in readable if item.film is not None]
        aspects = np.array([film.pixels.shape[1] / film.pixels.shape[0] for film in films], np.float32)
        coloured = np.array([film.coloured for film in films])
        logits = logit_of(outputs.logits)
        if sample is not None:
            coordinates = classifier.familiarity.coordinates(outputs.features)
            for item, row, logit in zip(readable, coordinates, logits, strict=True):
                sample.add(item.look, row, float(logit))
        warnings = classifier.familiarity.warnings(outputs.features, Appearance.of(pixels, aspects), coloured)
        answers = (
            ScoringResult(
                item.source,
                float(logit),
                classifier.probability(logit),
                (*warnings[index], *(warning.text for warning in item.warnings)),
                film=item.film if keep_maps else None,
                cam=outputs.cam[index] if keep_maps else None,
            )
            for index, (item, logit) in enumerate(zip(readable, logits, strict=True))
        )
    for item in batch:
        yield next(answers) if item.film is not None else ScoringResult(item.source, error=item.error)


def _in_batches(items: Iterable[_Prepared], size: int) -> Iterator[list[_Prepared]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
