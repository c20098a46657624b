"""What training records about itself."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["History", "TrainingEvent"]


class TrainingEvent(NamedTuple):
    """What a callback of :func:`fastrnn.training.fit` is told, after every step and every epoch."""

    kind: str
    """``"step"`` or ``"epoch"``."""
    epoch: int
    """Number of this epoch, from 1."""
    epochs: int
    """Epochs in all."""
    step: int
    """Steps done in this epoch."""
    steps: int | None
    """Steps of an epoch, if the batches have a length."""
    total_steps: int
    """Steps done since training began, before an interruption included."""
    loss: float
    """Of this step; for an epoch the mean over its targets."""
    val_loss: float | None
    """Validation loss of the epoch."""
    lr: float
    """Learning rate used last."""
    grad_norm: float
    """Euclidean norm of all gradients before clipping; for an epoch the mean over its steps."""
    seconds: float
    """Time spent in training since it began, before an interruption included."""


class History(dict[str, list[float]]):
    """One list a quantity with one number an epoch, and the loss of every step.

    Keys are ``loss`` (mean over the targets of the epoch, in train mode, while the weights change),
    ``val_loss`` if there is validation, ``lr`` (of the epoch's last step), ``grad_norm`` (mean over its
    steps, before clipping) and ``seconds`` (spent on the epoch, its validation included).

    Attributes
    ----------
    step_loss : list of float
        Loss of every step.
    epoch_steps : list of int
        Steps of each epoch.
    best_epoch : int or None
        Epoch, counted from 1, of the lowest validation loss.
    stopped : str or None
        Why training ended before its last epoch: ``"patience"``, ``"callback"``, or None.

    Examples
    --------
    >>> from fastrnn.training import History
    >>> history = History(loss=[2.0, 1.5])
    >>> history["loss"][-1]
    1.5
    """

    step_loss: list[float]
    epoch_steps: list[int]
    best_epoch: int | None
    stopped: str | None

    def __init__(self, **columns: list[float]) -> None:
        super().__init__(columns)
        self.step_loss = []
        self.epoch_steps = []
        self.best_epoch = None
        self.stopped = None

    def append(self, **row: float) -> None:
        """Add one epoch."""
        for name, value in row.items():
            self.setdefault(name, []).append(value)
