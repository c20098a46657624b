"""Vocabulary and windows: every character comes back, and windows continue each other."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fastrnn.data.text import UNKNOWN, UNKNOWN_CHARACTER, TextWindows, Vocabulary

# Surrogates too: they are what undecodable bytes become.
ANY_TEXT = st.text(st.characters(), max_size=50)


@given(ANY_TEXT)
def test_what_the_vocabulary_knows_comes_back(text: str) -> None:
    vocabulary = Vocabulary.from_text(text)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert ids.dtype == np.int64
    assert ids.shape == (len(text),)


@given(ANY_TEXT, ANY_TEXT)
def test_unknown_characters_become_index_0(text: str, other: str) -> None:
    vocabulary = Vocabulary.from_text(text)
    known = set(text) - {UNKNOWN_CHARACTER}
    ids = vocabulary.encode(other)
    assert [i == UNKNOWN for i in ids] == [c not in known for c in other]
    assert vocabulary.decode(ids) == "".join(c if c in known else UNKNOWN_CHARACTER for c in other)


def test_indices_follow_code_points_whatever_the_order_of_the_text() -> None:
    assert Vocabulary("hello") == Vocabulary("oleh") == Vocabulary.from_text(["he", "llo"])
    assert Vocabulary("hello").encode("eh").tolist() == [1, 2]
    assert Vocabulary("hello") != Vocabulary("help")
    assert hash(Vocabulary("ab")) == hash(Vocabulary("ba"))


def test_a_vocabulary_comes_back_from_its_characters_and_from_pickle() -> None:
    vocabulary = Vocabulary("añ𝄞\n")
    assert Vocabulary(vocabulary.characters) == vocabulary
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary
    assert repr(Vocabulary("ab")) == "Vocabulary('ab')"
    assert len(vocabulary) == 5
    assert "𝄞" in vocabulary
    assert "an" not in vocabulary
    assert "x" not in vocabulary


def test_an_empty_vocabulary_knows_nothing() -> None:
    vocabulary = Vocabulary("")
    assert len(vocabulary) == 1
    assert vocabulary.encode("abc").tolist() == [0, 0, 0]
    assert vocabulary.encode("").size == 0
    assert vocabulary.decode([]) == ""


def test_rare_characters_are_left_out() -> None:
    text = "aaabbccd"
    assert Vocabulary.from_text(text, min_count=2).characters == "abc"
    assert Vocabulary.from_text(text, max_size=3).characters == "ab"
    assert Vocabulary.from_text(text, max_size=1).characters == ""
    assert Vocabulary.from_text(text, min_count=3, max_size=100).characters == "a"


@pytest.mark.parametrize("ids", [[-1], [3], [0, 99]])
def test_decode_refuses_indices_outside(ids: list[int]) -> None:
    with pytest.raises(ValueError, match=r"ids must lie in 0\.\.2"):
        Vocabulary("ab").decode(ids)


def test_wrong_kinds_are_refused() -> None:
    vocabulary = Vocabulary("ab")
    with pytest.raises(TypeError, match="text must be a str, got bytes"):
        vocabulary.encode(b"ab")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ids"):
        vocabulary.decode([0.5])
    with pytest.raises(ValueError, match="ids must have shape"):
        vocabulary.decode([[1], [2]])
    with pytest.raises(ValueError, match="min_count"):
        Vocabulary.from_text("ab", min_count=0)
    with pytest.raises(ValueError, match="max_size"):
        Vocabulary.from_text("ab", max_size=0)


@given(length=st.integers(2, 60), batch_size=st.integers(1, 7), seq_len=st.integers(1, 20))
def test_windows_cover_the_streams_in_order(length: int, batch_size: int, seq_len: int) -> None:
    ids = np.arange(length)
    if length <= batch_size:
        with pytest.raises(ValueError, match=f"at least {batch_size + 1}"):
            TextWindows(ids, batch_size, seq_len)
        return
    windows = TextWindows(ids, batch_size, seq_len)
    first, again = list(windows), list(windows)
    assert len(first) == len(windows)
    for (x, y), (x2, y2) in zip(first, again, strict=True):
        assert x.shape == y.shape
        assert len(x) <= seq_len
        assert x.flags.c_contiguous and y.flags.c_contiguous
        np.testing.assert_array_equal(y, x + 1)
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    streams = np.concatenate([x for x, _ in first])
    steps = (length - 1) // batch_size
    np.testing.assert_array_equal(streams.T.ravel(), np.arange(steps * batch_size))
    assert all(len(x) == seq_len for x, _ in first[:-1])


def test_windows_refuse_what_they_cannot_cut() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        TextWindows([1, 2, 3], 0, 1)
    with pytest.raises(ValueError, match="seq_len"):
        TextWindows([1, 2, 3], 1, 0)
    with pytest.raises(ValueError, match="ids must have shape"):
        TextWindows([[1, 2, 3]], 1, 1)
    with pytest.raises(TypeError, match="ids"):
        TextWindows([0.0, 1.0], 1, 1)


def test_windows_do_not_change_with_the_array_they_came_from() -> None:
    ids = np.arange(10)
    windows = TextWindows(ids, 1, 9)
    ids[:] = 0
    x, y = next(iter(windows))
    assert x.ravel().tolist() == list(range(9))
    with pytest.raises(ValueError, match="read-only"):
        y[0] = 1
