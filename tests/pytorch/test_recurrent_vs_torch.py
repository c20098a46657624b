"""Recurrent layers and cells against torch.nn, after loading its state_dict as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pytorch_cases import torch
from recurrent_layers import BACKENDS, leaves
from tolerances import TORCH_FLOAT32_BACKWARD, TORCH_FLOAT32_FORWARD, TORCH_FLOAT64, within

from fastrnn.backend import use_backend
from fastrnn.layers import cells, recurrent

T, N, INPUT, H = 9, 4, 5, 6
LENGTHS = [4, 9, 1, 7]

KINDS = [
    ("RNN", {"nonlinearity": "tanh"}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("LSTM", {"proj_size": 3}),
    ("GRU", {}),
]
KIND_IDS = ["rnn_tanh", "rnn_relu", "lstm", "lstm_proj", "gru"]
STACKS: dict[str, dict[str, Any]] = {
    "one": {},
    "no_bias": {"bias": False},
    "deep": {"num_layers": 3},
    "wide": {"num_layers": 2, "bidirectional": True},
}


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


def forward_tolerance(dtype: str) -> float:
    return TORCH_FLOAT64 if dtype == "float64" else TORCH_FLOAT32_FORWARD


def backward_tolerance(dtype: str) -> float:
    return TORCH_FLOAT64 if dtype == "float64" else TORCH_FLOAT32_BACKWARD


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def nested(arrays: list[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def tensors(arrays: list[np.ndarray]) -> list[Any]:
    return [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]


def check_gradients(ours: Any, theirs: Any, dtype: str) -> None:
    for name, p in theirs.named_parameters():
        within(dict(ours.named_parameters())[name].grad, p.grad.numpy(), backward_tolerance(dtype), name)


# PyTorch says that it has no fast path for projections.
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("stack", "form"),
    [
        ("one", "time_major"),
        ("no_bias", "packed"),
        ("deep", "batch_first"),
        ("deep", "unbatched"),
        ("wide", "time_major"),
        ("wide", "batch_first"),
        ("wide", "packed"),
    ],
)
@pytest.mark.parametrize(("name", "cell"), KINDS, ids=KIND_IDS)
def test_layers(name: str, cell: dict, stack: str, form: str, dtype: str) -> None:
    rng = np.random.default_rng(4)
    options = {**cell, **STACKS[stack], "batch_first": form == "batch_first"}
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(INPUT, H, **options, dtype=getattr(torch, dtype))
    ours = getattr(recurrent, name)(INPUT, H, **options, dtype=dtype).train()
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())

    x = normal(rng, {"batch_first": (N, T, INPUT), "unbatched": (T, INPUT)}.get(form, (T, N, INPUT)), dtype)
    count = ours.num_layers * ours.num_directions
    widths = [cell.get("proj_size", H), H][: 2 if name == "LSTM" else 1]
    state = [
        normal(rng, (count, width) if form == "unbatched" else (count, N, width), dtype) for width in widths
    ]

    lengths = LENGTHS if form == "packed" else None
    y, end = ours(x, nested(state), lengths=lengths)
    (x_torch,), state_torch = tensors([x]), tensors(state)
    given = x_torch
    if lengths is not None:
        given = torch.nn.utils.rnn.pack_padded_sequence(x_torch, torch.tensor(lengths), enforce_sorted=False)
    y_torch, end_torch = theirs(given, nested(state_torch))
    if lengths is not None:
        y_torch, _ = torch.nn.utils.rnn.pad_packed_sequence(y_torch, total_length=T)

    within(y, y_torch.detach().numpy(), forward_tolerance(dtype), "y")
    for a, b in zip(leaves(end), leaves(end_torch), strict=True):
        within(a, b.detach().numpy(), forward_tolerance(dtype), "state")

    dy, dend = normal(rng, y.shape, dtype), [normal(rng, a.shape, dtype) for a in leaves(end)]
    dx, dstate = ours.backward(dy, nested(dend))
    torch.autograd.backward([y_torch, *leaves(end_torch)], [torch.from_numpy(g) for g in (dy, *dend)])
    within(dx, x_torch.grad.numpy(), backward_tolerance(dtype), "dx")
    for a, b in zip(leaves(dstate), state_torch, strict=True):
        within(a, b.grad.numpy(), backward_tolerance(dtype), "dstate")
    check_gradients(ours, theirs, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (N,)], ids=["unbatched", "batch"])
@pytest.mark.parametrize(("name", "cell"), [kind for kind in KINDS if "proj_size" not in kind[1]])
def test_cells(name: str, cell: dict, batch: tuple[int, ...], bias: bool, dtype: str) -> None:
    rng = np.random.default_rng(4)
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name + "Cell")(INPUT, H, bias, **cell, dtype=getattr(torch, dtype))
    ours = getattr(cells, name + "Cell")(INPUT, H, bias, **cell, dtype=dtype).train()
    ours.load_state_dict(theirs.state_dict())
    x = normal(rng, (*batch, INPUT), dtype)
    state = [normal(rng, (*batch, H), dtype) for _ in range(2 if name == "LSTM" else 1)]
    (x_torch,), state_torch = tensors([x]), tensors(state)
    after, after_torch = ours(x, nested(state)), theirs(x_torch, nested(state_torch))
    for a, b in zip(leaves(after), leaves(after_torch), strict=True):
        within(a, b.detach().numpy(), forward_tolerance(dtype), "state")
    dafter = [normal(rng, a.shape, dtype) for a in leaves(after)]
    dx, dstate = ours.backward(nested(dafter))
    torch.autograd.backward(leaves(after_torch), [torch.from_numpy(g) for g in dafter])
    within(dx, x_torch.grad.numpy(), backward_tolerance(dtype), "dx")
    for a, b in zip(leaves(dstate), state_torch, strict=True):
        within(a, b.grad.numpy(), backward_tolerance(dtype), "dstate")
    check_gradients(ours, theirs, dtype)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_layer_norm(name: str) -> None:
    """PyTorch has no such layer, but the pieces of one."""
    rng = np.random.default_rng(4)
    ours = getattr(recurrent, name)(INPUT, H, layer_norm=True, seed=0, dtype="float64").train()
    for p in ours.parameters():
        p.data += 0.1 * rng.standard_normal(p.shape)
    w = {n: torch.tensor(a, requires_grad=True) for n, a in ours.state_dict().items()}
    x = normal(rng, (T, N, INPUT), "float64")
    (x_torch,) = tensors([x])

    def product(kind: str, a: torch.Tensor) -> torch.Tensor:
        rows = w[f"ln_{kind}_l0"].shape
        return torch.nn.functional.layer_norm(
            a @ w[f"weight_{kind}_l0"].T, rows, w[f"ln_{kind}_l0"], w[f"bias_{kind}_l0"]
        )

    h = c = torch.zeros(N, H, dtype=torch.float64)
    outputs = []
    for t in range(T):
        from_x, from_h = product("ih", x_torch[t]), product("hh", h)
        if name == "LSTM":
            i, f, g, o = (from_x + from_h).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            normed = torch.nn.functional.layer_norm(c, (H,), w["ln_c_weight_l0"], w["ln_c_bias_l0"])
            h = o.sigmoid() * normed.tanh()
        else:
            r, z = (from_x + from_h)[:, : 2 * H].sigmoid().chunk(2, dim=1)
            h = (1 - z) * (from_x[:, 2 * H :] + r * from_h[:, 2 * H :]).tanh() + z * h
        outputs.append(h)
    y_torch = torch.stack(outputs)

    y, _ = ours(x)
    within(y, y_torch.detach().numpy(), forward_tolerance("float64"), "y")
    dy = normal(rng, y.shape, "float64")
    dx, _ = ours.backward(dy)
    y_torch.backward(torch.from_numpy(dy))
    within(dx, x_torch.grad.numpy(), backward_tolerance("float64"), "dx")
    for parameter, p in ours.named_parameters():
        within(p.grad, w[parameter].grad.numpy(), backward_tolerance("float64"), parameter)


def test_tensors_are_taken_as_input() -> None:
    layer = recurrent.GRU(INPUT, H, seed=0)
    x = torch.randn(T, N, INPUT, requires_grad=True)
    assert np.array_equal(layer(x)[0], layer(x.detach().numpy())[0])
