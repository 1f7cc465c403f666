"""What the short side of cached films costs and loses: ``python -m tests.benchmarks.crop_source DATA``.

The same random crops, 224 pixels, cut from films reduced to each short side and from the originals.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from pneumocli.data.images import Pixels, is_film_name, read_film, shrink

SIDES = (256, 320, 384, 448, 512)
CROPS = 8  # of each film


def crops_of(pixels: Pixels, boxes: list[tuple[float, float, float, float]]) -> list[torch.Tensor]:
    """224 x 224 crops, uint8 (1,224,224); boxes as shares of the film: top, left, height, width."""
    height, width = pixels.shape
    film = torch.from_numpy(pixels).unsqueeze(0)
    found = []
    for top, left, tall, wide in boxes:
        place = (round(top * height), round(left * width), max(1, round(tall * height)), max(1, round(wide * width)))
        found.append(functional.resized_crop(film, *place, [224, 224], antialias=True))
    return found


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    paths = sorted(path for path in Path(sys.argv[1]).rglob("*") if is_film_name(path.name))[::4]
    augment = v2.RandomResizedCrop(224, antialias=True)
    boxes, exact = [], []
    for path in paths:
        film = read_film(path).pixels
        drawn = [augment.make_params([torch.from_numpy(film).unsqueeze(0)]) for _ in range(CROPS)]
        height, width = film.shape
        boxes.append([(p["top"] / height, p["left"] / width, p["height"] / height, p["width"] / width) for p in drawn])
        exact.append(torch.stack(crops_of(film, boxes[-1])))
    print(f"{len(paths)} films, {CROPS} crops each")
    print("| short side | kB a film | decoding, films/s | crops/s | mean difference, grey levels | worst crop |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for side in SIDES:
        began = time.perf_counter()
        films = [shrink(read_film(path, draft_side=side).pixels, side) for path in paths]
        decoded = time.perf_counter()
        crops = [torch.stack(crops_of(film, places)) for film, places in zip(films, boxes, strict=True)]
        cut = time.perf_counter()
        differences = np.concatenate(
            [(a.float() - b.float()).abs().mean(dim=(1, 2, 3)).numpy() for a, b in zip(crops, exact, strict=True)]
        )
        kilobytes = sum(film.size for film in films) / len(films) / 1e3
        print(
            f"| {side} | {kilobytes:.0f} | {len(films) / (decoded - began):.0f} "
            f"| {len(differences) / (cut - decoded):,.0f} | {differences.mean():.2f} | {differences.max():.2f} |"
        )


if __name__ == "__main__":
    main()
