"""Classification of short texts: :class:`SentimentClassifier`."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from fastrnn._checks import check_bool, check_choice, check_positive_int, check_probability
from fastrnn._types import Array
from fastrnn.data.tokens import make_tokenizer
from fastrnn.layers.base import Layer
from fastrnn.layers.sequential import Sequential
from fastrnn.tasks._classes import encode_classes
from fastrnn.tasks._classifier import SupervisedClassifier
from fastrnn.tasks._explain import Explanation, explain_text
from fastrnn.tasks._network import POOLS
from fastrnn.tasks._text_network import NgramLinear, TokenEmbedding, WideAndDeep
from fastrnn.tasks._texts import read_texts
from fastrnn.tasks._tokens import TextFeatures

__all__ = ["SentimentClassifier"]

_PREDICTED_AT_ONCE = 8192  # texts, so that memory does not grow with their number
_FIRST_VECTORS = 0.1  # standard deviation of embeddings before training
_NGRAM_DROPOUT = 0.5
_NGRAM_GAIN = 10.0  # learning rate of the linear model to that of the network: its inputs are sparse


class SentimentClassifier(SupervisedClassifier):
    """Tells short texts apart: positive, neutral and negative ones, or any other classes.

    An embedding of words and of their shape and beginnings, a recurrent layer in both directions, a pool
    over the words and a softmax over the classes; beside it, and trained with it, a linear model of words,
    their parts and pairs of them [1]_, so that the whole does not fall behind the linear models that are hard
    to beat on small sets [2]_.

    Parameters
    ----------
    level : {"word", "character", "subword"}, default "word"
        What is read as one token; :mod:`fastrnn.data.tokens` says how. ``"subword"`` needs Hugging
        Face's ``tokenizers``.
    max_vocabulary : int, default 30_000
        Values known of each feature of a token, the most frequent ones; of pairs of tokens and longer
        sequences at least 100,000.
    min_count : int, default 1
        Know only what is in so many of the texts.
    max_tokens : int, default 256
        Tokens of a text that are read; the rest of it is ignored.
    ngrams : bool, default True
        Learn the linear model, too.
    cell : {"gru", "lstm", "rnn"}, default "gru"
        Recurrent cell.
    num_layers : int, default 1
        Recurrent layers on top of each other.
    hidden_size : int, default 32
        Units of each, in each direction.
    bidirectional : bool, default True
        Read the text from its end, too.
    embedding_size : int, default 64
        Width of a token's vector.
    pooling : {"max", "attention", "mean", "last"}, default "max"
        How the tokens become one answer.
    dropout : float, default 0.5
        Probability in [0, 1) of dropping elements before and after every recurrent layer.
    token_dropout : float, default 0.1
        Probability in [0, 1) of dropping a token's whole vector.
    recurrent_dropout : float, default 0.0
        Variational dropout on the recurrent path, the same for all tokens.
    class_weight : "balanced", mapping or None, default None
        How much each class counts in training: ``"balanced"`` counts rare ones more, a mapping gives the
        weights of some, and the others count 1.
    calibrate : bool, default False
        Divide the logits by a temperature that makes the probabilities right on the held-out part [3]_.
    batch_size : int, default 32
        Texts that are learned from at once.
    epochs : int, optional
        Passes over the texts. Default: as many as `max_seconds` allows, else 4, and more where there are so
        few texts that they make less than 2,000 steps.
    max_seconds : float, optional
        Train for so long, validation included, and anneal the learning rate to fit. What comes out then
        depends on the speed of the machine.
    learning_rate : float, default 0.001
        The largest one.
    optimizer : {"adam", "adamw", "rmsprop", "adagrad", "sgd"}, default "adam"
        ``"sgd"`` has a momentum of 0.9.
    schedule : {"cosine", "constant"}, default "cosine"
        Course of the learning rate; ``"cosine"`` falls to a hundredth of it.
    weight_decay : float, default 0.0
    clip_norm : float, optional, default 1.0
        Largest Euclidean norm of the gradients together. None: no limit.
    validation_fraction : float, default 0.1
        Part of the texts, the same of each class, that is held out and measured after every epoch; the
        weights that were best there are kept. If that would be less than 10 texts, nothing is held out and
        the last weights are kept.
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
    features_ : object
        Tokenizer and vocabularies.
    model_ : fastrnn.layers.Sequential
        The network.
    history_ : fastrnn.training.History
        Course of the training; losses in nats.
    seed_ : int
        The seed that was used.

    References
    ----------
    .. [1] H.-T. Cheng et al.: Wide & deep learning for recommender systems. DLRS 2016.
    .. [2] S. Wang, C. D. Manning: Baselines and bigrams: simple, good sentiment and topic classification. ACL
       2012.
    .. [3] C. Guo et al.: On calibration of modern neural networks. ICML 2017.

    Examples
    --------
    >>> from fastrnn.tasks import SentimentClassifier
    >>> good = ["I love it", "so good :-)", "works great, thanks!", "not bad at all"] * 10
    >>> bad = ["I hate it", "so bad :-(", "does not work", "not good at all"] * 10
    >>> classifier = SentimentClassifier(epochs=10, random_state=0)
    >>> classifier = classifier.fit(good + bad, ["positive"] * 40 + ["negative"] * 40)
    >>> classifier.predict(["great, I love it", "not good :-("]).tolist()
    ['positive', 'negative']
    >>> explanation = classifier.explain("not good :-(")
    >>> explanation.label, len(explanation.words)
    ('negative', 3)
    """

    _items: ClassVar[str] = "text"
    # Large sets are soon learned by heart; small ones need more steps until words have a meaning.
    _least_epochs: ClassVar[int] = 4
    _least_steps: ClassVar[int] = 2000

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
        learning_rate: float = 0.001,
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

    def fit(self, X: Any, y: Any, *, resume: bool = False) -> Self:
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
        OSError
            If a checkpoint cannot be read or written.
        fastrnn.TrainingInterrupted
            After Ctrl-C (a KeyboardInterrupt). The estimator is then fitted as far as it got.
        fastrnn.NonFiniteLossError
            If training diverged.
        """
        self._check_settings()
        texts = read_texts(X)
        classes, indices = encode_classes(y, len(texts))  # before the work of reading a million texts
        features = TextFeatures(make_tokenizer(self.level, texts, self.max_tokens, self.max_vocabulary))
        sequences = features.fit(texts, most=self.max_vocabulary, least=self.min_count)
        if features.size == 1:
            raise ValueError(
                f"no token of X occurs in min_count={self.min_count} texts: nothing can be learned"
            )

        def reader(seed: int) -> list[Layer]:
            sizes = (features.tokenizer.embedded, features.embedded_size, self.embedding_size)
            return [TokenEmbedding(*sizes, _FIRST_VECTORS, self.token_dropout, seed)]

        def learned() -> None:
            self.features_ = features

        self._fit_classes(
            sequences,
            classes[indices],
            reader=reader,
            width=self.embedding_size,
            pooling=self.pooling,
            completed=(lambda network: _with_ngrams(network, features, len(classes)))
            if self.ngrams
            else None,
            resume=resume,
            learned=learned,
        )
        return self

    def _check_settings(self) -> None:
        self._check_training_settings()
        self._check_network_settings()
        check_choice("pooling", self.pooling, POOLS)
        for name in ("max_vocabulary", "min_count", "max_tokens", "embedding_size"):
            check_positive_int(name, getattr(self, name))
        check_bool("ngrams", self.ngrams)
        check_probability("token_dropout", self.token_dropout, allow_one=False)

    # Prediction

    def _logits(self, X: Any) -> Array:
        texts = read_texts(X)
        parts = [
            self._answers(self.features_.encode(texts[start : start + _PREDICTED_AT_ONCE]))
            for start in range(0, len(texts), _PREDICTED_AT_ONCE)
        ]
        return np.concatenate(parts)

    def explain(self, text: str, label: Any = None) -> Explanation:
        """Say what each word of a text contributed to the decision, by integrated gradients [1]_.

        Parameters
        ----------
        text : str
        label : optional
            The class to explain. Default: the predicted one.

        Returns
        -------
        Explanation
            A number for each word, in nats of log-odds: above 0 it speaks for the label, below against it.
            They add up to the log-odds of the label without those of an empty text. ``str()`` is for a
            terminal, `html` for a page, `plot` a picture.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        TypeError
            If `text` is not a str.
        ValueError
            If there is no such class.

        References
        ----------
        .. [1] M. Sundararajan, A. Taly, Q. Yan: Axiomatic attribution for deep networks. ICML 2017.
        """
        self._check_fitted()
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        probabilities = self.predict_proba([text])[0]
        target = int(probabilities.argmax())
        if label is not None:
            if label not in self.classes_.tolist():
                raise ValueError(f"label must be one of {self.classes_.tolist()}, got {label!r}")
            target = self.classes_.tolist().index(label)
        return explain_text(
            text, self.model_, self.features_, target, self.classes_[target].item(), probabilities[target]
        )

    def quantize(self, format: str) -> Self:
        """Copy the fitted classifier with weights of fewer bits.

        Parameters
        ----------
        format : {"int8", "bfloat16"}
            As for :meth:`fastrnn.Layer.quantize`: of the recurrent layers and the last one. Vectors of tokens
            and the linear model, most of a file, stay as they are.

        Returns
        -------
        SentimentClassifier
            It predicts, explains (with the weights as they were), and is saved and loaded like any other.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError
            If `format` is another one.
        """
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
        tags.non_deterministic = self.random_state is None or self.max_seconds is not None
        return tags

    def _fitted_metadata(self) -> dict[str, Any]:
        return {**super()._fitted_metadata(), "features": self.features_.to_dict()}

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        super()._restore_fitted(content)
        self.features_ = TextFeatures.from_dict(content["features"])


def _with_ngrams(network: Sequential, features: TextFeatures, classes: int) -> Sequential:
    embedding = network[0]
    assert isinstance(embedding, TokenEmbedding)
    linear = NgramLinear(classes, features.runs, _NGRAM_DROPOUT, _NGRAM_GAIN, embedding.seed)
    return Sequential(WideAndDeep(network, linear))
