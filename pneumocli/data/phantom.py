"""Synthetic chest radiographs: the demo's and every test's data. They show no person and teach nothing about disease.

A film is drawn as a radiograph comes about: a map of how much each path through the body absorbs (soft tissue, lungs,
heart, spine, ribs, clavicles), exponentiated after Beer and Lambert, scattered, exposed, and made noisy. Pneumonia is
added as opacities in the lungs: lobar ones for bacteria, patchy and bilateral ones for viruses, of varied strength, so
that the task can be learnt but not to the last film. Nodules are for another task, see :mod:`pneumocli.data.nodules`.
"""

import io
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pneumocli.core.events import Listener, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.files import write_bytes, write_text
from pneumocli.core.records import Kind, Split
from pneumocli.data.layout import PHANTOM_MARK

_Map = NDArray[np.float32]

_README = """Synthetic radiographs drawn by pneumo, for trying the program out and for its tests.
They show no person. A model trained on them knows nothing about patients.
"""

STRENGTHS = (0.60, 1.40)
"""Of opacities: from ones that a careful eye may miss to plain ones."""

_KINDS: tuple[Kind, ...] = ("normal", "bacteria", "virus")

Finding = Kind | Literal["nodules"]


@dataclass(frozen=True, slots=True)
class _Body:
    """The shape of one phantom patient, in fractions of the film's width and height."""

    lean: float
    lung_width: float
    lung_height: float
    heart: float
    thickness: float
    ribs: int


def draw_phantom(
    rng: np.random.Generator,
    kind: Finding,
    *,
    short_side: int,
    body: "_Body | None" = None,
    strengths: tuple[float, float] = STRENGTHS,
) -> NDArray[np.uint8]:
    """Draws one film.

    Args:
        rng: Decides everything that varies.
        kind: ``normal``, ``bacteria``, ``virus`` or ``nodules``.
        short_side: Length of the film's shorter side in pixels.
        body: The patient; a new one unless given.
        strengths: Range of how dense opacities are.

    Returns:
        uint8 (H,W), bright where much is absorbed.
    """
    body = body or _new_body(rng)
    aspect = float(rng.uniform(1.0, 1.45))
    height, width = short_side, round(short_side * aspect)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = y / height, (x / width - 0.5) * min(aspect, 1.25) / 1.1 + 0.5 - body.lean * (y / height - 0.5)
    absorbed, lungs = _anatomy(x, y, body, rng)
    if kind != "normal":
        absorbed += _opacities(x, y, lungs, body, kind, rng, strengths)
    return _exposed(absorbed, rng)


def _new_body(rng: np.random.Generator) -> _Body:
    return _Body(
        lean=float(rng.normal(0, 0.03)),
        lung_width=float(rng.uniform(0.13, 0.17)),
        lung_height=float(rng.uniform(0.27, 0.34)),
        heart=float(rng.uniform(0.85, 1.2)),
        thickness=float(rng.uniform(0.85, 1.15)),
        ribs=int(rng.integers(8, 11)),
    )


def _ellipse(x: _Map, y: _Map, centre: tuple[float, float], radii: tuple[float, float], softness: float) -> _Map:
    """1 inside, 0 outside, with a soft edge; like the chord length through an ellipsoid near its rim."""
    distance = np.sqrt(((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2)
    return _step((1 - distance) / softness)


def _step(position: NDArray[np.floating]) -> _Map:
    """0 far below zero, 1 far above, a soft edge between."""
    edge: _Map = (1 / (1 + np.exp(-np.clip(position, -30, 30)))).astype(np.float32)
    return edge


def _anatomy(x: _Map, y: _Map, body: _Body, rng: np.random.Generator) -> tuple[_Map, _Map]:
    """Absorption of a healthy chest, and where its lungs are (0-1)."""
    trunk = _ellipse(x, y, (0.5, 0.62), (0.43, 0.62), 0.03)
    shoulders = _ellipse(x, y, (0.5, 0.20), (0.55, 0.16), 0.10)
    neck = _ellipse(x, y, (0.5, 0.0), (0.10, 0.22), 0.12)
    tissue = np.maximum.reduce([trunk, 0.9 * shoulders, 0.8 * neck])
    arch = 0.10 + 0.35 * body.lung_height
    left = _ellipse(x, y, (0.5 - 0.19, arch + body.lung_height), (body.lung_width, body.lung_height), 0.05)
    right = _ellipse(x, y, (0.5 + 0.19, arch + body.lung_height), (body.lung_width * 0.95, body.lung_height), 0.05)
    diaphragm = arch + 1.75 * body.lung_height
    dome = diaphragm - 0.05 * np.cos(2 * np.pi * (np.abs(x - 0.5) - 0.17) / 0.5)
    lungs = np.maximum(left, right) * (_step((dome - y) / 0.012))
    heart = _ellipse(x, y, (0.545, diaphragm - 0.13), (0.115 * body.heart, 0.15 * body.heart), 0.06)
    mediastinum = _ellipse(x, y, (0.5, 0.42), (0.055, 0.40), 0.20)
    lungs = (lungs * (1 - 0.85 * np.maximum(heart, mediastinum))).astype(np.float32)
    absorbed = 1.55 * tissue * body.thickness - 1.05 * lungs * tissue + 0.45 * heart + 0.40 * mediastinum
    absorbed += 0.35 * tissue * _step((y - dome) / 0.008)  # liver and stomach
    absorbed += _vessels(x, y, lungs, rng) + _bones(x, y, tissue, body)
    return absorbed.astype(np.float32), lungs.astype(np.float32)


def _vessels(x: _Map, y: _Map, lungs: _Map, rng: np.random.Generator) -> _Map:
    """Vessels fan out from the hila: the fine texture that opacities must be distinguished from."""
    texture = np.zeros_like(x)
    for side in (-1, 1):
        hilum = (0.5 + 0.07 * side, 0.40)
        angle = np.arctan2(y - hilum[1], (x - hilum[0]) * side)
        radius = np.hypot(x - hilum[0], y - hilum[1])
        count, phase = int(rng.integers(9, 14)), float(rng.uniform(0, 2 * np.pi))
        fan = np.clip(np.cos(count * angle + phase + 6 * radius), 0.6, 1) - 0.6
        texture += np.where((x - 0.5) * side > 0, fan * np.exp(-radius / 0.16), 0)
    vessels: _Map = (0.55 * texture * lungs).astype(np.float32)
    return vessels


def _bones(x: _Map, y: _Map, tissue: _Map, body: _Body) -> _Map:
    spine = np.exp(-(((x - 0.5) / 0.028) ** 2)) * (0.20 + 0.06 * np.cos(2 * np.pi * y * 15))
    across = np.abs(x - 0.5)
    position = (y - 0.10 - 0.55 * across**1.5) * body.ribs / 0.62
    ribs = np.exp(-((((position % 1) - 0.5) / 0.16) ** 2)) * ((position > 0) & (position < body.ribs)) * (across < 0.40)
    clavicles = np.exp(-(((y - 0.135 + 0.25 * (across - 0.15)) / 0.013) ** 2)) * ((across > 0.04) & (across < 0.36))
    bones: _Map = ((spine + 0.14 * ribs + 0.22 * clavicles) * tissue).astype(np.float32)
    return bones


def _opacities(  # noqa: PLR0913 - the film's coordinates are two of them
    x: _Map,
    y: _Map,
    lungs: _Map,
    body: _Body,
    kind: Finding,
    rng: np.random.Generator,
    strengths: tuple[float, float],
) -> _Map:
    """What lies where air should be: a dense lobe for bacteria, faint patches on both sides for viruses, or nodules."""
    added = np.zeros_like(x)
    strength = float(rng.uniform(*strengths))
    cloud = _clouds(x.shape, rng)
    if kind == "bacteria":
        side = int(rng.choice((-1, 1)))
        centre = (0.5 + side * float(rng.uniform(0.15, 0.23)), 0.22 + float(rng.uniform(0.5, 1.6)) * body.lung_height)
        radii = (float(rng.uniform(0.08, 0.15)), float(rng.uniform(0.07, 0.14)))
        added += strength * _ellipse(x, y, centre, radii, 0.18)
    elif kind == "virus":
        for _ in range(int(rng.integers(5, 12))):
            centre, radius = _place(body, rng), float(rng.uniform(0.03, 0.07))
            added += 0.55 * strength * _ellipse(x, y, centre, (radius, radius), 0.35)
    else:
        for _ in range(int(rng.integers(3, 9))):
            centre, radius = _place(body, rng), float(rng.uniform(0.018, 0.045))
            added += strength * _ellipse(x, y, centre, (radius, radius * float(rng.uniform(0.7, 1.4))), 0.2)
    fluid: _Map = (np.minimum(added, 1.0) * (0.75 + 0.5 * cloud) * lungs).astype(np.float32)
    return fluid


def _place(body: _Body, rng: np.random.Generator) -> tuple[float, float]:
    """Somewhere in either lung."""
    side = int(rng.choice((-1, 1)))
    return 0.5 + side * float(rng.uniform(0.08, 0.25)), 0.2 + float(rng.uniform(0.3, 1.7)) * body.lung_height


def _clouds(shape: tuple[int, ...], rng: np.random.Generator) -> _Map:
    """Smooth noise, 0-1."""
    coarse = Image.fromarray(rng.random((9, 11)).astype(np.float32))
    return np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float32).clip(0, 1)


def _exposed(absorbed: _Map, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Beer and Lambert, scatter, noise, and a detector that shows absorbers bright."""
    transmitted = np.exp(-absorbed * float(rng.uniform(0.85, 1.15))).astype(np.float32)
    height, width = absorbed.shape
    blurred = Image.fromarray(transmitted).resize((width // 12, height // 12), Image.Resampling.BOX)
    scatter = np.asarray(blurred.resize((width, height), Image.Resampling.BICUBIC))
    seen = 0.8 * transmitted + 0.2 * scatter
    photons = float(rng.uniform(900, 4000))
    seen = rng.poisson(np.clip(seen, 1e-4, None) * photons) / photons
    shown = -np.log(np.clip(seen, 1e-3, 1.0))
    low, high = np.quantile(shown, (0.01, 0.995))
    grey = np.clip((shown - low) / (high - low), 0, 1) ** float(rng.uniform(0.75, 1.2))
    level = np.rint(grey * float(rng.uniform(215, 255)) + float(rng.uniform(0, 12)))
    shown_grey: NDArray[np.uint8] = level.clip(0, 255).astype(np.uint8)
    return shown_grey


def write_phantoms(  # noqa: PLR0913 - sizes of the set, all named by the callers
    folder: Path,
    *,
    num_train: int = 240,
    num_val: int = 16,
    num_test: int = 80,
    seed: int = 0,
    short_sides: tuple[int, int] = (220, 380),
    strengths: tuple[float, float] = STRENGTHS,
    listener: Listener = ignore,
) -> None:
    """Writes a set of phantoms in the release's layout and with its naming scheme.

    About 3 in 4 training films and 5 in 8 of the others show pneumonia, as in the release; a patient has up to four
    films, all in one split. The same arguments give the same bytes.

    Args:
        folder: Data folder to fill; created when missing.
        num_train: Training films.
        num_val: Validation films.
        num_test: Test films.
        seed: Decides the set.
        short_sides: Range of the films' short sides in pixels.
        strengths: Range of how dense the opacities of a pneumonia are.
        listener: Gets progress.
    """
    task = "drawing phantoms"
    listener(TaskStarted(task, num_train + num_val + num_test))
    write_text(folder / PHANTOM_MARK, _README)
    drawn, patient = 0, 1
    counts: dict[Split, int] = {"train": num_train, "val": num_val, "test": num_test}
    for number, (split, count) in enumerate(counts.items()):
        rng = np.random.default_rng([seed, number])
        shares = (1 / 4, 1 / 2, 1 / 4) if split == "train" else (3 / 8, 3 / 8, 1 / 4)
        for kind, films in zip(_KINDS, _parts(count, shares), strict=True):
            written = 0
            while written < films:
                body, size = _new_body(rng), min(int(rng.choice((1, 1, 1, 2, 2, 3, 4))), films - written)
                for film in range(size):
                    pixels = draw_phantom(
                        rng, kind, short_side=int(rng.integers(*short_sides)), body=body, strengths=strengths
                    )
                    name = _name(kind, patient, film, drawn)
                    place = folder / split / ("NORMAL" if kind == "normal" else "PNEUMONIA") / name
                    write_bytes(place, _jpeg(pixels))
                    drawn += 1
                    listener(TaskAdvanced(task, drawn))
                written += size
                patient += 1
    listener(TaskFinished(task))


def _parts(count: int, shares: tuple[float, ...]) -> list[int]:
    """``count`` in whole parts of about these shares."""
    bounds = [round(count * sum(shares[:number])) for number in range(len(shares) + 1)]
    return [stop - start for start, stop in itertools.pairwise(bounds)]


def _name(kind: Kind, patient: int, film: int, number: int) -> str:
    if kind == "normal":
        series = "NORMAL2-IM" if patient % 2 else "IM"
        return f"{series}-{patient:04d}-{film + 1:04d}.jpeg"
    return f"person{patient}_{kind}_{number + 1}.jpeg"


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).text((4, 2), "PHANTOM", fill=255)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=90)
    return content.getvalue()
