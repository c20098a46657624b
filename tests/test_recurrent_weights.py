"""Weights of recurrent layers: names, first values, changes, caches, copies."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS, CELL_LAYER_IDS, CELL_LAYERS
from tolerances import eps, within

from fastrnn import layers
from fastrnn._types import CELL_COUNTS
from fastrnn.backend import use_backend
from fastrnn.layers.base import Layer
from fastrnn.layers.minimal import MinLSTM
from fastrnn.layers.recurrent import GRU, LSTM, RNN

T, N, INPUT, H = 6, 3, 4, 5

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
    return getattr(layers, name)(INPUT, H, **settings)


def test_changed_weights_take_effect(rng: np.random.Generator) -> None:
    layer = GRU(INPUT, H, seed=0)
    x = rng.standard_normal((T, N, INPUT))
    before = layer(x)[0].copy()
    layer.weight_hh_l0.data[0] += 1
    changed = layer(x)[0].copy()
    assert not np.array_equal(changed, before)
    layer.load_state_dict(GRU(INPUT, H, seed=0).state_dict())
    assert np.array_equal(layer(x)[0], before)
    layer.weight_hh_l0 = GRU(INPUT, H, seed=1).weight_hh_l0
    assert not np.array_equal(layer(x)[0], before)


def test_packs_are_kept_while_nothing_changes(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastrnn.backend import active

    calls = []
    pack = active().pack_weights
    monkeypatch.setattr(active(), "pack_weights", lambda *a: calls.append(a[2]) or pack(*a))
    layer = LSTM(INPUT, H, 2, seed=0)
    x = rng.standard_normal((T, N, INPUT))
    for _ in range(3):
        layer(x)
    assert calls == [False, False]
    layer.train()(x)
    layer.eval()(x)  # a pack for training serves inference too
    assert calls == [False, False, True, True]


def test_inference_from_many_threads(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, 2, bidirectional=True, seed=0)
    xs = rng.standard_normal((16, T, N, INPUT))
    expected = [layer(x)[0] for x in xs]
    fresh = copy.deepcopy(layer)  # with nothing packed yet
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: fresh(x)[0], xs))
    assert np.array_equal(found, expected)


@each_cell
def test_parameter_names_and_shapes_are_those_of_pytorch(name: str, cell: dict) -> None:
    layer = make(name, cell, num_layers=2, bidirectional=True)
    counts = CELL_COUNTS[layer.cell]
    G, R = counts.gates, counts.recurrent_gates
    P = cell.get("proj_size", H)
    shapes = {"weight_ih_l{}": (G * H, INPUT), "weight_hh_l{}": (R * H, P)}
    shapes |= {"bias_ih_l{}": (G * H,), "bias_hh_l{}": (R * H,)}
    if "proj_size" in cell:
        shapes["weight_hr_l{}"] = (P, H)
    if counts.norm:
        shapes |= {"ln_ih_l{}": (G * H,), "ln_hh_l{}": (R * H,)}
    if counts.norm and counts.has_c:
        shapes |= {"ln_c_weight_l{}": (H,), "ln_c_bias_l{}": (H,)}
    expected = [
        (pattern.format(k) + suffix, (G * H, 2 * P) if k and "weight_ih" in pattern else shape)
        for k in range(2)
        for suffix in ("", "_reverse")
        for pattern, shape in shapes.items()
    ]
    assert [(n, p.shape) for n, p in layer.named_parameters()] == expected


def test_default_init() -> None:
    layer = LSTM(7, 6, seed=0, dtype="float64", proj_size=4)
    bias = layer.bias_ih_l0.data.reshape(4, 6)
    assert (bias[1] == 1).all() and not bias[[0, 2, 3]].any() and not layer.bias_hh_l0.data.any()
    for gate in layer.weight_hh_l0.data.reshape(4, 6, 4):
        within(gate.T @ gate, np.eye(4), 20 * eps(np.float64))
    assert (np.abs(layer.weight_ih_l0.data) <= np.sqrt(6 / (6 + 7))).all()
    assert (LSTM(7, 6, forget_bias=2.5).bias_ih_l0.data[6:12] == 2.5).all()


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_torch_init(name: str) -> None:
    layer = getattr(layers, name)(20, 25, init="torch", seed=0)
    for p in layer.parameters():
        assert 0.18 < np.abs(p.data).max() <= 0.2


def test_one_seed_gives_one_layer_in_every_dtype() -> None:
    a, b, c = GRU(INPUT, H, seed=4), GRU(INPUT, H, seed=4, dtype="float64"), GRU(INPUT, H, seed=5)
    for p, q, r in zip(a.parameters(), b.parameters(), c.parameters(), strict=True):
        assert np.array_equal(p.data, q.data.astype(np.float32))
        assert not p.data.any() or not np.array_equal(p.data, r.data)
    generator = np.random.default_rng(4)
    assert np.array_equal(GRU(INPUT, H, seed=generator).weight_ih_l0.data, a.weight_ih_l0.data)


@pytest.mark.parametrize("layer", [
    RNN(2, 3, 2, nonlinearity="relu", bias=False, dropout=0.1, batch_first=True, bidirectional=True),
    LSTM(2, 3, proj_size=2, dtype="float64", seed=3, forget_bias=0.5, zoneout=(0.1, 0.2), weight_dropout=0.1),
    GRU(2, 3, reset_after=False, init="torch", input_dropout=0.1, recurrent_dropout=0.2, zoneout=0.3),
    LSTM(2, 3, layer_norm=True),
    GRU(2, 3, layer_norm=True),
    MinLSTM(2, 3, 2, bias=False, dropout=0.1, input_dropout=0.2, zoneout=0.3, seed=4),
])  # fmt: skip
def test_config_makes_the_same_layer(layer: Layer) -> None:
    twin = type(layer).from_config(json.loads(json.dumps(layer.config())))
    assert twin.config() == layer.config()
    assert [n for n, _ in twin.named_parameters()] == [n for n, _ in layer.named_parameters()]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_are_independent(clone: Any, rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, 2, seed=0)
    x = rng.standard_normal((T, N, INPUT))
    expected = layer(x)[0].copy()
    twin = clone(layer)
    layer.weight_ih_l0.data[...] = 0
    assert np.array_equal(twin(x)[0], expected)
