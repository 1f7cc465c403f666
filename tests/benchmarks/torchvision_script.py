"""What one would write without this package: one film through torchvision. ``torchvision_script.py WEIGHTS FILM``."""

import sys

import torch
from PIL import Image
from torchvision import models, transforms

prepare = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)
model = models.resnet18(num_classes=2)
model.load_state_dict(torch.load(sys.argv[1], map_location="cpu", weights_only=True)["weights"])
model.eval()
with torch.no_grad():
    logits = model(prepare(Image.open(sys.argv[2]).convert("RGB")).unsqueeze(0))
print(torch.softmax(logits, 1)[0, 1].item())
