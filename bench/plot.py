"""Draw a result of `bench.peers`: ``python -m bench.plot RESULT.json PICTURE.svg [PICTURE.png ...]``.

A dot is the time of the best peer over ours, of one shape, cell and number of threads.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.table import MODES, Row, best_ratio

# Okabe and Ito's palette, which the colour-blind tell apart; the marker says the same again.
STYLES = {
    "rnn_tanh": ("RNN", "#0072B2", "o"),
    "rnn_relu": ("RNN, relu", "#56B4E9", "D"),
    "lstm": ("LSTM", "#D55E00", "s"),
    "gru": ("GRU", "#009E73", "^"),
    "gru_reset_before": ("GRU, reset before", "#CC79A7", "v"),
    "mingru": ("minGRU", "#E69F00", "P"),
    "minlstm": ("minLSTM", "#999999", "X"),
    "lstm_norm": ("LSTM, layer norm", "#D55E00", "p"),
    "gru_norm": ("GRU, layer norm", "#009E73", "h"),
}
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def ratios(rows: Iterable[Row]) -> dict[str, dict[tuple[str, int], list[tuple[tuple[int, ...], float]]]]:
    """Shapes and ratios of each mode, and in it of each cell and number of threads; only what has a peer.

    Of several dtypes and instruction sets, those of the first row.
    """
    rows = list(rows)
    rows = [row for row in rows if (row["dtype"], row["isa"]) == (rows[0]["dtype"], rows[0]["isa"])]
    found: dict[str, dict[tuple[str, int], list[tuple[tuple[int, ...], float]]]] = {}
    for row in rows:
        if (ratio := best_ratio(row)) is not None:
            series = found.setdefault(row["mode"], {}).setdefault((row["cell"], row["threads"]), [])
            series.append((tuple(row["shape"]), ratio))
    return found


def draw(rows: Sequence[Row]) -> Any:
    """A figure with a panel for each mode, a line for each shape."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = ratios(rows)
    shapes = list(dict.fromkeys(tuple(row["shape"]) for row in rows))
    threads = sorted({n for panel in found.values() for _, n in panel})
    values = [ratio for panel in found.values() for series in panel.values() for _, ratio in series]
    plt.rcParams.update({"font.size": 10, "svg.hashsalt": "fastrnn"})
    figure, panels = plt.subplots(
        1,
        len(found),
        sharey=True,
        squeeze=False,
        figsize=(9, 1.9 + 0.34 * len(shapes)),
        layout="constrained",
    )
    for axes, (mode, panel) in zip(panels[0], found.items(), strict=True):
        axes.axvline(1, color="black", linewidth=1.2, zorder=1)
        for (cell, n), series in panel.items():
            _, colour, marker = STYLES[cell]
            # Cells and threads a little above each other, so that equal ratios do not hide each other.
            cells = list(dict.fromkeys(c for c, _ in panel))
            shift = 0.2 * (cells.index(cell) - (len(cells) - 1) / 2) + 0.07 * (threads.index(n) - 0.5)
            axes.scatter(
                [ratio for _, ratio in series],
                [shapes.index(shape) + shift for shape, _ in series],
                s=34,
                marker=marker,
                facecolors="white" if n != threads[0] else colour,
                edgecolors=colour,
                linewidths=1.3,
                zorder=3,
            )
        axes.set_xscale("log")
        axes.set_xlim(min(0.8, 0.9 * min(values)), 1.15 * max(values))
        ticks = [t for t in TICKS if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.minorticks_off()
        axes.grid(axis="x", color="0.85", linewidth=0.8)
        for k in range(0, len(shapes), 2):
            axes.axhspan(k - 0.5, k + 0.5, color="0.96", zorder=0)
        axes.set_title(MODES.get(mode, mode).capitalize())
        axes.set_xlabel("time of the best other library / ours")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    first = panels[0][0]
    first.set_yticks(range(len(shapes)), [",".join(map(str, shape)) for shape in shapes])
    first.set_ylim(len(shapes) - 0.5, -0.5)
    first.text(-0.015, 1.02, "T,N,I,H", ha="right", transform=first.transAxes)
    figure.legend(handles=_legend(found, threads), loc="outside lower center", ncols=6, frameon=False)
    return figure


def _legend(found: dict[str, Any], threads: Sequence[int]) -> list[Any]:
    from matplotlib.lines import Line2D

    def entry(label: str, colour: str, marker: str, filled: bool) -> Line2D:
        return Line2D(
            [], [], linestyle="", color=colour, marker=marker, label=label, mfc=colour if filled else "white"
        )

    cells = dict.fromkeys(cell for panel in found.values() for cell, _ in panel)
    entries = [entry(*STYLES[cell], True) for cell in cells]
    for n in threads if len(threads) > 1 else ():
        entries.append(entry(f"{n} thread{'s' if n > 1 else ''}", "0.3", "o", n == threads[0]))
    return entries


def save(figure: Any, paths: Iterable[Path]) -> None:
    """Write the figure to each path, in the format of its suffix; the same bytes for the same figure."""
    for path in paths:
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, dpi=160, facecolor="white", metadata=metadata)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.plot", description=__doc__.partition("\n")[0])
    parser.add_argument("result", type=Path, metavar="RESULT.json")
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE")
    options = parser.parse_args(arguments)
    rows = json.loads(options.result.read_text())["rows"]
    if not ratios(rows):
        print(f"nothing to draw: no row of {options.result} has a peer", file=sys.stderr)
        return 1
    save(draw(rows), options.pictures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
