"""Tokenizers of short texts: words as people write them, characters, or learned subwords.

A. A tokenizer cuts a text into tokens and names what is known of each: its normal form, its shape, and parts
   of it, so that something is known of a word that was never seen.
B. Words come from one regular expression, whose alternatives differ in how they begin: a text costs time in
   proportion to its length.
C. A text is read up to `max_tokens` tokens, and 24 characters for each: a text of 100 MB costs no more than
   one of that length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, ClassVar, NamedTuple

from fastrnn._checks import check_choice, check_positive_int
from fastrnn.errors import require

__all__ = [
    "LEVELS",
    "SHAPES",
    "CharacterTokenizer",
    "SubwordTokenizer",
    "Token",
    "Tokenizer",
    "WordTokenizer",
    "make_tokenizer",
    "restore_tokenizer",
]

SHAPES = ("lower", "Title", "UPPER", "elongated", "negation", "number", "url", "user", "hashtag", "symbol")
"""How a token is written."""

_CHARACTERS_PER_TOKEN = 24  # at most, of the part of a text that is read: words have 5, web addresses 23
_LONGEST_WORD = 40  # characters that tell words apart

# Scripts written without spaces, where a character is a token: Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Marks that stand inside words but are no \w: combining accents, vowel points, signs of Indic scripts.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f"
    "\u0981-\u0983\u09bc-\u09cd\u0a01-\u0a4d\u0a81-\u0acd\u0b01-\u0b4d\u0b82-\u0bcd\u0c00-\u0c4d\u0c81-\u0ccd"
    "\u0d00-\u0d4d"
)
_LETTER = rf"(?:[^\W{_UNSPACED}]|[{_MARKS}])"
_JOINED = "\ufe0e\ufe0f\u200d\u20e3\U0001f3fb-\U0001f3ff"  # what an emoji may be followed by

_TOKEN = re.compile(
    r"(?:https?://|www\.)[^\s<>\"]+"  # web address
    r"|[@#]\w+"  # user, hashtag
    r"|[<>]?[:;=8xX][-o*']?[)\](\[dDpPoO/\\|@3*]+(?!\w)|<3+|\^_*\^"  # face
    rf"|\d+(?:[.,:/]\d+)*{_LETTER}*"  # number, date, time, with its unit
    rf"|{_LETTER}+(?:['’]{_LETTER}+)*"  # word, with its apostrophes
    rf"|[\u2190-\u2bff\U0001f000-\U0001faff](?:[{_JOINED}]|(?<=\u200d)[\u2190-\u2bff\U0001f000-\U0001faff])*"
    r"|[!?]+|\.{2,}|-{2,}|\*{2,}|~+|…+"  # emphasis
    r"|\S"
)
_ELONGATED = re.compile(r"([^\W\d])\1{2,}")
_DIGIT = re.compile(r"\d")
_WITH_NT = ("do", "does", "did", "can", "could", "wo", "would", "should", "is", "are", "was", "were", "ai")
_NEGATIONS = frozenset(
    ["no", "not", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "cannot", "without"]
    + ["hardly", "barely", "scarcely"]
    + [f"{verb}nt" for verb in (*_WITH_NT, "have", "has", "had")]  # the apostrophe is often left out
)


class Token(NamedTuple):
    """A piece of a text: ``text[start:end]``."""

    text: str
    start: int
    end: int


class Tokenizer:
    """What all tokenizers share; a subclass says how a text is cut and what is known of a token.

    Parameters
    ----------
    max_tokens : int, default 256
        Tokens of a text that are read; the rest of it is ignored.
    """

    level: ClassVar[str]
    features: ClassVar[tuple[str, ...]]
    """Names of what `describe` gives."""
    embedded: ClassVar[int]
    """How many of them, from the first on, are enough for a network; the others suit a linear model."""
    orders: ClassVar[int]
    """Longest sequence of tokens that is worth being known as a whole."""

    def __init__(self, max_tokens: int = 256) -> None:
        self.max_tokens = check_positive_int("max_tokens", max_tokens)

    def split(self, text: str) -> list[str]:
        """The tokens of a text."""
        raise NotImplementedError

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a text and where they stand in it."""
        raise NotImplementedError

    def describe(self, token: str) -> tuple[str, ...]:
        """What is known of a token, in the order of `features`; an empty str if there is nothing."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """What `restore_tokenizer` makes the same tokenizer from, in types that JSON has."""
        return {"level": self.level, "max_tokens": self.max_tokens}

    def _head(self, text: str) -> str:
        return text[: self.max_tokens * _CHARACTERS_PER_TOKEN]


class WordTokenizer(Tokenizer):
    """Words, numbers, web addresses, users, hashtags, emoji, faces such as :-) and punctuation.

    Parameters
    ----------
    max_tokens : int, default 256
        Tokens of a text that are read, in its first 24 characters for each of them.

    Notes
    -----
    The *form* of a word is in lower case and of at most 40 characters; all web addresses are one word.
    Letters repeated more than twice ("soooo") and signs ("!!!!") are repeated twice, and digits are zeros in
    numbers of three and more. Its *shape* is its case, or that it is elongated, a negation ("n't" at its end,
    and words such as never), a number, an address, a user, a hashtag or a symbol. *Parts* are its first 3, 4
    and 5 letters and its last 3, without the sign of a hashtag: by them something is known of words never
    seen. In scripts that are written without spaces every character is a word.

    Examples
    --------
    >>> from fastrnn.data.tokens import WordTokenizer
    >>> tokenizer = WordTokenizer()
    >>> tokenizer.split("@jo didn't like it :-( soooo BAD!!! #fail http://t.co/x1 \U0001f621")
    ['@jo', "didn't", 'like', 'it', ':-(', 'soooo', 'BAD', '!!!', '#fail', 'http://t.co/x1', '😡']
    >>> tokenizer.describe("SOOOO"), tokenizer.describe("didn't")
    (('soo', 'elongated', '', 'soo', '', ''), ("didn't", 'negation', 'didn', 'did', "didn'", "n't"))
    >>> tokenizer.tokens("so good")
    [Token(text='so', start=0, end=2), Token(text='good', start=3, end=7)]
    """

    level = "word"
    features = ("word", "shape", "first 4", "first 3", "first 5", "last 3")
    embedded = 3
    orders = 2

    def split(self, text: str) -> list[str]:
        """The words of a text."""
        return _TOKEN.findall(self._head(text))[: self.max_tokens]

    def tokens(self, text: str) -> list[Token]:
        """The words of a text and where they stand in it."""
        found = islice(_TOKEN.finditer(self._head(text)), self.max_tokens)
        return [Token(match[0], *match.span()) for match in found]

    def describe(self, token: str) -> tuple[str, ...]:
        """Form, shape and parts of a word."""
        shape = _shape(token)
        if shape == "url":
            return ("http://", shape, "", "", "", "")
        word = _ELONGATED.sub(r"\1\1", token.lower().replace("\u2019", "'"))[:_LONGEST_WORD]
        if shape == "symbol":
            return (word[:2] if len(set(word)) == 1 else word, shape, "", "", "", "")
        if shape == "number" and len(word) > 2:
            word = _DIGIT.sub("0", word)
        stem = word[1:] if shape in ("user", "hashtag") else word
        parts = [stem[:size] if len(stem) >= size else "" for size in (4, 3, 5)]
        return (word, shape, *parts, stem[-3:] if len(stem) > 3 else "")


class CharacterTokenizer(Tokenizer):
    """Characters, and what kind each is.

    Parameters
    ----------
    max_tokens : int, default 256
        Characters of a text that are read.

    Examples
    --------
    >>> from fastrnn.data.tokens import CharacterTokenizer
    >>> CharacterTokenizer(2).tokens("Hi!")
    [Token(text='H', start=0, end=1), Token(text='i', start=1, end=2)]
    >>> CharacterTokenizer().describe("H")
    ('h', 'UPPER')
    """

    level = "character"
    features = ("character", "kind")
    embedded = 2
    orders = 5

    def split(self, text: str) -> list[str]:
        """The characters of a text."""
        return list(text[: self.max_tokens])

    def tokens(self, text: str) -> list[Token]:
        """The characters of a text and where they stand in it."""
        return [Token(character, i, i + 1) for i, character in enumerate(text[: self.max_tokens])]

    def describe(self, token: str) -> tuple[str, ...]:
        """The character in lower case, and its kind."""
        if token.isspace():
            return (" ", "space")
        lower = token.lower()
        if token.isalpha():
            return (lower, "lower" if token == lower else "UPPER")
        return (token, "number" if token.isdecimal() else "symbol")


class SubwordTokenizer(Tokenizer):
    """Pieces of words that are frequent in the training texts: byte-pair encoding [1]_ of their UTF-8 bytes.

    Needs Hugging Face's ``tokenizers`` (``pip install "fastrnn[subword]"``).

    Parameters
    ----------
    model : str
        JSON of a ``tokenizers.Tokenizer``.
    max_tokens : int, default 256
        Pieces of a text that are read, in its first 24 characters for each of them.

    References
    ----------
    .. [1] R. Sennrich, B. Haddow, A. Birch: Neural machine translation of rare words with subword units. ACL
       2016.
    """

    level = "subword"
    features = ("piece", "shape")
    embedded = 2
    orders = 2

    def __init__(self, model: str, max_tokens: int = 256) -> None:
        super().__init__(max_tokens)
        self._model = require("tokenizers", "subword").Tokenizer.from_str(model)

    @classmethod
    def from_texts(
        cls, texts: Iterable[str], max_tokens: int = 256, vocabulary: int = 8000
    ) -> SubwordTokenizer:
        """Learn the pieces from texts.

        Parameters
        ----------
        texts : iterable of str
        max_tokens : int, default 256
        vocabulary : int, default 8000
            Pieces at most; 256 of them are the bytes.
        """
        tokenizers = require("tokenizers", "subword")
        model = tokenizers.Tokenizer(tokenizers.models.BPE())
        model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=max(256, vocabulary),
            show_progress=False,
            initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        )
        limit = max_tokens * _CHARACTERS_PER_TOKEN
        model.train_from_iterable((text[:limit] for text in texts), trainer)
        return cls(model.to_str(), max_tokens)

    def split(self, text: str) -> list[str]:
        """The pieces of a text."""
        return [token.text for token in self.tokens(text)]

    def tokens(self, text: str) -> list[Token]:
        """The pieces of a text and where they stand in it, without the space before them."""
        head = self._head(text)
        # A lone surrogate is no Unicode; the library refuses it.
        found = self._model.encode(head.encode("utf-8", "replace").decode("utf-8"))
        tokens = []
        for start, end in found.offsets[: self.max_tokens]:
            piece = head[start:end]
            start += len(piece) - len(piece.lstrip()) if piece.strip() else 0
            tokens.append(Token(head[start:end], start, end))
        return tokens

    def describe(self, token: str) -> tuple[str, ...]:
        """The piece in lower case, and its shape."""
        return (token.lower(), _shape(token) if token.strip() else "symbol")

    def to_dict(self) -> dict[str, Any]:
        """What `restore_tokenizer` makes the same tokenizer from."""
        return {**super().to_dict(), "model": json.loads(self._model.to_str())}


LEVELS: dict[str, type[Tokenizer]] = {
    kind.level: kind for kind in (WordTokenizer, CharacterTokenizer, SubwordTokenizer)
}


def make_tokenizer(level: str, texts: Iterable[str], max_tokens: int, vocabulary: int) -> Tokenizer:
    """Make the tokenizer of a level: ``"word"``, ``"character"``, or ``"subword"``, learned from the texts.

    Raises
    ------
    ValueError
        If there is no such level.
    MissingExtraError
        If the level needs a package that is not installed.
    """
    check_choice("level", level, LEVELS)
    if level == "subword":
        return SubwordTokenizer.from_texts(texts, max_tokens, vocabulary)
    return LEVELS[level](max_tokens)


def restore_tokenizer(content: Mapping[str, Any]) -> Tokenizer:
    """Make a tokenizer again from what `to_dict` gave."""
    if content["level"] == "subword":
        return SubwordTokenizer(json.dumps(content["model"]), content["max_tokens"])
    return LEVELS[content["level"]](content["max_tokens"])


def _shape(token: str) -> str:
    first = token[0]
    if first.isalpha():
        lower = token.lower()
        if lower.startswith(("http://", "https://", "www.")):
            return "url"
        if lower in _NEGATIONS or lower.endswith(("n't", "n\u2019t")):
            return "negation"
        if _ELONGATED.search(lower):
            return "elongated"
        if token == lower:
            return "lower"
        return "UPPER" if len(token) > 1 and token == token.upper() else "Title"
    if len(token) > 1 and first in "@#":
        return "user" if first == "@" else "hashtag"
    return "number" if first.isdecimal() else "symbol"
