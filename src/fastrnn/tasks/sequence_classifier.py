"""One class for each sequence: :class:`SequenceClassifier`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Self

from fastrnn._checks import check_choice
from fastrnn.tasks._classifier import SupervisedClassifier
from fastrnn.tasks._network import POOLS
from fastrnn.tasks._sequence_estimator import SequenceEstimator

__all__ = ["SequenceClassifier"]


class SequenceClassifier(SupervisedClassifier, SequenceEstimator):
    """Tells sequences of any length apart: signals, gestures, films, genomes.

    An embedding (of text) or a projection (if asked for), recurrent layers in both directions, a pool over
    the steps and a softmax over the classes.

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
    class_weight : "balanced", mapping or None, default None
        How much each class counts in training: ``"balanced"`` counts rare ones more, a mapping
        gives the weights of some, and the others count 1.
    calibrate : bool, default False
        Divide the logits by a temperature that makes the probabilities right on the held-out part.
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
    classes_ : array, [C]
        Sorted.
    temperature_ : float
        What logits are divided by; 1 if not calibrated.
    coder_ : object
        What was learned of the input: ``mean`` and ``deviation`` of the features, or the ``symbols``.
    model_ : fastrnn.layers.Sequential
        The network.
    history_ : fastrnn.training.History
        Course of the training; losses in nats.
    seed_ : int
        The seed that was used.
    n_features_in_ : int
        Columns, if it was fitted on a 2-D array or a table; ``feature_names_in_`` are their names, if they
        have names.

    Notes
    -----
    *Numbers.* The columns of a 2-D array are steps of one feature, and scikit-learn's rules hold for them: as
    many in `predict` as in `fit`. Lists of arrays, and arrays with more axes, may have any length.

    *Text.* A symbol that occurs only once in the training part is read as the unknown one, as are all that
    it does not have.

    *Memory.* Training keeps all steps of a batch: about 2.5 kB a step and sequence with the defaults.

    References
    ----------
    K. Cho et al.: Learning phrase representations using RNN encoder-decoder for statistical machine
    translation. EMNLP 2014 (the cell).

    M. Schuster, K. Paliwal: Bidirectional recurrent neural networks. IEEE Transactions on Signal Processing
    45(11), 1997.

    Examples
    --------
    Where in the sequence is the peak?

    >>> import numpy as np
    >>> from fastrnn.tasks import SequenceClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=length) for length in rng.integers(5, 15, size=80)]
    >>> y = ["early" if np.argmax(x) < len(x) / 2 else "late" for x in X]
    >>> classifier = SequenceClassifier(hidden_size=16, epochs=30, learning_rate=0.02, random_state=0)
    >>> classifier = classifier.fit(X, y)
    >>> classifier.predict([[9.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 9.0]])
    array(['early', 'late'], dtype='<U5')
    """

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
        class_weight: str | Mapping[Any, float] | None = None,
        calibrate: bool = False,
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
        SequenceEstimator.__init__(
            self,
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
        self.class_weight = class_weight
        self.calibrate = calibrate

    def fit(self, X: Any, y: Any, *, resume: bool = False) -> Self:
        """Learn from sequences, from the beginning.

        Parameters
        ----------
        X : N sequences, N at least 2
            A list of arrays ``[T]`` or ``[T, I]`` of any lengths, or of frames ``[T, height, width]`` or
            ``[T, height, width, channels]``; an array ``[N, T]``, ``[N, T, I]``, and so on; a list of str, of
            which each character is a step, or of lists of str; a pandas Series of any of these; a DataFrame
            with a column for each step, or with one column of sequences.
        y : array_like, [N]
            Labels: str, integers or booleans, at least two different ones.
        resume : bool, default False
            Continue the training whose state is in the file `checkpoint`, to the very weights it would have
            reached without the interruption. Sequences and settings must be the same, those excepted that
            only say for how long or where to train (`epochs`, `max_seconds`, `patience`, `n_threads`,
            `checkpoint_every`, `progress`); a `random_state` of None means the seed used before.

        Returns
        -------
        SequenceClassifier
            Itself.

        Raises
        ------
        ValueError
            If there are less than two sequences, one is empty or has more than 100,000 steps, shapes or
            numbers of targets do not fit, something is missing, NaN or infinite, there is one
            class only, a setting
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

        def learned() -> None:
            self.coder_ = reading.coder

        self._fit_classes(
            reading.sequences.items,
            y,
            prepare=reading.prepare,
            reader=reading.layers,
            width=reading.width,
            pooling=self.pooling,
            resume=resume,
            learned=learned,
        )
        return self

    def _fitted_metadata(self) -> dict[str, Any]:
        return {
            **SupervisedClassifier._fitted_metadata(self),
            **SequenceEstimator._fitted_metadata(self),
        }

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        SupervisedClassifier._restore_fitted(self, content)
        SequenceEstimator._restore_fitted(self, content)
