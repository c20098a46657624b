"""Estimators that are fitted, and that files hold.

A model file is a safetensors file of :func:`fastrnn.serialization.save`: the network can be loaded from it
without the task.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from fastrnn import serialization
from fastrnn.layers.base import Layer
from fastrnn.training import History

__all__ = ["SavedEstimator"]


class SavedEstimator(BaseEstimator):  # type: ignore[misc]
    """An estimator with a network, a history and a file format; subclasses say what else they learn."""

    _file_version: ClassVar[int] = 1

    random_state: Any
    checkpoint: str | os.PathLike[str] | None
    progress: bool | Callable[..., Any]

    model_: Layer
    history_: History
    seed_: int

    def _settings(self) -> dict[str, Any]:
        """Parameters in types that JSON has."""
        settings = self.get_params(deep=False)
        if settings["checkpoint"] is not None:
            settings["checkpoint"] = os.fspath(settings["checkpoint"])
        if not isinstance(settings["progress"], bool):
            settings["progress"] = False
        settings["random_state"] = getattr(self, "seed_", None)
        return {
            name: value.item() if isinstance(value, np.generic) else value for name, value in settings.items()
        }

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            name = type(self).__name__
            raise NotFittedError(f"this {name} is not fitted yet: call fit, or {name}.load a saved one")

    def _fitted_metadata(self) -> dict[str, Any]:
        """What a file has to hold besides settings, weights and history; JSON."""
        raise NotImplementedError

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        """Take what `_fitted_metadata` gave."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str], notes: Mapping[str, Any] | None = None) -> None:
        """Write the fitted estimator, settings included, to one safetensors file.

        Parameters
        ----------
        path : path-like
            File to write. An existing file is replaced, completely or not at all.
        notes : mapping, optional
            Anything that JSON can hold, kept in the file:
            ``fastrnn.serialization.read_metadata(path)["notes"]``.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        OSError
            If the file cannot be written.
        """
        self._check_fitted()
        history = self.history_
        metadata = {
            "task": type(self).__name__,
            "task_version": self._file_version,
            "settings": self._settings(),
            "fitted": self._fitted_metadata(),
            "history": {
                "columns": dict(history),
                "step_loss": [float(f"{value:.6g}") for value in history.step_loss],
                "epoch_steps": history.epoch_steps,
                "best_epoch": history.best_epoch,
                "stopped": history.stopped,
            },
            "notes": dict(notes or {}),
        }
        serialization.save(self.model_, path, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an estimator that `save` wrote.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        Self
            Fitted, with the settings it was trained with (a `progress` function excepted).

        Raises
        ------
        ValueError
            If the file is damaged, holds something else or comes from a newer version.
        OSError
            If the file cannot be read.
        """
        metadata = serialization.read_metadata(path)
        name = os.fspath(path)
        if metadata.get("task") != cls.__name__:
            holds = f"a {metadata['task']}" if metadata.get("task") else "a model without a task"
            raise ValueError(f"{name} holds {holds}, not a {cls.__name__}")
        if metadata["task_version"] > cls._file_version:
            raise ValueError(
                f"{name} was written by a newer fastrnn (version {metadata['task_version']} of the file of a "
                f"{cls.__name__}, this fastrnn reads up to {cls._file_version}): upgrade fastrnn"
            )
        estimator = cls(**metadata["settings"])
        estimator.model_ = serialization.load(path)
        estimator.seed_ = metadata["settings"]["random_state"]
        saved = metadata["history"]
        history = History(**saved["columns"])
        for key in ("step_loss", "epoch_steps", "best_epoch", "stopped"):
            setattr(history, key, saved[key])
        estimator.history_ = history
        estimator._restore_fitted(metadata["fitted"])
        return estimator
