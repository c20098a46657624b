"""Results as aligned text."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bench.contenders import OURS, PEERS

Row = dict[str, Any]
LARGE_ROWS, LARGE_HIDDEN = 32, 128
MODES = {"train": "training step", "infer": "inference"}
"""What the report calls them; any other mode is its own name."""


def milliseconds(row: Row, contender: str) -> float | None:
    """Median over the rounds, or None if it did not take part."""
    samples = row["contenders"].get(contender, {}).get("samples_ms")
    return statistics.median(samples) if samples else None


def number(value: float | None) -> str:
    """Three significant digits, however small; a dash for what is missing."""
    if value is None:
        return "-"
    if value == 0 or value >= 100:
        return f"{value:.0f}"
    return f"{value:.{max(0, 2 - _exponent(value))}f}"


def _exponent(value: float) -> int:
    return int(f"{value:.2e}".partition("e")[2])


def best_ratio(row: Row) -> float | None:
    return None if row["best_peer"] is None else float(row["ratios"][row["best_peer"]])


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Of those that are there; None of none."""
    present = [v for v in values if v is not None]
    return statistics.geometric_mean(present) if present else None


def align(lines: Sequence[Sequence[str]], left: int) -> list[str]:
    """Columns padded to one width: the first `left` to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def progress_line(row: Row) -> str:
    """One row in a few words, while the next one is measured."""
    best = row["best_peer"]
    parts = [f"{number(milliseconds(row, OURS))} ms"] if milliseconds(row, OURS) else []
    parts += [f"{number(best_ratio(row))} to {best}"] if best else []
    parts += [f"{row['peak_fraction']:.2f} of the peak"] if "peak_fraction" in row else []
    parts += [f"{name} {number(value)}" for name, value in row["figures"].items()]
    parts += [f"DISAGREES with {name}" for name in row["disagreements"]]
    return f"{_title(row)}: {', '.join(parts)}"


def _title(row: Row) -> str:
    return f"{row['mode']} {row['cell']} {row['shape_name']} {row['dtype']} x{row['threads']} {row['isa']}"


def _sections(rows: Sequence[Row]) -> dict[tuple[Any, ...], list[Row]]:
    sections: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        sections.setdefault((row["mode"], row["dtype"], row["threads"], row["isa"]), []).append(row)
    return sections


def _names(rows: Iterable[Row], key: str) -> list[str]:
    """Contenders or figures of all rows, in the order in which they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row[key]))


def _section(rows: list[Row]) -> list[str]:
    timed = [
        name
        for name in _names(rows, "contenders")
        if any(milliseconds(row, name) is not None for row in rows)
    ]
    figures = _names(rows, "figures")
    peers = any(row["best_peer"] for row in rows)
    peak = any("peak_fraction" in row for row in rows)
    lines = [
        [
            *("cell", "shape", "T,N,I,H", *timed),
            *(("best peer", "ratio") if peers else ()),
            *(("of peak",) if peak else ()),
            *figures,
        ]
    ]
    for row in rows:
        lines.append(
            [
                row["cell"],
                row["shape_name"] + ("!" if row["disagreements"] else ""),
                ",".join(map(str, row["shape"])),
                *(number(milliseconds(row, name)) for name in timed),
                *((row["best_peer"] or "-", number(best_ratio(row))) if peers else ()),
                *((f"{row['peak_fraction']:.2f}",) if peak else ()),
                *(number(row["figures"].get(name)) for name in figures),
            ]
        )
    text = align(lines, left=3)
    others = [name for name in PEERS if any(name in row["ratios"] for row in rows)]
    if not others:
        return text
    large = ["of peak, large"] if peak else []
    means = [["cell", "to best", *(f"to {name}" for name in others), "lowest", "at", *large]]
    for cell in dict.fromkeys(row["cell"] for row in rows):
        means.append(_means([row for row in rows if row["cell"] == cell], cell, others))
    return [*text, "", "Geometric mean of peer's time / ours:", *align(means, left=1)]


def _means(rows: list[Row], cell: str, peers: list[str]) -> list[str]:
    ranked = sorted((row for row in rows if row["best_peer"]), key=lambda row: best_ratio(row) or 0.0)
    large = [
        row["peak_fraction"]
        for row in rows
        if "peak_fraction" in row and row["shape"][1] >= LARGE_ROWS and row["shape"][3] >= LARGE_HIDDEN
    ]
    return [
        cell,
        number(geometric_mean(map(best_ratio, rows))),
        *(number(geometric_mean(row["ratios"].get(name) for row in rows)) for name in peers),
        number(best_ratio(ranked[0])) if ranked else "-",
        ranked[0]["shape_name"] if ranked else "-",
        *([f"{min(large):.2f}" if large else "-"] if "peak_fraction" in rows[0] else []),
    ]


def _first_calls(rows: list[Row]) -> list[str]:
    def first(row: Row, name: str) -> float | None:
        entry = row["contenders"].get(name, {})
        return entry["prepare_ms"] + entry["first_ms"] if "first_ms" in entry else None

    present = [
        name for name in _names(rows, "contenders") if any(first(row, name) is not None for row in rows)
    ]
    if not present:
        return []
    lines = [["cell", "shape", *present]]
    for row in rows:
        lines.append([row["cell"], row["shape_name"], *(number(first(row, name)) for name in present)])
    return align(lines, left=2)


def report(rows: Sequence[Row], not_installed: Sequence[str]) -> str:
    """Everything that was measured, as text."""
    out: list[str] = []
    title: Callable[[tuple[Any, ...]], str] = lambda key: (  # noqa: E731
        f"{MODES.get(key[0], key[0])}, {key[1]}, {key[2]} thread{'s' if key[2] > 1 else ''}, {key[3]}"
    )
    for key, section in _sections(rows).items():
        peaks = [g for row in section for g in row.get("fma_gflops", [])]
        machine = f"; FMA peak {statistics.median(peaks):.0f} GFLOP/s; milliseconds per call" if peaks else ""
        out += [title(key) + machine, *_section(section), ""]
    for key, section in _sections(rows).items():
        if lines := _first_calls(section):
            out += [f"To the first result (preparing and first call), ms: {title(key)}", *lines, ""]
    disagreements = [
        f"  {_title(row)}, {name}: {line}"
        for row in rows
        for name, lines in row["disagreements"].items()
        for line in lines
    ]
    out += ["DISAGREEMENTS with fastrnn (marked ! above):", *disagreements] if disagreements else []
    checked = sorted({name for row in rows for name in row["errors"]})
    if checked and not disagreements:
        out.append(f"Results agree, all arrays within rounding: fastrnn, {', '.join(checked)}.")
    absent = {f"{name}: {reason}" for row in rows for name, reason in row["absent"].items()}
    out += [f"Did not take part: {line}" for line in sorted(absent)]
    out += [f"Not installed: {', '.join(not_installed)}."] if not_installed else []
    return "\n".join(out)
