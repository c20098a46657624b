"""One process of a benchmark: one number of threads, one dtype, one instruction set.

Pools and limits are fixed when a library is first imported, so every combination needs a process of its own;
inside it everybody is measured in turn, on the same arrays. Started as ``python -m bench.worker`` with the
`Job` as JSON on the standard input; adds a JSON line per row to the file that the job names.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.timing import Effort

# Everything that starts threads is imported in main, after the process has been pinned.

LIMITS = (
    "FASTRNN_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True)
class Job:
    """What one process measures."""

    module: str
    """Its ``measure(job, peak)`` yields the rows."""
    parameters: dict[str, Any]
    """What it is to measure, in types that JSON has."""
    dtype: str
    threads: int
    cores: list[int]
    """One for each thread."""
    isa: str
    """Empty for the best one."""
    effort: Effort
    rows_file: str

    def environment(self) -> dict[str, str]:
        """Variables that libraries read when they are imported."""
        return {**dict.fromkeys(LIMITS, str(self.threads)), **({"FASTRNN_ISA": self.isa} if self.isa else {})}

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        fields = json.loads(text)
        return cls(**{**fields, "effort": Effort(**fields["effort"])})


def main() -> int:
    job = Job.from_json(sys.stdin.read())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
    import fastrnn
    from bench.peak import Peak
    from bench.table import progress_line

    fastrnn.set_num_threads(job.threads)
    measure = importlib.import_module(job.module).measure
    peak = Peak(job.dtype, job.threads)
    try:
        with Path(job.rows_file).open("a") as rows:
            for row in measure(job, peak):
                print(json.dumps(row), file=rows, flush=True)
                print(progress_line(row), file=sys.stderr, flush=True)
    finally:
        peak.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # Rows that are finished have been written; the command got the same signal and reports them.
        sys.exit(130)
