"""Tell two results of one benchmark apart: ``python bench/compare.py A.json B.json``.

A row is slower or faster when our time in B differs from that in A by more than the threshold and by more
than the noise of the two measurements. Before that, B is corrected for the speed of the machine: by what the
loop of multiply-adds, measured in turn with the row, says about both moments.

Exit status: 0 nothing slower, 1 something slower, 2 not comparable (another machine, nothing in common).
Stands alone, so that it also compares results of versions of which nothing is installed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS = "fastrnn"
KEY = ("mode", "cell", "shape", "dtype", "threads", "isa")
# Standard deviations that a difference has to exceed: among a hundred unchanged rows, none by chance.
SIGMAS = 4.0


@dataclass(frozen=True)
class Change:
    """One row in both results."""

    key: str
    a_ms: float
    b_ms: float
    machine: float
    """Speed of the machine at B over that at A."""
    ratio: float
    """Our time at B over that at A on a machine of one speed: below 1 is faster."""
    noise: float
    """Relative difference that chance explains."""

    def verdict(self, threshold: float) -> str:
        limit = max(threshold, self.noise)
        if self.ratio > 1 + limit:
            return "SLOWER"
        return "faster" if self.ratio < 1 / (1 + limit) else ""


def key_of(row: dict[str, Any]) -> str:
    return " ".join(",".join(map(str, v)) if isinstance(v := row[k], list) else str(v) for k in KEY)


def relative_error(samples: Sequence[float]) -> float:
    """Standard error of the median of these samples, relative to it.

    From the median absolute deviation, 1.4826 of which are a standard deviation of normal noise and which
    outliers do not move; 1.2533 is the price of the median against the mean.
    """
    middle = statistics.median(samples)
    deviation = statistics.median(abs(s - middle) for s in samples)
    return 1.2533 * 1.4826 * deviation / math.sqrt(len(samples)) / middle


def change(key: str, a: dict[str, Any], b: dict[str, Any]) -> Change:
    ours = [row["contenders"][OURS]["samples_ms"] for row in (a, b)]
    peaks = [row["fma_gflops"] for row in (a, b)]
    a_ms, b_ms = map(statistics.median, ours)
    machine = statistics.median(peaks[1]) / statistics.median(peaks[0])
    noise = SIGMAS * math.sqrt(sum(relative_error(samples) ** 2 for samples in (*ours, *peaks)))
    return Change(key, a_ms, b_ms, machine, b_ms / a_ms * machine, noise)


def changes(a: dict[str, Any], b: dict[str, Any]) -> list[Change]:
    """Rows in which both results have times of ours, in the order of A."""
    timed = [
        [r for r in result["rows"] if "samples_ms" in r["contenders"].get(OURS, {})] for result in (a, b)
    ]
    theirs = {key_of(row): row for row in timed[1]}
    return [change(key, row, theirs[key]) for row in timed[0] if (key := key_of(row)) in theirs]


def machine_differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """What tells the machines apart, one line a fact."""
    first, second = a["machine"]["identity"], b["machine"]["identity"]
    return [
        f"{name}: {first.get(name)} / {second.get(name)}"
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    ]


def report(found: Sequence[Change], threshold: float) -> str:
    width = max(len(c.key) for c in found)
    lines = [f"{'row'.ljust(width)}  {'A ms':>10}  {'B ms':>10}  machine   B / A   noise"]
    for c in found:
        line = (
            f"{c.key.ljust(width)}  {c.a_ms:10.4g}  {c.b_ms:10.4g}  {c.machine:7.2f}  {c.ratio:6.3f}"
            f"  {c.noise:6.1%}  {c.verdict(threshold)}"
        )
        lines.append(line.rstrip())
    mean = statistics.geometric_mean(c.ratio for c in found)
    verdicts = [c.verdict(threshold) for c in found]
    lines.append(
        f"{len(found)} rows: {verdicts.count('faster')} faster, {verdicts.count('SLOWER')} slower; "
        f"geometric mean of B / A {mean:.3f}"
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench/compare.py", description=__doc__.partition("\n")[0])
    parser.add_argument("a", type=Path, metavar="A.json")
    parser.add_argument("b", type=Path, metavar="B.json")
    parser.add_argument(
        "--threshold", type=float, default=0.05, help="smallest change that counts; default 0.05"
    )
    parser.add_argument("--force", action="store_true", help="compare although the machines differ")
    options = parser.parse_args(arguments)
    a, b = (json.loads(path.read_text()) for path in (options.a, options.b))
    if a["format"] != b["format"]:
        print(f"not comparable: formats {a['format']} and {b['format']}", file=sys.stderr)
        return 2
    if differences := machine_differences(a, b):
        print("different machines:", *differences, sep="\n  ", file=sys.stderr)
        if not options.force:
            print("not comparable; --force does it all the same", file=sys.stderr)
            return 2
    found = changes(a, b)
    if not found:
        print("not comparable: no row is in both", file=sys.stderr)
        return 2
    print(report(found, options.threshold))
    return 1 if any(c.verdict(options.threshold) == "SLOWER" for c in found) else 0


if __name__ == "__main__":
    sys.exit(main())
