"""One step at a time with the state fed back, N = 1: what `bench.stream` measures.

Everyone starts from a zero state and is a function from x ``[1, I]`` to y ``[1, H]``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bench.contenders.fastrnn_layer import make_layer
from bench.problem import WEIGHTS, Problem

Step = Callable[[np.ndarray], np.ndarray]


def fastrnn_step(problem: Problem, threads: int) -> Step:
    step: Step = make_layer(problem).stream().step
    return step


def torch_cell(problem: Problem, threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    kind = {"rnn_tanh": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[problem.cell]
    cell = kind(problem.shape.I, problem.shape.H)
    with torch.no_grad():
        for name in WEIGHTS:
            getattr(cell, name).copy_(torch.from_numpy(problem.weights[name]))
    return cell


def torch_step(problem: Problem, threads: int) -> Step:
    """The cell under inference mode. Its input shares the memory of x: nothing is copied."""
    import torch

    cell = torch_cell(problem, threads)
    state: Any = None
    pair = problem.cell == "lstm"

    def step(x: np.ndarray) -> np.ndarray:
        nonlocal state
        with torch.inference_mode():
            state = cell(torch.from_numpy(x), state)
            y: np.ndarray = (state[0] if pair else state).numpy()
        return y

    return step


Linear = tuple[np.ndarray, np.ndarray]
"""Weight ``[V, H]`` and bias ``[V]`` of an output layer; with one, a step answers with logits ``[1, V]``."""


def _session(problem: Problem, threads: int, linear: Linear | None) -> tuple[Any, list[str]]:
    import onnxruntime

    from bench.contenders._onnx_model import onnx_model
    from bench.contenders.onnx_runtime import session_options

    model = onnx_model(replace(problem, shape=problem.shape._replace(T=1)), linear)
    session = onnxruntime.InferenceSession(model, session_options(threads), ["CPUExecutionProvider"])
    return session, ["h", "c"][: len(problem.state)]


def onnxruntime_step(problem: Problem, threads: int, linear: Linear | None = None) -> Step:
    """``session.run``; what it returns goes in again. Only final states are asked for: they hold y."""
    session, states = _session(problem, threads, linear)
    outputs = [*(["logits"] if linear else []), *(f"{name}n" for name in states)]
    feed = {name: np.zeros_like(s) for name, s in zip(states, problem.state, strict=True)}

    def step(x: np.ndarray) -> np.ndarray:
        feed["x"] = x[None]
        new = session.run(outputs, feed)
        for name, value in zip(reversed(states), reversed(new), strict=False):
            feed[name] = value
        y: np.ndarray = new[0][0]
        return y

    return step


def onnxruntime_bound_step(problem: Problem, threads: int, linear: Linear | None = None) -> Step:
    """Everything bound beforehand, twice: the states that one call writes are those that the next reads."""
    import onnxruntime

    session, states = _session(problem, threads, linear)

    def value(*sizes: int) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(sizes, np.float32))

    x_value = value(1, 1, problem.shape.I)
    logits = None if linear is None else value(1, 1, linear[1].size)
    values = [[value(*s.shape) for s in problem.state] for _ in range(2)]
    bindings = []
    for k in range(2):
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", x_value)
        for name, read, written in zip(states, values[k], values[1 - k], strict=True):
            binding.bind_ortvalue_input(name, read)
            binding.bind_ortvalue_output(f"{name}n", written)
        if logits is not None:
            binding.bind_ortvalue_output("logits", logits)
        bindings.append(binding)
    k = 0

    def step(x: np.ndarray) -> np.ndarray:
        nonlocal k
        x_value.update_inplace(x[None])
        session.run_with_iobinding(bindings[k])
        k = 1 - k
        y: np.ndarray = (values[k][0] if logits is None else logits).numpy()[0]
        return y

    return step


STEPS: dict[str, Callable[[Problem, int], Step]] = {
    "fastrnn": fastrnn_step,
    "torch": torch_step,
    "onnxruntime": onnxruntime_step,
    "onnxruntime bound": onnxruntime_bound_step,
}
