"""Tasks: estimators in scikit-learn's manner, built from public layers (extra ``tasks``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastrnn.tasks.forecasting import Forecaster
    from fastrnn.tasks.sentiment import SentimentClassifier
    from fastrnn.tasks.sequences import (
        SequenceClassifier,
        SequenceRegressor,
        SequenceTagger,
        SequenceTranscriber,
    )
    from fastrnn.tasks.text_generation import TextGenerator

__all__ = [
    "Forecaster",
    "SentimentClassifier",
    "SequenceClassifier",
    "SequenceRegressor",
    "SequenceTagger",
    "SequenceTranscriber",
    "TextGenerator",
]

_MODULES = {
    "Forecaster": "fastrnn.tasks.forecasting",
    "SentimentClassifier": "fastrnn.tasks.sentiment",
    "SequenceClassifier": "fastrnn.tasks.sequences",
    "SequenceRegressor": "fastrnn.tasks.sequences",
    "SequenceTagger": "fastrnn.tasks.sequences",
    "SequenceTranscriber": "fastrnn.tasks.sequences",
    "TextGenerator": "fastrnn.tasks.text_generation",
}


def __getattr__(name: str) -> Any:
    # scikit-learn takes a second to import and is not there without the extra: only for those who ask.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fastrnn.errors import require

    require("sklearn", "tasks")
    return getattr(require(_MODULES[name], "tasks"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
