"""Padding, bucketing and shuffling: nothing lost, nothing twice, the same from the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fastrnn.data.batching import SequenceBatches, batch_indices, pad_sequences, unpad_sequences


@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=8), batch_first=st.booleans())
def test_unpadding_undoes_padding(lengths: list[int], batch_first: bool) -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.standard_normal((length, 3)).astype(np.float32) for length in lengths]
    padded, found = pad_sequences(sequences, value=np.nan, batch_first=batch_first)
    T, N = max(lengths), len(lengths)
    assert padded.shape == ((N, T, 3) if batch_first else (T, N, 3))
    assert padded.dtype == np.float32
    assert padded.flags.c_contiguous
    assert found.tolist() == lengths
    assert np.isnan(padded).sum() == 3 * (T * N - sum(lengths))
    for a, b in zip(unpad_sequences(padded, found, batch_first=batch_first), sequences, strict=True):
        np.testing.assert_array_equal(a, b)


def test_padding_takes_the_common_dtype() -> None:
    assert pad_sequences([[1], [2.5]])[0].dtype == np.float64
    assert pad_sequences([[], [1, 2]])[0].dtype == np.int64
    assert pad_sequences([[1], [2]], dtype=np.float32)[0].dtype == np.float32


def test_padding_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="at least one sequence"):
        pad_sequences([])
    with pytest.raises(ValueError, match=r"sequences\[1\] is a single number"):
        pad_sequences([[1], 2])
    with pytest.raises(ValueError, match=r"sequences\[1\] has \(1, 3\)"):
        pad_sequences([np.zeros((2, 2)), np.zeros((1, 3))])
    with pytest.raises(ValueError, match="lengths"):
        unpad_sequences(np.zeros((2, 3)), [1, 2])
    with pytest.raises(ValueError, match="lengths"):
        unpad_sequences(np.zeros((2, 1)), [3])
    with pytest.raises(ValueError, match="padded"):
        unpad_sequences(np.zeros(2), [2])


@given(
    lengths=st.lists(st.integers(0, 9), max_size=30),
    batch_size=st.integers(1, 7),
    seed=st.none() | st.integers(0, 5),
    bucket=st.booleans(),
)
def test_batches_hold_every_sample_once(
    lengths: list[int], batch_size: int, seed: int | None, bucket: bool
) -> None:
    arguments = {"seed": seed, "lengths": lengths if bucket else None}
    batches = batch_indices(len(lengths), batch_size, **arguments)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(batch) <= batch_size for batch in batches)
    again = batch_indices(len(lengths), batch_size, **arguments)
    assert [b.tolist() for b in batches] == [b.tolist() for b in again]
    full = batch_indices(len(lengths), batch_size, drop_last=True, **arguments)
    assert all(len(batch) == batch_size for batch in full)
    assert len(full) == len(lengths) // batch_size


def test_shuffling_depends_on_the_seed() -> None:
    batches = {tuple(np.concatenate(batch_indices(50, 8, seed=seed))) for seed in range(5)}
    assert len(batches) == 5
    assert np.concatenate(batch_indices(50, 8)).tolist() == list(range(50))


def test_buckets_hold_similar_lengths_in_shuffled_order() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 200)
    batches = batch_indices(200, 10, seed=1, lengths=lengths)
    spread = max(np.ptp(lengths[batch]) for batch in batches)
    assert spread <= 15  # of 99 without bucketing
    means = [lengths[batch].mean() for batch in batches]
    assert means != sorted(means)


def test_batch_indices_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        batch_indices(3, 0)
    with pytest.raises(ValueError, match="count"):
        batch_indices(-1, 2)
    with pytest.raises(ValueError, match="lengths"):
        batch_indices(3, 2, lengths=[1, 2])


def test_sequence_batches_shuffle_by_epoch_and_iterate_in_order() -> None:
    sequences = [np.full(1 + i % 4, i) for i in range(11)]
    batches = SequenceBatches(sequences, np.arange(11), batch_size=3, seed=7)
    assert len(batches) == 4
    assert np.concatenate([b.y for b in batches]).tolist() == list(range(11))
    orders = [np.concatenate([b.y for b in batches(epoch)]).tolist() for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == list(range(11))
    for batch in batches(0):
        for row, (length, target) in enumerate(zip(batch.lengths, batch.y, strict=True)):
            assert batch.x[:length, row].tolist() == [target] * length


def test_step_targets_are_padded_so_that_losses_ignore_them() -> None:
    x = [np.zeros((3, 2), np.float32), np.ones((1, 2), np.float32)]
    (classes,) = SequenceBatches(x, [np.array([0, 1, 2]), np.array([3])])
    assert classes.y.T.tolist() == [[0, 1, 2], [3, -100, -100]]
    assert classes.weight is None
    (values,) = SequenceBatches(x, [np.zeros(3, np.float32), np.ones(1, np.float32)])
    assert values.weight.T.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert values.weight.dtype == values.y.dtype == np.float32


def test_equal_lengths_need_no_lengths() -> None:
    (batch,) = SequenceBatches(np.zeros((4, 5, 2)), np.zeros(4), dtype=np.float32)
    assert batch.lengths is None
    assert batch.x.shape == (5, 4, 2)
    assert batch.x.dtype == np.float32


def test_equal_lengths_of_step_targets_need_no_weight() -> None:
    (batch,) = SequenceBatches(np.zeros((4, 5, 2)), [np.full(5, 0.5)] * 4)
    assert batch.weight is None
    assert batch.y.shape == (5, 4)


def test_sequence_batches_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="targets must be as many as sequences, 2; got 3"):
        SequenceBatches([[1], [2]], np.zeros(3))
    with pytest.raises(ValueError, match=r"targets\[1\]"):
        SequenceBatches([[1], [2, 3]], [[1], [2]])
    with pytest.raises(ValueError, match="batch_size"):
        SequenceBatches([[1]], np.zeros(1), batch_size=0)
