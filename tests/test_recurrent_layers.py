"""Recurrent layers: forms of input, state, borders, noise, weights, and what they refuse."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS, CELL_LAYER_IDS, CELL_LAYERS, leaves
from tolerances import eps, forward_tolerance, within

from fastrnn.backend import use_backend
from fastrnn.layers import recurrent
from fastrnn.layers.base import Layer
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
    return getattr(recurrent, name)(INPUT, H, **settings)


def same(actual: Any, desired: Any) -> None:
    for i, (a, b) in enumerate(zip(leaves(actual), leaves(desired), strict=True)):
        within(a, b, TOLERANCE, str(i))


# Forms of the input


@each_cell
def test_shapes_are_those_of_pytorch(name: str, cell: dict, rng: np.random.Generator) -> None:
    layer = make(name, cell, num_layers=2, bidirectional=True, dtype="float32")
    P = cell.get("proj_size", H)
    y, state = layer(rng.standard_normal((T, N, INPUT)))
    assert y.shape == (T, N, 2 * P) and y.dtype == np.float32
    assert [a.shape for a in leaves(state)] == [(4, N, P), (4, N, H)][: len(leaves(state))]
    assert layer.output_size == 2 * P


@each_cell
def test_every_form_gives_the_same(name: str, cell: dict, rng: np.random.Generator) -> None:
    options = {"num_layers": 2, "bidirectional": True}
    layer, first = make(name, cell, **options), make(name, cell, batch_first=True, **options)
    lengths = [4, 0, 6]
    x = rng.standard_normal((T, N, INPUT))
    y, state = layer(x, lengths=lengths)
    y_first, state_first = first(x.transpose(1, 0, 2), lengths=np.array(lengths, np.int32))
    same((y_first.transpose(1, 0, 2), state_first), (y, state))
    ys, state_list = layer([x[:t, i] for i, t in enumerate(lengths)])
    assert isinstance(ys, list)
    same((ys, state_list), ([y[:t, i] for i, t in enumerate(lengths)], state))
    for i, t in enumerate(lengths):
        y_one, state_one = layer(x[:t, i])
        same((y_one, state_one), (y[:t, i], [a[:, i] for a in leaves(state)]))
        assert not y[t:, i].any()


def test_batch_first_output_is_contiguous(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, batch_first=True, bidirectional=True)
    y, _ = layer(rng.standard_normal((N, T, INPUT), dtype=np.float32))
    assert y.flags.c_contiguous


def test_direction_reverse_is_a_forward_pass_over_the_flipped_sequence(rng: np.random.Generator) -> None:
    both, one = GRU(INPUT, H, bidirectional=True, dtype="float64"), GRU(INPUT, H, dtype="float64")
    one.load_state_dict(
        {n.removesuffix("_reverse"): a for n, a in both.state_dict().items() if n.endswith("_reverse")}
    )
    x = rng.standard_normal((T, N, INPUT))
    y, h = both(x)
    y_one, h_one = one(x[::-1])
    same((y[..., H:], h[1:]), (y_one[::-1], h_one))


@each_cell
def test_state_carries_a_sequence_cut_in_two(name: str, cell: dict, rng: np.random.Generator) -> None:
    layer = make(name, cell, num_layers=2)
    x = rng.standard_normal((T, N, INPUT))
    whole, end = layer(x)
    left, middle = layer(x[:2])
    right, end_of_parts = layer(x[2:], middle)
    same((np.concatenate([left, right]), end_of_parts), (whole, end))


@pytest.mark.parametrize("bidirectional", [False, True])
@each_cell
def test_resets_part_a_row_into_documents(
    name: str, cell: dict, bidirectional: bool, rng: np.random.Generator
) -> None:
    layer = make(name, cell, num_layers=2, bidirectional=bidirectional)
    documents = [rng.standard_normal((t, INPUT)) for t in (1, 3, 2)]
    resets = np.zeros((9, 1), bool)
    # One mark stands at the first padding step: it is no border.
    resets[[0, 1, 4, 6], 0] = True
    row = np.concatenate([*documents, np.full((3, INPUT), np.nan)])[:, None]
    expected = [layer(document)[0] for document in documents]
    y, _ = layer(row, lengths=[6], resets=resets)
    same(y[:6, 0], np.concatenate(expected))


@pytest.mark.parametrize("shape", [(0, 3, INPUT), (4, 0, INPUT), (0, 0, INPUT)])
@each_cell
def test_empty_work_is_legal(name: str, cell: dict, shape: tuple[int, ...]) -> None:
    layer = make(name, cell, num_layers=2, bidirectional=True).train()
    _, state = layer(np.zeros((1, shape[1], INPUT)))
    layer.clear()
    y, end = layer(np.zeros(shape), state)
    assert y.shape[:2] == shape[:2]
    if shape[0] == 0:
        same(end, state)
    dx, dstate = layer.backward(np.zeros_like(y), state)
    assert dx.shape == shape
    if shape[0] == 0:
        same(dstate, state)


def test_an_empty_list_and_lists_of_nothing() -> None:
    layer = GRU(INPUT, H)
    assert layer([])[0] == []
    assert [y.shape for y in layer([np.zeros((0, INPUT)), np.zeros((2, INPUT))])[0]] == [(0, H), (2, H)]


def test_padding_may_hold_anything(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, 2, bidirectional=True, dropout=0.3, seed=0).train()
    x = rng.standard_normal((T, 2, INPUT), dtype=np.float32)
    x[4:, 1] = np.nan
    y, _ = layer(x, lengths=[6, 4])
    dy = np.ones_like(y)
    dy[4:, 1] = np.inf
    dx, _ = layer.backward(dy)
    assert np.isfinite(y).all() and np.isfinite(dx).all() and not dx[4:, 1].any()
    assert all(np.isfinite(p.grad).all() for p in layer.parameters())


# Train mode and eval mode


def test_output_is_read_only_in_train_mode_alone(rng: np.random.Generator) -> None:
    layer = GRU(INPUT, H, seed=0)
    x = rng.standard_normal((T, N, INPUT))
    layer(x)[0][...] = 0
    with pytest.raises(ValueError, match="read-only"):
        layer.train()(x)[0][...] = 0
    with pytest.raises(ValueError, match="read-only"):
        layer([x[:, 0]])[0][0][...] = 0


def test_later_writes_to_inputs_reach_no_gradient(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, dtype="float64", seed=0).train()
    x, state = (
        rng.standard_normal((T, N, INPUT)),
        (rng.standard_normal((1, N, H)), rng.standard_normal((1, N, H))),
    )
    lengths, resets = np.array([6, 2, 3]), np.zeros((T, N), bool)
    y, _ = layer(x, state, lengths, resets)
    expected = layer.backward(np.ones_like(y))
    layer(x, state, lengths, resets)
    for array in (x, *state):
        array[...] = np.nan
    lengths[...] = 0
    resets[...] = True
    same(layer.backward(np.ones_like(y)), expected)


def test_contexts_are_a_stack(rng: np.random.Generator) -> None:
    layer = GRU(INPUT, H, 2, bidirectional=True, dtype="float64", seed=0).train()
    xs = [rng.standard_normal((t, N, INPUT)) for t in (3, 5)]
    alone = []
    for x in xs:
        y, _ = layer(x)
        alone.append(layer.backward(np.ones_like(y)))
    ys = [layer(x)[0] for x in xs]
    for y, expected in zip(reversed(ys), reversed(alone), strict=True):
        same(layer.backward(np.ones_like(y)), expected)
    with pytest.raises(RuntimeError, match="no forward pass"):
        layer.backward(ys[0])
    with pytest.raises(RuntimeError, match=r"call \.train\(\)"):
        layer.eval().backward(ys[0])


def test_missing_gradients_are_zeros(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, 2, dtype="float64", seed=0).train()
    x = rng.standard_normal((T, N, INPUT))
    y, (h, c) = layer(x)
    with_zeros = layer.backward(np.zeros_like(y), (np.ones_like(h), np.zeros_like(c)))
    layer(x)
    same(layer.backward(None, (np.ones_like(h), None)), with_zeros)
    layer(x)
    dx, dstate = layer.backward(None, (np.ones_like(h), None), need_dx=False)
    assert dx is None
    same(dstate, with_zeros[1])


def test_backward_uses_the_backend_of_its_forward(rng: np.random.Generator) -> None:
    layer = GRU(INPUT, H, seed=0).train()
    y, _ = layer(rng.standard_normal((T, N, INPUT)))
    with use_backend("reference"):
        dx, _ = layer.backward(np.ones_like(y))
    assert np.isfinite(dx).all() and dx.any()


# Noise


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
    layer = GRU(INPUT, 200, zoneout=0.3, seed=0, dtype="float64").train()
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


# Weights


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
    G = {"RNN": 1, "LSTM": 4, "GRU": 3}[name]
    P = cell.get("proj_size", H)
    shapes = {"weight_ih_l{}": (G * H, INPUT), "weight_hh_l{}": (G * H, P)}
    shapes |= {"bias_ih_l{}": (G * H,), "bias_hh_l{}": (G * H,)}
    if "proj_size" in cell:
        shapes["weight_hr_l{}"] = (P, H)
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
    layer = getattr(recurrent, name)(20, 25, init="torch", seed=0)
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


# What is refused


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, 3), {}, ValueError, "input_size must be at least 1, got 0"),
        ((2, 3.0), {}, TypeError, "hidden_size must be an integer"),
        ((2, 3, 0), {}, ValueError, "num_layers must be at least 1"),
        ((2, 3), {"proj_size": 3}, ValueError, "proj_size must be at most 2, got 3"),
        ((2, 3), {"dropout": 1.5, "num_layers": 2}, ValueError, "dropout must be"),
        ((2, 3), {"zoneout": 1.0}, ValueError, "zoneout must be"),
        ((2, 3), {"zoneout": (0.1, 0.2, 0.3)}, ValueError, "zoneout must be a number or a pair"),
        ((2, 3), {"weight_dropout": "x"}, TypeError, "weight_dropout must be"),
        ((2, 3), {"dtype": "float16"}, TypeError, "dtype must be float32 or float64, got float16"),
        ((2, 3), {"init": "zeros"}, ValueError, "init must be one of 'default', 'torch', got 'zeros'"),
        ((2, 3), {"bias": 1}, TypeError, "bias must be True or False"),
    ],
)
def test_bad_settings_name_the_argument(
    arguments: tuple, options: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        LSTM(*arguments, **options)


def test_settings_of_one_cell_alone() -> None:
    with pytest.raises(ValueError, match="nonlinearity must be one of 'tanh', 'relu', got 'sigmoid'"):
        RNN(2, 3, nonlinearity="sigmoid")
    with pytest.raises(TypeError, match="zoneout must be one number"):
        GRU(2, 3, zoneout=(0.1, 0.1))
    with pytest.warns(UserWarning, match="dropout acts between layers"):
        GRU(2, 3, dropout=0.5)


X = np.zeros((T, N, INPUT))


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (np.zeros((T, N, INPUT + 1)), {}, ValueError, r"x must have input_size 4 .*got shape \(6, 3, 5\)"),
        (np.zeros(INPUT), {}, ValueError, r"x must be \[T, N, I\].*got shape \(4,\)"),
        (X.astype(complex), {}, TypeError, "x must be an array of real numbers, got dtype complex128"),
        ([np.zeros((2, INPUT)), np.zeros(INPUT)], {}, ValueError, r"x\[1\] must be \[t, input_size\]"),
        ([np.zeros((2, INPUT))], {"lengths": [2]}, ValueError, "lengths must be None for a list"),
        ([np.zeros((2, INPUT))], {"resets": np.zeros((2, 1), bool)}, TypeError, "resets must be a list"),
        ([np.zeros((2, INPUT))], {"resets": []}, ValueError, "resets must hold 1 arrays"),
        (X[:, 0], {"lengths": [2]}, ValueError, "lengths must be None for an unbatched x"),
        (X, {"lengths": [1, 2]}, ValueError, r"lengths must have shape \(3,\), got \(2,\)"),
        (X, {"lengths": [1, 2, 7]}, ValueError, r"lengths must lie in 0\.\.6, got 7"),
        (X, {"lengths": [1, 2, -1]}, ValueError, r"lengths must lie in 0\.\.6, got -1"),
        (X, {"lengths": [1.0, 2.0, 3.0]}, TypeError, "lengths must be an integer array"),
        (X, {"resets": np.zeros((N, T), bool)}, ValueError, r"resets must have shape \(6, 3\)"),
        (X, {"resets": np.zeros((T, N))}, TypeError, "resets must be a boolean array"),
        (X, {"state": np.zeros((1, N, H))}, TypeError, r"state of an LSTM must be a pair \(h, c\), got ndarray"),
        (X, {"state": (np.zeros((1, N, H)), np.zeros((N, H)))}, ValueError, r"state\[1\] \(c\) must have shape"),
        (X[:, 0], {"state": (np.zeros((1, 1, H)),) * 2}, ValueError, r"must have shape \(1, 5\), got \(1, 1, 5\)"),
    ],
)  # fmt: skip
def test_bad_calls_name_the_argument(x: Any, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LSTM(INPUT, H)(x, **options)


def test_bad_gradients_name_the_argument() -> None:
    layer = GRU(INPUT, H, seed=0).train()
    layer(X)
    with pytest.raises(ValueError, match=r"dy must have shape \(6, 3, 5\), got \(3, 6, 5\)"):
        layer.backward(np.zeros((N, T, H)))
    layer(X)
    with pytest.raises(ValueError, match=r"dstate must have shape \(1, 3, 5\)"):
        layer.backward(None, np.zeros((N, H)))
    layer([X[:, 0], X[:2, 0]])
    with pytest.raises(TypeError, match="dy must be a list"):
        layer.backward(np.zeros((2, T, H)))
    layer([X[:, 0], X[:2, 0]])
    with pytest.raises(ValueError, match="dy must hold 2 arrays"):
        layer.backward([np.zeros((T, H))])
    layer([X[:, 0], X[:2, 0]])
    with pytest.raises(ValueError, match=r"dy\[1\] must have shape \(2, 5\)"):
        layer.backward([np.zeros((T, H)), np.zeros((T, H))])
