"""``best.pt``: a network's weights with their card. Plain data only."""

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import ValidationError

from pneumocli.core.errors import ModelFileError
from pneumocli.core.files import atomic_write
from pneumocli.model.card import ModelCard
from pneumocli.model.network import StateDict, check_state_dict, load_tensors
from pneumocli.model.onnx_file import REFERENCE_KEY

_VERSION = 1


def save_best(file: Path, weights: StateDict, card: ModelCard, reference: str | None = None) -> None:
    """Writes ``best.pt``: the weights in torchvision's names, on the CPU, with the card beside them.

    Args:
        file: Written atomically.
        weights: Of the network.
        card: Of the network.
        reference: Of the validation films, :class:`pneumocli.model.reference.Reference` as JSON.
    """
    content = {"schema_version": _VERSION, "weights": on_cpu(weights), "card": card.model_dump(mode="json")}
    save_tensors(file, content if reference is None else content | {REFERENCE_KEY: reference})


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
    check_state_dict(file, loaded["weights"])
    try:
        card = ModelCard.model_validate(loaded["card"])
    except ValidationError as error:
        raise ModelFileError(f"{file}: its card is damaged or from another version of pneumo") from error
    return dict(loaded["weights"]), card


def load_reference(file: Path) -> str | None:
    """The reference that ``best.pt`` keeps of its validation films as JSON; ``None`` in files of version 0.1.0.

    Raises:
        ModelFileError: The file is missing, foreign or damaged.
    """
    loaded = load_tensors(file)
    text = loaded.get(REFERENCE_KEY) if isinstance(loaded, Mapping) else None
    return text if isinstance(text, str) else None


def on_cpu(state: StateDict) -> StateDict:
    """A copy of the weights on the CPU, in torchvision's memory layout."""
    # contiguous: torchvision's own layout, not channels_last, so that the file does not depend on how it was trained
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
