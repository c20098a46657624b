"""fastrnn.functional and its twin in fastrnn.reference: one signature, one set of checks, either backend."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from recurrent_cases import make_problem, run
from tolerances import backward_tolerance, within

import fastrnn.reference
from fastrnn import functional
from fastrnn.backend import use_backend
from fastrnn.reference import _core as reference

NAMES = ["rnn", "rnn_backward", "lstm", "lstm_backward", "gru", "gru_backward"]
FEATURES = {"lengths": True, "resets": True, "input_mask": True, "hidden_mask": True, "zoneout": "sample"}
CALLS = {
    "rnn_tanh": ("rnn", {}),
    "rnn_relu": ("rnn", {"nonlinearity": "relu"}),
    "lstm": ("lstm", {}),
    "gru": ("gru", {}),
    "gru_reset_before": ("gru", {"reset_after": False}),
}


@pytest.fixture(params=["functional", "reference", "functional under use_backend"])
def module(request: pytest.FixtureRequest):
    if request.param == "reference":
        yield fastrnn.reference
    elif request.param == "functional":
        yield functional
    else:
        with use_backend("reference"):
            yield functional


@pytest.mark.parametrize("name", NAMES)
def test_names_and_signatures_are_the_same(name: str) -> None:
    ours, twin = getattr(functional, name), getattr(fastrnn.reference, name)
    assert inspect.signature(ours) == inspect.signature(twin)
    assert ours.__doc__ == twin.__doc__ and "Examples" in ours.__doc__
    assert sorted(functional.__all__) == sorted(fastrnn.reference.__all__)


@pytest.mark.parametrize("cell", CALLS)
@pytest.mark.parametrize("biases", [(), ("ih",), ("ih", "hh")])
@pytest.mark.parametrize("project", [False, True])
def test_every_argument_arrives_and_every_gradient_returns(module, cell: str, biases, project: bool) -> None:
    p = make_problem(cell, 5, 4, 3, 4, reverse=True, biases=biases, project=project, **FEATURES)
    expected = run(reference, p)
    name, options = CALLS[cell]
    w = p.weights
    states = (p.h0, p.c0, w.weight_hr) if cell == "lstm" else (p.h0,)
    y, final, saved = getattr(module, name)(
        p.x, w.weight_ih, w.weight_hh, w.bias_ih, w.bias_hh, *states, **options, **p.options
    )
    dfinal = (p.dhn, p.dcn) if cell == "lstm" else (p.dhn,)
    grads = getattr(module, f"{name}_backward")(saved, p.dy, *dfinal)
    got = {"y": y, "hn": final[0] if cell == "lstm" else final, "dx": grads.dx, "dh0": grads.dh0}
    if cell == "lstm":
        got |= {"cn": final[1], "dc0": grads.dc0, "weight_hr": grads.dweight_hr}
    got |= {key: getattr(grads, f"d{key}") for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    for key, value in got.items():
        desired = getattr(expected, key)
        assert (value is None) == (desired is None), key
        if value is not None:
            within(value, desired, backward_tolerance(np.float64, p.K, 5, 20), key)


def arguments(cell: str = "gru") -> dict:
    p = make_problem(cell, 4, 3, 2, 5)
    w = p.weights
    return {"x": p.x, "weight_ih": w.weight_ih, "weight_hh": w.weight_hh, "bias_ih": w.bias_ih, "h0": p.h0}


BAD = [
    ({"x": np.zeros((4, 2))}, ValueError, r"x must have shape \(T, N, I\), got \(4, 2\)"),
    ({"x": np.zeros((4, 3, 2), int)}, TypeError, "x must be a floating-point array, got dtype int64"),
    ({"x": [[1.0], [1.0, 2.0]]}, TypeError, "x must be a floating-point array, got list"),
    ({"x": np.zeros((4, 3, 7))}, ValueError, r"weight_ih must have shape \(3\*H, 7\), got \(15, 2\)"),
    ({"weight_ih": np.zeros((14, 2))}, ValueError, r"weight_ih must have 3\*H rows"),
    ({"weight_ih": np.zeros((0, 2))}, ValueError, r"H of at least 1"),
    ({"weight_ih": np.zeros((15, 2), np.float32)}, TypeError, "x float64, weight_ih float32"),
    ({"weight_hh": np.zeros((15, 4))}, ValueError, r"weight_hh must have shape \(15, 5\), got \(15, 4\)"),
    (
        {"weight_hh": np.zeros((15, 5), np.float32)},
        TypeError,
        "weight_hh must have dtype float64, got float32",
    ),
    ({"bias_ih": np.zeros(5)}, ValueError, r"bias_ih must have shape \(15,\), got \(5,\)"),
    ({"h0": np.zeros((1, 3, 5))}, ValueError, r"h0 must have shape \(3, 5\)"),
    ({"lengths": [4, 5, 0]}, ValueError, r"lengths must lie in 0\.\.4, got 5"),
    ({"lengths": [4, -1, 0]}, ValueError, r"lengths must lie in 0\.\.4, got -1"),
    ({"lengths": [4, 1]}, ValueError, r"lengths must have shape \(3,\), got \(2,\)"),
    ({"lengths": [4.0, 1.0, 1.0]}, TypeError, "lengths must be an integer array, got dtype float64"),
    ({"resets": np.zeros((4, 3), int)}, TypeError, "resets must be a boolean array"),
    ({"resets": np.zeros((3, 4), bool)}, ValueError, r"resets must have shape \(4, 3\)"),
    ({"reverse": 1}, TypeError, "reverse must be True or False, got 1"),
    ({"training": None}, TypeError, "training must be True or False, got None"),
    ({"input_mask": np.zeros((3, 5))}, ValueError, r"input_mask must have shape \(3, 2\)"),
    ({"hidden_mask": np.zeros((3, 2))}, ValueError, r"hidden_mask must have shape \(3, 5\)"),
    (
        {"zoneout_h": np.zeros((3, 4))},
        ValueError,
        r"zoneout_h must be broadcastable to \(4, 3, 5\), got shape",
    ),
    ({"zoneout_h": 1.5}, ValueError, r"zoneout_h must lie in \[0, 1\]"),
    ({"zoneout_h": np.nan}, ValueError, r"zoneout_h must lie in \[0, 1\]"),
    ({"reset_after": "no"}, TypeError, "reset_after must be True or False, got 'no'"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD, ids=[m for *_, m in BAD])
def test_bad_arguments_are_named(change: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fastrnn.reference.gru(**{**arguments(), **change})


def test_bad_choices_are_named() -> None:
    with pytest.raises(ValueError, match="nonlinearity must be one of 'tanh', 'relu', got 'gelu'"):
        fastrnn.reference.rnn(**arguments("rnn_tanh"), nonlinearity="gelu")
    with pytest.raises(ValueError, match=r"weight_hr must have shape \(P, 5\), got \(3, 4\)"):
        fastrnn.reference.lstm(**arguments("lstm"), weight_hr=np.zeros((3, 4)))
    projected = {**arguments("lstm"), "weight_hh": np.zeros((20, 6)), "h0": None}
    with pytest.raises(ValueError, match="1 <= P <= H = 5, got P = 6"):
        fastrnn.reference.lstm(**projected, weight_hr=np.zeros((6, 5)))


def test_backward_checks_its_arguments(module) -> None:
    y, _, saved = module.gru(**arguments())
    with pytest.raises(ValueError, match=r"dy must have shape \(4, 3, 5\), got \(3, 5\)"):
        module.gru_backward(saved, y[0])
    with pytest.raises(TypeError, match="dh_n must have dtype float64, got float32"):
        module.gru_backward(saved, y, np.zeros((3, 5), np.float32))
    with pytest.raises(
        TypeError, match=r"saved must come from lstm\(\.\.\., training=True\), got one of gru"
    ):
        module.lstm_backward(saved, y)
    module.gru_backward(saved, y)
    with pytest.raises(RuntimeError, match="run forward again"):
        module.gru_backward(saved, y)


def test_inference_saves_nothing(module) -> None:
    y, _, saved = module.gru(**arguments(), training=False)
    assert saved is None and y.shape == (4, 3, 5)
    with pytest.raises(TypeError, match="training=True"):
        module.gru_backward(saved, y)


def test_backward_uses_the_backend_of_its_forward() -> None:
    with use_backend("reference"):
        y, _, saved = functional.gru(**arguments())
    assert saved.backend is reference
    assert functional.gru_backward(saved, y).dx.shape == (4, 3, 2)


def test_the_output_is_read_only_until_backward(module) -> None:
    y, _, _ = module.gru(**arguments())
    with pytest.raises(ValueError, match="read-only"):
        y += 1
    y, _, _ = module.gru(**arguments(), training=False)
    y += 1


def test_weights_may_change_before_backward(module) -> None:
    given = arguments()
    y, _, saved = module.gru(**given)
    expected = module.gru_backward(saved, y)
    y, _, saved = module.gru(**given)
    given["weight_hh"] *= 0
    assert np.array_equal(module.gru_backward(saved, y).dx, expected.dx)


def test_inputs_are_left_alone(module) -> None:
    given = arguments()
    copies = {key: value.copy() for key, value in given.items()}
    y, _, saved = module.gru(**given)
    module.gru_backward(saved, y)
    for key, value in given.items():
        assert np.array_equal(value, copies[key]), key
