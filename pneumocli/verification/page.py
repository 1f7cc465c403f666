"""A verification as one HTML file: problems, counts, histograms, contact sheets, duplicates side by side.

Names of files and patients are a stranger's text: the template engine escapes them, and a content security policy
forbids scripts and every request to the network.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pneumocli.core.pages import page_environment
from pneumocli.core.parallel import ordered_map
from pneumocli.core.records import CLASS_NAMES, SPLITS, ClassName, ManifestRow, Split
from pneumocli.data.images import UnreadableFilm, read_film
from pneumocli.data.manifest import Manifest
from pneumocli.shift.shortcut import PROPERTIES
from pneumocli.verification.film_properties import SPREAD, FilmFacts
from pneumocli.verification.provenance import PROPERTY_WORDS, STRONG_AUROC
from pneumocli.verification.records import DuplicateGroup, EncoderCell, Verification

_THUMBNAIL = 180  # pixels of the longer side
_SHEET = 24  # films per class
_GROUPS, _GROUP_FILMS = 40, 8  # shown; the rest is named in the JSON document
_BINS = 30
_ENCODERS = 10  # rows

_TITLES = {
    "width": "Width, pixels",
    "height": "Height, pixels",
    "aspect": "Width / height",
    "brightness": "Mean grey value",
    "contrast": "Spread of the grey values",
    "sharpness": "Sharpness at 256 pixels",
    "num_bytes": "File size, kB",
}
_FEATURE_UNITS = {"num_bytes": 1000.0}


@dataclass(frozen=True, slots=True)
class _Picture:
    image: str
    patient: str
    source: str | None


@dataclass(frozen=True, slots=True)
class _Bar:
    """The films of one encoder in one split: how many are of each class, and which counts stand out."""

    counts: dict[ClassName, int]
    standing_out: list[ClassName]

    @property
    def total(self) -> int:
        """Films of both classes."""
        return sum(self.counts.values())

    def share(self, name: ClassName) -> float:
        """Percent of the films that are of a class."""
        return 100 * self.counts[name] / self.total


@dataclass(frozen=True, slots=True)
class _Histogram:
    """Two overlaid outlines, in a 100 x 40 box with the origin at the top left."""

    title: str
    low: str
    high: str
    outlines: dict[ClassName, str]
    medians: dict[ClassName, str]


def verification_page(result: Verification, manifest: Manifest, films: Sequence[FilmFacts]) -> str:
    """The page.

    Args:
        result: What was found.
        manifest: The films that were looked at; those that are shown are read once more.
        films: What decoding them has shown; empty for a quick check, whose page has no pictures.
    """
    readable = {film.row.image for film in films}
    sheets = {
        name: _evenly([row for row in manifest.rows if row.label == label and row.image in readable])
        for label, name in enumerate(CLASS_NAMES)
    }
    groups = sorted(
        result.duplicates,
        key=lambda group: (not (group.across_splits or group.across_classes), group.kind == "near"),
    )[:_GROUPS]
    rows = {row.image: row for row in manifest.rows}
    environment = page_environment()
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment.get_template("verification.html.j2").render(
        title=f"{result.manifest or result.folder}: {result.title}",
        result=result,
        encoders=_encoder_bars(result.encoders),
        words=PROPERTY_WORDS,
        strong=STRONG_AUROC,
        histograms=[_histogram(name, films) for name in SPREAD] if films else [],
        sheets={name: _pictures(manifest, chosen) for name, chosen in sheets.items() if chosen},
        groups=[
            (_heading(group), _pictures(manifest, [rows[image] for image in group.images[:_GROUP_FILMS]]))
            for group in groups
        ],
    )


def _encoder_bars(cells: Sequence[EncoderCell]) -> dict[str, dict[Split, _Bar]]:
    """By encoder, then split that has films: a bar; encoders beyond the first few are one row."""
    names = list(dict.fromkeys(cell.encoder for cell in cells))
    if len(names) > _ENCODERS:
        kept, rest = names[: _ENCODERS - 1], names[_ENCODERS - 1 :]
        groups = {name: [name] for name in kept} | {f"{len(rest)} rarer ones": rest}
    else:
        groups = {name: [name] for name in names}
    rows: dict[str, dict[Split, _Bar]] = {}
    for title, members in groups.items():
        rows[title] = {}
        for split in SPLITS:
            mine = [cell for cell in cells if cell.encoder in members and cell.split == split]
            counts = {name: sum(cell.num_images for cell in mine if cell.label == name) for name in CLASS_NAMES}
            if sum(counts.values()):
                out = [cell.label for cell in mine if cell.stands_out] if len(members) == 1 else []
                rows[title][split] = _Bar(counts, out)
    return rows


def _evenly(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    """A fixed number of films, spread evenly over all."""
    if len(rows) <= _SHEET:
        return list(rows)
    return [rows[number * len(rows) // _SHEET] for number in range(_SHEET)]


def _heading(group: DuplicateGroup) -> str:
    what = {
        "bytes": "identical files",
        "pixels": "identical pixels in different files",
        "near": f"nearly identical, up to {group.distance} of 256 bits apart",
    }[group.kind]
    places = [
        *(["across splits"] if group.across_splits else []),
        *(["across classes"] if group.across_classes else []),
    ]
    more = len(group.images) - _GROUP_FILMS
    return f"{len(group.images)} films, {what}, {' and '.join(places) or 'within a split and class'}" + (
        f" ({more} more)" if more > 0 else ""
    )


def _pictures(manifest: Manifest, rows: Iterable[ManifestRow]) -> list[_Picture]:
    return list(ordered_map(lambda row: _picture(manifest, row), rows))


def _picture(manifest: Manifest, row: ManifestRow) -> _Picture:
    try:
        pixels = read_film(manifest.path(row), draft_side=_THUMBNAIL).pixels
    except UnreadableFilm:  # changed since it was decoded
        return _Picture(row.image, row.patient, None)
    small = Image.fromarray(pixels)
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    content = io.BytesIO()
    small.save(content, "JPEG", quality=80)
    return _Picture(row.image, row.patient, "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode())


def _histogram(name: str, films: Sequence[FilmFacts]) -> _Histogram:
    """Shares of the films of each class, on a common scale."""
    unit = _FEATURE_UNITS.get(name, 1.0)
    values = {
        label: np.array([PROPERTIES[name](film.made) / unit for film in films if film.row.label == number])
        for number, label in enumerate(CLASS_NAMES)
    }
    everything = np.concatenate(list(values.values()))
    # A single film of an odd size must not squeeze all others into one bin.
    low, high = np.quantile(everything, (0.002, 0.998))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    shares = {
        label: np.histogram(mine.clip(low, high), _BINS, (low, high))[0] / max(1, mine.size)
        for label, mine in values.items()
    }
    tallest = max(float(share.max()) for share in shares.values())
    return _Histogram(
        title=_TITLES[name],
        low=_short(low),
        high=_short(high),
        outlines={label: _outline(share / tallest) for label, share in shares.items()},
        medians={label: _short(float(np.median(mine))) if mine.size else "none" for label, mine in values.items()},
    )


def _outline(heights: Iterable[float]) -> str:
    """The steps of a histogram as the points of an SVG polygon."""
    points, step = ["0,40"], 100 / _BINS
    for number, height in enumerate(heights):
        top = 40 - 38 * float(height)
        points += [f"{number * step:.2f},{top:.2f}", f"{(number + 1) * step:.2f},{top:.2f}"]
    return " ".join([*points, "100,40"])


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 20 else f"{value:.2f}"
