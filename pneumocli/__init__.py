"""Train, measure and use ResNet-18 pneumonia classifiers on chest X-rays.

Every command of the ``pneumo`` command line but the demo is one function here, under the same verb: it takes a config,
or settings as keywords, and its result shows itself in a notebook. Names are resolved on first use, so that importing
the package loads neither torch nor numpy.
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
        PredictionsConfig,
        QuantizeConfig,
        RecalibrateConfig,
        ResumeConfig,
        RunsConfig,
        TrainConfig,
        TuneConfig,
        VerifyDataConfig,
    )
    from pneumocli.core.errors import PneumoError
    from pneumocli.inference.classifier import Classifier
    from pneumocli.inference.film_scorer import FilmScorer
    from pneumocli.library.downloaded import Downloaded
    from pneumocli.library.predictions import Predictions
    from pneumocli.library.recalibrated import Recalibrated
    from pneumocli.library.results import (
        Comparison,
        Diagnosis,
        Evaluation,
        RunFolder,
        Runs,
        Verification,
    )
    from pneumocli.library.verbs import (
        compare,
        doctor,
        download,
        evaluate,
        predict,
        quantize,
        recalibrate,
        resume,
        runs,
        train,
        tune,
        verify_data,
    )

# public name -> module that defines it
_PUBLIC = {
    "Classifier": "pneumocli.inference.classifier",
    "CompareConfig": "pneumocli.core.config",
    "Comparison": "pneumocli.library.results",
    "Diagnosis": "pneumocli.library.results",
    "DownloadConfig": "pneumocli.core.config",
    "Downloaded": "pneumocli.library.downloaded",
    "EvaluateConfig": "pneumocli.core.config",
    "Evaluation": "pneumocli.library.results",
    "FilmScorer": "pneumocli.inference.film_scorer",
    "PneumoError": "pneumocli.core.errors",
    "PredictConfig": "pneumocli.core.config",
    "Predictions": "pneumocli.library.predictions",
    "PredictionsConfig": "pneumocli.core.config",
    "QuantizeConfig": "pneumocli.core.config",
    "RecalibrateConfig": "pneumocli.core.config",
    "Recalibrated": "pneumocli.library.recalibrated",
    "ResumeConfig": "pneumocli.core.config",
    "RunFolder": "pneumocli.library.results",
    "Runs": "pneumocli.library.results",
    "RunsConfig": "pneumocli.core.config",
    "TrainConfig": "pneumocli.core.config",
    "TuneConfig": "pneumocli.core.config",
    "Verification": "pneumocli.library.results",
    "VerifyDataConfig": "pneumocli.core.config",
    "compare": "pneumocli.library.verbs",
    "doctor": "pneumocli.library.verbs",
    "download": "pneumocli.library.verbs",
    "evaluate": "pneumocli.library.verbs",
    "predict": "pneumocli.library.verbs",
    "quantize": "pneumocli.library.verbs",
    "recalibrate": "pneumocli.library.verbs",
    "resume": "pneumocli.library.verbs",
    "runs": "pneumocli.library.verbs",
    "train": "pneumocli.library.verbs",
    "tune": "pneumocli.library.verbs",
    "verify_data": "pneumocli.library.verbs",
}

__all__ = [
    "Classifier",
    "CompareConfig",
    "Comparison",
    "Diagnosis",
    "DownloadConfig",
    "Downloaded",
    "EvaluateConfig",
    "Evaluation",
    "FilmScorer",
    "PneumoError",
    "PredictConfig",
    "Predictions",
    "PredictionsConfig",
    "QuantizeConfig",
    "RecalibrateConfig",
    "Recalibrated",
    "ResumeConfig",
    "RunFolder",
    "Runs",
    "RunsConfig",
    "TrainConfig",
    "TuneConfig",
    "Verification",
    "VerifyDataConfig",
    "compare",
    "doctor",
    "download",
    "evaluate",
    "predict",
    "quantize",
    "recalibrate",
    "resume",
    "runs",
    "train",
    "tune",
    "verify_data",
]


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])  # what a notebook completes: not this module's own imports
