"""Run a recurrent test problem with torch.nn and compare a backend with it."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from recurrent_cases import Problem, run
from tolerances import within

torch = pytest.importorskip("torch", minversion="2.0")


def assert_equals_torch_layer(
    backend: ModuleType, p: Problem, forward_tol: float, backward_tol: float
) -> None:
    """Compare outputs, final states and all gradients with one layer of nn.RNN, nn.LSTM or nn.GRU."""
    lengths = p.options.get("lengths")
    if lengths is not None:
        p.options["lengths"] = lengths = np.maximum(lengths, 1)  # PyTorch refuses empty rows
    T, N, I = p.x.shape  # noqa: E741
    H = p.weights.weight_ih.shape[0] // {"lstm": 4, "gru": 3}.get(p.cell, 1)
    P = 0 if p.weights.weight_hr is None else p.weights.weight_hr.shape[0]
    reverse = p.options.get("reverse", False)
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    extra = {"proj_size": P} if P else {}
    if p.cell.startswith("rnn_"):
        extra["nonlinearity"] = p.cell.removeprefix("rnn_")
    dtype = torch.float64 if p.x.dtype == np.float64 else torch.float32
    bias = p.weights.bias_ih is not None
    layer = kinds.get(p.cell, torch.nn.RNN)(I, H, bias=bias, bidirectional=reverse, dtype=dtype, **extra)
    suffix = "_l0_reverse" if reverse else "_l0"
    with torch.no_grad():
        for name, value in p.weights._asdict().items():
            if value is not None:
                getattr(layer, name + suffix).copy_(torch.from_numpy(value))

    def state(initial: np.ndarray | None, size: int) -> tuple:
        mine = (
            torch.zeros(1, N, size, dtype=dtype)
            if initial is None
            else torch.from_numpy(initial[None].copy())
        )
        mine.requires_grad_()
        return mine, torch.cat([torch.zeros_like(mine), mine]) if reverse else mine

    x = torch.from_numpy(p.x.copy()).requires_grad_()
    h0, h = state(p.h0, P or H)
    c0, c = state(p.c0, H) if p.cell == "lstm" else (None, None)
    packed = x
    if lengths is not None:
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.from_numpy(lengths), enforce_sorted=False)
    y, final = layer(packed, h if c is None else (h, c))
    if lengths is not None:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=T)
    y = y[..., -(P or H) :]
    hn, cn = (final, None) if c is None else final
    objective = (y * torch.from_numpy(p.dy)).sum() + (hn[-1] * torch.from_numpy(p.dhn)).sum()
    if cn is not None:
        objective = objective + (cn[-1] * torch.from_numpy(p.dcn)).sum()
    objective.backward()

    got = run(backend, p)
    expected = {"y": y, "hn": hn[-1], "dx": x.grad, "dh0": h0.grad[0]}
    if cn is not None:
        expected |= {"cn": cn[-1], "dc0": c0.grad[0]}
    for name, value in p.weights._asdict().items():
        if value is not None:
            expected[name] = getattr(layer, name + suffix).grad
    for name, value in expected.items():
        tolerance = forward_tol if name in ("y", "hn", "cn") else backward_tol
        within(getattr(got, name), value.detach().numpy(), tolerance, name)
