"""Inside the text generator: windows, code lengths against their definition, time budgets, progress."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from tolerances import CHI_SQUARED_2, code_length_tolerance

from fastrnn.data.text import Vocabulary
from fastrnn.layers.base import Parameter
from fastrnn.optim import SGD
from fastrnn.tasks import TextGenerator, _text_model
from fastrnn.tasks._budget import Budget
from fastrnn.tasks._texts import split_documents
from fastrnn.training import TrainingEvent

VOCABULARY = Vocabulary("abc")
START = 4
TEXT = "abcbacabcabbaccab" * 10


def make_model(seed: int = 0) -> Any:
    return _text_model.build_model(
        "lstm",
        START + 1,
        num_layers=2,
        hidden_size=8,
        embedding_size=4,
        dropout=0.3,
        recurrent_dropout=0.2,
        seed=np.random.SeedSequence(seed),
    )


def bits_one_by_one(model: Any, text: str, trained_on: int) -> float:
    """The definition: each character by its probability after all before it, from the compiled stream."""
    stream = _text_model._token_stream(model, never=())
    stream.feed(np.array([START]))
    escape, bits = 1 / (trained_on + 1), 0.0
    for token in VOCABULARY.encode(text):
        logits = stream.logits.astype(np.float64)
        p = (1 - escape) * np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        p[0] += escape
        bits -= math.log2(p[token])
        if token == 0:
            bits += math.log2(0x110000 - 3)
        stream.feed(np.array([token]))
    return bits


def tolerance(text: str) -> float:
    return code_length_tolerance(len(text), hidden_size=8)


def code_length(model: Any, documents: list[str], trained_on: int = 50, **how: Any) -> float:
    return _text_model.code_length(model, VOCABULARY, documents, trained_on, **how)


def test_code_length_is_that_of_its_definition() -> None:
    model, text = make_model(), "abca\U0001f600bzc"
    expected = bits_one_by_one(model, text, 50)
    assert code_length(model, [text]) == pytest.approx(expected, abs=tolerance(text))


def test_probabilities_of_all_characters_sum_to_at_most_one() -> None:
    model = make_model()
    known = sum(2 ** -code_length(model, [character]) for character in "abc")
    unknown = 2 ** -code_length(model, ["?"]) * (0x110000 - 3)
    assert known + unknown <= 1 + tolerance("a")
    assert known + unknown > 0.5  # the rest is what the model wastes on START


def test_unknown_is_never_impossible() -> None:
    model = make_model()
    output = list(model)[-1]
    output.bias.data[0] = -1e4
    price = math.log2(1001) + math.log2(0x110000 - 3)
    assert code_length(model, ["?"], trained_on=1000) == pytest.approx(price, rel=1e-9)


def test_long_texts_are_read_from_their_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text_model, "_PIECE", 40)
    monkeypatch.setattr(_text_model, "_WINDOW", 7)
    model = make_model()
    expected = bits_one_by_one(model, TEXT, 50)
    assert code_length(model, [TEXT], exact=True) == pytest.approx(expected, abs=tolerance(TEXT))


def test_pieces_are_predictions_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text_model, "_PIECE", len(TEXT) // 3)
    monkeypatch.setattr(_text_model, "_WARM_UP", 15)
    monkeypatch.setattr(_text_model, "_WINDOW", 7)
    model = make_model()
    ids = _text_model.encode_documents(VOCABULARY, [TEXT])
    expected = 0.0
    for begin, end in itertools.pairwise(np.linspace(0, len(TEXT), 4).astype(int)):
        read = max(begin - 15, 0)
        logits = model(ids[read:end, None])[0][begin - read :, 0].astype(np.float64)
        log_sum = np.log(np.exp(logits).sum(axis=1))
        expected += (log_sum - logits[np.arange(end - begin), ids[begin + 1 : end + 1]]).sum() / math.log(2)
    bits = code_length(model, [TEXT], trained_on=10**12)
    assert bits == pytest.approx(expected, abs=tolerance(TEXT))
    assert bits != code_length(model, [TEXT], trained_on=10**12, exact=True)


def test_windows_end_the_state_between_documents() -> None:
    ids = _text_model.encode_documents(VOCABULARY, ["ab", "cab", "b"])
    np.testing.assert_array_equal(ids, [4, 1, 2, 4, 3, 1, 2, 4, 2])
    (batch,) = _text_model.DocumentWindows(ids, 1, 8, START)
    np.testing.assert_array_equal(batch.x[:, 0], ids[:-1])
    np.testing.assert_array_equal(batch.y[:, 0], [1, 2, -100, 3, 1, 2, -100, 2])
    np.testing.assert_array_equal(batch.resets[:, 0], ids[:-1] == START)
    first, second = _text_model.DocumentWindows(ids[:7], 1, 4, START)
    assert first.resets is not None
    assert second.resets is None  # no document begins there


def test_sampling_is_from_the_predicted_probabilities() -> None:
    model = make_model()
    characters = [
        "".join(
            _text_model.sample_characters(
                model, VOCABULARY, 1, "ab", temperature=1.0, top_k=0, top_p=1.0, rng=rng
            )
        )
        for rng in map(np.random.default_rng, range(600))
    ]
    logits = model(np.array([[4], [1], [2]]))[0][-1, 0].astype(np.float64)
    p = np.exp(logits[1:4]) / np.exp(logits[1:4]).sum()  # START and the unknown are left out
    counts = np.array([characters.count(c) for c in "abc"])
    assert ((counts - 600 * p) ** 2 / (600 * p)).sum() < CHI_SQUARED_2


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (0.0, (["abc", "defg", "hij"], [])),
        (0.1, (["abc", "defg", "hi"], ["j"])),
        (0.3, (["abc", "defg"], ["hij"])),
        (0.5, (["abc", "de"], ["fg", "hij"])),
        (0.9, (["a"], ["bc", "defg", "hij"])),
    ],
)
def test_split(fraction: float, expected: tuple[list[str], list[str]]) -> None:
    assert split_documents(["abc", "defg", "hij"], fraction) == expected


# The budget


def event(kind: str, seconds: float) -> TrainingEvent:
    return TrainingEvent(kind, 1, 1, 1, 10, 1, 2.0, None, 0.1, 1.0, seconds)


def make_budget(schedule: str = "cosine", max_seconds: float | None = None) -> Budget:
    return Budget(SGD([Parameter([1.0])], lr=0.5), schedule, 10, max_seconds)


def test_budget_of_steps() -> None:
    budget = make_budget()
    rates = []
    for _ in range(10):
        rates.append(budget.optimizer.lr)
        budget.step()
    assert rates[0] == 0.5
    assert rates[5] == pytest.approx(0.5 * (0.01 + 0.99 / 2))
    assert budget.optimizer.lr == pytest.approx(0.005)
    assert not budget.watch(event("epoch", 1e9))
    assert list(budget.limit([1, 2, 3])(0)) == [1, 2, 3]


def test_budget_of_seconds() -> None:
    budget = make_budget(max_seconds=20.0)
    assert not budget.watch(event("step", 10.0))
    budget.step()
    assert budget.optimizer.lr == pytest.approx(
        0.5 * (0.01 + 0.99 / 2)
    )  # half of the time is over, not of the steps
    batches = budget.limit([1, 2, 3])(0)
    assert next(batches) == 1
    assert not budget.watch(event("step", 20.0))  # first the epoch is brought to its end
    assert list(batches) == []
    assert budget.watch(event("epoch", 20.5))


def test_budget_continues() -> None:
    first, second = make_budget(max_seconds=20.0), make_budget(max_seconds=20.0)
    first.watch(event("step", 15.0))
    first.step()
    second.load_state_dict(first.state_dict())
    assert second.optimizer.lr == first.optimizer.lr < 0.5
    assert second.done() == 0.75


# Progress


def test_progress_lines(capsys: pytest.CaptureFixture[str]) -> None:
    TextGenerator(hidden_size=4, seq_len=8, epochs=2, validation_fraction=0.2, progress=True).fit(TEXT)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert "epoch 1" in lines[0]
    assert [line.split("  ")[0] for line in lines[1:]] == ["epoch 1", "epoch 2"]
    assert "bits/char" in lines[-1]
    assert "held out" in lines[-1]


def test_progress_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    TextGenerator(hidden_size=4, seq_len=8, epochs=2, validation_fraction=0, progress=True).fit(TEXT)
    err = capsys.readouterr().err
    assert "epoch 2" in err
    assert "%" in err


def test_progress_function_may_stop() -> None:
    seen: list[TrainingEvent] = []

    def stop(event: TrainingEvent) -> bool:
        seen.append(event)
        return len(seen) == 3

    generator = TextGenerator(hidden_size=4, seq_len=8, epochs=5, batch_size=2, progress=stop).fit(TEXT)
    assert len(seen) == 3
    assert generator.history_.stopped == "callback"
    assert generator.generate(3, seed=1)
