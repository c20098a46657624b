"""Numbers for each sequence: :class:`SequenceRegressor`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

from fastrnn._checks import check_choice
from fastrnn._types import Array
from fastrnn.losses import mse
from fastrnn.tasks._evaluation import RegressionEvaluation, evaluate_regression
from fastrnn.tasks._network import POOLS
from fastrnn.tasks._sequence_estimator import SequenceEstimator

__all__ = ["SequenceRegressor"]


class SequenceRegressor(RegressorMixin, SequenceEstimator):  # type: ignore[misc]
    """Predicts one or several numbers from sequences of any length.

    The network is that of :class:`SequenceClassifier`, with numbers in place of the classes; it learns the
    targets less their mean, over their deviation, by the squared error.

    Parameters
    ----------
    cell : {"gru", "lstm", "rnn"}, default "gru"
        Recurrent cell.
    num_layers : int, default 1
        Recurrent layers on top of each other.
    hidden_size : int, default 64
        Units of each, in each direction.
    bidirectional : bool, default True
        Read the sequence from its end, too.
    projection : int, optional
        Make each step so many numbers by a learned linear map before the recurrent layers. It keeps large
        frames cheap. Default: none. Not for text.
    embedding_size : int, default 32
        Width of a symbol's vector, for text.
    pooling : {"attention", "max", "mean", "last"}, default "max"
        How the steps become one answer.
    dropout : float, default 0.2
        Probability in [0, 1) of dropping elements before and after every recurrent layer. Numbers as
        they were given are dropped only where a step has eight or more.
    recurrent_dropout : float, default 0.0
        Variational dropout on the recurrent path, the same for all steps.
    scale : bool, default True
        Standardise the numbers, feature by feature, and those of frames channel by channel; mean and
        deviation are those of the part that is trained on. False leaves them as they are, but frames of
        uint8, which are divided by 255.
    batch_size : int, default 32
        Sequences that are learned from at once.
    epochs : int, optional
        Passes over the sequences. Default: as many as `max_seconds` allows, else 10, and more where there are
        so few sequences that they make less than 1,000 steps.
    max_seconds : float, optional
        Train for so long, validation included, and anneal the learning rate to fit. What comes out then
        depends on the speed of the machine.
    learning_rate : float, default 0.005
        The largest one.
    optimizer : {"adam", "adamw", "rmsprop", "adagrad", "sgd"}, default "adam"
        ``"sgd"`` has a momentum of 0.9.
    schedule : {"cosine", "constant"}, default "cosine"
        Course of the learning rate; ``"cosine"`` falls to a hundredth of it.
    weight_decay : float, default 0.0
    clip_norm : float, optional, default 1.0
        Largest Euclidean norm of the gradients together. None: no limit.
    validation_fraction : float, default 0.1
        Part of the sequences that is held out and measured after every epoch; the weights that were best
        there are kept. If that would be less than 10 sequences, nothing is held out and the last weights are
        kept.
    patience : int, optional
        Stop after so many epochs without progress on the held-out part.
    random_state : int, numpy.random.RandomState or None, default None
        Seed. The same int gives the same weights, bit for bit, on any number of threads (but see
        `max_seconds`).
    n_threads : int, optional
        Threads while training and predicting. Default: as set by :func:`fastrnn.set_num_threads`.
    checkpoint : path-like, optional
        File to continue from after an interruption (see `fit`).
    checkpoint_every : float, optional, default 60.0
        Seconds between checkpoints.
    progress : bool or callable, default False
        True shows progress on standard error; a callable is given every
        :class:`fastrnn.training.TrainingEvent` and stops training by returning a true value.

    Attributes
    ----------
    target_mean_, target_deviation_ : float64 array, [K]
        Of the part that was trained on.
    coder_ : object
        What was learned of the input: ``mean`` and ``deviation`` of the features, or the ``symbols``.
    model_ : fastrnn.layers.Sequential
        The network.
    history_ : fastrnn.training.History
        Course of the training; losses in squared deviations of the targets.
    seed_ : int
        The seed that was used.
    n_features_in_ : int
        Columns, if it was fitted on a 2-D array or a table; ``feature_names_in_`` are their names, if they
        have names.

    Notes
    -----
    Forms of the input, memory and text: as for :class:`SequenceClassifier`. Numbers of a time series that is
    still going on are predicted by :class:`Forecaster`.

    References
    ----------
    As for :class:`SequenceClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.tasks import SequenceRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=length) for length in rng.integers(5, 15, size=80)]
    >>> y = [x.max() for x in X]
    >>> regressor = SequenceRegressor(hidden_size=16, epochs=30, learning_rate=0.02, random_state=0).fit(X, y)
    >>> bool(abs(regressor.predict([[0.0, -1.0, 1.5, 0.0, -1.0]])[0] - 1.5) < 0.3)
    True
    """

    _unit = "squared deviations"
    _items = "sequence"

    target_mean_: NDArray[np.float64]
    target_deviation_: NDArray[np.float64]

    def __init__(
        self,
        cell: str = "gru",
        *,
        num_layers: int = 1,
        hidden_size: int = 64,
        bidirectional: bool = True,
        projection: int | None = None,
        embedding_size: int = 32,
        pooling: str = "max",
        dropout: float = 0.2,
        recurrent_dropout: float = 0.0,
        scale: bool = True,
        batch_size: int = 32,
        epochs: int | None = None,
        max_seconds: float | None = None,
        learning_rate: float = 0.005,
        optimizer: str = "adam",
        schedule: str = "cosine",
        weight_decay: float = 0.0,
        clip_norm: float | None = 1.0,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        random_state: Any = None,
        n_threads: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float | None = 60.0,
        progress: bool | Callable[..., Any] = False,
    ) -> None:
        super().__init__(
            cell,
            num_layers=num_layers,
            hidden_size=hidden_size,
            bidirectional=bidirectional,
            projection=projection,
            embedding_size=embedding_size,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            scale=scale,
            batch_size=batch_size,
            epochs=epochs,
            max_seconds=max_seconds,
            learning_rate=learning_rate,
            optimizer=optimizer,
            schedule=schedule,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            validation_fraction=validation_fraction,
            patience=patience,
            random_state=random_state,
            n_threads=n_threads,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            progress=progress,
        )
        self.pooling = pooling

    def fit(self, X: Any, y: Any, *, resume: bool = False) -> Self:
        """Learn from sequences, from the beginning.

        Parameters
        ----------
        X : N sequences, N at least 2
            A list of arrays ``[T]`` or ``[T, I]`` of any lengths, or of frames ``[T, height, width]`` or
            ``[T, height, width, channels]``; an array ``[N, T]``, ``[N, T, I]``, and so on; a list of str, of
            which each character is a step, or of lists of str; a pandas Series of any of these; a DataFrame
            with a column for each step, or with one column of sequences.
        y : array_like, [N] or [N, K]
            Numbers.
        resume : bool, default False
            Continue the training whose state is in the file `checkpoint`, to the very weights it would have
            reached without the interruption. Sequences and settings must be the same, those excepted that
            only say for how long or where to train (`epochs`, `max_seconds`, `patience`, `n_threads`,
            `checkpoint_every`, `progress`); a `random_state` of None means the seed used before.

        Returns
        -------
        SequenceRegressor
            Itself.

        Raises
        ------
        ValueError
            If there are less than two sequences, one is empty or has more than 100,000 steps, shapes or
            numbers of targets do not fit, something is missing, NaN or infinite, a setting
            is not acceptable, or the checkpoint belongs to another training.
        TypeError
            If X is something else, or mixes text and numbers.
        OSError
            If a checkpoint cannot be read or written.
        fastrnn.TrainingInterrupted
            After Ctrl-C (a KeyboardInterrupt). The estimator is then fitted as far as it got.
        fastrnn.NonFiniteLossError
            If training diverged.
        """
        check_choice("pooling", self.pooling, POOLS)
        reading = self._begin(X)
        targets = _checked_targets(y, len(reading.sequences))
        scaler = StandardScaler()

        def prepare(rows: NDArray[np.int64]) -> tuple[list[Array], Array]:
            columns = targets.reshape(len(targets), -1)
            with np.errstate(over="ignore", invalid="ignore"):
                scaler.fit(columns[rows])
            if not np.isfinite(scaler.var_).all():
                raise ValueError("y holds numbers that are too large to be standardised: scale them down")
            return reading.prepare(rows), scaler.transform(columns).astype(np.float32)

        def learned() -> None:
            self.coder_ = reading.coder
            self.target_mean_, self.target_deviation_ = scaler.mean_, scaler.scale_
            self._one_target = targets.ndim == 1

        self._fit_network(
            reading.sequences.items,
            targets,
            mse,
            reader=reading.layers,
            width=reading.width,
            outputs=1 if targets.ndim == 1 else targets.shape[1],
            pooling=self.pooling,
            prepare=prepare,
            resume=resume,
            learned=learned,
        )
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predict the numbers.

        Parameters
        ----------
        X : N sequences
            As for `fit`.

        Returns
        -------
        float64 array, [N] or [N, K]
            In the shape and units of the targets. A row does not depend on the other rows.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError, TypeError
            As `fit`, or if X is of another kind than what the estimator was fitted on.
        """
        self._check_fitted()
        answers = self._answers(self._encoded(X)).astype(np.float64)
        predicted: NDArray[np.float64] = answers * self.target_deviation_ + self.target_mean_
        return predicted[:, 0] if self._one_target else predicted

    def evaluate(self, X: Any, y: Any) -> RegressionEvaluation:
        """Judge the predictions for sequences whose numbers are known.

        Parameters
        ----------
        X : N sequences
            As for `fit`; not those that were trained on.
        y : array_like, [N] or [N, K]

        Returns
        -------
        RegressionEvaluation
            Errors beside those of always predicting the mean of the training; ``str()`` is a table.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError, TypeError
            As `predict`, or if `y` does not fit.
        """
        predicted = self.predict(X)
        targets = _checked_targets(y, len(predicted))
        if targets.shape != predicted.shape:
            raise ValueError(f"y must have shape {predicted.shape}, got {targets.shape}")
        return evaluate_regression(targets, predicted, self.target_mean_)

    def _fitted_metadata(self) -> dict[str, Any]:
        return {
            **super()._fitted_metadata(),
            "target_mean": self.target_mean_.tolist(),
            "target_deviation": self.target_deviation_.tolist(),
            "one_target": self._one_target,
        }

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        super()._restore_fitted(content)
        self.target_mean_ = np.asarray(content["target_mean"])
        self.target_deviation_ = np.asarray(content["target_deviation"])
        self._one_target = content["one_target"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _checked_targets(y: Any, rows: int) -> NDArray[np.float64]:
    """Numbers [rows] or [rows, K]."""
    if y is None:
        raise ValueError(
            "y must hold the numbers of every row: requires y to be passed, but the target y is None"
        )
    targets: NDArray[np.float64] = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    if targets.ndim not in (1, 2):
        raise ValueError(f"y must have shape [N] or [N, K], got {targets.shape}")
    if len(targets) != rows:
        raise ValueError(f"y must have as many entries as X has rows, {rows}; got {len(targets)}")
    return targets
