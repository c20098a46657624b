"""What the tasks that learn from sequences with targets share: network, split, training, prediction.

A subclass encodes its input into sequences and its output into targets and calls `_fit_network`; the rest of
the work, from the held-out part to the best epoch, is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import check_bool, check_choice, check_positive_int, check_probability
from fastrnn._types import Array
from fastrnn.data.batching import SequenceBatches, batch_indices, pad_sequences
from fastrnn.errors import TrainingInterrupted
from fastrnn.layers.base import Layer
from fastrnn.layers.sequential import Sequential
from fastrnn.tasks._base import TaskEstimator, digest
from fastrnn.tasks._classes import hold_out
from fastrnn.tasks._network import CELLS, SEEDS, build_network
from fastrnn.training import evaluate

__all__ = ["Prepare", "SupervisedEstimator"]

Prepare = Callable[[NDArray[np.int64]], tuple[Sequence[Array], Array | list[Array]]]

_MANY_FEATURES = 8

# Of prediction at once; the bits of a row do not depend on it. Steps count with their padding.
_ROWS_AT_ONCE = 256
_STEPS_AT_ONCE = 1 << 18


class SupervisedEstimator(TaskEstimator):
    """Base class of the tasks whose network reads whole sequences and gives answers to be compared."""

    cell: str
    hidden_size: int
    num_layers: int
    bidirectional: bool
    dropout: float
    recurrent_dropout: float
    batch_size: int

    model_: Sequential

    def _check_network_settings(self) -> None:
        check_choice("cell", self.cell, CELLS)
        check_bool("bidirectional", self.bidirectional)
        for name in ("num_layers", "hidden_size", "batch_size"):
            check_positive_int(name, getattr(self, name))
        for name in ("dropout", "recurrent_dropout"):
            check_probability(name, getattr(self, name), allow_one=False)

    def _encoded(self, X: Any) -> Sequence[Array]:
        """Check what is to be predicted, and give what the fitted network reads."""
        raise NotImplementedError

    def _fit_network(
        self,
        sequences: Sequence[Array],
        targets: Array | list[Array],
        loss: Callable[..., Any],
        *,
        reader: Callable[[int], list[Layer]],
        width: int,
        outputs: int,
        pooling: str | None,
        completed: Callable[[Sequential], Sequential] | None = None,
        strata: NDArray[np.int64] | None = None,
        prepare: Prepare | None = None,
        resume: bool,
        learned: Callable[[], None],
    ) -> NDArray[np.int64]:
        """Build the network and train it; `model_`, `history_` and `seed_` are set, even when interrupted.

        Parameters
        ----------
        sequences : sequence of M arrays, each [T_i, ...]
        targets : array [M, ...], or list of M arrays, each [T_i, ...]
            As for :class:`fastrnn.data.SequenceBatches`.
        loss : callable
            As for :func:`fastrnn.training.fit`.
        reader : callable
            Gives the layers before the recurrent ones, made with this seed.
        width, outputs, pooling
            As for `build_network`.
        completed : callable, optional
            Makes the model from the network, where a task has more than it. Default: they are the same.
        strata : int array, [M], optional
            Classes that the held-out part has in the same proportion.
        prepare : callable, optional
            Given the rows that are trained on, gives the sequences and targets of all rows as the network
            sees them: scaled, for example, by what these rows tell. It is called once, before `reader`.
        resume : bool
        learned : callable
            Sets the other learned attributes; called once the network exists.

        Returns
        -------
        int array
            The rows that were held out; maybe none.
        """
        described = digest(
            *sequences, *(targets if isinstance(targets, list) else [targets]), [len(s) for s in sequences]
        )
        seed = self._resumed_seed(described) if resume else self._draw_seed()
        self.seed_ = seed  # before the training: checkpoints hold it
        seeds = [int(state) for state in np.random.SeedSequence(seed).generate_state(SEEDS + 2)]
        train, held_out = hold_out(len(sequences), self.validation_fraction, seeds[-1], strata)
        if prepare is not None:
            sequences, targets = prepare(train)
        batches = self._batches(sequences, targets, train, seeds[-2])
        validation = self._batches(sequences, targets, held_out, 0) if held_out.size else None
        read = reader(seeds[0])
        network = build_network(
            read,
            width,
            outputs,
            cell=self.cell,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            pooling=pooling,
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
            # A step of a few numbers would lose what it says; many stand in for each other.
            drop_input=bool(read) or width >= _MANY_FEATURES,
            seeds=seeds,
        )
        model = network if completed is None else completed(network)

        def measure(model: Any) -> float:
            assert validation is not None
            return evaluate(model, validation, loss)

        try:
            self._train(
                model,
                batches,
                loss,
                validation=measure if validation is not None else None,
                data=described,
                items_per_step=min(self.batch_size, len(train)),
                carry_state=False,
                resume=resume,
            )
        except TrainingInterrupted:
            self.model_, self.seed_ = model, seed
            learned()
            raise
        self.model_, self.seed_ = model, seed
        learned()
        return held_out

    def _batches(
        self, sequences: Sequence[Array], targets: Array | list[Array], rows: NDArray[np.int64], seed: int
    ) -> SequenceBatches:
        chosen = [targets[i] for i in rows] if isinstance(targets, list) else targets[rows]
        return SequenceBatches([sequences[i] for i in rows], chosen, self.batch_size, seed=seed)

    def _answers(self, sequences: Sequence[Array], *, pooled: bool = True) -> Any:
        """Outputs in the order of the sequences: ``[M, O]`` if pooled, else a list of M arrays [T_i, O].

        Rows of similar length are computed together, which gives the same bits as one by one.
        """
        lengths = [len(sequence) for sequence in sequences]
        answers: list[Any] = [None] * len(sequences)
        with self._threads():
            for rows in _together(lengths):
                x, valid = pad_sequences([sequences[i] for i in rows])
                y, _ = self.model_(x, lengths=None if (valid == len(x)).all() else valid)
                for place, i in enumerate(rows):
                    answers[i] = y[place] if pooled else y[: valid[place], place].copy()
        return np.stack(answers) if pooled else answers


def _together(lengths: Sequence[int]) -> Iterator[NDArray[np.int64]]:
    """Rows to compute at once: alike in length, and few enough for the memory."""
    for rows in batch_indices(len(lengths), _ROWS_AT_ONCE, lengths=lengths):
        longest = max(1, lengths[rows[-1]])
        size = max(1, _STEPS_AT_ONCE // longest)
        yield from (rows[start : start + size] for start in range(0, len(rows), size))
