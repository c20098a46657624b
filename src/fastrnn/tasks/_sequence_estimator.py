"""What the estimators of sequences share: their settings, and their input."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import check_bool, check_positive_int
from fastrnn._types import Array
from fastrnn.layers.base import Layer
from fastrnn.tasks._sequence_input import SequenceCoder, Sequences, read_sequences
from fastrnn.tasks._supervised import SupervisedEstimator

__all__ = ["Reading", "SequenceEstimator"]


class SequenceEstimator(SupervisedEstimator):
    """Base class of the tasks whose input `read_sequences` takes."""

    coder_: SequenceCoder

    def __init__(
        self,
        cell: str,
        *,
        num_layers: int,
        hidden_size: int,
        bidirectional: bool,
        projection: int | None,
        embedding_size: int,
        dropout: float,
        recurrent_dropout: float,
        scale: bool,
        batch_size: int,
        epochs: int | None,
        max_seconds: float | None,
        learning_rate: float,
        optimizer: str,
        schedule: str,
        weight_decay: float,
        clip_norm: float | None,
        validation_fraction: float,
        patience: int | None,
        random_state: Any,
        n_threads: int | None,
        checkpoint: str | os.PathLike[str] | None,
        checkpoint_every: float | None,
        progress: bool | Callable[..., Any],
    ) -> None:
        self.cell = cell
        self.num_layers = num_layers
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.projection = projection
        self.embedding_size = embedding_size
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.scale = scale
        self.batch_size = batch_size
        self.epochs = epochs
        self.max_seconds = max_seconds
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.n_threads = n_threads
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.progress = progress

    def _begin(self, X: Any) -> Reading:
        """Check the settings and read what is to be learned from."""
        self._check_training_settings()
        self._check_network_settings()
        check_positive_int("embedding_size", self.embedding_size)
        if self.projection is not None:
            check_positive_int("projection", self.projection)
        check_bool("scale", self.scale)
        sequences = read_sequences(self, X, reset=True)
        if len(sequences) < 2:
            raise ValueError("X holds one sequence (1 sample); at least two are needed to learn from")
        if sequences.symbols is not None and self.projection is not None:
            raise ValueError("projection is for numbers; text has embedding_size: set projection=None")
        return Reading(sequences, self.embedding_size, self.projection, self.scale)

    def _encoded(self, X: Any) -> list[Array]:
        """Check what is to be predicted, and give what the fitted network reads."""
        return self.coder_.encode(read_sequences(self, X, reset=False))

    def _fitted_metadata(self) -> dict[str, Any]:
        columns = getattr(self, "feature_names_in_", None)
        return {
            "coder": self.coder_.to_dict(),
            "n_features_in": getattr(self, "n_features_in_", None),
            "feature_names_in": None if columns is None else columns.tolist(),
        }

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        self.coder_ = SequenceCoder.from_dict(content["coder"])
        if content["n_features_in"] is not None:
            self.n_features_in_ = content["n_features_in"]
        if content["feature_names_in"] is not None:
            self.feature_names_in_ = np.asarray(content["feature_names_in"], object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.non_deterministic = self.random_state is None or self.max_seconds is not None
        return tags


class Reading:
    """How the sequences of one `fit` are read: `coder` is learned once it is known which rows train."""

    coder: SequenceCoder

    def __init__(
        self, sequences: Sequences, embedding_size: int, projection: int | None, scale: bool
    ) -> None:
        self.sequences = sequences
        self._sizes = embedding_size, projection
        self._scale = scale

    def prepare(self, rows: NDArray[np.int64]) -> list[Array]:
        """Learn from the rows that are trained on, and encode all."""
        self.coder = SequenceCoder.fit(self.sequences, rows, scale=self._scale)
        return self.coder.encode(self.sequences)

    def layers(self, seed: int) -> list[Layer]:
        """Layers before the recurrent ones; after `prepare`."""
        return self.coder.layers(*self._sizes, seed)

    @property
    def width(self) -> int:
        """Numbers of a step that these give."""
        embedding_size, projection = self._sizes
        if self.sequences.symbols is not None:
            return embedding_size
        return int(np.prod(self.sequences.step_shape)) if projection is None else projection
