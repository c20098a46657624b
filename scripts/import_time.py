"""Print what `import fastrnn` takes beyond importing NumPy: the median of fresh interpreters."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys

RUNS = 9
LIMIT = 0.15  # seconds


def seconds(module: str) -> float:
    """Cumulative time of one import after NumPy's, from ``python -X importtime``."""
    command = [sys.executable, "-X", "importtime", "-c", f"import numpy, {module}"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.search(rf"^import time: +\d+ \| +(\d+) \| {module}$", report, re.MULTILINE)
    assert found is not None, report
    return int(found[1]) / 1e6


if __name__ == "__main__":
    for module in ("fastrnn", "fastrnn._core", "fastrnn.layers"):
        times = [seconds(module) for _ in range(RUNS)]
        note = f"  (limit {LIMIT * 1e3:.0f} ms)" if module == "fastrnn" else ""
        print(f"{module:16} {statistics.median(times) * 1e3:6.1f} ms  of {RUNS} runs{note}")
