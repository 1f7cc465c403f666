"""What one would write without this package: a folder through torch. ``torch_loop.py WEIGHTS FOLDER WORKERS``."""

import json
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms


class Films(Dataset):
    """The films below a folder, prepared for the network."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.rglob("*.jpeg"))
        self.prepare = transforms.Compose(
            [
                transforms.Resize(256),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.prepare(Image.open(self.paths[index]).convert("RGB"))


if __name__ == "__main__":
    model = models.resnet18(num_classes=2)
    model.load_state_dict(torch.load(sys.argv[1], map_location="cpu", weights_only=True)["weights"])
    model.eval()
    films = Films(Path(sys.argv[2]))
    began = time.perf_counter()
    with torch.no_grad():
        logits = [model(batch) for batch in DataLoader(films, batch_size=32, num_workers=int(sys.argv[3]))]
    seconds = time.perf_counter() - began
    print(json.dumps({"films": len(films), "seconds": seconds, "first": torch.cat(logits)[0].tolist()}))
