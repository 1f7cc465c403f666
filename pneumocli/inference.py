"""A finished model at work: the only place where one runs, on ONNX Runtime or, for GPUs and ``best.pt``, on torch.

On the ONNX path neither torch nor torchvision is imported.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from functools import cached_property
from itertools import batched
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import ValidationError

from pneumocli.data.images import Film, UnreadableFilm, fit_film, read_film
from pneumocli.errors import DeviceError, ModelFileError
from pneumocli.events import Listener, TaskAdvanced, TaskFinished, TaskStarted, ignore
from pneumocli.familiarity import Appearance, Familiarity
from pneumocli.files import sha256_of
from pneumocli.parallel import ordered_map, usable_cores
from pneumocli.records import ModelCard
from pneumocli.runs import RunFolder

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

CARD_KEY = "pneumo_card"
GRAPH_INPUT = "pixels"
GRAPH_OUTPUTS = ("logits", "cam", "features")
