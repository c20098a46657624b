"""Noise in recurrent layers: drawn where it should be, off in eval mode, repeatable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS, CELL_LAYER_IDS, CELL_LAYERS, accepted, leaves
from tolerances import forward_tolerance, within

from fastrnn import layers
from fastrnn.backend import use_backend
from fastrnn.layers.recurrent import GRU, LSTM, RNN

T, N, INPUT, H = 6, 3, 4, 5
TOLERANCE = forward_tolerance(np.float64, INPUT + H, T)

each_cell = pytest.mark.parametrize(("name", "cell"), CELL_LAYERS, ids=CELL_LAYER_IDS)


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def make(name: str, cell: dict[str, Any], **options: Any) -> Any:
    settings = {"dtype": "float64", "seed": 0, "init": "torch", **cell, **options}
    return getattr(layers, name)(INPUT, H, **accepted(name, settings))


def same(actual: Any, desired: Any) -> None:
    for i, (a, b) in enumerate(zip(leaves(actual), leaves(desired), strict=True)):
        within(a, b, TOLERANCE, str(i))


@each_cell
def test_noise_is_off_in_eval_mode(name: str, cell: dict, rng: np.random.Generator) -> None:
    x = rng.standard_normal((T, N, INPUT))
    quiet = make(name, cell, num_layers=2)
    noisy = make(
        name, cell, num_layers=2, dropout=0.5, input_dropout=0.5, recurrent_dropout=0.5, weight_dropout=0.5
    )
    same(noisy(x), quiet(x))
    assert not np.allclose(noisy.train()(x)[0], quiet(x)[0])


@each_cell
def test_zoneout_takes_its_expectation_in_eval_mode(name: str, cell: dict, rng: np.random.Generator) -> None:
    """The first step from zero: h = (1 - k) h~, and c likewise, one layer."""
    x = rng.standard_normal((1, N, INPUT))
    plain, zoned = make(name, cell), make(name, cell, zoneout=0.25)
    for a, b in zip(leaves(zoned(x)[1]), leaves(plain(x)[1]), strict=True):
        within(a, 0.75 * b, TOLERANCE)


def test_zoneout_samples_whole_units(rng: np.random.Generator) -> None:
    layer = GRU(INPUT, 200, zoneout=0.3, seed=0, dtype="float64", init="torch").train()
    start = rng.standard_normal((1, 50, 200))
    _, h = layer(rng.standard_normal((1, 50, INPUT)), start)
    kept = (h == start).mean()
    # 10,000 draws: five standard deviations of the mean.
    assert abs(kept - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 10_000)


def test_variational_masks_are_the_same_at_all_steps() -> None:
    layer = RNN(200, 1, input_dropout=0.5, nonlinearity="relu", bias=False, seed=0).train()
    layer.weight_ih_l0.data[...] = 1
    layer.weight_hh_l0.data[...] = 0
    y, _ = layer(np.ones((5, 20, 200), np.float32))
    assert (y == y[0]).all() and len(np.unique(y[0])) > 1
    assert set(np.unique(y[0]) % 2) == {0.0}  # a sum of 200 ones of which some are 0 and the others 2


def test_weight_dropout_draws_anew_in_every_call(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, weight_dropout=0.5, seed=0).train()
    x = rng.standard_normal((T, N, INPUT))
    assert not np.array_equal(layer(x)[0], layer(x)[0])
    y, _ = layer(x)
    layer.backward(np.ones_like(y))
    assert 0.2 < (layer.weight_hh_l0.grad == 0).mean() < 0.8


def test_restoring_the_generator_repeats_the_noise(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, 2, dropout=0.5, zoneout=0.2, weight_dropout=0.2, seed=0).train()
    x = rng.standard_normal((T, N, INPUT))
    (_, generator), *others = layer.named_rngs()
    assert not others
    state = generator.bit_generator.state
    y, _ = layer(x)
    generator.bit_generator.state = state
    assert np.array_equal(layer(x)[0], y)
