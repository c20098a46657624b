"""Stateful inference of the reference: steps against whole sequences, and sampling by its definition."""

from __future__ import annotations

import numpy as np
import pytest
from recurrent_cases import make_problem, make_weights
from tolerances import forward_tolerance, sum_tolerance, within

from fastrnn._types import CELLS
from fastrnn.reference import _core as reference


def stack(cells: list[str], I: int, H: int, dtype: type = np.float64) -> list:  # noqa: E741
    rng = np.random.default_rng(5)
    sizes = [I] + [H] * (len(cells) - 1)
    return [
        reference.pack_weights(cell, make_weights(rng, cell, size, H, dtype=dtype))
        for cell, size in zip(cells, sizes, strict=True)
    ]


@pytest.mark.parametrize("cell", CELLS)
def test_steps_are_a_sequence(cell: str) -> None:
    packed = stack([cell, cell], 3, 4)
    x = make_problem(cell, 6, 2, 3, 4).x
    zoneout = [(0.2, 0.1), (0.0, 0.3)]
    stream = reference.StepStream(packed, 2, zoneout)
    y = x
    for layer, (k_h, k_c) in zip(packed, zoneout, strict=True):
        y, *_ = reference.rnn_forward(layer, y, zoneout_h=k_h, zoneout_c=k_c)
    for t in range(6):
        within(stream.step(x[t]), y[t], forward_tolerance(np.float64, 9, 6))


def test_the_output_buffer_is_reused() -> None:
    stream = reference.StepStream(stack(["gru"], 3, 4), 1)
    assert stream.step(np.ones((1, 3))) is stream.step(np.zeros((1, 3)))


def test_state_is_copied_out_and_in() -> None:
    stream = reference.StepStream(stack(["lstm", "gru"], 3, 4), 2)
    x = np.ones((2, 3))
    stream.step(x)
    state = stream.get_state()
    assert state[1][1] is None and state[0][1].shape == (2, 4)
    after = stream.step(x).copy()
    stream.set_state(state)
    state[0][0][...] = np.nan
    assert np.array_equal(stream.step(x), after)


def test_reset_forgets_the_rows_it_names() -> None:
    stream = reference.StepStream(stack(["lstm"], 3, 4), 3)
    x = np.ones((3, 3))
    first = stream.step(x).copy()
    second = stream.step(x).copy()
    stream.reset()
    stream.step(x)
    stream.reset(np.array([1]))
    third = stream.step(x)
    assert np.array_equal(third[1], first[1]) and np.array_equal(third[[0, 2]], second[[0, 2]])


def test_forks_go_their_own_way() -> None:
    stream = reference.StepStream(stack(["lstm"], 3, 4), 1)
    stream.step(np.ones((1, 3)))
    twin = stream.fork()
    mine = stream.step(np.ones((1, 3))).copy()
    twin.step(np.zeros((1, 3)))
    assert not np.array_equal(twin.get_state()[0][0], stream.get_state()[0][0])
    assert np.array_equal(stream.get_state()[0][0], mine)


V, E, H = 7, 3, 5


def token_stream():
    rng = np.random.default_rng(6)
    linear = reference.pack_linear(2 * rng.standard_normal((V, H)), rng.standard_normal(V))
    return reference.TokenStream(rng.standard_normal((V, E)), stack(["lstm", "gru"], E, H), linear), linear


def probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    p = np.exp(logits / temperature)
    return p / p.sum()


def test_logits_before_any_token_come_from_a_zero_state() -> None:
    stream, linear = token_stream()
    within(stream.logits, linear.bias, sum_tolerance(np.float64, H))


def test_sampled_tokens_are_fed() -> None:
    stream, _ = token_stream()
    stream.feed(np.array([1, 2, 3]))
    twin = stream.fork()
    tokens = stream.sample(np.random.default_rng(0).random(5), 1.0, 0, 1.0)
    twin.feed(tokens)
    assert np.array_equal(stream.logits, twin.logits)
    for (h, c), (twin_h, twin_c) in zip(stream.get_state(), twin.get_state(), strict=True):
        assert np.array_equal(h, twin_h) and (c is None or np.array_equal(c, twin_c))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (3, 1.0), (0, 0.7), (4, 0.5), (100, 1e-9)])
def test_frequencies_of_evenly_spaced_uniforms_are_the_probabilities(temperature, top_k, top_p) -> None:
    stream, _ = token_stream()
    stream.feed(np.array([4]))
    expected = probabilities(stream.logits, temperature)
    order = np.argsort(-expected)
    if top_k:
        expected[order[top_k:]] = 0
        expected /= expected.sum()
    if top_p < 1:
        kept = int((np.cumsum(expected[order]) < top_p).sum()) + 1
        expected[order[kept:]] = 0
        expected /= expected.sum()
    state, counts, n = stream.get_state(), np.zeros(V), 400
    for u in (np.arange(n) + 0.5) / n:
        stream.set_state(state)
        counts[stream.sample(np.array([u]), temperature, top_k, top_p)[0]] += 1
    # Each boundary between two tokens falls between two of the n uniforms.
    assert np.abs(counts - n * expected).max() <= 1


def test_temperature_zero_is_argmax_with_the_lowest_index_on_ties() -> None:
    linear = reference.pack_linear(np.zeros((4, H)), np.array([0.0, 2.0, 2.0, 1.0]))
    stream = reference.TokenStream(np.zeros((4, E)), stack(["gru"], E, H), linear)
    assert stream.sample(np.array([0.99, 0.0]), 0, 0, 1.0).tolist() == [1, 1]


def test_ties_at_the_cut_go_to_the_lower_index() -> None:
    linear = reference.pack_linear(np.zeros((4, H)), np.zeros(4))
    stream = reference.TokenStream(np.zeros((4, E)), stack(["gru"], E, H), linear)
    uniforms = np.array([0.0, 0.3, 0.6, 0.999])
    assert stream.sample(uniforms, 1.0, 2, 1.0).tolist() == [0, 0, 1, 1]
    assert stream.sample(uniforms, 1.0, 0, 0.75).tolist() == [0, 0, 1, 2]
    assert stream.sample(uniforms, 1.0, 0, 1.0).tolist() == [0, 1, 2, 3]


def test_impossible_tokens_are_never_drawn_and_tiny_temperatures_are_finite() -> None:
    linear = reference.pack_linear(np.zeros((3, H)), np.array([1.0, 5.0, -np.inf]))
    stream = reference.TokenStream(np.zeros((3, E)), stack(["gru"], E, H), linear)
    last = np.nextafter(1.0, 0)
    assert stream.sample(np.array([last]), 1.0, 0, 1.0).tolist() == [1]
    assert stream.sample(np.array([0.0, last]), 1e-300, 0, 1.0).tolist() == [1, 1]


def test_unknown_ids_are_refused() -> None:
    stream, _ = token_stream()
    with pytest.raises(IndexError, match=r"ids must lie in 0\.\.6, got 7"):
        stream.feed(np.array([1, 7]))
    with pytest.raises(IndexError, match=r"ids must lie in 0\.\.6, got -1"):
        stream.feed(np.array([-1]))
    with pytest.raises(IndexError, match="ids must lie below 7, got 9"):
        reference.embedding_backward(np.zeros((1, E)), np.array([9]), np.zeros((V, E)))
    with pytest.raises(IndexError, match=r"targets must lie in 0\.\.6 or be ignore_index -100, got -1"):
        reference.cross_entropy(np.zeros((1, V)), np.array([-1]))


def test_negative_ids_give_no_embedding_gradient() -> None:
    dweight = np.zeros((V, E))
    reference.embedding_backward(np.ones((2, 2, E)), np.array([[2, -1], [2, 0]]), dweight)
    assert dweight[:, 0].tolist() == [1, 0, 2, 0, 0, 0, 0]


def test_weights_are_snapshots() -> None:
    weights = make_weights(np.random.default_rng(0), "lstm", 3, 4, P=2)
    packed = reference.pack_weights("lstm", weights)
    assert (packed.input_size, packed.hidden_size, packed.proj_size) == (3, 4, 2)
    assert packed.dtype == np.float64 and packed.cell == "lstm" and not packed.training
    x = np.ones((2, 1, 3))
    before, *_ = reference.rnn_forward(packed, x)
    weights.weight_ih[...] = 0
    assert np.array_equal(reference.rnn_forward(packed, x)[0], before)
    with pytest.raises(ValueError, match="cell must be one of 'rnn_tanh'"):
        reference.pack_weights("minimal", weights)
    with pytest.raises(ValueError, match="weight_hr must be None for cell 'gru'"):
        reference.pack_weights("gru", weights)
