"""``best.pt``: a network's weights with their card. Plain data only."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from pneumocli.core.errors import ModelFileError
from pneumocli.core.files import atomic_write
from pneumocli.core.records import CLASS_NAMES
from pneumocli.model.card import ModelCard
from pneumocli.model.network import StateDict, check_state_dict, load_tensors
from pneumocli.model.onnx_file import REFERENCE_KEY

_VERSION = 1
_OUTPUTS = "validation_outputs"


@dataclass(frozen=True)
class Outputs:
    """What a network gives for some films.

    Attributes:
        logits: float32 (N,2), on the CPU.
        features: Pooled activations, float32 (N,512), on the CPU.
    """

    logits: Tensor
    features: Tensor

    @property
    def scores(self) -> NDArray[np.float32]:
        """Logit of pneumonia of each film, float32 (N,)."""
        difference: NDArray[np.float32] = (self.logits[:, 1] - self.logits[:, 0]).numpy()
        return difference


def save_best(
    file: Path, weights: StateDict, card: ModelCard, reference: str | None = None, outputs: Outputs | None = None
) -> None:
    """Writes ``best.pt``: the weights in torchvision's names, on the CPU, with the card beside them.

    Args:
        file: Written atomically.
        weights: Of the network.
        card: Of the network.
        reference: Of the validation films, :class:`pneumocli.model.reference.Reference` as JSON.
        outputs: For the validation films, in their order. Kept so that finishing a run, now or after more epochs that
            were no better, need not compute them again: it gives the same numbers either way.
    """
    content: dict[str, object] = {"schema_version": _VERSION, "weights": on_cpu(weights)}
    content["card"] = card.model_dump(mode="json")
    if reference is not None:
        content[REFERENCE_KEY] = reference
    if outputs is not None:
        content[_OUTPUTS] = {"logits": outputs.logits, "features": outputs.features}
    save_tensors(file, content)


def save_tensors(file: Path, content: object) -> None:
    """Writes tensors and plain data with ``torch.save``, atomically.

    Raises:
        PneumoError: The disk is full, or the folder cannot be written.
    """
    with atomic_write(file, "wb") as handle:
        try:
            torch.save(content, handle)
        except RuntimeError as error:
            # When a write fails or is interrupted, torch's writer trips over its own position: the context is what was.
            if isinstance(error.__context__, OSError | KeyboardInterrupt):
                raise error.__context__ from error
            raise


def load_best(file: Path) -> tuple[StateDict, ModelCard]:
    """Reads ``best.pt``.

    Raises:
        ModelFileError: It is missing, foreign, damaged or from another version.
    """
    loaded = load_tensors(file)
    if not isinstance(loaded, Mapping) or "weights" not in loaded or "card" not in loaded:
        raise ModelFileError(f"{file} is no model file of pneumo: it holds no card", "name a run's best.pt")
    weights = check_state_dict(file, loaded["weights"])
    if (number := len(weights["fc.bias"])) != len(CLASS_NAMES):
        raise ModelFileError(
            f"{file}: its network is for {number} classes, expected {len(CLASS_NAMES)}", "name a run's best.pt"
        )
    try:
        card = ModelCard.model_validate(loaded["card"])
    except ValidationError as error:
        raise ModelFileError(f"{file}: its card is damaged or from another version of pneumo") from error
    return weights, card


def load_reference(file: Path) -> str | None:
    """The reference that ``best.pt`` keeps of its validation films as JSON; ``None`` in files of version 0.1.0.

    Raises:
        ModelFileError: The file is missing, foreign or damaged.
    """
    loaded = load_tensors(file)
    text = loaded.get(REFERENCE_KEY) if isinstance(loaded, Mapping) else None
    return text if isinstance(text, str) else None


def load_outputs(file: Path) -> Outputs | None:
    """What ``best.pt`` keeps of its validation films; ``None`` in files of a version that kept nothing.

    Raises:
        ModelFileError: The file is missing, foreign or damaged.
    """
    loaded = load_tensors(file)
    kept = loaded.get(_OUTPUTS) if isinstance(loaded, Mapping) else None
    if kept is None:
        return None
    parts = [kept.get(name) for name in ("logits", "features")] if isinstance(kept, Mapping) else []
    tensors = [part for part in parts if isinstance(part, Tensor) and part.dtype == torch.float32 and part.dim() == 2]
    if len(tensors) < 2 or [tensor.shape for tensor in tensors] != [(len(tensors[0]), 2), (len(tensors[0]), 512)]:
        raise ModelFileError(f"{file}: its validation outputs are damaged or from another version of pneumo")
    return Outputs(*tensors)


def on_cpu(state: StateDict) -> StateDict:
    """A copy of the weights on the CPU, in torchvision's memory layout."""
    # contiguous: torchvision's own layout, not channels_last, so that the file does not depend on how it was trained
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
