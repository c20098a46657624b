"""OpenVINO, inference: the ONNX model compiled for the CPU, its tensors bound beforehand."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

# Its usage statistics fork the process (dangerous with the threads of JAX) and want a network; without this
# package they are off.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

from bench.contenders import Prepared, named_results  # noqa: E402
from bench.contenders._onnx_model import inputs, onnx_model  # noqa: E402
from bench.problem import WEIGHTS, Problem  # noqa: E402


def prepare(problem: Problem, threads: int) -> Prepared:
    model = openvino.Core().read_model(onnx_model(problem))
    config = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        # The process is pinned already; the plugin must not move the calling thread.
        "ENABLE_CPU_PINNING": False,
    }
    request = openvino.compile_model(model, "CPU", config).create_infer_request()
    for name, array in inputs(problem).items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))

    def read(_: Any) -> dict[str, np.ndarray]:
        y, *final = (request.get_output_tensor(i).data.copy() for i in range(1 + len(problem.state)))
        return named_results([y[:, 0], *final], [], WEIGHTS)

    return Prepared(request.infer, read)
