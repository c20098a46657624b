"""What the pytest-benchmark suites share: their options, pinned cores, and a table per group of contenders.

Nothing here may import NumPy before the process has been pinned: its pool is sized when it is imported.
"""

from __future__ import annotations

import importlib.metadata
import os
from typing import Any

import pytest

from bench.worker import LIMITS


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fastrnn benchmarks")
    group.addoption(
        "--quick", action="store_true", help="few sizes, few rounds: do they run, are they plausible"
    )
    group.addoption("--shapes", default=None, help="of the cells: a name, a group or T,N,I,H; default: suite")
    group.addoption("--threads", type=int, default=1, help="threads, and cores to pin to; default 1")


def pytest_configure(config: pytest.Config) -> None:
    threads = config.getoption("threads")
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if not 1 <= threads <= len(cores):
            raise pytest.UsageError(f"--threads must be between 1 and {len(cores)}, got {threads}")
        os.sched_setaffinity(0, cores[:threads])
    os.environ.update(dict.fromkeys(LIMITS, str(threads)))
    config.option.benchmark_columns = ["min", "median", "iqr", "rounds"]
    if config.getoption("quick"):
        config.option.benchmark_max_time = 0.02
        config.option.benchmark_min_rounds = 3
        config.option.benchmark_calibration_precision = 2


@pytest.fixture(scope="session")
def threads(request: pytest.FixtureRequest) -> int:
    """Threads that every contender may use, and set so for fastrnn and PyTorch."""
    n: int = request.config.getoption("threads")
    import fastrnn

    fastrnn.set_num_threads(n)
    if has_torch():
        import torch

        torch.set_num_threads(n)
    return n


def has_torch() -> bool:
    try:
        importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``contender`` is everybody who is here; ``shape`` is what the options ask for."""
    quick = metafunc.config.getoption("quick")
    if "contender" in metafunc.fixturenames:
        metafunc.parametrize("contender", ["fastrnn", "numpy", *(["torch"] if has_torch() else [])])
    if "shape" in metafunc.fixturenames:
        from bench.shapes import parse_shape

        shapes: dict[str, Any] = dict(parse_shape(metafunc.config.getoption("shapes") or "suite"))
        if quick:
            shapes = dict(list(shapes.items())[:2])
        metafunc.parametrize("shape", shapes.values(), ids=shapes.keys())
