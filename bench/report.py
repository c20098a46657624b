"""The performance section of the README, from a result of `bench.peers`: ``python -m bench.report --help``.

Prints it, or with ``--readme README.md`` puts it between its two markers there and draws its picture. Nobody
copies figures by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bench import plot
from bench.contenders import OURS, PEERS
from bench.peers import SPEED_UP
from bench.table import (
    LARGE_HIDDEN,
    LARGE_ROWS,
    MODES,
    Row,
    best_ratio,
    geometric_mean,
    milliseconds,
    number,
)

BEGIN, END = "<!-- performance: written by bench.report -->", "<!-- end of performance -->"
PICTURE = "docs/pictures/performance.svg"
LIBRARIES = {
    "numpy": "NumPy",
    "torch": "PyTorch",
    "jax": "JAX",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}
HOW = f"""\
All libraries take turns in one process on the same arrays, and their results are compared. Training is
forward and backward with gradients of the input, the initial state and all parameters. A ratio is the time of
the best other library over ours: above 1 we are faster. Fractions of the peak are against multiply-adds in
registers, measured in the same rounds; the means give them for N ≥ {LARGE_ROWS} and H ≥ {LARGE_HIDDEN}.
[bench/README.md](bench/README.md) says more."""

K = TypeVar("K")


def grouped(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, list[Row]]:
    found: dict[K, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def markdown_table(lines: Sequence[Sequence[str]]) -> list[str]:
    header, *body = ("| " + " | ".join(line) + " |" for line in lines)
    return [header, "|" + "---|" * len(lines[0]), *body]


def way(row: Row) -> str:
    """What tells whole tables apart."""
    return f"{row['dtype']}, {row['isa']}"


def threads(row: Row) -> str:
    return f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"


def sizes(row: Row) -> str:
    return ",".join(map(str, row["shape"]))


def is_large(row: Row) -> bool:
    return bool(row["shape"][1] >= LARGE_ROWS and row["shape"][3] >= LARGE_HIDDEN)


def command(arguments: Sequence[str]) -> str:
    """The command without the file that its result went to."""
    kept = list(arguments)
    if "--json" in kept:
        at = kept.index("--json")
        del kept[at : at + 2]
    return " ".join(["python -m bench.peers", *(word for word in kept if not word.startswith("--json="))])


def origin(result: dict[str, Any]) -> str:
    """Where the figures come from: date, command, machine, versions, load."""
    machine = result["machine"]
    cpu = machine["identity"]["cpu"]
    numbers = ", ".join(f"{name} {cpu[name]}" for name in ("cpu family", "model") if name in cpu)
    versions = machine["versions"]
    loads = [row["load_average"][0] for row in result["rows"] if row.get("load_average")]
    facts = [
        f"Measured on {machine['date'][:10]} by `{command(result['command'])}`",
        f"on a machine with {machine['identity']['cores']} cores of {cpu.get('model name')} ({numbers}),",
        f"load {min(loads):.1f} to {max(loads):.1f};" if loads else "",
        f"Python {machine['python']}, ",
        ", ".join(f"{label} {versions[name]}" for name, label in LIBRARIES.items() if name in versions),
    ]
    return "\n".join(fact.strip() for fact in facts if fact) + "."


def means(rows: Sequence[Row]) -> list[str]:
    """Geometric means by mode, cell and number of threads."""
    peers = [name for name in PEERS if any(name in row["ratios"] for row in rows)]
    lines = [["", "cell", "threads", "to the best", *(f"to {p}" for p in peers), "lowest", "of peak"]]
    for (mode, cell, n), some in grouped(rows, lambda r: (r["mode"], r["cell"], r["threads"])).items():
        best = [ratio for row in some if (ratio := best_ratio(row)) is not None]
        large = [row["peak_fraction"] for row in some if is_large(row)]
        lines.append(
            [
                *(MODES.get(mode, mode), cell, str(n)),
                f"**{number(geometric_mean(best))}**",
                *(number(geometric_mean(row["ratios"].get(peer) for row in some)) for peer in peers),
                number(min(best, default=None)),
                f"{min(large):.2f} to {max(large):.2f}" if large else "-",
            ]
        )
    return markdown_table(lines)


def behind(rows: Sequence[Row]) -> list[str]:
    """Where we are not ahead, one line each, the worst first."""
    slower = [row for row in rows if (best_ratio(row) or 1.0) < 1]
    if not slower:
        return [f"In all {len(rows)} rows we are ahead of every other library."]
    lines = [f"In {len(slower)} of {len(rows)} rows another library is ahead:", ""]
    for row in sorted(slower, key=lambda row: best_ratio(row) or 0.0):
        what = f"{MODES.get(row['mode'], row['mode'])}, {row['cell']}, {sizes(row)}, {threads(row)}"
        lines.append(f"- {what}, {way(row)}: {number(best_ratio(row))} ({row['best_peer']})")
    return lines


def scaling(rows: Sequence[Row]) -> list[str]:
    """What more threads bring on large shapes, and the least anywhere."""
    gains = [(row, row["threads"], row["figures"][SPEED_UP]) for row in rows if SPEED_UP in row["figures"]]
    lines = []
    for n in sorted({n for _, n, _ in gains}):
        large = [gain for row, m, gain in gains if m == n and is_large(row)]
        least, where = min(((g, row) for row, m, g in gains if m == n), key=lambda pair: pair[0])
        on_large = (
            f"{min(large):.2f} to {max(large):.2f} times as fast as one on large shapes; " if large else ""
        )
        lines.append(
            f"{n} threads: {on_large}least {least:.2f} ({where['mode']} {where['cell']} {sizes(where)})."
        )
    return [*lines, ""] if lines else []


def full_table(rows: Sequence[Row]) -> list[str]:
    """Every row, training and inference side by side."""
    by_mode = grouped(rows, lambda row: row["mode"])
    heads = [
        h for mode in by_mode for h in (f"{MODES.get(mode, mode)}, ms", "best other", "ratio", "of peak")
    ]
    lines = [["cell", "T,N,I,H", *heads]]
    for (cell, shape), some in grouped(rows, lambda row: (row["cell"], sizes(row))).items():
        found = {row["mode"]: row for row in some}
        cells = [four_cells(found[mode]) if mode in found else ["-"] * 4 for mode in by_mode]
        lines.append([cell, shape, *(text for four in cells for text in four)])
    return markdown_table(lines)


def four_cells(row: Row) -> list[str]:
    best = row["best_peer"]
    return [
        number(milliseconds(row, OURS)),
        f"{number(milliseconds(row, best))} ({best})" if best else "-",
        number(best_ratio(row)),
        f"{row['peak_fraction']:.2f}",
    ]


def section(result: dict[str, Any], picture: str) -> str:
    """The whole section in Markdown, without its heading."""
    rows = result["rows"]
    out = [origin(result), "", HOW, ""]
    out += [f"![Time of the best other library over ours, by shape, cell and threads]({picture})", ""]
    for name, some in grouped(rows, way).items():
        out += [f"Geometric means over the shapes ({name}):", "", *means(some), ""]
    out += [*scaling(rows), *behind(rows), ""]
    for name, some in grouped(rows, lambda row: f"{way(row)}, {threads(row)}").items():
        out += ["<details>", f"<summary>All shapes: {name}</summary>", "", *full_table(some), ""]
        out += ["</details>", ""]
    return "\n".join(out)


def replace_section(text: str, new: str) -> str:
    """The text with what stands between the markers replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"there must be the lines {BEGIN!r} and {END!r}, in this order")
    return f"{before}{BEGIN}\n\n{new}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__.partition("\n")[0])
    parser.add_argument("result", type=Path, metavar="RESULT.json")
    parser.add_argument("--readme", type=Path, help="file whose section is replaced; default: print it")
    parser.add_argument(
        "--picture", default=PICTURE, help=f"drawn beside the README, as SVG and as PNG; default: {PICTURE}"
    )
    options = parser.parse_args(arguments)
    result = json.loads(options.result.read_text())
    if not plot.ratios(result["rows"]):
        print(f"nothing to report: no row of {options.result} has a peer", file=sys.stderr)
        return 1
    text = section(result, options.picture)
    if options.readme is None:
        print(text)
        return 0
    try:
        options.readme.write_text(replace_section(options.readme.read_text(), text))
    except ValueError as error:
        print(f"{options.readme}: {error}", file=sys.stderr)
        return 2
    picture = options.readme.parent / options.picture
    picture.parent.mkdir(parents=True, exist_ok=True)
    plot.save(plot.draw(result["rows"]), [picture, picture.with_suffix(".png")])
    return 0


if __name__ == "__main__":
    sys.exit(main())
