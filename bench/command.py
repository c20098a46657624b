"""What the commands share: options, a process for each number of threads and instruction set, the report."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import fastrnn
from bench.contenders import PEERS, versions
from bench.machine import allowed_cores, facts
from bench.shapes import GROUPS, SHAPES, parse_shape
from bench.table import report
from bench.timing import QUICK, Effort
from bench.worker import Job
from fastrnn._types import CELLS

ROOT = Path(__file__).parents[1]
FORMAT = 1
CELLS_TO_MEASURE = ["rnn_tanh", "lstm", "gru"]

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


def new_parser(
    name: str, description: str, *, cells: Sequence[str] = CELLS, default_cells: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A parser with the options that all commands have."""
    p = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=description)
    p.add_argument(
        "--cells",
        type=words(one_of("cells", cells)),
        default=list(default_cells or CELLS_TO_MEASURE),
        help="of " + ", ".join(cells),
    )
    p.add_argument("--threads", type=words(int), help="comma-separated; one process for each")
    p.add_argument(
        "--cores", type=words(int), help="cores to pin to, in this order; default: the first ones allowed"
    )
    p.add_argument(
        "--isa",
        type=words(one_of("isa", fastrnn.available_isas())),
        default=[""],
        help="instruction sets for fastrnn; default: the best",
    )
    p.add_argument("--seconds", type=float, help="aim per row, all contenders and rounds together; default 3")
    p.add_argument("--quick", action="store_true", help="small and short: does it run, do the results agree")
    p.add_argument("--json", type=Path, metavar="FILE", help="store the results")
    return p


def add_peers(
    p: argparse.ArgumentParser, known: Sequence[str] = PEERS, default: Sequence[str] | None = None
) -> None:
    p.add_argument(
        "--peers",
        type=words(one_of("peers", known)),
        default=list(known if default is None else default),
        help=f"of {', '.join(known)}; default: {', '.join(default or ['every one that is installed'])}",
    )


def installed_peers(options: argparse.Namespace) -> list[str]:
    return [name for name in options.peers if versions(name) is not None]


def add_shapes(p: argparse.ArgumentParser, default: str) -> None:
    p.add_argument(
        "--shapes",
        nargs="+",
        type=shape_list,
        metavar="SHAPE",
        help=f"names, groups or T,N,I,H; default: {default}",
    )
    p.epilog = (
        f"Shapes: {'; '.join(f'{name} = {shape}' for name, shape in SHAPES.items())}. "
        f"Groups: {', '.join(GROUPS)}."
    )


def chosen_shapes(
    options: argparse.Namespace, full: Iterable[str], quick: Iterable[str]
) -> list[tuple[str, tuple[int, int, int, int]]]:
    """The shapes asked for, or the default ones."""
    parts = options.shapes or [shape_list(text) for text in (quick if options.quick else full)]
    return [shape for part in parts for shape in part]


def make_jobs(
    options: argparse.Namespace,
    module: str,
    parameters: dict[str, Any],
    *,
    threads: Sequence[int] = (1, 2),
    dtypes: Sequence[str] = ("float32",),
    effort: Effort | None = None,
) -> list[Job]:
    """One job for each number of threads, dtype and instruction set.

    The numbers of threads are those asked for, or of the given ones those that there are cores for.
    """
    cores = options.cores or allowed_cores()
    wanted = options.threads or ([threads[0]] if options.quick else [n for n in threads if n <= len(cores)])
    aim = QUICK if options.quick else effort or Effort()
    if options.seconds is not None:
        aim = replace(aim, seconds=options.seconds)
    if min(wanted, default=0) < 1 or max(wanted) > len(cores):
        raise SystemExit(f"--threads must be between 1 and {len(cores)}, the number of cores, got {wanted}")
    if not set(cores) <= set(allowed_cores()):
        raise SystemExit(
            f"--cores must be of {allowed_cores()}, those that this process may use, got {cores}"
        )
    return [
        Job(
            module=module,
            parameters=parameters,
            dtype=dtype,
            threads=n,
            cores=cores[:n],
            isa=isa,
            effort=aim,
            rows_file="",
        )
        for dtype in dtypes
        for isa in options.isa
        for n in wanted
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


def run(jobs: Sequence[Job], options: argparse.Namespace) -> int:
    """Run the jobs, print and store what they found; the exit status says whether results agree."""
    result: dict[str, Any] = {
        "format": FORMAT,
        "command": sys.argv[1:],
        "machine": facts(),
        "complete": True,
    }
    with tempfile.TemporaryDirectory() as folder:
        rows_file = Path(folder) / "rows.jsonl"
        rows_file.touch()
        status = 0
        try:
            for job in jobs:
                status = run_job(replace(job, rows_file=str(rows_file)))
                if status:
                    break
        except KeyboardInterrupt:
            status = 130
        result["complete"] = status == 0
        # A worker that was killed may have left half a line.
        lines = rows_file.read_text().splitlines(keepends=True)
        result["rows"] = [json.loads(line) for line in lines if line.endswith("\n")]
    rows = result["rows"]
    print(report(rows, [name for name in options.peers if versions(name) is None]))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if status:
        print("Not complete: these are the rows that were finished.", file=sys.stderr)
        return status
    return 1 if any(row["disagreements"] for row in rows) else 0
