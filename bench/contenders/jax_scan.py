"""JAX: one jitted function around `lax.scan`, the input product hoisted out of the loop.

The pool that XLA computes with is as large as the set of cores that the process may use when JAX starts, so
that the process has to be pinned before this module is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench.contenders import Prepared, Unsupported, named_results
from bench.problem import WEIGHTS, Problem

State = tuple[jax.Array, ...]
Step = Callable[[jax.Array, State, jax.Array, jax.Array], State]


def elman(activation: Callable[[jax.Array], jax.Array]) -> Step:
    def step(x: jax.Array, state: State, w: jax.Array, b: jax.Array) -> State:
        return (activation(x + state[0] @ w.T + b),)

    return step


def lstm(x: jax.Array, state: State, w: jax.Array, b: jax.Array) -> State:
    h, c = state
    i, f, g, o = jnp.split(x + h @ w.T + b, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def gru(x: jax.Array, state: State, w: jax.Array, b: jax.Array) -> State:
    (h,) = state
    x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(h @ w.T + b, 3, axis=-1)
    z = jax.nn.sigmoid(x_z + h_z)
    n = jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * h_n)
    return ((1 - z) * n + z * h,)


def gru_reset_before(x: jax.Array, state: State, w: jax.Array, b: jax.Array) -> State:
    (h,) = state
    H = h.shape[-1]
    r, z = jnp.split(jax.nn.sigmoid(x[:, : 2 * H] + h @ w[: 2 * H].T + b[: 2 * H]), 2, axis=-1)
    n = jnp.tanh(x[:, 2 * H :] + (r * h) @ w[2 * H :].T + b[2 * H :])
    return ((1 - z) * n + z * h,)


def mingru(x: jax.Array, state: State, w: jax.Array, b: jax.Array) -> State:
    z, n = jnp.split(x, 2, axis=-1)
    z = jax.nn.sigmoid(z)
    return ((1 - z) * state[0] + z * n,)


def minlstm(x: jax.Array, state: State, w: jax.Array, b: jax.Array) -> State:
    f, i, n = jnp.split(x, 3, axis=-1)
    f, i = jax.nn.sigmoid(f), jax.nn.sigmoid(i)
    return ((f * state[0] + i * n) / (f + i),)


STEPS: dict[str, Step] = {
    "rnn_tanh": elman(jnp.tanh),
    "rnn_relu": elman(jax.nn.relu),
    "lstm": lstm,
    "gru": gru,
    "gru_reset_before": gru_reset_before,
    "mingru": mingru,
    "minlstm": minlstm,
}


def prepare(problem: Problem, threads: int) -> Prepared:
    if problem.cell not in STEPS:
        raise Unsupported(f"no scan is written for the cell {problem.cell}")
    if problem.lengths is not None:
        raise Unsupported("the scan is written for equal lengths")
    if problem.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    step = STEPS[problem.cell]

    def forward(x: jax.Array, state: State, weights: State) -> State:
        weight_ih, weight_hh, bias_ih, bias_hh = weights

        def body(carry: State, x_t: jax.Array) -> tuple[State, jax.Array]:
            carry = step(x_t, carry, weight_hh, bias_hh)
            return carry, carry[0]

        final, y = lax.scan(body, tuple(s[0] for s in state), x @ weight_ih.T + bias_ih)
        return y, *(s[None] for s in final)

    def train(x: jax.Array, state: State, weights: State, cotangents: State) -> Any:
        outputs, pull_back = jax.vjp(forward, x, state, weights)
        return outputs, pull_back(cotangents)

    x = jnp.asarray(problem.x)
    state = tuple(map(jnp.asarray, problem.state))
    weights = tuple(jnp.asarray(problem.weights[name]) for name in WEIGHTS)
    if not problem.train:
        infer = jax.jit(forward)
        return Prepared(
            run=lambda: jax.block_until_ready(infer(x, state, weights)),
            read=lambda result: named_results([np.asarray(a) for a in result], [], WEIGHTS),
        )

    cotangents = tuple(map(jnp.asarray, (problem.dy, *problem.dstate)))
    compiled = jax.jit(train)

    def read(result: Any) -> dict[str, np.ndarray]:
        outputs, (dx, dstate, dweights) = result
        return named_results(
            [np.asarray(a) for a in outputs], [np.asarray(a) for a in (dx, *dstate, *dweights)], WEIGHTS
        )

    return Prepared(lambda: jax.block_until_ready(compiled(x, state, weights, cotangents)), read)
