"""Model files: which command is for which, and what `train` noted in them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from fastrnn import serialization

__all__ = ["load_model"]

_GROUPS = {
    "TextGenerator": "text",
    "SentimentClassifier": "sentiment",
    "Forecaster": "forecast",
    "SequenceClassifier": "sequences",
    "SequenceRegressor": "sequences",
}


def load_model(path: Path, group: str) -> tuple[Any, dict[str, Any]]:
    """Read an estimator of one of the tasks of a group of commands.

    Returns
    -------
    estimator : TaskEstimator
    notes : dict
        What ``train`` noted: the columns that the model was trained on.

    Raises
    ------
    ValueError
        If the file is damaged, or holds something else.
    OSError
        If it cannot be read.
    """
    metadata = serialization.read_metadata(path)
    task = metadata.get("task")
    if _GROUPS.get(str(task)) != group:
        holds = f"a {task}" if task else "a model without a task"
        other = _GROUPS.get(str(task))
        hint = f": it is for fastrnn {other}" if other else ""
        raise ValueError(f"{path} holds {holds}, which fastrnn {group} cannot use{hint}")
    tasks = importlib.import_module("fastrnn.tasks")
    return getattr(tasks, str(task)).load(path), dict(metadata.get("notes") or {})
