"""One recurrent layer as an ONNX model, for the two contenders that read them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.contenders import Unsupported
from bench.problem import Problem

# Operator, its attributes, and the gates of PyTorch's order in the order of ONNX.
OPERATORS: dict[str, tuple[str, dict[str, object], tuple[int, ...]]] = {
    "rnn_tanh": ("RNN", {"activations": ["Tanh"]}, (0,)),
    "rnn_relu": ("RNN", {"activations": ["Relu"]}, (0,)),
    "lstm": ("LSTM", {}, (0, 3, 1, 2)),
    "gru": ("GRU", {"linear_before_reset": 1}, (1, 0, 2)),
    "gru_reset_before": ("GRU", {"linear_before_reset": 0}, (1, 0, 2)),
}


def onnx_model(problem: Problem, linear: tuple[np.ndarray, np.ndarray] | None = None) -> bytes:
    """The model: inputs x and h (and c), outputs y ``[T, 1, N, H]`` and hn (and cn), fixed sizes.

    With a linear layer (weight ``[V, H]``, bias ``[V]``) also the output logits ``[1, N, V]``, of hn.
    """
    if problem.train:
        raise Unsupported("inference only")
    if problem.dtype != "float32":
        raise Unsupported("its recurrent operators compute in float32 only")
    if problem.lengths is not None:
        raise Unsupported("the model is written for equal lengths")
    if problem.cell not in OPERATORS:
        raise Unsupported(f"ONNX has no {problem.cell}")
    operator, attributes, order = OPERATORS[problem.cell]
    T, N, I, H = problem.shape  # noqa: E741

    def reordered(name: str) -> np.ndarray:
        gates = np.split(problem.weights[name], len(order))
        return np.concatenate([gates[i] for i in order])

    constants = {
        "W": reordered("weight_ih")[None],
        "R": reordered("weight_hh")[None],
        "B": np.concatenate([reordered("bias_ih"), reordered("bias_hh")])[None],
    }
    states = ("h", "c")[: len(problem.state)]
    outputs = ["y", *(f"{s}n" for s in states)]
    nodes = [helper.make_node(operator, ["x", *constants, "", *states], outputs, hidden_size=H, **attributes)]

    def value(name: str, *sizes: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)

    results = [value("y", T, 1, N, H), *(value(f"{s}n", 1, N, H) for s in states)]
    if linear is not None:
        constants |= {"weight": np.ascontiguousarray(linear[0].T), "bias": linear[1]}
        nodes.append(helper.make_node("MatMul", ["hn", "weight"], ["product"]))
        nodes.append(helper.make_node("Add", ["product", "bias"], ["logits"]))
        results.append(value("logits", 1, N, linear[1].size))
    graph = helper.make_graph(
        nodes,
        "layer",
        [value("x", T, N, I), *(value(s, 1, N, H) for s in states)],
        results,
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def inputs(problem: Problem) -> dict[str, np.ndarray]:
    return {"x": problem.x, **dict(zip(("h", "c"), problem.state, strict=False))}
