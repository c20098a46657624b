"""How much memory a process holds, as Linux counts it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # of proc_pid_clear_refs(5)


def counter(name: str, text: str | None = None) -> int:
    """Bytes of one line of the process's status: ``VmRSS`` now, ``VmHWM`` at its highest."""
    lines = (STATUS.read_text() if text is None else text).splitlines()
    line = next(line for line in lines if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


def peak_of(run: Callable[[], Any]) -> tuple[int, Any]:
    """Bytes by which memory rose at the highest during one call, and what it returned."""
    gc.collect()
    # What was freed before must go back to the system, or the call would take it without a rise.
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    CLEAR.write_text(RESET_PEAK)
    before = counter("VmRSS")
    result = run()
    return counter("VmHWM") - before, result
