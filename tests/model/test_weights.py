"""``best.pt`` beside its weights: what the network gave for the validation films."""

from pathlib import Path

import pytest
import torch

from pneumocli.core.errors import ModelFileError
from pneumocli.model.weights import Outputs, load_best, load_outputs, save_best
from pneumocli.run_folder import RunFolder


def test_validation_outputs_come_back_as_they_were(trained: RunFolder, tmp_path: Path):
    weights, card = load_best(trained.best_file)
    outputs = Outputs(torch.randn(3, 2), torch.randn(3, 512))
    save_best(tmp_path / "best.pt", weights, card, outputs=outputs)
    kept = load_outputs(tmp_path / "best.pt")
    assert kept is not None
    assert torch.equal(kept.logits, outputs.logits)
    assert torch.equal(kept.features, outputs.features)
    save_best(tmp_path / "best.pt", weights, card)
    assert load_outputs(tmp_path / "best.pt") is None


@pytest.mark.parametrize(
    "damage",
    [
        "text",
        {"logits": torch.zeros(3, 2)},
        {"logits": torch.zeros(3, 2), "features": torch.zeros(2, 512)},
        {"logits": torch.zeros(3, 2), "features": torch.zeros(3, 5)},
        {"logits": torch.zeros(3, 2), "features": [1.0]},
        {"logits": torch.zeros(3, 2, dtype=torch.int64), "features": torch.zeros(3, 512)},
        {"logits": torch.tensor(0.0), "features": torch.zeros(3, 512)},
    ],
)
def test_damaged_outputs_are_refused(damage: object, trained: RunFolder, tmp_path: Path):
    content = torch.load(trained.best_file, weights_only=True) | {"validation_outputs": damage}
    torch.save(content, tmp_path / "best.pt")
    with pytest.raises(ModelFileError, match="validation outputs are damaged"):
        load_outputs(tmp_path / "best.pt")
