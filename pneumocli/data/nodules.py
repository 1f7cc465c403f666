"""Films for the demo's first training: synthetic chests, half of them with nodules in the lungs.

They stand for what ImageNet's photographs are to real films: a large set with another question. A network that has
answered it knows ribs, vessels and what does not belong between them before it meets its first pneumonia.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pneumocli.core.events import Listener, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.core.files import write_bytes, write_csv, write_text
from pneumocli.data.layout import PHANTOM_MARK
from pneumocli.data.phantom import Finding, draw_phantom

NODULES_TABLE = "nodules.csv"
"""The table of the films in their folder, as ``train --manifest`` reads it: label 1 for those with nodules."""

_README = """Synthetic chests drawn by pneumo for the first training of its demo, half with nodules in the lungs.
They show no person. nodules.csv gives the label: 1 with nodules, 0 without.
"""

_STRENGTHS = (0.7, 1.2)  # plain enough to be learnt in a minute

_FINDINGS: tuple[Finding, Finding] = ("normal", "nodules")


def write_nodules(
    folder: Path, *, number: int, seed: int = 0, short_sides: tuple[int, int] = (92, 138), listener: Listener = ignore
) -> Path:
    """Writes films of as many patients, every second one with nodules, and their table.

    The same arguments give the same bytes.

    Args:
        folder: To fill; created when missing.
        number: Films.
        seed: Decides the set.
        short_sides: Range of the films' short sides in pixels.
        listener: Gets progress.

    Returns:
        The table, for ``--manifest``.
    """
    task = "drawing nodules"
    listener(TaskStarted(task, number))
    write_text(folder / PHANTOM_MARK, _README)
    rows = []
    for index in range(number):
        rng, label = np.random.default_rng([seed, index]), index % 2
        pixels = draw_phantom(rng, _FINDINGS[label], short_side=int(rng.integers(*short_sides)), strengths=_STRENGTHS)
        name = f"{_FINDINGS[label]}/{index + 1:05d}.png"
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG")
        write_bytes(folder / name, content.getvalue())
        rows.append({"image": name, "label": label, "patient": index + 1})
        listener(TaskAdvanced(task, index + 1))
    table = folder / NODULES_TABLE
    write_csv(table, ("image", "label", "patient"), rows)
    listener(TaskFinished(task))
    return table
