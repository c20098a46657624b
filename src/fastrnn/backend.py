"""Which implementation computes, on which instruction set, with how many threads.

The compiled engine (``"native"``) and the NumPy definition (``"reference"``) offer the same functions;
everything above this module asks :func:`active` for the current one.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from types import ModuleType

__all__ = [
    "active",
    "available_isas",
    "current_backend",
    "current_isa",
    "get_num_threads",
    "num_threads",
    "set_num_threads",
    "use_backend",
    "use_isa",
]

_MODULES = {"native": "fastrnn._core", "reference": "fastrnn.reference._core"}
_name: str = ""
_module: ModuleType | None = None


def _select(name: str, argument: str) -> None:
    global _name, _module
    if name not in _MODULES:
        raise ValueError(f"{argument} must be one of {sorted(_MODULES)}, got {name!r}")
    _module = importlib.import_module(_MODULES[name])
    _name = name


def active() -> ModuleType:
    """The module that computes now; ``FASTRNN_BACKEND`` chooses the first one (default ``native``)."""
    if _module is None:
        _select(os.environ.get("FASTRNN_BACKEND", "native"), "environment variable FASTRNN_BACKEND")
    assert _module is not None
    return _module


def current_backend() -> str:
    """Name of the active backend, ``"native"`` or ``"reference"``."""
    active()
    return _name


class use_backend(contextlib.ContextDecorator):
    """Compute with ``"native"`` (the compiled engine) or ``"reference"`` (pure NumPy) from now on.

    Parameters
    ----------
    name : {"native", "reference"}
        The switch takes effect at once and for every thread. Used as a context manager it is undone
        at the end of the block.

    Raises
    ------
    ValueError
        If the name is not one of the two.

    Examples
    --------
    >>> import fastrnn
    >>> with fastrnn.use_backend("reference"):
    ...     fastrnn.current_backend()
    'reference'
    >>> fastrnn.current_backend()
    'native'
    """

    def __init__(self, name: str) -> None:
        self._previous = current_backend()
        _select(name, "name")

    def __enter__(self) -> use_backend:
        return self

    def __exit__(self, *exc: object) -> None:
        _select(self._previous, "name")


def _core() -> ModuleType:
    return importlib.import_module("fastrnn._core")


def available_isas() -> tuple[str, ...]:
    """Instruction sets of this build that this machine can run, best first."""
    return tuple(_core().available_isas())


def current_isa() -> str:
    """Instruction set the engine computes with. ``FASTRNN_ISA`` forces one.

    If none is forced and the processor executes AVX-512 in halves, layers whose units would leave half of the
    last vector empty use half vectors (``"avx512vl"``).
    """
    return str(_core().current_isa())


@contextlib.contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Compute with another instruction set inside a ``with`` block (for tests and comparisons).

    Parameters
    ----------
    name : str
        One of :func:`available_isas`.

    Raises
    ------
    ValueError
        If the name is unknown or this machine cannot run it. There is no silent fallback.
    """
    core = _core()
    previous = core.current_isa()
    core.set_isa(name)
    try:
        yield
    finally:
        core.set_isa(previous)


def get_num_threads() -> int:
    """Largest number of threads one call may use."""
    return int(_core().get_num_threads())


def set_num_threads(n: int) -> None:
    """Set the largest number of threads one call may use.

    Parameters
    ----------
    n : int
        At least 1. Results are the same bits for every value; small problems use fewer threads.
        The first value comes from ``FASTRNN_NUM_THREADS``, or else is the number of cores this process
        may run on.

    Raises
    ------
    ValueError
        If ``n`` is less than 1.
    """
    _core().set_num_threads(n)


@contextlib.contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Limit the engine to ``n`` threads inside a ``with`` block.

    Examples
    --------
    >>> import fastrnn
    >>> with fastrnn.num_threads(1):
    ...     fastrnn.get_num_threads()
    1
    """
    previous = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(previous)
