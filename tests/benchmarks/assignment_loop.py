"""The yardstick: the assignment's training loop, in this project's own words. Prints images/s of one epoch.

ImageFolder on the original films, two workers, float augmentation, Adam, the loss read after every step.
"""

import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18


def main(folder: str, image_size: int, batch_size: int) -> None:
    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(image_size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    films = ImageFolder(folder, augment)
    loader = DataLoader(films, batch_size=batch_size, shuffle=True, num_workers=2)
    network = resnet18(weights=None)
    network.fc = nn.Linear(network.fc.in_features, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    criterion = nn.CrossEntropyLoss()
    began = time.perf_counter()
    running = 0.0
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = criterion(network(inputs), labels)
        loss.backward()
        optimizer.step()
        running += loss.item() * inputs.size(0)
    print(len(films) / (time.perf_counter() - began))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
