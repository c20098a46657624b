"""fastrnn against every peer that is installed: ``python -m bench.peers --help``; see bench/README.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import fastrnn
from bench.contenders import MODULES, OURS, PEERS, REFERENCE, versions
from bench.machine import allowed_cores, facts
from bench.shapes import GROUPS, SHAPES, parse_shape
from bench.table import report
from bench.timing import QUICK, Effort
from bench.worker import Job
from fastrnn._types import CELLS

ROOT = Path(__file__).parents[1]
FORMAT = 1
# Longer than the pools of OpenMP, which spin the longest of all, keep their cores busy after a call.
PAUSE_SECONDS = 0.01

T = TypeVar("T")


def words(convert: Callable[[str], T]) -> Callable[[str], list[T]]:
    """A converter for comma-separated lists."""

    def read(text: str) -> list[T]:
        return [convert(word) for word in text.split(",") if word]

    return read


def one_of(what: str, known: Sequence[str]) -> Callable[[str], str]:
    def check(word: str) -> str:
        if word not in known:
            raise argparse.ArgumentTypeError(f"{what} must be of {', '.join(known)}; got {word!r}")
        return word

    return check


def shape_list(text: str) -> list[tuple[str, tuple[int, int, int, int]]]:
    try:
        return [(name, tuple(shape)) for name, shape in parse_shape(text)]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description="Measure fastrnn, and every peer that is installed, in turn on the same arrays.",
        epilog=f"Shapes: {'; '.join(f'{name} = {shape}' for name, shape in SHAPES.items())}. "
        f"Groups: {', '.join(GROUPS)}.",
    )
    add = p.add_argument
    add(
        "--cells",
        type=words(one_of("cells", CELLS)),
        default=["rnn_tanh", "lstm", "gru"],
        help="of " + ", ".join(CELLS),
    )
    add(
        "--shapes", nargs="+", type=shape_list, metavar="SHAPE", help="names, groups or T,N,I,H; default: all"
    )
    add(
        "--modes",
        type=words(one_of("modes", ("train", "infer"))),
        default=["train", "infer"],
        help="train, infer or both",
    )
    add("--threads", type=words(int), help="default: 1,2 as far as there are cores")
    add("--cores", type=words(int), help="cores to pin to, in this order; default: the first ones allowed")
    add(
        "--dtype",
        type=words(one_of("dtype", ("float32", "float64"))),
        default=["float32"],
        help="float32, float64 or both",
    )
    add(
        "--isa",
        type=words(one_of("isa", fastrnn.available_isas())),
        default=[""],
        help="instruction sets for fastrnn; default: the best",
    )
    add(
        "--peers",
        type=words(one_of("peers", PEERS)),
        default=list(PEERS),
        help="default: every one that is installed",
    )
    add(
        "--reference",
        choices=("small", "always", "never"),
        default="small",
        help="when the NumPy reference takes part",
    )
    add("--seconds", type=float, help="aim per row, all contenders and rounds together; default 3")
    add(
        "--quick",
        action="store_true",
        help="few shapes, few rounds, one thread: does it run, is it plausible",
    )
    add("--json", type=Path, metavar="FILE", help="store the results")
    return p


def make_jobs(options: argparse.Namespace, rows_file: str) -> list[Job]:
    """One job for each number of threads, dtype and instruction set."""
    cores = options.cores or allowed_cores()
    threads = options.threads or ([1] if options.quick else [n for n in (1, 2) if n <= len(cores)])
    effort = QUICK if options.quick else Effort()
    if options.seconds is not None:
        effort = replace(effort, seconds=options.seconds)
    shapes = [
        shape
        for part in options.shapes or [shape_list("quick" if options.quick else "all")]
        for shape in part
    ]
    if min(threads) < 1 or max(threads) > len(cores):
        raise SystemExit(f"--threads must be between 1 and {len(cores)}, the number of cores, got {threads}")
    if not set(cores) <= set(allowed_cores()):
        raise SystemExit(
            f"--cores must be of {allowed_cores()}, those that this process may use, got {cores}"
        )
    wanted = [OURS, *options.peers, REFERENCE]
    return [
        Job(
            cells=options.cells,
            shapes=shapes,
            modes=options.modes,
            dtype=dtype,
            threads=n,
            cores=cores[:n],
            isa=isa,
            contenders=[name for name in MODULES if name in wanted and versions(name) is not None],
            reference=options.reference,
            effort=replace(effort, pause_seconds=PAUSE_SECONDS if n > 1 else 0.0),
            rows_file=rows_file,
        )
        for dtype in options.dtype
        for isa in options.isa
        for n in threads
    ]


def run_job(job: Job) -> int:
    return subprocess.run(
        [sys.executable, "-m", "bench.worker"],
        input=job.to_json(),
        text=True,
        cwd=ROOT,
        env={**os.environ, **job.environment()},
        check=False,
    ).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    result: dict[str, Any] = {"format": FORMAT, "command": sys.argv[1:], "machine": facts(), "complete": True}
    with tempfile.TemporaryDirectory() as folder:
        rows_file = Path(folder) / "rows.jsonl"
        rows_file.touch()
        status = 0
        try:
            for job in make_jobs(options, str(rows_file)):
                status = run_job(job)
                if status:
                    break
        except KeyboardInterrupt:
            status = 130
        result["complete"] = status == 0
        # A worker that was killed may have left half a line.
        lines = rows_file.read_text().splitlines(keepends=True)
        result["rows"] = [json.loads(line) for line in lines if line.endswith("\n")]
    rows = result["rows"]
    missing = [name for name in options.peers if versions(name) is None]
    print(report(rows, missing))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if status:
        print("Not complete: these are the rows that were finished.", file=sys.stderr)
        return status
    return 1 if any(row["disagreements"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
