"""What a row of a result holds, and how it gets filled: first calls, agreement, then the rounds.

Every benchmark writes the same rows, so that one table prints them and `bench/compare.py` tells them apart.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bench import agreement
from bench.contenders import OURS, PEERS, Prepared, Unsupported
from bench.machine import load_average
from bench.peak import Peak
from bench.timing import Effort, interleave, paired_ratio, time_once
from bench.worker import Job
from fastrnn import current_isa

Row = dict[str, Any]


def new_row(job: Job, cell: str, mode: str, shape_name: str, shape: tuple[int, ...]) -> Row:
    return {
        "cell": cell,
        "mode": mode,
        "shape_name": shape_name,
        "shape": list(shape),
        "dtype": job.dtype,
        "threads": job.threads,
        "isa": current_isa(),
        "load_average": load_average(),
        "contenders": {},
        "absent": {},
        "errors": {},
        "disagreements": {},
        "ratios": {},
        "best_peer": None,
        "figures": {},
    }


def is_peer(contender: str) -> bool:
    """Whether ratios are against it; a contender is a library, or a library and one of its ways."""
    return contender.split()[0] in PEERS


def enter(
    row: Row, contender: str, prepare: Callable[[], Prepared]
) -> tuple[Callable[[], Any], dict[str, np.ndarray]] | None:
    """Prepare a contender and call it once; None, and why in the row, if it does not take part."""
    try:
        prepare_seconds, prepared = time_once(prepare)
        first_seconds, first = time_once(prepared.run)
        results = prepared.read(first)
    except Unsupported as reason:
        row["absent"][contender] = str(reason)
        return None
    except Exception as failure:
        # A peer that breaks is reported and must not end the run of an hour.
        if not is_peer(contender):
            raise
        row["absent"][contender] = f"failed: {type(failure).__name__}: {failure}"
        return None
    row["contenders"][contender] = {"prepare_ms": prepare_seconds * 1e3, "first_ms": first_seconds * 1e3}
    return prepared.run, results


def check(
    row: Row,
    contender: str,
    results: dict[str, np.ndarray],
    truth: dict[str, np.ndarray],
    tolerance: Callable[[str], float],
) -> None:
    """Note the errors of a contender's results against ours, and what is beyond its array's tolerance."""
    errors = agreement.compare(results, truth)
    row["errors"][contender] = errors
    if told := agreement.disagreements(errors, tolerance):
        row["disagreements"][contender] = told


def time_row(
    row: Row,
    runs: Mapping[str, Callable[[], Any]],
    peak: Peak,
    effort: Effort,
    before: Mapping[str, Callable[[], Any]] | None = None,
) -> dict[str, list[float]]:
    """Measure in turn with the loop of multiply-adds, and put times and ratios to ours into the row."""
    gc.collect()
    samples = interleave({**runs, "fma": peak.run}, effort, before=before)
    row["fma_gflops"] = [peak.flops / s / 1e9 for s in samples["fma"]]
    for contender in runs:
        entry = row["contenders"].setdefault(contender, {})
        entry["samples_ms"] = [s * 1e3 for s in samples[contender]]
    if OURS in runs:
        ours = samples[OURS]
        row["ratios"] = {n: paired_ratio(samples[n], ours) for n in runs if n != OURS}
        row["best_peer"] = min(filter(is_peer, row["ratios"]), key=row["ratios"].__getitem__, default=None)
    return samples


def peak_fraction(samples: Mapping[str, list[float]], flops: int, peak: Peak) -> float:
    """The time of this many operations by multiply-adds alone, over our time in the same round."""
    return paired_ratio(samples["fma"], samples[OURS]) * flops / peak.flops
