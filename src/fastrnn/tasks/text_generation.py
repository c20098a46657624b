"""Character-level text generation: :class:`TextGenerator`."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from fastrnn._checks import check_choice, check_float, check_int, check_positive_int, check_probability
from fastrnn.data.text import Vocabulary
from fastrnn.layers.sequential import Sequential
from fastrnn.losses import cross_entropy
from fastrnn.tasks._base import TaskEstimator, digest
from fastrnn.tasks._network import CELLS
from fastrnn.tasks._text_model import (
    DocumentWindows,
    build_model,
    code_length,
    encode_documents,
    sample_characters,
    start_symbol,
)
from fastrnn.tasks._texts import read_documents, split_documents

__all__ = ["TextGenerator"]

_LEAST_WINDOWS = 8  # for each row of a batch: with fewer, most windows begin without knowing what came before


class TextGenerator(TaskEstimator):
    """Learns to write like a text, character by character.

    An embedding, recurrent layers and a softmax over the characters, trained by truncated backpropagation
    through time with the state carried from window to window.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn"}, default "lstm"
        Recurrent cell.
    num_layers : int, default 1
        Recurrent layers on top of each other.
    hidden_size : int, default 256
        Units of each.
    embedding_size : int, default 64
        Width of a character's vector.
    dropout : float, default 0.0
        Probability in [0, 1) of dropping elements before and after every recurrent layer. Worth its time when
        the text is small and is read many times.
    recurrent_dropout : float, default 0.0
        Variational dropout on the recurrent path, the same for all steps of a window.
    seq_len : int, default 128
        Characters of a window: as far as gradients reach back.
    batch_size : int, default 32
        Places of the text that are read at once. Fewer are used where the text is so short that there would
        be less than 8 windows for each.
    epochs : int, optional
        Passes over the text. Default: as many as `max_seconds` allows, else 10, and more where the text is so
        short that they make less than 1,000 steps.
    max_seconds : float, optional
        Train for so long, validation included, and anneal the learning rate to fit. What comes out then
        depends on the speed of the machine.
    learning_rate : float, default 0.003
        The largest one.
    optimizer : {"adam", "adamw", "rmsprop", "adagrad", "sgd"}, default "adam"
        ``"sgd"`` has a momentum of 0.9.
    schedule : {"cosine", "constant"}, default "cosine"
        Course of the learning rate; ``"cosine"`` falls to a hundredth of it.
    weight_decay : float, default 0.0
    clip_norm : float, optional, default 1.0
        Largest Euclidean norm of the gradients together. None: no limit.
    validation_fraction : float, default 0.05
        Part of the characters, at the end of the text, that is held out and measured after every epoch; the
        weights that were best there are kept. 0: train on everything and keep the last weights.
    patience : int, optional
        Stop after so many epochs without progress on the held-out part.
    min_count : int, default 1
        Characters that occur less often are learned as the unknown character.
    random_state : int, numpy.random.RandomState or None, default None
        Seed. The same int gives the same weights, bit for bit, on any number of threads (but see
        `max_seconds`).
    n_threads : int, optional
        Threads while training and scoring. Default: as set by :func:`fastrnn.set_num_threads`.
    checkpoint : path-like, optional
        File to continue from after an interruption (see `fit`).
    checkpoint_every : float, optional, default 60.0
        Seconds between checkpoints.
    progress : bool or callable, default False
        True shows progress on standard error; a callable is given every
        :class:`fastrnn.training.TrainingEvent` and stops training by returning a true value. It may call
        `generate` of the estimator in training.

    Attributes
    ----------
    vocabulary_ : fastrnn.data.Vocabulary
        Characters of the training text.
    model_ : fastrnn.layers.Sequential
        The network. Its symbols are the indices of `vocabulary_` and one more, which precedes a document.
    history_ : fastrnn.training.History
        Course of the training; losses in nats (divide by ln 2 for bits).
    seed_ : int
        The seed that was used.
    n_characters_ : int
        Characters that were trained on.

    Notes
    -----
    A character is a Unicode code point. All kinds of line ends in files are read as line feeds.

    *Unknown characters.* A character that is not in `vocabulary_` is read as the unknown character. What it
    costs in `bits_per_char` is the price of the unknown character, for which a share of
    1 / (n_characters_ + 1) of every prediction is reserved, and log2 of the number of code points outside the
    vocabulary (20.1 bits): so the figure is the length of a code from which the text can be restored. The
    unknown character is never generated.

    *Documents.* In a list every text is a document: the state is zero at its beginning, and no character is
    predicted from an earlier document.

    References
    ----------
    A. Graves: Generating sequences with recurrent neural networks. arXiv:1308.0850, 2013.

    R. J. Williams and J. Peng: An efficient gradient-based algorithm for on-line training of recurrent
    network trajectories. Neural Computation 2(4), 1990.

    Examples
    --------
    >>> from fastrnn.tasks import TextGenerator
    >>> generator = TextGenerator(hidden_size=32, seq_len=16, batch_size=4, learning_rate=0.02,
    ...                           random_state=1)
    >>> generator = generator.fit("to be or not to be, that is the question. " * 30)
    >>> generator.generate(18, prompt="that is ", temperature=0)
    'the question. to b'
    >>> generator.bits_per_char("to be or not to be") < 1.0
    True
    """

    _unit: ClassVar[str] = "bits/char"
    _scale: ClassVar[float] = 1 / math.log(2)
    _items: ClassVar[str] = "char"

    vocabulary_: Vocabulary
    model_: Sequential
    n_characters_: int

    def __init__(
        self,
        cell: str = "lstm",
        *,
        num_layers: int = 1,
        hidden_size: int = 256,
        embedding_size: int = 64,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seq_len: int = 128,
        batch_size: int = 32,
        epochs: int | None = None,
        max_seconds: float | None = None,
        learning_rate: float = 0.003,
        optimizer: str = "adam",
        schedule: str = "cosine",
        weight_decay: float = 0.0,
        clip_norm: float | None = 1.0,
        validation_fraction: float = 0.05,
        patience: int | None = None,
        min_count: int = 1,
        random_state: Any = None,
        n_threads: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float | None = 60.0,
        progress: bool | Callable[..., Any] = False,
    ) -> None:
        self.cell = cell
        self.num_layers = num_layers
        self.hidden_size = hidden_size
        self.embedding_size = embedding_size
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.seq_len = seq_len
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
        self.min_count = min_count
        self.random_state = random_state
        self.n_threads = n_threads
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.progress = progress

    # Training

    def fit(self, X: Any, y: None = None, *, resume: bool = False) -> Self:
        """Learn from a text, from the beginning.

        Parameters
        ----------
        X : str, os.PathLike, or list of these
            A str is the text itself; a path names a UTF-8 file. A list holds documents.
        y : None
            Ignored; scikit-learn passes it.
        resume : bool, default False
            Continue the training whose state is in the file `checkpoint`, to the very weights it would have
            reached without the interruption. Text and settings must be the same, those excepted that only
            say for how long or where to train (`epochs`, `max_seconds`, `patience`, `n_threads`,
            `checkpoint_every`, `progress`); a `random_state` of None means the seed used before.

        Returns
        -------
        TextGenerator
            Itself.

        Raises
        ------
        ValueError
            If the text is empty, too short for one window or consists of one single character; if a file is
            not UTF-8, a setting is not acceptable, or the checkpoint belongs to another training.
        TypeError
            If `X` is not text.
        OSError
            If a file cannot be read or written.
        fastrnn.TrainingInterrupted
            After Ctrl-C (a KeyboardInterrupt). The estimator is then fitted as far as it got.
        fastrnn.NonFiniteLossError
            If training diverged.
        """
        self._check_settings()
        documents = read_documents(X)
        vocabulary = Vocabulary.from_text(documents, self.min_count)
        self._check_vocabulary(vocabulary, documents)
        train, held_out = split_documents(documents, self.validation_fraction)
        windows = self._windows(vocabulary, train, X)
        data = digest(*(vocabulary.encode(text) for text in documents))
        self.seed_ = self._resumed_seed(data) if resume else self._draw_seed()
        model = self._build(vocabulary)
        characters, held_out_characters = sum(map(len, train)), sum(map(len, held_out))

        def validation(model: Any) -> float:
            return code_length(model, vocabulary, held_out, characters) / held_out_characters / self._scale

        self._learned(model, vocabulary, characters)  # before the end: a progress function may generate
        self._train(
            model,
            windows,
            cross_entropy,
            validation=validation if held_out else None,
            data=data,
            items_per_step=windows.items_per_step,
            carry_state=True,
            resume=resume,
        )
        return self

    def partial_fit(self, X: Any, y: None = None) -> Self:
        """Go through a text once, starting from what has been learned.

        On an unfitted estimator the text fixes the vocabulary. Later texts are read with it, and their
        unknown characters teach what to expect of the unknown. Nothing is held out, the learning rate is
        constant and no checkpoint is written. The optimizer goes on where the last call left it.

        Parameters
        ----------
        X : str, os.PathLike, or list of these
            As for `fit`.
        y : None
            Ignored.

        Returns
        -------
        TextGenerator
            Itself.

        Raises
        ------
        ValueError, TypeError, OSError, fastrnn.TrainingInterrupted, fastrnn.NonFiniteLossError
            As `fit`.
        """
        self._check_settings()
        documents = read_documents(X)
        fitted = self.__sklearn_is_fitted__()
        vocabulary = self.vocabulary_ if fitted else Vocabulary.from_text(documents, self.min_count)
        self._check_vocabulary(vocabulary, documents)
        windows = self._windows(vocabulary, documents, X)
        if not fitted:
            self.seed_ = self._draw_seed()
            self._learned(self._build(vocabulary), vocabulary, 0)
        self._train_once(
            self.model_, windows, cross_entropy, items_per_step=windows.items_per_step, carry_state=True
        )
        self.n_characters_ += sum(map(len, documents))
        return self

    def _check_settings(self) -> None:
        self._check_training_settings()
        check_choice("cell", self.cell, CELLS)
        for name in ("num_layers", "hidden_size", "embedding_size", "seq_len", "batch_size", "min_count"):
            check_positive_int(name, getattr(self, name))
        for name in ("dropout", "recurrent_dropout"):
            check_probability(name, getattr(self, name), allow_one=False)

    def _check_vocabulary(self, vocabulary: Vocabulary, documents: list[str]) -> None:
        if not vocabulary.characters:
            raise ValueError(f"no character of X occurs min_count={self.min_count} times")
        if len(set().union(*documents)) == 1:
            raise ValueError(f"X is the character {documents[0][0]!r} over and over: nothing can be learned")

    def _windows(self, vocabulary: Vocabulary, documents: list[str], X: Any) -> DocumentWindows:
        ids = encode_documents(vocabulary, documents)
        steps = ids.size - 1
        if steps < self.seq_len:
            hint = "give more text or a smaller seq_len"
            if isinstance(X, str) and os.path.exists(X):
                hint = f"to read the file {X!r} pass pathlib.Path({X!r})"
            raise ValueError(
                f"X leaves {steps} characters to train on, which is less than one window of "
                f"seq_len={self.seq_len}: {hint}"
            )
        rows = max(1, min(self.batch_size, steps // (_LEAST_WINDOWS * self.seq_len)))
        return DocumentWindows(ids, rows, self.seq_len, start_symbol(vocabulary))

    def _build(self, vocabulary: Vocabulary) -> Sequential:
        return build_model(
            self.cell,
            start_symbol(vocabulary) + 1,
            num_layers=self.num_layers,
            hidden_size=self.hidden_size,
            embedding_size=self.embedding_size,
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
            seed=np.random.SeedSequence(self.seed_),
        )

    def _learned(self, model: Sequential, vocabulary: Vocabulary, characters: int) -> None:
        self.model_, self.vocabulary_, self.n_characters_ = model, vocabulary, characters

    def quantize(self, format: str) -> Self:
        """Copy the fitted estimator with weights of fewer bits: several times faster in generating.

        Parameters
        ----------
        format : {"int8", "bfloat16"}
            As for :meth:`fastrnn.Layer.quantize`.

        Returns
        -------
        TextGenerator
            It generates, scores, and is saved and loaded like any other. `partial_fit` needs the original.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError
            If `format` is another one.

        Examples
        --------
        >>> from fastrnn.tasks import TextGenerator
        >>> text = "to be or not to be, that is the question. " * 30
        >>> generator = TextGenerator(hidden_size=32, seq_len=16, random_state=1).fit(text)
        >>> small = generator.quantize("int8")
        >>> abs(small.bits_per_char(text) - generator.bits_per_char(text)) < 0.02
        True
        """
        self._check_fitted()
        twin = copy.copy(self)
        twin.model_ = self.model_.quantize(format)
        twin._optimizer = None
        return twin

    # Generation

    def stream(
        self,
        n: int | None = None,
        prompt: str = "",
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """Generate text, character by character.

        Whole blocks are computed by the engine, the first of them a single character, so that the first one
        comes at once and the others cost next to nothing in Python.

        Parameters
        ----------
        n : int, optional
            Number of characters. Default: without end.
        prompt : str, default ""
            Text that is continued (and not repeated). Without it a document begins.
        temperature : float, default 1.0
            The logits are divided by it: below 1 more predictable, above 1 wilder. 0 always takes the most
            likely character.
        top_k : int, optional
            Choose among the k most likely characters only.
        top_p : float, optional
            Choose among the smallest set of most likely characters that has at least this probability
            (nucleus sampling [1]_), in (0, 1].
        seed : int, optional
            The same seed gives the same text. Default: a fresh one.

        Returns
        -------
        iterator of str
            Single characters. It works on a snapshot of the weights.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError, TypeError
            If an argument is not as described.

        References
        ----------
        .. [1] A. Holtzman et al.: The curious case of neural text degeneration. ICLR 2020.

        Examples
        --------
        >>> from fastrnn.tasks import TextGenerator
        >>> generator = TextGenerator(hidden_size=8, seq_len=8, random_state=1).fit("hello world. " * 20)
        >>> "".join(generator.stream(5, "hello ", seed=1)) == generator.generate(5, "hello ", seed=1)
        True
        """
        self._check_fitted()
        if n is not None:
            n = check_int("n", n, low=0)
        if not isinstance(prompt, str):
            raise TypeError(f"prompt must be a str, got {type(prompt).__name__}")
        return sample_characters(
            self.model_,
            self.vocabulary_,
            n,
            prompt,
            temperature=check_float("temperature", temperature, low=0.0),
            top_k=0 if top_k is None else check_positive_int("top_k", top_k),
            top_p=1.0 if top_p is None else check_float("top_p", top_p, low=0.0, high=1.0, open_low=True),
            rng=np.random.default_rng(seed),
        )

    def generate(
        self,
        n: int,
        prompt: str = "",
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> str:
        """Generate `n` characters; everything else is as for `stream`.

        Returns
        -------
        str
            Of length `n`; the prompt is not repeated.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `stream`.
        """
        check_int("n", n, low=0)
        return "".join(self.stream(n, prompt, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed))

    # Evaluation

    def bits_per_char(self, X: Any, *, exact: bool = False) -> float:
        """Average bits that the model needs for a character of a text; lower is better.

        The length of a code from which the text could be restored, over its characters; see the notes on
        unknown characters above.

        Parameters
        ----------
        X : str, os.PathLike, or list of these
            As for `fit`.
        exact : bool, default False
            Texts of 8,192 characters and more are read in up to 128 pieces side by side, each after the
            512 characters before it, which is many times faster. The figure is that of a model with a
            shorter memory, a valid code all the same. True reads every text from its beginning to its end.

        Returns
        -------
        float

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError, TypeError, OSError
            If `X` is empty, not text or not readable.
        """
        self._check_fitted()
        documents = read_documents(X)
        with self._threads():
            bits = code_length(self.model_, self.vocabulary_, documents, self.n_characters_, exact=exact)
        return bits / sum(map(len, documents))

    def score(self, X: Any, y: None = None) -> float:
        """Negative `bits_per_char`, so that greater is better, as scikit-learn's model selection expects."""
        return -self.bits_per_char(X)

    # scikit-learn and files

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = False
        tags.non_deterministic = self.random_state is None or self.max_seconds is not None
        return tags

    def _fitted_metadata(self) -> dict[str, Any]:
        return {"characters": self.vocabulary_.characters, "n_characters": self.n_characters_}

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        self.vocabulary_ = Vocabulary(content["characters"])
        self.n_characters_ = int(content["n_characters"])
