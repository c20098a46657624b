"""Other processes of the same cores and limits, started from one that is pinned already."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# A fork would inherit the memory and the pools of its parent.
SPAWN = multiprocessing.get_context("spawn")


def in_fresh_process(function: Callable[..., T], *args: Any) -> T:
    """Call a function of a module in a process that has done nothing before."""
    with SPAWN.Pool(1) as pool:
        return pool.apply(function, args)
