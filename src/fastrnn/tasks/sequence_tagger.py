"""One class for each step of a sequence: :class:`SequenceTagger`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import Array
from fastrnn.losses import cross_entropy
from fastrnn.tasks._classes import (
    calibrating_temperature,
    check_sequence_labels,
    class_weights,
    encode_classes,
    label_sequences,
)
from fastrnn.tasks._classifier import TellsClasses
from fastrnn.tasks._evaluation import ClassificationEvaluation
from fastrnn.tasks._sequence_estimator import SequenceEstimator

__all__ = ["SequenceTagger"]


class SequenceTagger(TellsClasses, SequenceEstimator):
    """Gives every step of a sequence a class: parts of speech, phases of a movement, exons.

    The network is that of :class:`SequenceClassifier` without the pool. In both directions, which is the
    default, a step's class depends on the whole sequence.

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
        How much each class counts in training: ``"balanced"`` counts rare ones more, by
        steps; a mapping gives the weights of some, and the others count 1.
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
        Course of the training; losses in nats a step.
    seed_ : int
        The seed that was used.
    n_features_in_ : int
        Columns, if it was fitted on a 2-D array or a table; ``feature_names_in_`` are their names, if they
        have names.

    Notes
    -----
    Forms of the input, memory and text: as for :class:`SequenceClassifier`. Model selection of scikit-learn
    takes lists of label sequences; its folds are not stratified.

    References
    ----------
    As for :class:`SequenceClassifier`.

    Examples
    --------
    Mark what stands between brackets:

    >>> import numpy as np
    >>> from fastrnn.tasks import SequenceTagger
    >>> rng = np.random.default_rng(0)
    >>> X = ["".join(rng.permutation(list("abc(de)"))) for _ in range(300)]
    >>> X = [x for x in X if x.index("(") < x.index(")")]
    >>> inside = [(x.index("(") + 1, x.index(")")) for x in X]
    >>> y = ["-" * i + "x" * (j - i) + "-" * (len(x) - j) for x, (i, j) in zip(X, inside)]
    >>> tagger = SequenceTagger(hidden_size=16, epochs=30, learning_rate=0.02, random_state=0).fit(X, y)
    >>> print("".join(tagger.predict(["ab(cd)e"])[0]))
    ---xx--
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
        y : N label sequences, each [T_i]
            Lists, arrays or str (a character is a label), with a label for every step; at least two different
            ones.
        resume : bool, default False
            Continue the training whose state is in the file `checkpoint`, to the very weights it would have
            reached without the interruption. Sequences and settings must be the same, those excepted that
            only say for how long or where to train (`epochs`, `max_seconds`, `patience`, `n_threads`,
            `checkpoint_every`, `progress`); a `random_state` of None means the seed used before.

        Returns
        -------
        SequenceTagger
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
        reading = self._begin(X)
        lengths = [len(item) for item in reading.sequences.items]
        labels = _flat(y, lengths)
        classes, indices = encode_classes(labels, len(labels))
        weights = class_weights(self.class_weight, classes, indices)
        self._check_calibration(len(lengths))
        targets = np.split(indices, np.cumsum(lengths)[:-1])
        read: list[Array] = []

        def prepare(rows: NDArray[np.int64]) -> tuple[list[Array], list[Array]]:
            read[:] = reading.prepare(rows)
            return read, targets

        def learned() -> None:
            self.classes_, self.temperature_, self.coder_ = classes, 1.0, reading.coder

        held_out = self._fit_network(
            reading.sequences.items,
            targets,
            partial(cross_entropy, class_weight=weights),
            reader=reading.layers,
            width=reading.width,
            outputs=len(classes),
            pooling=None,
            prepare=prepare,
            resume=resume,
            learned=learned,
        )
        if self.calibrate:
            logits = self._answers([read[i] for i in held_out], pooled=False)
            held_out_targets = np.concatenate([targets[i] for i in held_out])
            self.temperature_ = calibrating_temperature(np.concatenate(logits), held_out_targets)
        return self

    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        """Probability of each class at each step.

        Parameters
        ----------
        X : N sequences
            As for `fit`.

        Returns
        -------
        list of N float64 arrays, each [T_i, C]
            Columns are in the order of `classes_`. A sequence does not depend on the other ones.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError, TypeError
            As `fit`, or if X is of another kind than what the estimator was fitted on.
        """
        self._check_fitted()
        return [self._probabilities(logits) for logits in self._answers(self._encoded(X), pooled=False)]

    def predict(self, X: Any) -> list[NDArray[Any]]:
        """Likeliest class of each step.

        Parameters
        ----------
        X : N sequences
            As for `fit`.

        Returns
        -------
        list of N arrays, each [T_i]
            Of the labels' type.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `predict_proba`.
        """
        return [self.classes_[steps.argmax(axis=1)] for steps in self.predict_proba(X)]

    def score(self, X: Any, y: Any) -> float:
        """Share of the steps of all sequences whose class is predicted rightly.

        Parameters
        ----------
        X : N sequences
            As for `fit`.
        y : N label sequences, each [T_i]

        Returns
        -------
        float

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `evaluate`.
        """
        return self.evaluate(X, y).accuracy

    def evaluate(self, X: Any, y: Any) -> ClassificationEvaluation:
        """Judge the predictions for sequences whose labels are known, over all their steps.

        Parameters
        ----------
        X : N sequences
            As for `fit`; not those that were trained on.
        y : N label sequences, each [T_i]
            A label that is not in `classes_` counts as an error.

        Returns
        -------
        ClassificationEvaluation
            Its rows are steps.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError, TypeError
            As `predict_proba`, or if `y` does not fit.
        """
        predicted = self.predict_proba(X)
        labels = _flat(y, [len(steps) for steps in predicted])
        return self._evaluate_labels(labels, np.concatenate(predicted))

    def _fitted_metadata(self) -> dict[str, Any]:
        return {**TellsClasses._fitted_metadata(self), **SequenceEstimator._fitted_metadata(self)}

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        TellsClasses._restore_fitted(self, content)
        SequenceEstimator._restore_fitted(self, content)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # scikit-learn's checks give rows one target each.
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags


def _flat(y: Any, lengths: Sequence[int]) -> NDArray[Any]:
    """Labels of all steps of all sequences, one after the other."""
    given = label_sequences(y, len(lengths))
    for i, (labels, length) in enumerate(zip(given, lengths, strict=True)):
        if len(labels) != length:
            raise ValueError(
                f"y[{i}] must have a label for each of the {length} steps of X[{i}], got {len(labels)}"
            )
    return check_sequence_labels(given)
