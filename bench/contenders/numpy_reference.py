"""The NumPy reference of fastrnn: the definition of right, and what a reader would write himself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.contenders import Prepared, fastrnn_layer
from bench.problem import Problem
from fastrnn.backend import use_backend


def prepare(problem: Problem, threads: int) -> Prepared:
    def on_reference(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            with use_backend("reference"):
                return function(*args)

        return call

    native = fastrnn_layer.prepare(problem, threads)
    return Prepared(on_reference(native.run), native.read)
