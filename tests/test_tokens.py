"""Tokenizers and the features that are learned from their tokens."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from fastrnn.data.tokens import (
    LEVELS,
    SHAPES,
    CharacterTokenizer,
    SubwordTokenizer,
    Tokenizer,
    WordTokenizer,
    make_tokenizer,
    restore_tokenizer,
)
from fastrnn.errors import MissingExtraError
from fastrnn.tasks._tokens import TextFeatures

HAS_TOKENIZERS = importlib.util.find_spec("tokenizers") is not None
TEXTS = ["good food, good mood", "bad food", "not good :-(", ""]
ANY_TEXT = st.text(st.characters(), max_size=80) | st.text(
    "aA1 .!?'’@#:-)(<3/\u200d\u0301😡👍🏽漢ไ", max_size=80
)


def tokenizers(max_tokens: int = 256) -> list[Tokenizer]:
    made: list[Tokenizer] = [WordTokenizer(max_tokens), CharacterTokenizer(max_tokens)]
    if HAS_TOKENIZERS:
        made.append(SubwordTokenizer.from_texts(TEXTS, max_tokens, 300))
    return made


# Any text


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
def test_tokens_are_pieces_of_the_text_in_order(text: str) -> None:
    for tokenizer in tokenizers()[:2]:
        tokens = tokenizer.tokens(text)
        assert [token.text for token in tokens] == tokenizer.split(text)
        last = 0
        for token in tokens:
            assert last <= token.start < token.end and text[token.start : token.end] == token.text
            last = token.end
        read = "".join(token.text for token in tokens)
        assert "".join(read.split()) == "".join(text.split())  # nothing but spaces is left out


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
def test_everything_is_described(text: str) -> None:
    for tokenizer in tokenizers()[:2]:
        for token in tokenizer.split(text):
            described = tokenizer.describe(token)
            assert len(described) == len(tokenizer.features)
            assert all(isinstance(value, str) for value in described) and described[0]
        assert tokenizer.level != "word" or all(
            tokenizer.describe(token)[1] in SHAPES for token in tokenizer.split(text)
        )


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY_TEXT, min_size=1, max_size=6), st.integers(1, 9), st.sampled_from(["word", "character"]))
def test_texts_encode_alone_as_together(texts: list[str], max_tokens: int, level: str) -> None:
    features = TextFeatures(make_tokenizer(level, texts, max_tokens, 100))
    encoded = features.fit(texts, most=100, least=1)
    restored = TextFeatures.from_dict(json.loads(json.dumps(features.to_dict())))
    assert (restored.size, restored.embedded_size) == (features.size, features.embedded_size)
    for text, ids in zip(texts, encoded, strict=True):
        assert ids.shape[0] == max(1, len(features.tokenizer.split(text))) <= max_tokens
        assert ids.min() >= 0 and ids.max() < features.size
        assert ids[:, : features.tokenizer.embedded].max() < features.embedded_size
        for reader in (features, restored):
            np.testing.assert_array_equal(reader.encode([text])[0], ids)


@pytest.mark.parametrize(
    "piece",
    ["a", "1", "1.", "'a", "a'", "@", "#", ":", ":-", "<", "!", "http://", "é\u0301", "\u200d👍", "(", " "],
)
def test_long_runs_of_anything(piece: str) -> None:
    """They would not end if an expression tried its ways again and again."""
    tokenizer = WordTokenizer(20_000)
    text = piece * 100_000
    assert sum(map(len, tokenizer.split(text))) <= 24 * 20_000


@pytest.mark.parametrize("tokenizer", tokenizers(8), ids=lambda tokenizer: tokenizer.level)
def test_only_the_beginning_is_read(tokenizer: Tokenizer) -> None:
    text = "so it goes " * 10_000_000  # 110 MB
    assert len(tokenizer.split(text)) == 8
    assert tokenizer.split(text) == tokenizer.split(text[:200])
    assert len(tokenizer.split("a" * 100_000_000)) <= 24 * 8


# Words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don’t go.", ["Don’t", "go", "."]),
        ("see www.example.org/a?b=c now", ["see", "www.example.org/a?b=c", "now"]),
        ("#fail @jo :) <3 ;-P", ["#fail", "@jo", ":)", "<3", ";-P"]),
        ("at 12:30, 3.50€ 5km", ["at", "12:30", ",", "3.50", "€", "5km"]),
        ("WOW!!! hm... ok -- *", ["WOW", "!!!", "hm", "...", "ok", "--", "*"]),
        ("👍🏽👩‍💻😡😡", ["👍🏽", "👩‍💻", "😡", "😡"]),
        ("naïve Ärger cafe\u0301", ["naïve", "Ärger", "cafe\u0301"]),
        ("東京 สวัสดี", [*"東京", *"สวัสดี"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert WordTokenizer().split(text) == words


@pytest.mark.parametrize(
    ("token", "word", "shape"),
    [
        ("Good", "good", "Title"),
        ("GOOD", "good", "UPPER"),
        ("I", "i", "Title"),
        ("cooool", "cool", "elongated"),
        ("won’t", "won't", "negation"),
        ("DIDNT", "didnt", "negation"),
        ("never", "never", "negation"),
        ("1999", "0000", "number"),
        ("42", "42", "number"),
        ("!!!!!", "!!", "symbol"),
        ("HTTPS://a.b", "http://", "url"),
        ("@Jo", "@jo", "user"),
        ("#Fail", "#fail", "hashtag"),
    ],
)
def test_form_and_shape(token: str, word: str, shape: str) -> None:
    assert WordTokenizer().describe(token)[:2] == (word, shape)


def test_a_hashtag_shares_the_parts_of_its_word() -> None:
    tokenizer = WordTokenizer()
    assert tokenizer.describe("#wonderful")[2:] == tokenizer.describe("wonderful")[2:]


# Making and keeping


def test_levels_are_checked() -> None:
    with pytest.raises(ValueError, match=r"level must be .*got 'sentence'"):
        make_tokenizer("sentence", TEXTS, 256, 100)
    with pytest.raises(ValueError, match="max_tokens"):
        WordTokenizer(0)
    assert set(LEVELS) == {"word", "character", "subword"}


@pytest.mark.parametrize("tokenizer", tokenizers(5), ids=lambda tokenizer: tokenizer.level)
def test_tokenizers_are_restored(tokenizer: Tokenizer) -> None:
    again = restore_tokenizer(json.loads(json.dumps(tokenizer.to_dict())))
    text = "Good food \ud800 and 😡 more of it"
    assert type(again) is type(tokenizer) and again.tokens(text) == tokenizer.tokens(text)


@pytest.mark.skipif(HAS_TOKENIZERS, reason="tokenizers is installed")
def test_subwords_name_what_is_missing() -> None:
    with pytest.raises(MissingExtraError, match="tokenizers"):
        make_tokenizer("subword", TEXTS, 256, 300)


@pytest.mark.skipif(not HAS_TOKENIZERS, reason="tokenizers is not installed")
@settings(max_examples=50, deadline=None)
@given(ANY_TEXT)
def test_subwords_of_any_text(text: str) -> None:
    tokenizer = tokenizers()[2]
    for token in tokenizer.tokens(text):
        assert text[token.start : token.end] == token.text
        assert len(tokenizer.describe(token.text)) == len(tokenizer.features)


# Features


def test_frequent_values_are_known_and_weighed_by_how_rare_they_are() -> None:
    features = TextFeatures(WordTokenizer())
    first, second, third, empty = features.fit(TEXTS, most=100, least=2)
    words = features.sequence_features  # one feature: pairs
    assert words == {6: 2}
    good, food = first[0, 0], first[1, 0]
    assert good == first[3, 0] == third[1, 0] != 0 and food == second[1, 0] != 0
    assert first[4, 0] == second[0, 0] == 0  # mood, bad: in one text each
    assert not first[:, 6].any()  # no pair is in two texts
    assert not empty.any() and empty.shape == (1, 7)
    idf = np.repeat([value for _, value in features.runs], [count for count, _ in features.runs])
    assert len(idf) == features.size and idf[0] == 0
    assert idf[good] == pytest.approx(1 + np.log(5 / 3), rel=1e-5)  # as TfidfVectorizer(smooth_idf=True)


def test_the_most_frequent_are_kept() -> None:
    features = TextFeatures(WordTokenizer())
    encoded = features.fit(["a b", "a c", "a b", "b a"], most=2, least=1)
    assert [ids[:, 0].tolist() for ids in encoded] == [[1, 2], [1, 0], [1, 2], [2, 1]]
    assert features.encode(["c b zz"])[0][:, 0].tolist() == [0, 2, 0]


def test_a_pair_is_known_where_it_was_seen() -> None:
    features = TextFeatures(WordTokenizer())
    features.fit(["not good", "very good"], most=100, least=1)
    known, swapped, apart = features.encode(["not good", "good not", "not very good"])
    assert known[1, 6] and not swapped[1, 6]
    assert not apart[1, 6] and apart[2, 6] and apart[2, 6] != known[1, 6]


def test_pairs_do_not_cross_texts() -> None:
    features = TextFeatures(WordTokenizer())
    features.fit(["a b", "b a"], most=100, least=1)
    assert not any(ids[0, 6] for ids in features.encode(["a", "b", "a", "", "b"]))
