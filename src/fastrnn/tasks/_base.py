"""What all tasks share: settings, training with a budget and a checkpoint, and the model file.

A. Estimators follow scikit-learn: ``__init__`` stores its arguments and nothing else, ``fit`` checks them,
   learned attributes end with an underscore.
B. A checkpoint holds, besides the state of the training, the settings and a digest of the data, so that a
   resumed training that would not be the same is refused.
C. A model file is a safetensors file of :func:`fastrnn.serialization.save`: the network can be loaded from it
   without the task.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state

from fastrnn import backend, optim, serialization
from fastrnn._checks import check_choice, check_float, check_positive_int, check_probability
from fastrnn.layers.base import Layer
from fastrnn.tasks._budget import SCHEDULES, UNLIMITED, Budget
from fastrnn.tasks._progress import Progress
from fastrnn.training import History, TrainingInterrupted, checkpoint_metadata, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OPTIMIZERS", "TaskEstimator", "digest"]

OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
    "sgd": lambda parameters, **settings: optim.SGD(parameters, momentum=0.9, **settings),
}

_EPOCHS, _STEPS = 10, 1000  # at least, where neither epochs nor time are limited

# Settings that a resumed training may change: they do not decide what is computed, only for how long and
# where. The seed comes from the checkpoint, as random_state may be None.
_FREE = frozenset(
    {
        "checkpoint",
        "checkpoint_every",
        "epochs",
        "max_seconds",
        "n_threads",
        "patience",
        "progress",
        "random_state",
    }
)


def digest(*arrays: Any) -> str:
    """A short name for the contents of some arrays."""
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()[:16]


class TaskEstimator(BaseEstimator):  # type: ignore[misc]
    """Base class of the tasks: the settings of training that all of them have, and what is done with them."""

    _unit: ClassVar[str]
    """Of the loss that users see, for example ``"bits/char"``."""
    _scale: ClassVar[float] = 1.0
    """What the loss is multiplied with to be in that unit."""
    _items: ClassVar[str]
    """What is counted when speed is shown, for example ``"char"``."""
    _file_version: ClassVar[int] = 1

    learning_rate: float
    optimizer: str
    schedule: str
    weight_decay: float
    clip_norm: float | None
    epochs: int | None
    max_seconds: float | None
    validation_fraction: float
    patience: int | None
    random_state: Any
    n_threads: int | None
    checkpoint: str | os.PathLike[str] | None
    checkpoint_every: float | None
    progress: bool | Callable[..., Any]

    model_: Layer
    history_: History
    seed_: int

    # Settings

    def _check_training_settings(self) -> None:
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_float("learning_rate", self.learning_rate, low=0.0, open_low=True)
        check_float("weight_decay", self.weight_decay, low=0.0)
        check_probability("validation_fraction", self.validation_fraction, allow_one=False)
        for name in ("clip_norm", "max_seconds"):
            if getattr(self, name) is not None:
                check_float(name, getattr(self, name), low=0.0, open_low=True)
        for name in ("epochs", "patience", "n_threads"):
            if getattr(self, name) is not None:
                check_positive_int(name, getattr(self, name))
        if self.patience is not None and not self.validation_fraction:
            raise ValueError("patience needs held-out data: validation_fraction must be above 0")

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

    def _draw_seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            check_random_state(self.random_state)  # refuses what NumPy would not take as a seed
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    @contextlib.contextmanager
    def _threads(self) -> Iterator[None]:
        # The reference backend has no threads of its own to limit.
        if self.n_threads is None or backend.current_backend() == "reference":
            yield
        else:
            with backend.num_threads(self.n_threads):
                yield

    # Training

    def _make_optimizer(self, model: Layer) -> Any:
        return OPTIMIZERS[self.optimizer](
            model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )

    def _resumed_seed(self, data: str) -> int:
        """Seed of the training in the checkpoint, after making sure that this one is the same."""
        if self.checkpoint is None:
            raise ValueError("resume=True needs the parameter checkpoint: the file to continue from")
        extra = checkpoint_metadata(self.checkpoint)
        name = os.fspath(self.checkpoint)
        if extra.get("task") != type(self).__name__:
            raise ValueError(f"{name} is not the checkpoint of a {type(self).__name__}")
        now, before = self._settings(), extra["settings"]
        changed = [key for key in sorted(now) if key not in _FREE and now[key] != before.get(key)]
        if changed:
            listed = ", ".join(f"{key}={before.get(key)!r} (now {now[key]!r})" for key in changed)
            raise ValueError(f"{name} was written with other settings: {listed}")
        if extra["data"] != data:
            raise ValueError(
                f"{name} was written while training on other data: a resumed training needs the same"
            )
        return int(before["random_state"])

    def _train(
        self,
        model: Layer,
        batches: Any,
        loss: Callable[..., Any],
        *,
        validation: Callable[[Any], float] | None,
        data: str,
        items_per_step: int,
        carry_state: bool,
        resume: bool,
    ) -> None:
        """Train `model` as the settings say; `history_` is set even when it is interrupted."""
        if self.patience is not None and validation is None:
            raise ValueError("patience needs held-out data: give more data or a larger validation_fraction")
        epochs = self.epochs or self._default_epochs(len(batches))
        optimizer = self._make_optimizer(model)
        budget = Budget(optimizer, self.schedule, epochs * len(batches), self.max_seconds)
        self._optimizer: Any = None
        self._fit(
            model,
            budget.limit(batches),
            loss,
            optimizer,
            budget,
            items_per_step,
            epochs=epochs,
            validation=validation,
            patience=self.patience,
            restore_best=validation is not None,
            carry_state=carry_state,
            checkpoint=self.checkpoint,
            checkpoint_every=self.checkpoint_every,
            checkpoint_extra={"task": type(self).__name__, "settings": self._settings(), "data": data},
            resume=resume,
        )
        if budget.over and self.history_.stopped == "callback":
            self.history_.stopped = "max_seconds"

    def _default_epochs(self, steps: int) -> int:
        if self.max_seconds is not None:
            return UNLIMITED
        return max(_EPOCHS, -(-_STEPS // steps))

    def _train_once(
        self, model: Layer, batches: Any, loss: Callable[..., Any], *, items_per_step: int, carry_state: bool
    ) -> None:
        """One pass at a constant learning rate, with the optimizer of the last such pass."""
        if getattr(self, "_optimizer", None) is None:
            self._optimizer = self._make_optimizer(model)
        budget = Budget(self._optimizer, "constant", len(batches), None)
        before = getattr(self, "history_", None)
        try:
            self._fit(
                model,
                batches,
                loss,
                self._optimizer,
                budget,
                items_per_step,
                epochs=1,
                carry_state=carry_state,
            )
        finally:
            if before is not None and before is not self.history_:
                self.history_ = _joined(before, self.history_)

    def _fit(
        self,
        model: Layer,
        batches: Any,
        loss: Callable[..., Any],
        optimizer: Any,
        budget: Budget,
        items_per_step: int,
        **how: Any,
    ) -> None:
        callbacks: list[Callable[..., Any]] = [budget.watch]
        bar = None
        if self.progress is True:
            bar = Progress(budget, self._unit, self._scale, self._items, items_per_step)
            callbacks.append(bar)
        elif callable(self.progress):
            callbacks.append(self.progress)
        try:
            with self._threads():
                self.history_ = fit(
                    model,
                    batches,
                    loss,
                    optimizer,
                    schedule=budget,
                    clip_norm=self.clip_norm,
                    callbacks=callbacks,
                    **how,
                )
        except TrainingInterrupted as interrupt:
            self.history_ = interrupt.history
            raise
        finally:
            if bar is not None:
                bar.close()

    def plot_history(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the course of the training.

        Parameters
        ----------
        path : path-like, optional
            Image file to write; the suffix decides the format.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        MissingExtraError
            If matplotlib is not installed.
        """
        self._check_fitted()
        return _scaled(self.history_, self._scale).plot(path, ylabel=self._unit)

    # Fitted state and files

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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator, settings included, to one safetensors file.

        Parameters
        ----------
        path : path-like
            File to write. An existing file is replaced, completely or not at all.

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


def _joined(first: History, second: History) -> History:
    """Both histories one after the other, where they have the same columns."""
    joined = History(**{name: [*first.get(name, []), *values] for name, values in second.items()})
    joined.step_loss = [*first.step_loss, *second.step_loss]
    joined.epoch_steps = [*first.epoch_steps, *second.epoch_steps]
    return joined


def _scaled(history: History, scale: float) -> History:
    """The history with its losses in another unit."""
    losses = {"loss", "val_loss"}
    scaled = History(
        **{
            name: [scale * value for value in values] if name in losses else values
            for name, values in history.items()
        }
    )
    scaled.step_loss = [scale * value for value in history.step_loss]
    scaled.epoch_steps = history.epoch_steps
    return scaled
