"""What all tasks share: settings, and training with a budget and a checkpoint.

A. Estimators follow scikit-learn: ``__init__`` stores its arguments and nothing else, ``fit`` checks them,
   learned attributes end with an underscore.
B. A checkpoint holds, besides the state of the training, the settings and a digest of the data, so that a
   resumed training that would not be the same is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils import check_random_state

from fastrnn import backend, optim
from fastrnn._checks import check_choice, check_float, check_positive_int, check_probability
from fastrnn.layers.base import Layer
from fastrnn.plot import plot_history, save_figure
from fastrnn.tasks._budget import SCHEDULES, UNLIMITED, Budget
from fastrnn.tasks._histories import joined
from fastrnn.tasks._progress import Progress
from fastrnn.tasks._saved import SavedEstimator
from fastrnn.training import TrainingInterrupted, checkpoint_metadata, fit

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


class TaskEstimator(SavedEstimator):
    """Base class of the tasks: the settings of training that all of them have, and what is done with them."""

    _unit: ClassVar[str]
    """Of the loss that users see, for example ``"bits/char"``."""
    _scale: ClassVar[float] = 1.0
    """What the loss is multiplied with to be in that unit."""
    _items: ClassVar[str]
    """What is counted when speed is shown, for example ``"char"``."""
    _least_epochs: ClassVar[int] = 10
    """Epochs at least, where neither they nor the time are limited."""
    _least_steps: ClassVar[int] = 1000
    """As many more epochs as it takes to make so many steps."""

    learning_rate: float
    optimizer: str
    schedule: str
    weight_decay: float
    clip_norm: float | None
    epochs: int | None
    max_seconds: float | None
    validation_fraction: float
    patience: int | None
    n_threads: int | None
    checkpoint_every: float | None

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
        return max(self._least_epochs, -(-self._least_steps // steps))

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
                self.history_ = joined(before, self.history_)

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
        axes = plot_history(self.history_, ylabel=self._unit, scale=self._scale)
        if path is not None:
            save_figure(axes, path)
        return axes.figure  # type: ignore[return-value]  # of new axes, not a subfigure
