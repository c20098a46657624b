"""SimpleRNN against the class as textbooks write it, and what it can do beyond."""

# ruff: noqa: NPY002  (textbooks use NumPy's global generator, and so does this class)

from __future__ import annotations

import copy
import math
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS, assert_derivatives
from tolerances import forward_tolerance, within

from fastrnn.backend import use_backend
from fastrnn.errors import NonFiniteLossError
from fastrnn.simple import SimpleRNN

EXAMPLE = Path(__file__).parents[1] / "examples" / "tutorial_simple_rnn.py"
NAMES = ("Wxh", "Whh", "Why", "bh", "by")


class TextbookRNN:
    """The equations in NumPy, on columns."""

    def __init__(self, input_size: int, output_size: int, hidden_size: int = 64) -> None:
        def draw(rows: int, columns: int) -> np.ndarray:
            return 0.01 * np.random.randn(rows, columns)

        self.Wxh = draw(hidden_size, input_size)
        self.Whh = draw(hidden_size, hidden_size)
        self.Why = draw(output_size, hidden_size)
        self.bh, self.by = np.zeros((hidden_size, 1)), np.zeros((output_size, 1))

    def forward(self, inputs: Any) -> np.ndarray:
        h = np.zeros_like(self.bh)
        for x in inputs:
            h = np.tanh(self.Wxh @ x + self.Whh @ h + self.bh)
        return self.Why @ h + self.by


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2)


def make_pair(rng: np.random.Generator, *sizes: int, lively: bool = True) -> tuple[SimpleRNN, TextbookRNN]:
    """Both classes from the same seed, with weights of order one if lively."""
    made = []
    for cls in (SimpleRNN, TextbookRNN):
        np.random.seed(7)
        made.append(cls(*sizes))
    if lively:
        for name in NAMES:
            array = rng.standard_normal(getattr(made[0], name).shape) / 2
            for rnn in made:
                setattr(rnn, name, array.copy())
    return made[0], made[1]


def assert_same_output(a: np.ndarray, b: np.ndarray, T: int, K: int = 80) -> None:
    within(a, b, forward_tolerance(np.float64, K, T))
    assert abs(a - b).max(initial=0) < 1e-12


def test_the_same_seed_gives_the_same_numbers(rng: np.random.Generator) -> None:
    ours, textbook = make_pair(rng, 10, 2, lively=False)
    assert ours.hidden_size == 64
    for name in NAMES:
        assert np.array_equal(getattr(ours, name), getattr(textbook, name))
    inputs = [rng.standard_normal((10, 1)) for _ in range(5)]
    y = ours.forward(inputs)
    assert y.shape == (2, 1)
    assert_same_output(y, textbook.forward(inputs), 5)


@pytest.mark.parametrize("T", [0, 1, 30])
@pytest.mark.parametrize("columns", [1, 3])
def test_forward_agrees(T: int, columns: int, rng: np.random.Generator) -> None:
    ours, textbook = make_pair(rng, 4, 2, 16)
    inputs = [rng.standard_normal((4, columns)) for _ in range(T)]
    expected = textbook.forward(inputs)
    assert_same_output(ours.forward(inputs), expected, T)
    assert_same_output(ours.forward(iter(inputs)), expected, T)
    if T:
        assert_same_output(ours.forward(np.stack(inputs)), expected, T)
    if T and columns == 1:
        assert_same_output(ours.forward(np.stack(inputs)[:, :, 0]), expected, T)
        assert_same_output(ours.forward([x[:, 0] for x in inputs]), expected, T)


@pytest.mark.parametrize("name", NAMES)
def test_attributes_may_be_assigned_and_written_to(name: str, rng: np.random.Generator) -> None:
    ours, textbook = make_pair(rng, 4, 2, 8)
    inputs = list(rng.standard_normal((6, 4, 1)))
    before = ours.forward(inputs)
    new = rng.standard_normal(getattr(ours, name).shape).astype(np.float32)
    setattr(ours, name, new)
    setattr(textbook, name, new.astype(np.float64))
    assert_same_output(ours.forward(inputs), textbook.forward(inputs), 6)
    getattr(ours, name)[0] += 0.5
    getattr(textbook, name)[...] = new
    assert_same_output(ours.forward(inputs), textbook.forward(inputs), 6)
    assert not np.allclose(ours.forward(inputs), before)


@pytest.mark.parametrize("columns", [1, 3])
def test_backward_gives_the_derivatives(columns: int, rng: np.random.Generator) -> None:
    rnn, _ = make_pair(rng, 3, 2, 4)
    x, dy = rng.standard_normal((5, 3, columns)), rng.standard_normal((2, columns))
    rnn.forward(x)
    gradients = rnn.backward(dy)
    assert list(gradients) == [*NAMES, "inputs"]
    for name in NAMES:
        assert getattr(rnn, "d" + name) is gradients[name]
    checked = {name: (getattr(rnn, name), gradients[name]) for name in NAMES}
    assert_derivatives(lambda: [rnn.forward(x)], [dy], {**checked, "inputs": (x, gradients["inputs"])})


def test_backward_needs_a_forward_of_its_own(rng: np.random.Generator) -> None:
    rnn = SimpleRNN(3, 2)
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        rnn.backward(np.zeros((2, 1)))
    rnn.forward(rng.standard_normal((4, 3)))
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 1\), got \(2,\)"):
        rnn.backward(np.zeros(2))
    rnn.backward(np.zeros((2, 1)))
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        rnn.backward(np.zeros((2, 1)))


def test_steps_add_up_to_forward(rng: np.random.Generator) -> None:
    rnn, textbook = make_pair(rng, 3, 2, 8)
    x = rng.standard_normal((6, 3, 2))
    for t, column in enumerate(x):
        assert_same_output(rnn.step(column), textbook.forward(x[: t + 1]), t + 1)
    rnn.reset()
    assert_same_output(rnn.step(x[3]), textbook.forward(x[3:4]), 1)
    rnn.reset()
    assert rnn.step(x[0, :, 0]).shape == (2, 1)


def test_predict_is_forward_of_each(rng: np.random.Generator) -> None:
    rnn, textbook = make_pair(rng, 3, 2, 8)
    sequences = [rng.standard_normal((t, 3)) for t in (4, 0, 7)]
    expected = np.stack([textbook.forward(s[:, :, None])[:, 0] for s in sequences])
    assert_same_output(rnn.predict(sequences), expected, 7)
    columns = [list(s[:, :, None]) for s in sequences]
    assert_same_output(rnn.predict(columns), expected, 7)
    assert rnn.predict([]).shape == (0, 2)


def test_fit_learns_a_sum_and_is_reproducible(rng: np.random.Generator) -> None:
    sequences = [rng.uniform(-0.5, 0.5, (t, 1)) for t in rng.integers(1, 6, 40)]
    sums = [s.sum() for s in sequences]
    runs = []
    for _ in range(2):
        np.random.seed(0)
        rnn, seen = SimpleRNN(1, 1, 16), []
        losses = rnn.fit(
            sequences, sums, epochs=40, batch_size=8, seed=3, callback=lambda *e, s=seen: s.append(e)
        )
        assert seen == list(enumerate(losses, 1))
        runs.append((losses, rnn.predict(sequences)))
    assert runs[0][0][-1] < 0.05 * runs[0][0][0]
    assert runs[0][0] == runs[1][0] and np.array_equal(runs[0][1], runs[1][1])
    assert np.mean((runs[0][1][:, 0] - sums) ** 2) < 0.05 * np.var(sums)


def test_fit_learns_classes(rng: np.random.Generator) -> None:
    """Which of two symbols came first."""
    sequences = rng.integers(0, 2, (60, 4))
    np.random.seed(0)
    rnn = SimpleRNN(2, 2, 16)
    history = rnn.fit(
        np.eye(2)[sequences], sequences[:, 0], epochs=40, lr=0.02, loss="cross_entropy", clip=math.inf, seed=0
    )
    assert history[0] > 0.6 > 0.1 > history[-1]
    assert (rnn.predict(np.eye(2)[sequences]).argmax(axis=1) == sequences[:, 0]).all()


def test_copies_are_independent(rng: np.random.Generator) -> None:
    rnn, _ = make_pair(rng, 3, 2, 4)
    x = rng.standard_normal((5, 3))
    y = rnn.forward(x)
    twin = copy.deepcopy(rnn)
    rnn.Wxh[...] = 0
    assert np.array_equal(twin.forward(x), y)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda rnn: SimpleRNN(0, 1), ValueError, "input_size must be at least 1, got 0"),
        (lambda rnn: SimpleRNN(1, 1, hidden_size=2.0), TypeError, "hidden_size must be an integer"),
        (lambda rnn: rnn.forward([np.zeros(3), np.zeros(4)]), ValueError, r"inputs\[1\] must have shape"),
        (lambda rnn: rnn.forward(np.zeros((5, 4))), ValueError, r"inputs must have shape \(T, 3, B\)"),
        (lambda rnn: rnn.forward(7), ValueError, r"inputs must have shape \(T, 3, B\)"),
        (lambda rnn: rnn.forward([["a"] * 3]), TypeError, r"inputs\[0\] must be an array of real numbers"),
        (lambda rnn: rnn.predict([np.zeros((2, 3, 2))]), ValueError, r"sequences\[0\] must have shape"),
        (lambda rnn: rnn.fit([], []), ValueError, "sequences must hold at least one"),
        (lambda rnn: rnn.fit([np.zeros((2, 3))], [1.0]), ValueError, r"targets must have shape \(1, 2\)"),
        (lambda rnn: rnn.fit([np.zeros((2, 3))], [[1, 2]], loss="hinge"), ValueError, "loss must be one of"),
        (lambda rnn: rnn.fit([np.zeros((2, 3))], [[1.0, 2.0]], clip=0), ValueError, "clip must be"),
        (lambda rnn: rnn.fit([np.full((2, 3), np.nan)], [[1.0, 2.0]]), NonFiniteLossError, "in epoch 1"),
    ],
)  # fmt: skip
def test_bad_calls_name_the_argument(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(SimpleRNN(3, 2))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Wxh", np.zeros((63, 3))),
        ("Whh", np.zeros(64)),
        ("Why", np.zeros((2, 1))),
        ("bh", np.zeros(64)),
        ("by", 0.0),
    ],
)
def test_attributes_that_do_not_fit_are_named(name: str, value: Any) -> None:
    rnn = SimpleRNN(3, 2)
    setattr(rnn, name, value)
    with pytest.raises(ValueError, match=f"{name} must have shape"):
        rnn.forward(np.zeros((5, 3)))


def test_the_state_of_step_must_fit() -> None:
    rnn = SimpleRNN(3, 2)
    rnn.h = np.zeros((64, 2))
    with pytest.raises(ValueError, match=r"h must have shape \(64, 1\), got \(64, 2\)"):
        rnn.step(np.zeros((3, 1)))


@pytest.mark.skipif(not EXAMPLE.is_file(), reason="wheels are tested without the sources")
def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(EXAMPLE))
    assert example["run_once"]().shape == (1, 1)
    assert example["learn_to_add"]() < 0.1
    assert "epoch  60" in capsys.readouterr().out
