"""Texts that the commands read: files, standard input, and known data sets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal

from fastrnn.data import sets
from fastrnn.data.ngram import NGramModel
from fastrnn.data.text import UNKNOWN
from fastrnn.tasks._text_model import spelling_bits
from fastrnn.tasks._texts import read_text_file

__all__ = ["CORPORA", "ngram_bits_per_char", "read_corpus", "read_texts"]

CORPORA = {
    "cpython-docs": sets.cpython_docs,
    "shakespeare": sets.shakespeare,
    "stdlib-source": sets.stdlib_source,
}


def read_texts(files: Sequence[str]) -> list[str]:
    """One document for each file; ``-`` is standard input."""
    return [_read_standard_input() if name == "-" else read_text_file(name) for name in files]


def _read_standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"standard input is not UTF-8 text: {error.reason} at byte {error.start}") from error


def read_corpus(name: str, part: Literal["train", "test"]) -> list[str]:
    """The training or the test part of a known text."""
    return [getattr(CORPORA[name](), part)]


def ngram_bits_per_char(train: Sequence[str], test: Sequence[str]) -> tuple[float, int]:
    """Bits per character of the best Witten-Bell n-gram model up to a context of 5, and its context.

    The context is chosen on the tested text itself, in favour of the baseline. Unknown characters are
    spelled out at the same price as in :meth:`fastrnn.tasks.TextGenerator.bits_per_char`.
    """
    model = NGramModel(order=5).fit(train)
    by_order = model.bits_per_char_by_order(test)
    best = min(range(len(by_order)), key=by_order.__getitem__)
    unknown = sum(int((model.vocabulary.encode(text) == UNKNOWN).sum()) for text in test)
    spelling = unknown * spelling_bits(model.vocabulary) / sum(map(len, test))
    return by_order[best] + spelling, best
