"""Train, measure and use ResNet-18 pneumonia classifiers on chest X-rays.

Every command of the ``pneumo`` command line is one function here, under the same verb. Names are resolved on first
use, so that importing the package loads neither torch nor numpy.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# From version 1.29 on ONNX Runtime reports sessions, and the names of model files, to its maker, unless this is set
# before its first import. What is done with films of patients is nobody's business; who wants it sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from pneumocli.comparison import compare
    from pneumocli.config import (
        CompareConfig,
        DownloadConfig,
        EvaluateConfig,
        PredictConfig,
        TrainConfig,
        VerifyDataConfig,
    )
    from pneumocli.data.download import download
    from pneumocli.data.verification import verify_data
    from pneumocli.errors import PneumoError
    from pneumocli.evaluation import evaluate
    from pneumocli.inference import Classifier
    from pneumocli.prediction import predict
    from pneumocli.runs import RunFolder
    from pneumocli.training import resume, train

# public name -> module that defines it
_PUBLIC = {
    "Classifier": "pneumocli.inference",
    "CompareConfig": "pneumocli.config",
    "DownloadConfig": "pneumocli.config",
    "EvaluateConfig": "pneumocli.config",
    "PneumoError": "pneumocli.errors",
    "PredictConfig": "pneumocli.config",
    "RunFolder": "pneumocli.runs",
    "TrainConfig": "pneumocli.config",
    "VerifyDataConfig": "pneumocli.config",
    "compare": "pneumocli.comparison",
    "download": "pneumocli.data.download",
    "evaluate": "pneumocli.evaluation",
    "predict": "pneumocli.prediction",
    "resume": "pneumocli.training",
    "train": "pneumocli.training",
    "verify_data": "pneumocli.data.verification",
}

__all__ = [
    "Classifier",
    "CompareConfig",
    "DownloadConfig",
    "EvaluateConfig",
    "PneumoError",
    "PredictConfig",
    "RunFolder",
    "TrainConfig",
    "VerifyDataConfig",
    "compare",
    "download",
    "evaluate",
    "predict",
    "resume",
    "train",
    "verify_data",
]


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
