"""Sequential: names, lengths, states, gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS, assert_derivatives, leaves, like

from fastrnn.backend import use_backend
from fastrnn.layers import (
    GRU,
    LSTM,
    RNN,
    AttentionPool,
    Dropout,
    Embedding,
    LastPool,
    Layer,
    LayerNorm,
    Linear,
    MaxPool,
    MeanPool,
    Sequential,
)

F64 = {"dtype": "float64", "seed": 0}


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(8)


MODELS: dict[str, Callable[[], Sequential]] = {
    "one": lambda: Sequential(Linear(3, 2, **F64)),
    "no_time": lambda: Sequential(Linear(3, 4, **F64), LayerNorm(4, dtype="float64"), Linear(4, 2, **F64)),
    "lstm": lambda: Sequential(LSTM(3, 4, **F64), Linear(4, 2, **F64)),
    "two_states": lambda: Sequential(
        GRU(3, 4, bidirectional=True, **F64),
        LayerNorm(8, dtype="float64"),
        LSTM(8, 5, num_layers=2, **F64),
        Linear(5, 2, **F64),
    ),
    "pooled": lambda: Sequential(
        Linear(3, 3, **F64), RNN(3, 4, **F64), AttentionPool(4, **F64), Linear(4, 2, **F64)
    ),
    "nested": lambda: Sequential(
        Sequential(RNN(3, 4, **F64), GRU(4, 4, **F64)), Sequential(MeanPool(), Linear(4, 2, **F64))
    ),
    "same_layer_twice": lambda: Sequential(*[Linear(3, 3, **F64)] * 2, Linear(3, 2, **F64)),
}


@pytest.mark.parametrize("lengths", [None, [4, 0, 2]], ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_gradients(model: str, lengths: Any, rng: np.random.Generator) -> None:
    net = MODELS[model]().train()
    x = rng.standard_normal((4, 3, 3))
    _, state = net(x)
    net.clear()
    state = like(state, rng)
    y, last = net(x, state, lengths=lengths)
    dy, dlast = like(y, rng), like(last, rng)
    dx, dstate = net.backward(dy, dlast)
    net.eval()
    assert isinstance(dstate, tuple)
    checked = {name: (p.data, p.grad) for name, p in net.named_parameters()} | {"x": (x, dx)}
    for i, (array, gradient) in enumerate(zip(leaves(state), leaves(dstate), strict=True)):
        checked[f"state {i}"] = (array, gradient)
    assert_derivatives(lambda: leaves(net(x, state, lengths=lengths)), leaves((dy, dlast)), checked)


def test_it_is_its_layers_one_after_the_other(rng: np.random.Generator) -> None:
    lstm, norm, gru, pool, out = (
        LSTM(3, 4, seed=0),
        LayerNorm(4),
        GRU(4, 5, seed=1),
        MaxPool(),
        Linear(5, 2, seed=2),
    )
    model = Sequential(lstm, norm, gru, pool, out)
    x = rng.standard_normal((6, 3, 3)).astype(np.float32)
    resets = rng.random((6, 3)) < 0.3
    options = {"lengths": [6, 1, 4], "resets": resets}
    a, s0 = lstm(x, **options)
    b, s1 = gru(norm(a), **options)
    desired = out(pool(b, [6, 1, 4]))
    y, state = model(x, **options)
    assert np.array_equal(y, desired)
    assert [array.tolist() for array in leaves(state)] == [array.tolist() for array in leaves((s0, s1))]


def test_state_is_carried(rng: np.random.Generator) -> None:
    model = MODELS["lstm"]()
    x = rng.standard_normal((6, 2, 3))
    whole, _ = model(x)
    first, state = model(x[:2])
    second, _ = model(x[2:], state)
    assert len(state) == 1
    assert np.array_equal(np.concatenate([first, second]), whole)
    again, _ = model(x[2:], [state[0]])
    assert np.array_equal(again, second)


def test_no_gradient_of_integers() -> None:
    model = Sequential(Embedding(5, 3), LSTM(3, 4), LastPool(), Linear(4, 2)).train()
    y, _ = model(np.array([[1, 2], [3, 4]]), lengths=[2, 1])
    dx, (dstate,) = model.backward(np.ones_like(y))
    assert dx is None
    assert [array.shape for array in leaves(dstate)] == [(1, 2, 4), (1, 2, 4)]


def test_several_forwards_then_as_many_backwards(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 4, 3, 3))
    dy = rng.standard_normal((2, 4, 3, 2))
    together, apart = MODELS["two_states"]().train(), MODELS["two_states"]().train()
    for i in (0, 1):
        together(x[i])
    grads = [together.backward(dy[i])[0] for i in (1, 0)]
    for i in (1, 0):
        apart(x[i])
        assert np.array_equal(apart.backward(dy[i])[0], grads[1 - i])
    for p, q in zip(together.parameters(), apart.parameters(), strict=True):
        assert np.array_equal(p.grad, q.grad)


def test_input_is_not_frozen_and_not_needed(rng: np.random.Generator) -> None:
    model = Sequential(Dropout(0.0), Dropout(0.5, seed=0), Linear(3, 2, **F64), Dropout(0.5, seed=1)).train()
    x = rng.standard_normal((4, 3))
    y, _ = model(x)
    assert x.flags.writeable
    assert y.flags.writeable
    x[:] = 0
    model.backward(np.ones((4, 2)))
    assert model[2].weight.grad.any()  # type: ignore[attr-defined]


def test_frozen_layers_in_eval_mode_do_not_freeze_the_input(rng: np.random.Generator) -> None:
    model = Sequential(Dropout(0.5), Linear(3, 2)).train()
    model[0].eval()
    x = rng.standard_normal((4, 3))
    model(x)
    assert x.flags.writeable


def test_container() -> None:
    a, b, c = Linear(2, 3), LayerNorm(3), Linear(3, 4)
    model = Sequential(a, b, c)
    assert len(model) == 3
    assert list(model) == [a, b, c]
    assert model[0] is a
    assert model[-1] is c
    assert model["1"] is b
    part = model[1:]
    assert isinstance(part, Sequential)
    assert list(part) == [b, c]
    assert [n for n, _ in part.named_children()] == ["1", "2"]
    with pytest.raises(KeyError, match="x"):
        model["x"]
    with pytest.raises(IndexError):
        model[3]


def test_names() -> None:
    model = Sequential(Linear(2, 3), GRU(3, 4), Linear(4, 1))
    assert next(iter(model.state_dict())) == "0.weight"
    assert "1.weight_ih_l0" in model.state_dict()
    layers = {"body": GRU(3, 4), "head": Linear(4, 1)}
    for named in (Sequential(layers), Sequential(*layers.items())):
        assert [n for n, _ in named.named_children()] == ["body", "head"]
        assert "head.bias" in named.state_dict()
    assert repr(Sequential(MeanPool())) == "Sequential(\n  (0): MeanPool(batch_first=False)\n)"


@pytest.mark.parametrize("model", MODELS)
def test_zero_grad_reaches_every_layer(model: str, rng: np.random.Generator) -> None:
    net = MODELS[model]().train()
    for _ in range(2):
        y, _ = net(rng.standard_normal((4, 3, 3)))
        net.backward(np.ones_like(y))
        assert all(p.grad.any() for p in net.parameters())
        net.zero_grad()
        assert not any(p.grad.any() for p in net.parameters())


def test_modes_reach_every_layer() -> None:
    model = MODELS["nested"]().train()
    assert all(layer.training for _, layer in model._walk())
    model(np.zeros((2, 1, 3)))
    model.clear()
    with pytest.raises(RuntimeError, match="forward pass"):
        model.backward(np.zeros((1, 2)))
    model.eval()
    with pytest.raises(RuntimeError, match=r"\.train\(\)"):
        model.backward(np.zeros((1, 2)))


@pytest.mark.parametrize("model", [name for name in MODELS if name != "same_layer_twice"])
def test_configurations_make_the_same_model(model: str, rng: np.random.Generator) -> None:
    net = MODELS[model]()
    made = Sequential.from_config(net.config())
    made.load_state_dict(net.state_dict())
    x = rng.standard_normal((4, 3, 3))
    assert np.array_equal(made(x)[0], net(x)[0])
    assert made.config() == net.config()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Sequential(), ValueError, "at least one layer"),
        (lambda: Sequential(Linear(1, 1), 3), TypeError, r"layers\[1\] must be a Layer"),  # type: ignore[arg-type]
        (lambda: Sequential(("a.b", Linear(1, 1))), ValueError, "without a dot"),
        (lambda: Sequential(("", Linear(1, 1))), ValueError, "non-empty"),
        (lambda: Sequential(("a", Linear(1, 1)), ("a", Linear(1, 1))), ValueError, "unique"),
        (lambda: Sequential(MeanPool(), LSTM(2, 2)), ValueError, "'1' needs a time axis, which '0'"),
        (lambda: Sequential(Sequential(MeanPool()), MaxPool()), ValueError, "needs a time axis"),
        (
            lambda: Sequential(LSTM(2, 2, batch_first=True), Linear(2, 2), MeanPool()),
            ValueError,
            "agree on batch_first, '2' differs",
        ),
        (lambda: Sequential.from_config({"layers": [], "more": 1}), ValueError, "must hold just 'layers'"),
    ],
)
def test_wrong_models(call: Callable[[], Layer], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("state", [(), (None, None), np.zeros((1, 2, 4)), {}])
def test_wrong_states(state: Any) -> None:
    with pytest.raises(ValueError, match="state must be a tuple of 1 entries, one per recurrent layer"):
        MODELS["lstm"]()(np.zeros((1, 2, 3)), state)


def test_ragged_lists_are_refused() -> None:
    with pytest.raises(TypeError, match="pad it and give lengths"):
        MODELS["lstm"]()([np.zeros((2, 3)), np.zeros((4, 3))])
