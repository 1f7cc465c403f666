"""Pictures of another task than chest films, for the demo's first training: stripes and shapes, half with a cloud.

They stand for what ImageNet's photographs are to real films: nothing of a chest is in them, but a network that tells
clouds from sharp shapes has learnt to see edges, stripes and soft patches before it meets its first film.
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumocli.core.events import Listener, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.files import write_bytes, write_csv, write_text
from pneumocli.data.layout import PHANTOM_MARK

TEXTURES_TABLE = "textures.csv"
"""The table of the pictures in their folder, as ``train --manifest`` reads it: label 1 for those with a cloud."""

_README = """Pictures drawn by pneumo for the first training of its demo: stripes and shapes, half of them with a cloud.
They are no films. textures.csv gives the label: 1 with a cloud, 0 without.
"""

_Map = NDArray[np.float32]


def draw_texture(rng: np.random.Generator, *, cloud: bool, side: int) -> NDArray[np.uint8]:
    """Draws one picture.

    Args:
        rng: Decides everything that varies.
        cloud: Whether soft patches lie over the stripes and shapes.
        side: Of the square, in pixels.

    Returns:
        uint8 (side,side).
    """
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    picture = _slope(x, y, rng) + _stripes(x, y, rng) + _shapes(x, y, rng)
    if cloud:
        picture += _cloud(x, y, rng)
    picture += rng.normal(0, rng.uniform(0.02, 0.07), picture.shape)
    low, high = np.quantile(picture, (0.01, 0.99))
    grey = np.clip((picture - low) / (high - low), 0, 1) ** rng.uniform(0.7, 1.4)
    drawn: NDArray[np.uint8] = np.rint(grey * rng.uniform(170, 255)).astype(np.uint8)
    return drawn


def _slope(x: _Map, y: _Map, rng: np.random.Generator) -> _Map:
    across, down = rng.uniform(-0.6, 0.6, 2) / len(x)
    slope: _Map = (across * x + down * y).astype(np.float32)
    return slope


def _stripes(x: _Map, y: _Map, rng: np.random.Generator) -> _Map:
    """Two gratings with bent lines, one coarse as ribs are, one fine as vessels are."""
    stripes = np.zeros_like(x)
    for periods, strength in (((10, 22), (0.1, 0.4)), ((4, 8), (0.05, 0.25))):
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        bend = rng.uniform(0, 4) * np.sin(along * rng.uniform(0.03, 0.12))
        wave = np.cos(2 * np.pi * (across + bend) / rng.uniform(*periods) + phase)
        stripes += rng.uniform(*strength) * np.clip(wave, 0, 1)
    return stripes


def _shapes(x: _Map, y: _Map, rng: np.random.Generator) -> _Map:
    """Up to three discs and bars with sharp edges, brighter or darker than what is around them."""
    shapes = np.zeros_like(x)
    for _ in range(int(rng.integers(0, 4))):
        across, down = x - rng.uniform(0, len(x)), y - rng.uniform(0, len(x))
        radius, angle = rng.uniform(3, 14), rng.uniform(0, np.pi)
        if rng.random() < 0.5:
            inside = np.hypot(across, down) < radius
        else:
            inside = np.abs(across * np.cos(angle) + down * np.sin(angle)) < radius / 2
        shapes += rng.choice((-1, 1)) * rng.uniform(0.2, 0.8) * inside
    return shapes


def _cloud(x: _Map, y: _Map, rng: np.random.Generator) -> _Map:
    """One large patch or several small ones, with soft edges."""
    cloud = np.zeros_like(x)
    count = int(rng.choice((1, 4)))
    smallest, largest = ((9, 18), (4, 8))[count > 1]
    for _ in range(count):
        across, down = x - rng.uniform(0.15, 0.85) * len(x), y - rng.uniform(0.15, 0.85) * len(x)
        wide, high = rng.uniform(smallest, largest, 2)
        cloud += 1 / (1 + np.exp(np.clip((np.hypot(across / wide, down / high) - 1) / 0.25, -30, 30)))
    soft: _Map = (np.minimum(cloud, 1) * rng.uniform(0.5, 1.1)).astype(np.float32)
    return soft


def write_textures(folder: Path, *, number: int, seed: int = 0, side: int = 74, listener: Listener = ignore) -> Path:
    """Writes pictures, every second one with a cloud, and their table.

    The same arguments give the same bytes.

    Args:
        folder: To fill; created when missing.
        number: Pictures.
        seed: Decides the set.
        side: Of each, in pixels.
        listener: Gets progress.

    Returns:
        The table, for ``--manifest``.
    """
    task = "drawing textures"
    listener(TaskStarted(task, number))
    write_text(folder / PHANTOM_MARK, _README)
    rows = []
    for index in range(number):
        rng, label = np.random.default_rng([seed, index]), index % 2
        name = f"{('plain', 'cloud')[label]}/{index + 1:05d}.png"
        content = io.BytesIO()
        Image.fromarray(draw_texture(rng, cloud=bool(label), side=side)).save(content, "PNG")
        write_bytes(folder / name, content.getvalue())
        rows.append({"image": name, "label": label, "patient": index + 1})
        listener(TaskAdvanced(task, index + 1))
    table = folder / TEXTURES_TABLE
    write_csv(table, ("image", "label", "patient"), rows)  # each its own: no two are of one thing
    listener(TaskFinished(task))
    return table
