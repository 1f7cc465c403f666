"""What reading a film costs, against libjpeg-turbo: ``python -m tests.benchmarks.decoding FILMS [--model FILE]``.

FILMS is a folder of grey JPEG files of original size. One core, CPU milliseconds a film, best of some rounds. With a
model also how far its logits move where the decoder leaves out detail that the network does not see.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg

from pneumocli.data.images import fit_film, read_film
from pneumocli.inference.classifier import OnnxBackend

SIDE, DRAFT_SIDE = 224, 512


def milliseconds(work: Callable[[bytes], object], films: list[bytes], rounds: int) -> float:
    """CPU time of ``work`` for one film."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for film in films:
            work(film)
        best = min(best, time.process_time() - began)
    return best / len(films) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", type=Path)
    parser.add_argument("--model", type=Path, help="of 224 pixels")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    films = [path.read_bytes() for path in sorted(given.films.rglob("*.jpeg"))]
    ways: dict[str, Callable[[bytes], object]] = {
        "decoding alone (simplejpeg)": lambda film: simplejpeg.decode_jpeg(film, "GRAY"),
        "read with all checks": read_film,
        "read, and made a square": lambda film: fit_film(read_film(film).pixels, SIDE, "crop"),
        "the same at a smaller scale": lambda film: fit_film(
            read_film(film, draft_side=DRAFT_SIDE).pixels, SIDE, "crop"
        ),
    }
    print(f"{len(films)} films\n| | ms of a core a film |\n| --- | ---: |")
    for name, way in ways.items():
        print(f"| {name} | {milliseconds(way, films, given.rounds):.1f} |", flush=True)
    if given.model is not None:
        backend = OnnxBackend(given.model.read_bytes(), image_size=SIDE, throughput=True)

        def logits(draft_side: int | None) -> np.ndarray:
            squares = [fit_film(read_film(film, draft_side=draft_side).pixels, SIDE, "crop") for film in films]
            found = [backend.run(square[None, None]).logits for square in squares]
            return np.diff(np.concatenate(found), axis=1)[:, 0]

        moved = np.abs(logits(DRAFT_SIDE) - logits(None))
        print(f"a smaller scale moves the logit by up to {moved.max():.2g}, {moved.mean():.2g} on average")


if __name__ == "__main__":
    main()
