"""Gradients of recurrent layers and cells against central differences, in every form and combination."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_layers import (
    BACKENDS,
    CELL_LAYER_IDS,
    CELL_LAYERS,
    accepted,
    assert_derivatives,
    leaves,
    like,
)
from tolerances import magnification

from fastrnn import layers
from fastrnn.backend import use_backend
from fastrnn.layers import cells

T, N, INPUT, H = 5, 3, 2, 3

STACKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no_bias": {"bias": False},
    "stack": {"num_layers": 3},
    "bidirectional": {"bidirectional": True},
    "bidirectional_stack_with_dropout": {"num_layers": 2, "bidirectional": True, "dropout": 0.4},
    "input_dropout": {"input_dropout": 0.4},
    "recurrent_dropout": {"recurrent_dropout": 0.4},
    "zoneout": {"zoneout": 0.4},
    "weight_dropout": {"weight_dropout": 0.4},
    "all_noise": {
        "num_layers": 2,
        "bidirectional": True,
        "dropout": 0.3,
        "input_dropout": 0.3,
        "recurrent_dropout": 0.3,
        "zoneout": 0.3,
        "weight_dropout": 0.3,
    },
}
FORMS = ["time_major", "batch_first", "unbatched", "list", "lengths", "resets", "lengths_and_resets"]


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


def make_input(form: str, rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """x and keyword arguments of the call."""
    lengths = [3, 0, 5]
    marks = rng.random((T, N)) < 0.4
    if form == "unbatched":
        return rng.standard_normal((T, INPUT)), {"resets": marks[:, 0]}
    if form == "batch_first":
        return rng.standard_normal((N, T, INPUT)), {"lengths": lengths, "resets": marks.T}
    if form == "list":
        return [rng.standard_normal((t, INPUT)) for t in lengths], {
            "resets": [marks[:t, i] for i, t in enumerate(lengths)]
        }
    options: dict[str, Any] = {}
    if "lengths" in form:
        options["lengths"] = lengths
    if "resets" in form:
        options["resets"] = marks
    return rng.standard_normal((T, N, INPUT)), options


def check_layer(name: str, form: str, **options: Any) -> None:
    rng = np.random.default_rng(5)
    layer = getattr(layers, name)(
        INPUT, H, dtype="float64", seed=1, init="torch", batch_first=form == "batch_first", **options
    ).train()
    x, arguments = make_input(form, rng)
    _, state = layer.eval()(x, **arguments)
    layer.train()
    state = like(state, rng)
    generator = layer.named_rngs()[0][1]
    start = generator.bit_generator.state

    def compute() -> list[np.ndarray]:
        generator.bit_generator.state = start
        result = layer(x, state, **arguments)
        return leaves(result)

    outputs = layer(x, state, **arguments)
    layer.clear()
    dy, dstate = like(outputs, rng)
    compute()
    dx, dstate0 = layer.backward(dy, dstate)
    assert isinstance(dx, type(x)) and isinstance(dstate0, type(state))
    checked = {f"x[{i}]": pair for i, pair in enumerate(zip(leaves(x), leaves(dx), strict=True))}
    checked |= {
        f"state[{i}]": pair for i, pair in enumerate(zip(leaves(state), leaves(dstate0), strict=True))
    }
    checked |= {n: (p.data, p.grad.copy()) for n, p in layer.named_parameters()}
    assert_derivatives(compute, leaves((dy, dstate)), checked, magnification(layer.cell))


@pytest.mark.parametrize(("name", "cell"), CELL_LAYERS, ids=CELL_LAYER_IDS)
@pytest.mark.parametrize("options", STACKS.values(), ids=STACKS)
def test_gradients_of_stacks(name: str, cell: dict[str, Any], options: dict[str, Any]) -> None:
    check_layer(name, "time_major", **cell, **accepted(name, options))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_gradients_in_every_form(name: str, form: str) -> None:
    check_layer(name, form, num_layers=2, bidirectional=True, dropout=0.3, zoneout=0.2)


def test_gradients_with_different_zoneout_of_h_and_c() -> None:
    check_layer("LSTM", "lengths", zoneout=(0.1, 0.6), proj_size=2)


@pytest.mark.parametrize("rows", [None, 3], ids=["unbatched", "batch"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("name", "options"),
    [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}), ("GRUCell", {}),
     ("GRUCell", {"reset_after": False})],
)  # fmt: skip
def test_gradients_of_cells(name: str, options: dict[str, Any], bias: bool, rows: int | None) -> None:
    rng = np.random.default_rng(6)
    cell = getattr(cells, name)(INPUT, H, bias, dtype="float64", seed=1, init="torch", **options).train()
    batch = () if rows is None else (rows,)
    xs = [rng.standard_normal((*batch, INPUT)) for _ in range(3)]
    state = like(cell(xs[0]), rng)
    cell.clear()

    def compute() -> list[np.ndarray]:
        outputs, current = [], state
        for x in xs:
            current = cell(x, current)
            outputs.append(current)
        return leaves(outputs)

    weights = like(compute(), rng)
    cell.clear()
    compute()
    count = len(weights) // len(xs)
    gradients, dxs = [np.zeros_like(w) for w in weights[:count]], []
    for t in reversed(range(len(xs))):
        above = [g + w for g, w in zip(gradients, weights[t * count : (t + 1) * count], strict=True)]
        dx, below = cell.backward(tuple(above) if count == 2 else above[0])
        gradients = leaves(below)
        dxs.insert(0, dx)
    checked = {f"x[{t}]": pair for t, pair in enumerate(zip(xs, dxs, strict=True))}
    checked |= {f"state[{i}]": pair for i, pair in enumerate(zip(leaves(state), gradients, strict=True))}
    checked |= {n: (p.data, p.grad.copy()) for n, p in cell.named_parameters()}
    assert_derivatives(compute, weights, checked)
