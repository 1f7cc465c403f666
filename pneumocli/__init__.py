"""Train, measure and use ResNet-18 pneumonia classifiers on chest X-rays.

Every command of the ``pneumo`` command line is one function here, under the same verb. Names are resolved on first
use, so that importing the package loads neither torch nor numpy.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

from pneumocli.core.version import __version__ as __version__

# From version 1.29 on ONNX Runtime reports sessions, and the names of model files, to its maker, unless this is set
# before its first import. What is done with films of patients is nobody's business; who wants it sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from pneumocli.core.config import (
        CompareConfig,
        DownloadConfig,
        EvaluateConfig,
        PredictConfig,
        RecalibrateConfig,
        TrainConfig,
        VerifyDataConfig,
    )
    from pneumocli.core.errors import PneumoError
    from pneumocli.evaluation.compare import compare
    from pneumocli.evaluation.evaluate import evaluate
    from pneumocli.evaluation.recalibrate import recalibrate
    from pneumocli.inference.classifier import Classifier
    from pneumocli.inference.predict import predict
    from pneumocli.release.download import download
    from pneumocli.run_folder import RunFolder
    from pneumocli.training.train import resume, train
    from pneumocli.verification.verify import verify_data

# public name -> module that defines it
_PUBLIC = {
    "Classifier": "pneumocli.inference.classifier",
    "CompareConfig": "pneumocli.core.config",
    "DownloadConfig": "pneumocli.core.config",
    "EvaluateConfig": "pneumocli.core.config",
    "PneumoError": "pneumocli.core.errors",
    "PredictConfig": "pneumocli.core.config",
    "RecalibrateConfig": "pneumocli.core.config",
    "RunFolder": "pneumocli.run_folder",
    "TrainConfig": "pneumocli.core.config",
    "VerifyDataConfig": "pneumocli.core.config",
    "compare": "pneumocli.evaluation.compare",
    "download": "pneumocli.release.download",
    "evaluate": "pneumocli.evaluation.evaluate",
    "predict": "pneumocli.inference.predict",
    "recalibrate": "pneumocli.evaluation.recalibrate",
    "resume": "pneumocli.training.train",
    "train": "pneumocli.training.train",
    "verify_data": "pneumocli.verification.verify",
}

__all__ = [
    "Classifier",
    "CompareConfig",
    "DownloadConfig",
    "EvaluateConfig",
    "PneumoError",
    "PredictConfig",
    "RecalibrateConfig",
    "RunFolder",
    "TrainConfig",
    "VerifyDataConfig",
    "compare",
    "download",
    "evaluate",
    "predict",
    "recalibrate",
    "resume",
    "train",
    "verify_data",
]


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])  # what a notebook completes: not this module's own imports
