"""ONNX Runtime, inference: one session for one layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from bench.contenders import Prepared, named_results
from bench.contenders._onnx_model import inputs, onnx_model
from bench.problem import WEIGHTS, Problem


def session_options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads spin as they like during a call, but not after it: they would slow down whoever is next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def prepare(problem: Problem, threads: int) -> Prepared:
    options = session_options(threads)
    session = onnxruntime.InferenceSession(onnx_model(problem), options, providers=["CPUExecutionProvider"])
    # Bound inputs and outputs: no allocation and no copy per call, its fastest way to be called.
    binding = session.io_binding()
    for name, array in inputs(problem).items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    outputs = []
    for output in session.get_outputs():
        outputs.append(onnxruntime.OrtValue.ortvalue_from_numpy(np.empty(output.shape, problem.dtype)))
        binding.bind_ortvalue_output(output.name, outputs[-1])

    def read(_: Any) -> dict[str, np.ndarray]:
        y, *final = (value.numpy().copy() for value in outputs)
        return named_results([y[:, 0], *final], [], WEIGHTS)

    return Prepared(lambda: session.run_with_iobinding(binding), read)
