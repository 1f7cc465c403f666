"""The page of ``predict --report FILE.html``: what the films were called, and which of them to look at.

A page of any number of films stays one file of some megabytes: it shows :data:`MOST_PICTURES` films at the most, names
:data:`.MOST_ROWS`, and counts all.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pneumocli.core.amounts import counted
from pneumocli.core.pages import page_environment
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import REFER
from pneumocli.core.shift_records import Shift
from pneumocli.data.film import UnreadableFilm
from pneumocli.data.images import read_film
from pneumocli.data.thumbnails import data_url
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.heat_map import LARGE_CUT, class_activation, overlay, share_outside
from pneumocli.inference.records import Prediction, ReferringPrediction
from pneumocli.inference.tally import AnswerTally, uncertain_range
from pneumocli.model.card import FINE_CELLS, map_cells

MOST_PICTURES = 240
"""Films with a picture, those in the galleries of uncertain and unlike films among them."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A film on the page: its name, its pictures as (address, alternative text), and what is stated below them."""

    image: str
    pictures: tuple[tuple[str, str], ...]
    alt: str
    lines: tuple[str, ...]
    cut: float = 0.0


def answers_page(  # noqa: PLR0913 - all that is shown
    tally: AnswerTally, classifier: Classifier, threshold: float, *, maps: bool, shard: str | None, shift: Shift | None
) -> str:
    """The page as one HTML file.

    Args:
        tally: All answers, of which it keeps :data:`.MOST_ROWS`.
        classifier: What gave them; it is run again for heat maps.
        threshold: A film is called PNEUMONIA at or above it.
        maps: Whether to show where the evidence lies.
        shard: The part of the films that was predicted, ``I/N``; ``None`` for all.
        shift: Whether the films as a whole are like the model's validation films; ``None`` where nothing compared them.
    """
    uncertain, unlike = tally.uncertain, tally.warned
    answered = [film for film in tally.kept if film.error is None]
    chosen = {film.image: film for film in (*uncertain, *unlike, *answered)}
    films = list(chosen.values())[:MOST_PICTURES]
    folder = common_folder([*chosen, *(film.image for film in (*tally.kept, *tally.errors))])
    drawn = ordered_map(lambda film: _shown(film, classifier, len(folder), maps=maps), films)
    shown = {film.image: picture for film, picture in zip(films, drawn, strict=True)}
    cells = map_cells(classifier.card.image_size)
    cut = max((item.cut for item in shown.values()), default=0.0)
    return (
        page_environment()
        .get_template("answers.html.j2")
        .render(
            title=f"Answers for {counted(tally.num_films, 'film')}",
            verdict=_verdict(tally),
            threshold=threshold,
            card=classifier.card,
            model=_printable(classifier.file.as_posix()),
            sha256=classifier.sha256,
            shard=shard,
            shift=shift,
            folder=_printable(folder),
            tally=tally,
            close=" to ".join(f"{end:.1%}" for end in uncertain_range(threshold)),
            uncertain=[shown[film.image] for film in uncertain],
            unlike=[shown[film.image] for film in unlike],
            referred=tally.counts.get(REFER, 0),
            remarks=[(text, count) for text, count in tally.remarks.most_common(8)],
            errors=[(_printable(film.image[len(folder) :]), film.error) for film in tally.errors],
            films=[shown[film.image] for film in answered if film.image in shown],
            columns=[
                "film",
                "called",
                *(["by its limits"] if tally.refers else []),
                "probability of pneumonia",
                "remarks",
            ],
            text_columns=[1, 2, 4] if tally.refers else [1, 3],
            rows=[_row(film, len(folder), refers=tally.refers) for film in tally.kept],
            cells=cells if maps and answered else None,
            coarse=maps and bool(answered) and cells < FINE_CELLS,
            cut=cut if cut > LARGE_CUT else None,
        )
    )


def _verdict(tally: AnswerTally) -> str:
    parts = [
        f"{count:,} {'left to a person' if name == REFER else f'called {name}'}" for name, count in tally.counts.items()
    ]
    if tally.num_errors:
        parts.append(f"{tally.num_errors:,} could not be read")
    if tally.num_warned:
        parts.append(f"{tally.num_warned:,} unlike the training films")
    return f"{counted(tally.num_films, 'film')}: {', '.join(parts)}."


def common_folder(images: Sequence[str]) -> str:
    r"""What all names begin with, up to a separator of any system or of an address; empty for fewer than two films.

    >>> common_folder(["data/test/a/1.png", "data/test/b/1.png"]), common_folder(["s3://x/1.png", "s3://x/2.png"])
    ('data/test/', 's3://x/')
    >>> common_folder(["C:\\films\\1.png", "D:\\films\\1.png"]), common_folder(["data/test/1.png"])
    ('', '')
    """
    if len(set(images)) < 2:
        return ""
    common = os.path.commonprefix(images)  # noqa: RUF071 - commonpath knows the separators of this system alone
    return common[: max(common.rfind("/"), common.rfind("\\")) + 1]


def _row(film: Prediction, skip: int, *, refers: bool) -> list[str]:
    name = _printable(film.image[skip:])
    if film.probability is None:
        return [name, *([""] * (3 if refers else 2)), str(film.error)]
    answer = [str(film.answer)] if isinstance(film, ReferringPrediction) else []
    return [name, str(film.prediction), *answer, f"{film.probability:.1%}", "; ".join(film.warnings)]


def _limits(film: Prediction) -> list[str]:
    """A second answer is worth a line where it is another than the threshold's."""
    if not isinstance(film, ReferringPrediction) or film.answer == film.prediction:
        return []
    return [f"{REFER}: a person should look" if film.answer == REFER else f"by its limits {film.answer}"]


def _shown(film: Prediction, classifier: Classifier, skip: int, *, maps: bool) -> _Shown:
    name = _printable(film.image[skip:])
    lines = (f"{film.prediction}, probability {film.probability or 0:.1%}", *_limits(film), *film.warnings)
    try:
        pixels = read_film(Path(film.image)).pixels
    except (OSError, UnreadableFilm):  # gone since, or read from standard input
        return _Shown(name, (), "it can no longer be read", lines)
    pictures = [(data_url(pixels), f"Film {name} as it was read")]
    if maps and film.prediction is not None:
        cam = class_activation(classifier, pixels)
        evidence = overlay(pixels, cam, classifier.card.fit, film.prediction)
        pictures.append((data_url(evidence), f"Evidence for {film.prediction} in film {name}"))
    return _Shown(name, tuple(pictures), "", lines, share_outside(pixels, classifier.card.fit))


def _printable(text: str) -> str:
    """A name with what cannot be shown, or encoded, replaced."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
