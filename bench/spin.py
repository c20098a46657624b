"""Repeat one problem, for a profiler to look at: ``python -m bench.spin --help``; CONTRIBUTING.md says how.

Says how fast it went: milliseconds of a call and the fraction of the FMA peak.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence

from bench.command import CELLS, shape_list
from bench.contenders import OURS, load
from bench.peak import Peak
from bench.problem import make_problem
from bench.shapes import Shape
from bench.timing import time_once
from fastrnn import current_isa


def main(arguments: Sequence[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m bench.spin", description=__doc__.partition("\n")[0])
    p.add_argument("cell", choices=CELLS)
    p.add_argument("shape", type=shape_list, help="a name of bench/shapes.py or T,N,I,H")
    p.add_argument("mode", choices=("train", "infer"))
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    p.add_argument("--seconds", type=float, default=5.0, help="at least one call; default 5")
    options = p.parse_args(arguments)
    name, shape = options.shape[0]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    problem = make_problem(options.cell, Shape(*shape), options.dtype, options.mode == "train")
    run = load(OURS).prepare(problem, options.threads).run
    peak = Peak(options.dtype, options.threads)
    flops = peak.flops / statistics.median(time_once(peak.run)[0] for _ in range(9))
    peak.close()
    run()
    taken = []
    end = time.perf_counter() + options.seconds
    while not taken or time.perf_counter() < end:
        taken.append(time_once(run)[0])
    seconds = statistics.median(taken)
    print(
        f"{options.mode} {options.cell} {name} {options.dtype} x{options.threads} {current_isa()}: "
        f"{seconds * 1e3:.4g} ms, {problem.flops / seconds / flops:.2f} of {flops / 1e9:.0f} GFLOP/s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
