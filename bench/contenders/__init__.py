"""Who is measured. A module each, imported only when it is wanted; adding one is a line in `MODULES`.

A module has ``prepare(problem, threads)``, which does everything that is done once (building the layer,
compiling) and returns a `Prepared`, or raises `Unsupported`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

OURS = "fastrnn"
REFERENCE = "numpy"
MODULES = {
    OURS: "bench.contenders.fastrnn_layer",
    "torch": "bench.contenders.torch_layer",
    "jax": "bench.contenders.jax_scan",
    "onnxruntime": "bench.contenders.onnx_runtime",
    "openvino": "bench.contenders.openvino_model",
    REFERENCE: "bench.contenders.numpy_reference",
}
PEERS = tuple(name for name in MODULES if name not in (OURS, REFERENCE))
"""Those that the ratios are against; the NumPy reference is not a peer but the definition of right."""

PACKAGES = {
    OURS: ("fastrnn",),
    "torch": ("torch",),
    "jax": ("jax", "jaxlib"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "onnx"),
    REFERENCE: ("numpy",),
}


class Unsupported(Exception):
    """This contender cannot do this problem; the message says what it lacks."""


@dataclass(frozen=True)
class Prepared:
    """A contender that is ready for one problem."""

    run: Callable[[], Any]
    """Do it once, to the end; what is timed."""
    read: Callable[[Any], dict[str, np.ndarray]]
    """Results as arrays from what `run` returned: y, hn, cn; in training also dx, dh0, dc0, weights."""


def versions(name: str) -> dict[str, str] | None:
    """Versions of the distributions that a contender needs, or None if one is not installed."""
    found = {}
    for package in PACKAGES[name]:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            # A source tree on the path, as when the engine was built in place.
            if package != OURS or importlib.util.find_spec(OURS) is None:
                return None
            found[package] = importlib.import_module(OURS).__version__
    return found


def load(name: str) -> ModuleType:
    """The module of a contender."""
    return importlib.import_module(MODULES[name])


def named_results(
    forward: list[np.ndarray], gradients: list[np.ndarray], weight_names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Give names to ``[y, hn, (cn)]`` and, in training, to ``[dx, dh0, (dc0), weights ...]``."""
    results = dict(zip(("y", "hn", "cn"), forward, strict=False))
    if gradients:
        states = ("dh0", "dc0")[: len(forward) - 1]
        results |= dict(zip(("dx", *states, *weight_names), gradients, strict=True))
    return results
