"""One process of `bench.peers`: one number of threads, one dtype, one instruction set.

Pools and limits are fixed when a library is first imported, so every combination needs a process of its own;
inside it everybody is measured in turn, on the same arrays. Started as ``python -m bench.worker`` with the
`Job` as JSON on the standard input; adds a JSON line per row to the file that the job names.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.timing import Effort, interleave, paired_ratio, time_once

# Everything that starts threads is imported in main, after the process has been pinned.

REFERENCE_FLOPS = 50_000_000
"""The NumPy reference takes part unasked in problems of at most this many operations."""

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

    cells: list[str]
    shapes: list[tuple[str, tuple[int, int, int, int]]]
    modes: list[str]
    """Of "train" and "infer"."""
    dtype: str
    threads: int
    cores: list[int]
    """One for each thread."""
    isa: str
    """Empty for the best one."""
    contenders: list[str]
    reference: str
    """Whether the NumPy reference takes part: "small" (problems), "always" or "never"."""
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


def measure_row(
    job: Job, name: str, shape: tuple[int, ...], cell: str, mode: str, peak: Any
) -> dict[str, Any]:
    """One problem, all contenders: first calls, agreement, then the rounds."""
    from bench import agreement
    from bench.contenders import OURS, PEERS, REFERENCE, Unsupported, load
    from bench.machine import load_average
    from bench.problem import make_problem
    from bench.shapes import Shape
    from fastrnn import current_isa

    problem = make_problem(cell, Shape(*shape), job.dtype, mode == "train")
    row: dict[str, Any] = {
        "cell": cell,
        "mode": mode,
        "shape_name": name,
        "shape": list(shape),
        "dtype": job.dtype,
        "threads": job.threads,
        "isa": current_isa(),
        "flops": problem.flops,
        "load_average": load_average(),
        "contenders": {},
        "absent": {},
        "errors": {},
        "disagreements": {},
    }
    runs = {}
    truth: dict[str, Any] = {}
    for contender in job.contenders:
        too_large = problem.flops > REFERENCE_FLOPS
        if contender == REFERENCE and (job.reference == "never" or (job.reference == "small" and too_large)):
            continue
        try:
            module = load(contender)
            prepare_seconds, prepared = time_once(lambda m=module: m.prepare(problem, job.threads))
            first_seconds, first = time_once(prepared.run)
            results = prepared.read(first)
        except Unsupported as reason:
            row["absent"][contender] = str(reason)
            continue
        except Exception as failure:
            # A peer that breaks is reported and must not end the run of an hour.
            if contender == OURS:
                raise
            row["absent"][contender] = f"failed: {type(failure).__name__}: {failure}"
            continue
        if contender == OURS:
            truth = results
        else:
            errors = agreement.compare(results, truth)
            row["errors"][contender] = errors
            if told := agreement.disagreements(problem, errors):
                row["disagreements"][contender] = told
        runs[contender] = prepared.run
        row["contenders"][contender] = {"prepare_ms": prepare_seconds * 1e3, "first_ms": first_seconds * 1e3}
    gc.collect()
    samples = interleave({**runs, "fma": peak.run}, job.effort)
    fma, ours = samples.pop("fma"), samples[OURS]
    for contender, taken in samples.items():
        row["contenders"][contender]["samples_ms"] = [s * 1e3 for s in taken.seconds]
        row["contenders"][contender]["disturbed"] = taken.disturbed
    row["fma_gflops"] = [peak.flops / s / 1e9 for s in fma.seconds]
    row["ratios"] = {n: paired_ratio(s.seconds, ours.seconds) for n, s in samples.items() if n != OURS}
    row["best_peer"] = min(
        (n for n in row["ratios"] if n in PEERS), key=row["ratios"].__getitem__, default=None
    )
    # The time of the same number of operations by multiply-adds alone, over our time in the same round.
    row["peak_fraction"] = paired_ratio(fma.seconds, ours.seconds) * problem.flops / peak.flops
    return row


def measure(job: Job) -> Iterator[dict[str, Any]]:
    """All rows of a job."""
    import fastrnn
    from bench.peak import Peak

    fastrnn.set_num_threads(job.threads)
    peak = Peak(job.dtype, job.threads)
    try:
        for mode in job.modes:
            for cell in job.cells:
                for name, shape in job.shapes:
                    yield measure_row(job, name, tuple(shape), cell, mode, peak)
                    gc.collect()
    finally:
        peak.close()


def main() -> int:
    job = Job.from_json(sys.stdin.read())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
    from bench.table import progress_line

    with Path(job.rows_file).open("a") as rows:
        for row in measure(job):
            print(json.dumps(row), file=rows, flush=True)
            print(progress_line(row), file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # Rows that are finished have been written; `bench.peers` got the same signal and reports them.
        sys.exit(130)
