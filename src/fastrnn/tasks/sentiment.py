"""Classification of short texts: :class:`SentimentClassifier`."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin

from fastrnn._checks import check_bool, check_choice, check_positive_int, check_probability
from fastrnn._types import Array
from fastrnn.data.tokens import make_tokenizer
from fastrnn.layers.base import Layer
from fastrnn.layers.sequential import Sequential
from fastrnn.losses import cross_entropy
from fastrnn.tasks._classes import calibrating_temperature, class_weights, encode_classes
from fastrnn.tasks._evaluation import ClassificationEvaluation, evaluate_classes
from fastrnn.tasks._explain import Explanation, WordContribution, integrated_gradients, log_odds
from fastrnn.tasks._network import POOLS
from fastrnn.tasks._supervised import SupervisedEstimator
from fastrnn.tasks._text_network import NgramLinear, TokenEmbedding, WideAndDeep
from fastrnn.tasks._texts import read_texts
from fastrnn.tasks._tokens import TextFeatures

__all__ = ["SentimentClassifier"]

_PREDICTED_AT_ONCE = 8192  # texts, so that memory does not grow with their number
_FIRST_VECTORS = 0.1  # standard deviation of embeddings before training
_WDROP = 0.5
_LINEAR_GAIN = 10.0  # learning rates of the linear model to those of the network: its inputs are sparse


class SentimentClassifier(ClassifierMixin, SupervisedEstimator):  # type: ignore[misc]
    """placeholder"""

    _unit = "nats"
    _items = "text"

    classes_: NDArray[Any]
    features_: TextFeatures

    def __init__(
        self,
        level: str = "word",
        *,
        max_vocabulary: int = 30_000,
        min_count: int = 1,
        max_tokens: int = 256,
        ngrams: bool = True,
        cell: str = "gru",
        num_layers: int = 1,
        hidden_size: int = 32,
        bidirectional: bool = True,
        embedding_size: int = 64,
        pooling: str = "max",
        dropout: float = 0.5,
        token_dropout: float = 0.1,
        recurrent_dropout: float = 0.0,
        class_weight: str | Mapping[Any, float] | None = None,
        calibrate: bool = False,
        batch_size: int = 32,
        epochs: int | None = None,
        max_seconds: float | None = None,
        learning_rate: float = 0.003,
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
        self.level = level
        self.max_vocabulary = max_vocabulary
        self.min_count = min_count
        self.max_tokens = max_tokens
        self.ngrams = ngrams
        self.cell = cell
        self.num_layers = num_layers
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.embedding_size = embedding_size
        self.pooling = pooling
        self.dropout = dropout
        self.token_dropout = token_dropout
        self.recurrent_dropout = recurrent_dropout
        self.class_weight = class_weight
        self.calibrate = calibrate
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

    # Training

    def fit(self, X: Any, y: Any = None, *, resume: bool = False) -> Self:
        """Learn from texts and their classes, from the beginning.

        Parameters
        ----------
        X : list, array [n] or [n, 1], pandas Series or one-column DataFrame, of str
            Texts. Empty ones are legal; missing ones are not.
        y : array_like, [n]
            The class of each: strings, integers or booleans, at least two different ones.
        resume : bool, default False
            Continue the training whose state is in the file `checkpoint`, to the very weights it would have
            reached without the interruption. Data and settings must be the same, those excepted that only
            say for how long or where to train (`epochs`, `max_seconds`, `patience`, `n_threads`,
            `checkpoint_every`, `progress`); a `random_state` of None means the seed used before.

        Returns
        -------
        SentimentClassifier
            Itself.

        Raises
        ------
        ValueError
            If `X` is empty or lacks a text, if `y` does not fit it or has only one class, if a setting is not
            acceptable, or the checkpoint belongs to another training.
        TypeError
            If `X` holds something else than texts.
        MissingExtraError
            If `level` needs a package that is not installed.
        fastrnn.TrainingInterrupted
            After Ctrl-C (a KeyboardInterrupt). The estimator is then fitted as far as it got.
        fastrnn.NonFiniteLossError
            If training diverged.
        """
        self._check_settings()
        texts = read_texts(X)
        classes, indices = encode_classes(y, len(texts))
        weights = class_weights(self.class_weight, classes, indices)
        tokenizer = make_tokenizer(self.level, texts, self.max_tokens, self.max_vocabulary)
        features = TextFeatures(tokenizer)
        sequences = features.fit(texts, most=self.max_vocabulary, least=self.min_count)
        if features.size == 1:
            raise ValueError(
                f"no token of X occurs in min_count={self.min_count} texts: nothing can be learned"
            )

        def reader(seed: int) -> list[Layer]:
            return [
                TokenEmbedding(
                    tokenizer.embedded,
                    features.embedded_size,
                    self.embedding_size,
                    _FIRST_VECTORS,
                    self.token_dropout,
                    seed,
                )
            ]

        def completed(network: Sequential) -> Sequential:
            if not self.ngrams:
                return network
            return Sequential(WideAndDeep(network, NgramLinear(len(classes), features.runs, _WDROP, _LINEAR_GAIN, 7)))

        def learned() -> None:
            self.classes_, self.features_, self.temperature_ = classes, features, 1.0

        held_out = self._fit_network(
            sequences,
            indices,
            functools.partial(cross_entropy, class_weight=weights),
            reader=reader,
            width=self.embedding_size,
            outputs=len(classes),
            pooling=self.pooling,
            completed=completed,
            strata=indices,
            resume=resume,
            learned=learned,
        )
        if self.calibrate and held_out.size:
            logits = self._answers([sequences[i] for i in held_out])
            self.temperature_ = calibrating_temperature(logits, indices[held_out])
        return self

    def _check_settings(self) -> None:
        self._check_training_settings()
        self._check_network_settings()
        check_choice("pooling", self.pooling, POOLS)
        for name in ("max_vocabulary", "min_count", "max_tokens", "embedding_size"):
            check_positive_int(name, getattr(self, name))
        for name in ("ngrams", "calibrate"):
            check_bool(name, getattr(self, name))
        check_probability("token_dropout", self.token_dropout, allow_one=False)
        if self.calibrate and not self.validation_fraction:
            raise ValueError("calibrate=True needs held-out rows: validation_fraction must be above 0")

    # Prediction

    def _logits(self, X: Any) -> Array:
        self._check_fitted()
        texts = read_texts(X)
        parts = [
            self._answers(self.features_.encode(texts[start : start + _PREDICTED_AT_ONCE]))
            for start in range(0, len(texts), _PREDICTED_AT_ONCE)
        ]
        return np.concatenate(parts)

    def predict_proba(self, X: Any) -> Array:
        """Probability of each class for each text.

        Parameters
        ----------
        X : list, array [n] or [n, 1], pandas Series or one-column DataFrame, of str
            Texts. Some thousand are computed at a time: memory does not grow with their number but for the
            answer. Words never seen are read by their shape, beginning and end; an empty text gets what is
            likely of a text of which nothing is known.

        Returns
        -------
        float64 array, [n, C]
            In the order of `classes_`, whatever `X` is, as in scikit-learn.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError, TypeError
            If `X` is empty, or is or holds something else than texts.
        """
        return np.asarray(softmax(self._logits(X).astype(np.float64) / self.temperature_, axis=1))

    def predict(self, X: Any) -> NDArray[Any]:
        """Most probable class of each text, ``[n]``; `X` and errors are as for `predict_proba`."""
        best = self._logits(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def evaluate(self, X: Any, y: Any) -> ClassificationEvaluation:
        """Judge the predictions for texts whose classes are known.

        Parameters
        ----------
        X : list, array [n] or [n, 1], pandas Series or one-column DataFrame, of str
        y : array_like, [n]

        Returns
        -------
        ClassificationEvaluation
            Accuracy, macro-F1, log loss, confusion matrix and figures per class; ``print`` it.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `predict_proba`; also if `y` does not fit `X`.
        """
        probabilities = self.predict_proba(X)
        true = np.asarray(y).ravel()
        if len(true) != len(probabilities):
            raise ValueError(
                f"y must have as many entries as X has rows, {len(probabilities)}; got {len(true)}"
            )
        return evaluate_classes(true, probabilities, self.classes_)

    def explain(self, text: str, label: Any = None) -> Explanation:
        """Say what each word of a text contributed to the decision, by integrated gradients [1]_."""
        self._check_fitted()
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        ids = self.features_.encode([text])[0]
        logits = self._answers([ids])
        if label is None:
            target = int(logits[0].argmax())
        else:
            found = np.flatnonzero(self.classes_ == label)
            if not found.size:
                raise ValueError(f"label must be one of {self.classes_.tolist()}, got {label!r}")
            target = int(found[0])
        whole = self.model_[0]
        network, linear = (whole.deep, whole.wide) if isinstance(whole, WideAndDeep) else (self.model_, None)
        contributions, baseline = integrated_gradients(
            ids, network, linear, self.features_.sequence_features, target
        )
        tokens = self.features_.tokenizer.tokens(text)
        return Explanation(
            text=text,
            label=self.classes_[target].item(),
            probability=float(softmax(logits[0].astype(np.float64) / self.temperature_)[target]),
            words=[
                WordContribution(*token, float(value))
                for token, value in zip(tokens, contributions[: len(tokens)], strict=True)
            ],
            baseline=baseline,
            log_odds=float(log_odds(logits, target)[0]),
        )

    def quantize(self, format: str) -> Self:
        """Copy the fitted classifier with weights of fewer bits."""
        self._check_fitted()
        twin = copy.copy(self)
        twin.model_ = self.model_.quantize(format)
        return twin

    # scikit-learn and files

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        tags.non_deterministic = self.random_state is None or self.max_seconds is not None
        return tags

    def _fitted_metadata(self) -> dict[str, Any]:
        return {
            "classes": self.classes_.tolist(),
            "dtype": self.classes_.dtype.str,
            "temperature": self.temperature_,
            "features": self.features_.to_dict(),
        }

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        self.classes_ = np.array(content["classes"], np.dtype(content["dtype"]))
        self.temperature_ = float(content["temperature"])
        self.features_ = TextFeatures.from_dict(content["features"])
