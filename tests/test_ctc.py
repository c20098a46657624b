"""CTC: native against reference, reference against differences and all alignments, and its decoding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, strategies as st
from native_cases import assert_same_bits, by_dtype, by_isa, native, reference
from tolerances import (
    backward_tolerance,
    central_difference_step,
    central_difference_tolerance,
    elementwise_tolerance,
    logarithm_tolerance,
    within,
)

from fastrnn.backend import num_threads, use_isa
from fastrnn.decoding import ctc_beam, ctc_greedy, ctc_n_best
from fastrnn.losses import ctc


def case(T: int, N: int, C: int, L: int, dtype: type = np.float64, scale: float = 2.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((T, N, C)) * scale).astype(dtype)
    return x, rng.integers(1, C, (N, L)), rng.integers(0, T + 1, N), rng.integers(0, L + 1, N)


def same_but_infinite(actual: np.ndarray, desired: np.ndarray, tolerance: float) -> None:
    """Infinite where that is expected, and elsewhere within the tolerance."""
    finite = np.isfinite(desired)
    assert np.array_equal(actual[~finite], desired[~finite])
    within(actual[finite], desired[finite], tolerance)


def read(alignment: tuple[int, ...], blank: int = 0) -> tuple[int, ...]:
    return tuple(c for c, _ in itertools.groupby(alignment) if c != blank)


def readings(logits: np.ndarray) -> dict[tuple[int, ...], float]:
    """Probability of everything that [T, C] may read as, from all alignments."""
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    found: dict[tuple[int, ...], float] = {}
    for alignment in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        key = read(alignment)
        found[key] = found.get(key, 0) + float(np.prod(p[np.arange(len(p)), list(alignment)]))
    return found


@by_isa
@by_dtype
@pytest.mark.parametrize(
    "sizes", [(1, 3, 2, 1), (9, 5, 3, 4), (40, 4, 17, 16), (70, 3, 33, 33), (5, 2, 4, 0)]
)
def test_native_agrees_with_the_reference(sizes: tuple[int, ...], dtype: type, isa: str) -> None:
    x, *rest = case(*sizes, dtype=dtype)
    losses64, gradient64 = reference.ctc(x.astype(np.float64), *rest)
    with use_isa(isa):
        losses, gradient = native.ctc(x, *rest)
        largest = float(losses64[np.isfinite(losses64)].max(initial=1))
        tolerance = backward_tolerance(dtype, sizes[2], sizes[0]) + logarithm_tolerance(largest, sizes[0])
        same_but_infinite(losses, losses64, tolerance)
        within(gradient, gradient64.astype(dtype), tolerance, "gradient")
        for threads in (2, 3):
            with num_threads(threads):
                assert_same_bits(native.ctc(x, *rest)[1], gradient)
        for n in range(sizes[1]):
            one = native.ctc(x[:, n : n + 1], *(a[n : n + 1] for a in rest))
            assert_same_bits(one[0], losses[n : n + 1])
            assert_same_bits(one[1], gradient[:, n : n + 1])


def test_reference_sums_all_alignments_and_has_their_derivative() -> None:
    x = case(5, 1, 3, 2)[0]
    every = readings(x[:, 0])
    for labels in [(), (1,), (2, 1), (1, 1), (1, 2, 1)]:
        losses, gradient = reference.ctc(
            x, np.array([labels], np.int64), np.array([5]), np.array([len(labels)])
        )
        within(losses[0], -np.log(every[labels]), elementwise_tolerance(np.float64, 50))
        h = central_difference_step()
        for i in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[i] = h
            up, down = (-np.log(readings((x + s)[:, 0])[labels]) for s in (step, -step))
            assert abs(gradient[i] - (up - down) / (2 * h)) <= central_difference_tolerance()


def test_float32_is_stable_over_2000_steps() -> None:
    x, y, _, _ = case(2000, 1, 30, 200, np.float32, 10)
    rest = y, np.array([2000]), np.array([200])
    losses64, gradient64 = reference.ctc(x.astype(np.float64), *rest)
    losses, gradient = native.ctc(x, *rest)
    within(losses, losses64, backward_tolerance(np.float32, 30, 2000))
    within(gradient, gradient64.astype(np.float32), backward_tolerance(np.float32, 30, 2000))


def test_targets_weights_and_infinite_losses() -> None:
    x = case(6, 3, 4, 2)[0]
    value = ctc(x, [[1, 2], [3], []])[0]
    assert value == ctc(x, [[1, 2], [3, -100], [-100, -100]])[0]
    masked = x.copy()
    masked[:, 1] = np.nan
    assert ctc(masked, [[1, 2], [3], []], weight=[1, 0, 1])[0] == pytest.approx(
        ctc(x[:, [0, 2]], [[1, 2], []])[0], rel=1e-14
    )
    with pytest.raises(ValueError, match=r"targets\[0\] is too long for its row: 4 labels take at least 7"):
        ctc(x, [[1] * 4, [1], [1]])
    _, gradient = ctc(x, [[1] * 4, [1], [1]], zero_infinity=True)
    assert not gradient[:, 0].any() and gradient[:, 1].any()
    for bad, match in [([[0], [1], [1]], "is the blank"), ([[4], [1], [1]], "is none"), ([[1]], "as many")]:
        with pytest.raises(ValueError, match=match):
            ctc(x, bad)
    assert np.isnan(ctc(masked, [[1], [1], [1]])[0])


def test_a_wide_beam_finds_the_most_likely_reading() -> None:
    for seed in range(20):
        x = case(5, 1, 3, 2, seed=seed)[0]
        best, probability = max(readings(x[:, 0]).items(), key=lambda item: item[1])
        sequences, scores = ctc_beam(x, beam_width=200)
        assert tuple(sequences[0]) == best
        assert scores[0] == pytest.approx(np.log(probability), rel=1e-12)
        assert tuple(ctc_greedy(x)[0][0]) == read(tuple(x[:, 0].argmax(axis=1)))


@pytest.mark.parametrize("seed", range(30))
def test_native_beam_agrees_with_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    T, C, W = (int(rng.integers(low, high)) for low, high in ((0, 7), (1, 5), (1, 8)))
    x, blank = rng.standard_normal((T, 2, C)) * 2, int(rng.integers(0, C))
    lm = rng.standard_normal((C, C)) if seed % 2 else None
    args = x, rng.integers(0, T + 1, 2), W, blank, int(rng.integers(1, W + 1)), lm
    a, b = native.ctc_beam(*args), reference.ctc_beam(*args)
    assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    same_but_infinite(a[2], b[2], elementwise_tolerance(np.float64, 100))


@given(
    T=st.integers(0, 12),
    C=st.integers(2, 6),
    width=st.integers(1, 12),
    best=st.integers(1, 12),
    seed=st.integers(0, 10**6),
)
def test_what_every_beam_search_promises(T: int, C: int, width: int, best: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    N, blank, best = 3, int(rng.integers(0, C)), min(best, width)
    x, lengths = rng.standard_normal((T, N, C)) * 3, rng.integers(0, T + 1, N)
    found = ctc_n_best(x, best, lengths, blank=blank, beam_width=width)
    for n, row in enumerate(found):
        sequences, scores = [tuple(labels) for labels, _ in row], [score for _, score in row]
        assert 1 <= len(row) <= best and len(set(sequences)) == len(row)
        assert scores == sorted(scores, reverse=True)
        for labels, score in zip(sequences, scores, strict=True):
            assert blank not in labels and len(labels) <= lengths[n]
            # A beam may lose alignments of a reading, but it invents none.
            target = np.array([labels], np.int64).reshape(1, -1)
            loss = native.ctc(x[:, [n]], target, lengths[[n]], np.array([len(labels)]), blank)[0][0]
            assert score <= -loss + 1e-9 * max(1.0, abs(loss))
        (alone,) = ctc_n_best(x[:, [n]], best, lengths[[n]], blank=blank, beam_width=width)
        assert [tuple(labels) for labels, _ in alone] == sequences
        greedy = ctc_greedy(x[:, [n]], lengths[[n]], blank=blank)[0][0]
        assert tuple(greedy) == read(tuple(x[: lengths[n], n].argmax(axis=1)), blank)
