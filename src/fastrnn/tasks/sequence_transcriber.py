"""Labels for a sequence without saying at which steps they stand: :class:`SequenceTranscriber`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import check_choice, check_positive_int
from fastrnn._ctc_loss import ctc, needed_steps
from fastrnn._types import Array
from fastrnn.data.batching import IGNORED_TARGET, SequenceBatches, pad_sequences
from fastrnn.decoding import ctc_beam, ctc_greedy
from fastrnn.tasks._classes import (
    check_sequence_labels,
    classes_from_dict,
    classes_to_dict,
    encode_classes,
    label_sequences,
)
from fastrnn.tasks._evaluation import TranscriptionEvaluation, evaluate_transcriptions
from fastrnn.tasks._sequence_estimator import SequenceEstimator

__all__ = ["SequenceTranscriber"]

_BLANK = 0
DECODERS = ("greedy", "beam")


class SequenceTranscriber(SequenceEstimator):
    """Reads a sequence as shorter one of labels: speech as sounds, a line of handwriting as letters.

    What is learned from are sequences with their labels in order, but without where each of them is: the loss
    is connectionist temporal classification [1]_. The network is that of :class:`SequenceTagger` with one
    class more, the blank, which stands between labels.

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
    decoder : {"greedy", "beam"}, default "greedy"
        How labels are read off what the network says: the likeliest class of each step, or the likeliest
        labels over all their alignments, found by a beam search [2]_, which is slower and never much worse.
    beam_width : int, default 16
        Readings that the beam search keeps.
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
        Labels, sorted.
    coder_ : object
        What was learned of the input: ``mean`` and ``deviation`` of the features, or the ``symbols``.
    model_ : fastrnn.layers.Sequential
        The network: ``[T, N, 1 + C]``, the blank first.
    history_ : fastrnn.training.History
        Course of the training; losses in nats a label.
    seed_ : int
        The seed that was used.

    Notes
    -----
    A sequence needs as many steps as it has labels, and one more for every two equal labels side by side.
    Forms of the input: as for :class:`SequenceClassifier`. The network says nothing but blanks at first, and
    labels appear after some hundred steps of training: do not stop before.

    References
    ----------
    .. [1] A. Graves, S. Fernández, F. Gomez, J. Schmidhuber: Connectionist temporal classification: labelling
       unsegmented sequence data with recurrent neural networks. ICML 2006.
    .. [2] A. Graves, N. Jaitly: Towards end-to-end speech recognition with recurrent neural networks.
       ICML 2014.

    Examples
    --------
    Words in a code of long and short signals, at a speed that nobody says:

    >>> import numpy as np
    >>> from fastrnn.tasks import SequenceTranscriber
    >>> rng = np.random.default_rng(0)
    >>> def send(word):
    ...     signals = [[0.0] * rng.integers(1, 3) + [1.0] * rng.integers(*spans[c]) for c in word]
    ...     return np.concatenate([*signals, [0.0]])
    >>> spans = {"-": (6, 9), ".": (2, 4)}
    >>> y = ["".join(rng.choice(["-", "."], size)) for size in rng.integers(1, 5, size=200)]
    >>> X = [send(word) for word in y]
    >>> transcriber = SequenceTranscriber(hidden_size=16, epochs=30, learning_rate=0.02, random_state=0)
    >>> transcriber = transcriber.fit(X, y)
    >>> transcriber.predict([send("-..-"), send(".")])
    ['-..-', '.']
    """

    _unit: ClassVar[str] = "nats/label"
    _items: ClassVar[str] = "sequence"

    classes_: NDArray[Any]

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
        decoder: str = "greedy",
        beam_width: int = 16,
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
        self.decoder = decoder
        self.beam_width = beam_width

    def fit(self, X: Any, y: Any, *, resume: bool = False) -> Self:
        """Learn from sequences, from the beginning.

        Parameters
        ----------
        X : N sequences, N at least 2
            A list of arrays ``[T]`` or ``[T, I]`` of any lengths, or of frames ``[T, height, width]`` or
            ``[T, height, width, channels]``; an array ``[N, T]``, ``[N, T, I]``, and so on; a list of str, of
            which each character is a step, or of lists of str; a pandas Series of any of these; a DataFrame
            with a column for each step, or with one column of sequences.
        y : N label sequences
            Lists, arrays or str (a character is a label), in order; each may be empty, and shorter than its
            sequence. At least two different labels.
        resume : bool, default False
            Continue the training whose state is in the file `checkpoint`, to the very weights it would have
            reached without the interruption. Sequences and settings must be the same, those excepted that
            only say for how long or where to train (`epochs`, `max_seconds`, `patience`, `n_threads`,
            `checkpoint_every`, `progress`); a `random_state` of None means the seed used before.

        Returns
        -------
        SequenceTranscriber
            Itself.

        Raises
        ------
        ValueError
            If there are less than two sequences, one is empty, a label sequence does not fit into the steps
            of its sequence, something is missing, NaN or infinite, there is one label only, a setting is not
            acceptable, or the checkpoint belongs to another training.
        TypeError
            If X or y is something else, or mixes text and numbers.
        OSError
            If a checkpoint cannot be read or written.
        fastrnn.TrainingInterrupted
            After Ctrl-C (a KeyboardInterrupt). The estimator is then fitted as far as it got.
        fastrnn.NonFiniteLossError
            If training diverged.
        """
        self._check_decoder()
        reading = self._begin(X)
        items = reading.sequences.items
        written = label_sequences(y, len(items))
        counts = [len(labels) for labels in written]
        if not any(counts):
            raise ValueError("y must hold labels, got empty label sequences only")
        classes, indices = encode_classes(check_sequence_labels(written), sum(counts))
        text = all(isinstance(labels, str) for labels in written)
        labels = np.split(indices + 1, np.cumsum(counts)[:-1])
        for i, (item, one) in enumerate(zip(items, labels, strict=True)):
            if needed_steps(one) > len(item):
                raise ValueError(
                    f"y[{i}] has {len(one)} labels, which need {needed_steps(one)} steps (one more for every "
                    f"two equal ones side by side); X[{i}] has {len(item)}"
                )
        targets, _ = pad_sequences(labels, value=IGNORED_TARGET, dtype=np.int64, batch_first=True)

        def prepare(rows: NDArray[np.int64]) -> tuple[list[Array], Array]:
            return reading.prepare(rows), targets

        def learned() -> None:
            self.classes_, self.coder_, self._text = classes, reading.coder, text

        self._fit_network(
            items,
            targets,
            partial(ctc, blank=_BLANK),
            reader=reading.layers,
            width=reading.width,
            outputs=1 + len(classes),
            pooling=None,
            prepare=prepare,
            resume=resume,
            learned=learned,
        )
        return self

    def _check_decoder(self) -> None:
        check_choice("decoder", self.decoder, DECODERS)
        check_positive_int("beam_width", self.beam_width)

    def _batches(
        self, sequences: Sequence[Array], targets: Any, rows: NDArray[np.int64], seed: int
    ) -> SequenceBatches:
        return _UnalignedBatches([sequences[i] for i in rows], targets[rows], self.batch_size, seed=seed)

    def predict(self, X: Any) -> list[Any]:
        """Labels of each sequence.

        Parameters
        ----------
        X : N sequences
            As for `fit`.

        Returns
        -------
        list of N str, or of N arrays
            Str if `fit` was given only these, else arrays of the labels' type.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError, TypeError
            As `fit`, or if X is of another kind than what the estimator was fitted on.
        """
        self._check_fitted()
        self._check_decoder()
        found = []
        for logits in self._answers(self._encoded(X), pooled=False):
            if self.decoder == "beam":
                sequences, _ = ctc_beam(logits[:, None], blank=_BLANK, beam_width=self.beam_width)
            else:
                sequences, _ = ctc_greedy(logits[:, None], blank=_BLANK)
            labels = self.classes_[sequences[0] - 1]
            found.append("".join(labels.tolist()) if self._text else labels)
        return found

    def evaluate(self, X: Any, y: Any) -> TranscriptionEvaluation:
        """Judge the labels of sequences for which they are known.

        Parameters
        ----------
        X : N sequences
            As for `fit`; not those that were trained on.
        y : N label sequences
            As for `fit`.

        Returns
        -------
        TranscriptionEvaluation
            Label error rate and share of the sequences that are right; ``str()`` is a line.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError, TypeError
            As `predict`, or if `y` does not fit.
        """
        predicted = self.predict(X)
        return evaluate_transcriptions(label_sequences(y, len(predicted)), predicted)

    def score(self, X: Any, y: Any) -> float:
        """One minus the label error rate of `evaluate`: 1 at best; arguments and errors are the same."""
        return 1.0 - self.evaluate(X, y).label_error_rate

    def _fitted_metadata(self) -> dict[str, Any]:
        return {"classes": classes_to_dict(self.classes_), "text": self._text, **super()._fitted_metadata()}

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        super()._restore_fitted(content)
        self.classes_, self._text = classes_from_dict(content["classes"]), bool(content["text"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # scikit-learn's checks give rows one target each.
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags


class _UnalignedBatches(SequenceBatches):
    """Batches whose targets are labels ``[N, L]``, padded; the loss is told the steps of each row."""

    def _batch(self, indices: NDArray[np.int64]) -> Any:
        batch = super()._batch(indices)
        return {**batch._asdict(), "input_lengths": batch.lengths}
