"""The training loop: :func:`fit`, and :func:`evaluate`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fastrnn._checkpoint import TrainingState, load_checkpoint, read_checkpoint
from fastrnn._checks import check_choice, check_float, check_int, check_positive_int
from fastrnn._history import History, TrainingEvent
from fastrnn._loop import Loop
from fastrnn._progress import progress_callback
from fastrnn._steps import evaluate_batches
from fastrnn._types import Array
from fastrnn.errors import NonFiniteLossError, TrainingInterrupted
from fastrnn.layers.base import Layer
from fastrnn.optim import Optimizer
from fastrnn.schedules import Schedule

__all__ = [
    "History",
    "NonFiniteLossError",
    "TrainingEvent",
    "TrainingInterrupted",
    "checkpoint_metadata",
    "evaluate",
    "fit",
]

Loss = Callable[..., tuple[float, Array]]
Callback = Callable[[TrainingEvent], object]


def evaluate(model: Layer, batches: Iterable[Any], loss: Loss, *, carry_state: bool = False) -> float:
    """Mean loss of a model over batches, in eval mode.

    Parameters
    ----------
    model : Layer
        As for `fit`. Its mode is put back afterwards.
    batches : iterable of batches
        As for `fit`.
    loss : callable
        As for `fit`.
    carry_state : bool, default False
        Begin each batch with the state in which the one before it ended.

    Returns
    -------
    float
        Mean over the targets: each batch counts by the number of its targets (integer targets of -100
        excepted), or by the sum of its ``weight``.

    Raises
    ------
    ValueError
        If there is no batch or no target.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers.linear import Linear
    >>> from fastrnn.losses import mse
    >>> from fastrnn.training import evaluate
    >>> x = np.ones((4, 2), np.float32)
    >>> model = Linear(2, 1, seed=0)
    >>> evaluate(model, [(x, model(x))], mse)
    0.0
    """
    return evaluate_batches(model, batches, loss, carry_state)


def checkpoint_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the ``checkpoint_extra`` that was given to `fit` from a checkpoint file.

    Raises
    ------
    ValueError
        If the file is not a training checkpoint.
    OSError
        If it cannot be read.
    """
    return dict(read_checkpoint(path)[1]["extra"])


def fit(
    model: Layer,
    batches: Iterable[Any] | Callable[[int], Iterable[Any]],
    loss: Loss,
    optimizer: Optimizer,
    *,
    epochs: int,
    schedule: Schedule | None = None,
    schedule_per: Literal["step", "epoch"] = "step",
    clip_norm: float | None = None,
    clip_value: float | None = None,
    validation: Iterable[Any] | Callable[[Layer], float] | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    restore_best: bool | None = None,
    carry_state: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float | None = 60.0,
    checkpoint_steps: int | None = None,
    checkpoint_extra: Mapping[str, Any] | None = None,
    resume: bool | str | os.PathLike[str] = False,
    progress: bool | Callback = False,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train a model.

    Parameters
    ----------
    model : Layer
        A recurrent model (``y, state = model(x, state, lengths=…, resets=…)``, as `Sequential`, `LSTM` and
        their like) or a stateless layer (``y = model(x)``). It is put in train mode meanwhile, and back in
        the mode it had.
    batches : iterable of batches, or callable
        Something that can be iterated anew for each epoch, or ``batches(epoch)``, with the epoch counted
        from 0, that gives an iterable. It must give the same batches again for a resumed run to be the same.
        A batch is ``(x, y)``, or a dict or named tuple (:class:`fastrnn.data.Batch`) with ``x``, ``y`` and
        optionally ``lengths`` and ``resets``, which go to the model, and others such as ``weight``, which go
        to the loss as keyword arguments. Fields that are None are left out.
    loss : callable
        ``loss(outputs, y, **others) -> (value, gradient)``, such as those of :mod:`fastrnn.losses`.
    optimizer : fastrnn.optim.Optimizer
        Over the model's parameters.
    epochs : int
        Passes over the batches, those of an interrupted run included.
    schedule : fastrnn.schedules.Schedule, optional
        Of the optimizer's learning rate. Its ``step(metric)`` is called after every step with the loss or
        after every epoch with the validation loss (the training loss, if there is no validation).
    schedule_per : {"step", "epoch"}, default "step"
    clip_norm : float, optional
        Scale all gradients together down to this Euclidean norm [1]_.
    clip_value : float, optional
        Limit every single gradient to plus or minus this, after `clip_norm`.
    validation : iterable of batches, or callable, optional
        Measured after every epoch, in eval mode: re-iterable batches, for their mean loss, or a function
        ``validation(model) -> float``. Lower is better.
    patience : int, optional
        Stop after so many epochs in a row without a lower validation loss.
    min_delta : float, default 0.0
        By how much a validation loss has to be lower to count as such.
    restore_best : bool, optional
        End with the weights of the lowest validation loss. By default so if `patience` is given.
    carry_state : bool, default False
        Truncated backpropagation through time [2]_: begin each batch with the state in which the one before
        it ended, without gradient through it, and each epoch with zero. Batches are then windows of
        the same streams, as :class:`fastrnn.data.TextWindows` gives.
    checkpoint : path-like, optional
        File that holds the state of the training: weights, the best ones so far, optimizer, schedule, random
        generators, position, carried state and history. It is replaced as a whole. Written when training ends
        or Ctrl-C ends it, and meanwhile as the next two say.
    checkpoint_every : float or None, default 60.0
        Seconds between checkpoints.
    checkpoint_steps : int, optional
        Steps between checkpoints.
    checkpoint_extra : mapping, optional
        Anything that JSON can hold, kept in the file; see `checkpoint_metadata`.
    resume : bool or path-like, default False
        Continue from `checkpoint`, or from another file. Given the same arguments and data, the weights
        become bit for bit those of a run that was never interrupted. Batches already done are
        skipped without computing. More `epochs` than before prolong a finished training.
    progress : bool or callable, default False
        True shows progress on standard error. A callable is called as a callback is.
    callbacks : sequence of callables
        Each is called with a `TrainingEvent` after every step and every epoch; one that returns a true
        value stops the training there.

    Returns
    -------
    History
        Of the whole training, the part before an interruption included.

    Raises
    ------
    TrainingInterrupted
        If Ctrl-C ended it (a KeyboardInterrupt). The step in progress is dropped, the checkpoint written, and
        the model left with the weights after the last finished step.
    NonFiniteLossError
        If a loss or gradient is NaN or infinite. The weights are those of before that step.
    FileNotFoundError
        If there is no file to resume from.
    ValueError, TypeError
        If an argument or a batch is not as described.

    References
    ----------
    .. [1] Pascanu, R., Mikolov, T. and Bengio, Y. (2013). On the difficulty of training recurrent neural
       networks. ICML.
    .. [2] Williams, R. J. and Peng, J. (1990). An efficient gradient-based algorithm for on-line training of
       recurrent network trajectories. Neural Computation 2(4).

    Examples
    --------
    Learn to continue a line:

    >>> from fastrnn.data import TextWindows, Vocabulary
    >>> from fastrnn.layers import LSTM, Embedding, Linear, Sequential
    >>> from fastrnn.losses import cross_entropy
    >>> from fastrnn.optim import Adam
    >>> from fastrnn.training import fit
    >>> text = "to be or not to be, " * 20
    >>> vocabulary = Vocabulary.from_text(text)
    >>> V = len(vocabulary)
    >>> model = Sequential(Embedding(V, 8, seed=1), LSTM(8, 16, seed=2), Linear(16, V, seed=3))
    >>> windows = TextWindows(vocabulary.encode(text), batch_size=4, seq_len=20)
    >>> optimizer = Adam(model.parameters(), lr=0.02)
    >>> history = fit(model, windows, cross_entropy, optimizer, epochs=20, clip_norm=1.0, carry_state=True)
    >>> history["loss"][-1] < 0.5 * history["loss"][0]
    True
    """
    check_int("epochs", epochs, low=0)
    check_choice("schedule_per", schedule_per, ("step", "epoch"))
    for name, limit in (("clip_norm", clip_norm), ("clip_value", clip_value)):
        if limit is not None:
            check_float(name, limit, low=0.0, open_low=True)
    check_float("min_delta", min_delta, low=0.0)
    if patience is not None:
        check_positive_int("patience", patience)
    if checkpoint_every is not None:
        check_float("checkpoint_every", checkpoint_every, low=0.0)
    if checkpoint_steps is not None:
        check_positive_int("checkpoint_steps", checkpoint_steps)
    if (patience is not None or restore_best) and validation is None:
        raise ValueError("patience and restore_best need validation to be given")
    for name, given in (("batches", batches), ("validation", validation)):
        if epochs > 1 and isinstance(given, Iterator):
            raise TypeError(
                f"{name} is an iterator, which can be used up only once: give something that can be iterated "
                "for every epoch, such as a list or TextWindows"
            )
    if resume is True and checkpoint is None:
        raise ValueError("resume=True needs checkpoint to say which file to continue from")

    state = TrainingState()
    source = checkpoint if isinstance(resume, bool) else resume
    if resume is not False and source is not None:
        source = Path(source)
        if not source.exists():
            raise FileNotFoundError(f"there is no checkpoint {str(source)!r} to resume from")
        state = load_checkpoint(source, model, optimizer, schedule)

    show, close = progress_callback(progress)
    run = Loop(
        model=model,
        batches=batches,
        loss=loss,
        optimizer=optimizer,
        epochs=epochs,
        schedule=schedule,
        schedule_per=schedule_per,
        clip_norm=clip_norm,
        clip_value=clip_value,
        validation=validation,
        patience=patience,
        min_delta=min_delta,
        keep_best=patience is not None if restore_best is None else restore_best,
        carry_state=carry_state,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        checkpoint_every=checkpoint_every,
        checkpoint_steps=checkpoint_steps,
        checkpoint_extra=dict(checkpoint_extra or {}),
        callbacks=[*callbacks, *([] if show is None else [show])],
        state=state,
    )
    try:
        return run()
    finally:
        close()
