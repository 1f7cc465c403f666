"""Trains 20 epochs on a small set; prints the resident memory after each, in MB. Arguments: data folder, run folder."""

import sys
from pathlib import Path

from pneumocli.core.config import TrainConfig
from pneumocli.core.events import EpochFinished, Event
from pneumocli.training.train import train

EPOCHS = 20


def tell(event: Event) -> None:
    if isinstance(event, EpochFinished):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(pages * 4096 / 1e6)


if __name__ == "__main__":
    settings = {"data": sys.argv[1], "run_dir": sys.argv[2], "epochs": EPOCHS, "image_size": 64, "device": "cpu"}
    train(TrainConfig.model_validate(settings | {"val": "official"}), tell)
