"""What a result has to say about where it comes from."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path
from typing import Any

import fastrnn
from bench.contenders import MODULES, versions


def cpu() -> dict[str, str]:
    """What the processor calls itself; the numbers tell models apart that clouds give one name."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return {"model name": platform.processor() or platform.machine()}
    # The first processor's lines; a paragraph each.
    lines = info.read_text().split("\n\n")[0].splitlines()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    wanted = (
        "vendor_id",
        "model name",
        "cpu family",
        "model",
        "stepping",
        "CPU implementer",
        "CPU part",
        "cache size",
    )
    return {key: facts[key] for key in wanted if key in facts}


def allowed_cores() -> list[int]:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def load_average() -> list[float] | None:
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None


def facts() -> dict[str, Any]:
    """Machine, versions and the moment. Results with another ``identity`` are not comparable."""
    installed = {name: versions(name) for name in MODULES}
    return {
        "identity": {
            "cpu": cpu(),
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "system": platform.system(),
        },
        "kernel": platform.release(),
        "python": platform.python_version(),
        "allowed_cores": allowed_cores(),
        "isas": list(fastrnn.available_isas()),
        "versions": {k: v for found in installed.values() for k, v in (found or {}).items()},
        "not_installed": [name for name, found in installed.items() if found is None],
        "load_average": load_average(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
