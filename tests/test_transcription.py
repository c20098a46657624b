"""SequenceTranscriber as users meet it, and the judgement of label sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from fastrnn.backend import num_threads
from fastrnn.errors import TrainingInterrupted
from fastrnn.tasks import SequenceClassifier, SequenceTranscriber
from fastrnn.tasks._evaluation import edit_distance, evaluate_transcriptions
from fastrnn.training import TrainingEvent

RNG = np.random.default_rng(0)
SPANS = {"-": (6, 9), ".": (2, 4)}


def send(word: str) -> np.ndarray:
    """Long and short signals with pauses between."""
    parts = [[0.0] * RNG.integers(1, 3) + [1.0] * RNG.integers(*SPANS[c]) for c in word]
    return np.concatenate([*parts, [0.0]]).astype(np.float32)


WORDS = ["".join(RNG.choice(["-", "."], size)) for size in RNG.integers(1, 5, size=240)]
X = [send(word) for word in WORDS]
SMALL: dict[str, Any] = {"hidden_size": 6, "epochs": 2, "random_state": 3}


def small(**settings: Any) -> SequenceTranscriber:
    return SequenceTranscriber(**{**SMALL, **settings})


@pytest.fixture(scope="module")
def fitted() -> SequenceTranscriber:
    return SequenceTranscriber(hidden_size=16, epochs=30, learning_rate=0.02, random_state=0).fit(
        X[:200], WORDS[:200]
    )


def assert_same(first: Any, second: Any) -> None:
    a, b = first.model_.state_dict(), second.model_.state_dict()
    assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


# Learning


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_it_learns_where_nobody_said_what_stands(fitted: SequenceTranscriber, decoder: str) -> None:
    transcriber = clone(fitted).set_params(decoder=decoder)
    transcriber.__dict__.update({k: v for k, v in vars(fitted).items() if k.endswith("_") or k == "_text"})
    evaluation = transcriber.evaluate(X[200:], WORDS[200:])
    assert evaluation.rows == 40 and evaluation.labels == sum(map(len, WORDS[200:]))
    assert evaluation.label_error_rate < 0.05 and evaluation.sequence_accuracy > 0.9
    assert transcriber.score(X[200:], WORDS[200:]) == 1 - evaluation.label_error_rate
    assert set(map(type, transcriber.predict(X[:3]))) == {str}


def test_labels_are_of_the_type_that_was_given() -> None:
    numbers = [[10 if c == "-" else 20 for c in word] for word in WORDS]
    transcriber = small(epochs=40, hidden_size=16, learning_rate=0.02).fit(X, numbers)
    assert transcriber.classes_.tolist() == [10, 20]
    found = transcriber.predict(X[:5])
    assert all(one.dtype.kind == "i" and set(one.tolist()) <= {10, 20} for one in found)
    assert transcriber.evaluate(X, numbers).label_error_rate < 0.1


def test_an_empty_label_sequence_is_legal() -> None:
    transcriber = small().fit([*X[:50], np.zeros(4, np.float32)], [*WORDS[:50], ""])
    assert transcriber.evaluate(X[:3], ["", "", ""]).labels == 0


def test_the_answer_does_not_depend_on_what_else_is_read(fitted: SequenceTranscriber) -> None:
    assert [fitted.predict([x])[0] for x in X[:20]] == fitted.predict(X[:20])


# scikit-learn, files, interruption


def test_seeds_threads_and_model_selection() -> None:
    first = small().fit(X, WORDS)
    with num_threads(1):
        assert_same(first, small().fit(X, WORDS))
    with num_threads(2):
        assert_same(first, small().fit(X, WORDS))
    scores = cross_val_score(small(), X, WORDS, cv=3)
    assert scores.shape == (3,) and np.isfinite(scores).all()
    with pytest.raises(NotFittedError):
        small().predict(X)


def test_files(fitted: SequenceTranscriber, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    loaded = SequenceTranscriber.load(tmp_path / "m")
    assert loaded.predict(X) == fitted.predict(X)
    assert loaded.classes_.tolist() == fitted.classes_.tolist()
    assert loaded.get_params() == fitted.get_params()
    with pytest.raises(ValueError, match="not a SequenceClassifier"):
        SequenceClassifier.load(tmp_path / "m")


def test_interrupted_and_resumed(tmp_path: Path) -> None:
    def press(event: TrainingEvent) -> None:
        if event.kind == "step" and event.total_steps == 9:
            raise KeyboardInterrupt

    whole = small(epochs=3).fit(X, WORDS)
    part = small(epochs=3, checkpoint=tmp_path / "c", progress=press)
    with pytest.raises(TrainingInterrupted):
        part.fit(X, WORDS)
    assert len(part.predict(X)) == len(X)
    part.set_params(progress=False).fit(X, WORDS, resume=True)
    assert_same(whole, part)


# What it refuses


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, ValueError, "y must hold a label sequence"),
        ("-.", TypeError, "y must be a list of label sequences, got str"),
        (WORDS[:-1], ValueError, "as many entries as X has sequences"),
        ([1, *WORDS[1:]], TypeError, r"y\[0\] must be a label sequence"),
        (["-" * 50, *WORDS[1:]], ValueError, r"y\[0\] has 50 labels, which need 99 steps"),
        ([""] * len(WORDS), ValueError, "empty label sequences only"),
        (["-"] * len(WORDS), ValueError, "at least two classes"),
        ([[1, "-"], *WORDS[1:]], ValueError, "labels of one type"),
        ([[np.nan], *[[1.0]] * (len(WORDS) - 1)], ValueError, "missing values"),
    ],
)
def test_labels_that_do_not_do(y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small().fit(X, y)


@pytest.mark.parametrize(
    ("settings", "error"), [({"decoder": "best"}, ValueError), ({"beam_width": 0}, ValueError)]
)
def test_settings_that_do_not_do(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(settings))):
        small(**settings).fit(X, WORDS)


# Judgement


@given(st.text("ab", max_size=8), st.text("ab", max_size=8), st.text("ab", max_size=8))
def test_edit_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert edit_distance(a, a) == 0
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, b) == edit_distance(b, a) >= abs(len(a) - len(b))
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


def test_figures() -> None:
    assert edit_distance("kitten", "sitting") == 3
    evaluation = evaluate_transcriptions(["abc", "de"], ["axc", "de"])
    assert evaluation.label_error_rate == 1 / 5 and evaluation.sequence_accuracy == 0.5
    assert evaluation.to_dict() == {
        "rows": 2,
        "labels": 5,
        "label_error_rate": 0.2,
        "sequence_accuracy": 0.5,
    }
    assert "0.2000" in str(evaluation)
