"""What predicts the class without the lungs: properties of how films were made, and encoder by class and split."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from pneumocli.core.amounts import counted
from pneumocli.core.records import CLASS_NAMES, SPLITS, Split
from pneumocli.shift.shortcut import ENCODER, PROPERTIES, held_out_auroc
from pneumocli.verification.checks import Verdict, note
from pneumocli.verification.film_properties import FilmFacts
from pneumocli.verification.records import EncoderCell, ShortcutProbe

STRONG_AUROC = 0.9
"""A property that predicts the class better than this is a note of its own."""

STANDS_OUT = 3.0
"""Adjusted residual from which a cell stands out: by chance one cell of 370 does."""

_MOSTLY = 0.9  # share of one class from which an encoder is mostly of it

PROPERTY_WORDS = {
    "width": "width",
    "height": "height",
    "aspect": "width / height",
    "brightness": "mean grey",
    "contrast": "spread of grey",
    "sharpness": "sharpness",
    "num_bytes": "file size",
    "sides_of_eight": "sides that are multiples of 8",
    "encoder": "encoder",
}
"""The properties in words."""

# An AUROC from which a property is worth a word of warning; a few hundred films reach .6 by chance.
_WORTH_LEARNING = 0.65

_WHAT_TO_DO = (
    "a network can learn that instead of lungs: save all films anew with one program, in one size and quality, and "
    "judge a model by its hard films (train --select hard)"
)


def probe_shortcuts(facts: Sequence[FilmFacts], split: Split = "train") -> ShortcutProbe:
    """Measures how well a logistic regression predicts the class from how films were made.

    Cross-validated in folds that keep a patient's films together and the classes in proportion; the films' held-out
    scores are pooled. 0.5 is chance: what is above it, a classifier can learn without looking at the lungs.

    Args:
        facts: The films of all splits.
        split: Which of them to use.
    """
    from pneumocli.metrics.classification import auroc

    chosen = [film for film in facts if film.row.split == split]
    labels, patients = [film.row.label for film in chosen], [film.row.patient for film in chosen]
    made = [film.made for film in chosen]
    whole, folds = held_out_auroc(made, labels, patients)
    singles: dict[str, float | None] = dict.fromkeys((*PROPERTIES, ENCODER))
    if folds:
        for name, value in PROPERTIES.items():
            singles[name] = _either_way(auroc(labels, np.array([value(film) for film in made], np.float64)))
        singles[ENCODER] = _either_way(held_out_auroc(made, labels, patients, (ENCODER,))[0])
    return ShortcutProbe(
        auroc=whole,
        folds=folds,
        split=split,
        num_images=len(chosen),
        num_patients=len(set(patients)),
        features=singles,
    )


def _either_way(value: float | None) -> float | None:
    return None if value is None else max(value, 1 - value)


def encoder_cells(facts: Sequence[FilmFacts]) -> list[EncoderCell]:
    """Counts films by encoder, split and class, the most frequent encoder first.

    References:
        Haberman 1973, doi:10.2307/2529686, for the adjusted residual.
    """
    counts: Counter[tuple[str, str, int]] = Counter(
        (film.made.encoder, film.row.split, film.row.label) for film in facts
    )
    totals = Counter(film.made.encoder for film in facts)
    encoders = sorted(totals, key=lambda name: (-totals[name], name))
    cells = []
    for encoder in encoders:
        for split in SPLITS:
            by_class = [sum(counts[other, split, label] for other in encoders) for label in (0, 1)]
            size = sum(by_class)
            own = sum(counts[encoder, split, label] for label in (0, 1))
            for label, name in enumerate(CLASS_NAMES):
                if not by_class[label]:
                    continue
                found, expected = counts[encoder, split, label], own * by_class[label] / size
                variance = expected * (1 - own / size) * (1 - by_class[label] / size)
                residual = (found - expected) / variance**0.5 if variance > 0 else None
                cells.append(
                    EncoderCell(
                        encoder=encoder,
                        split=split,
                        label=name,
                        num_images=found,
                        expected=expected,
                        residual=residual,
                        stands_out=residual is not None and abs(residual) >= STANDS_OUT,
                    )
                )
    return cells


def judge_probe(probe: ShortcutProbe) -> Iterator[Verdict]:
    """Notes on how much of the class shows without the lungs."""
    if probe.auroc is None:
        yield note("shortcut", "shortcut probe: too few patients of each class to fit it")
        return
    known = {name: value for name, value in probe.features.items() if value is not None}
    best = max(known, key=lambda name: known[name])
    much = max(probe.auroc, known[best]) >= _WORTH_LEARNING
    yield note(
        "shortcut",
        f"shortcut probe: how films were made and look as a whole predicts the label with AUROC {probe.auroc:.1%} "
        f"(50% is chance; {PROPERTY_WORDS[best]} alone {known[best]:.1%}): "
        + ("a model can learn that instead of lungs" if much else "little that a model could learn instead of lungs"),
    )
    strong = sorted((name for name in known if known[name] > STRONG_AUROC), key=lambda name: -known[name])
    if strong:
        named = ", ".join(f"{PROPERTY_WORDS[name]} (AUROC {known[name]:.1%})" for name in strong)
        tells = "alone tells" if len(strong) == 1 else "each alone tell"
        yield note(
            "shortcut-property",
            f"{named} {tells} the class of most {probe.split} films; {_WHAT_TO_DO}",
        )


def judge_encoders(cells: Sequence[EncoderCell]) -> Iterator[Verdict]:
    """A note on encoders whose training films are mostly of one class, and more so than chance explains."""
    train = [cell for cell in cells if cell.split == "train"]
    parts = []
    for encoder in dict.fromkeys(cell.encoder for cell in train):
        mine = [cell for cell in train if cell.encoder == encoder]
        total, most = sum(cell.num_images for cell in mine), max(mine, key=lambda cell: cell.num_images)
        if most.stands_out and most.num_images >= _MOSTLY * total:
            parts.append(f"{encoder}: {most.num_images:,} of {counted(total, 'film')} are {most.label}")
    if parts:
        yield note(
            "encoder",
            f"the software that saved a film predicts its class in train ({'; '.join(parts)}); {_WHAT_TO_DO}",
        )
