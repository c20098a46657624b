"""What weights in fewer bits save: ``python -m bench.quantized``.

float32, bfloat16 and int8 weights in turn, on one core. ``step`` is a row of a stream, ``sequence`` 100 steps
of one row, ``batch`` 100 steps of 32 rows, ``character`` a character of text from a network with an embedding
of 64 and an alphabet of 100. Times are of one step or character; ratios are float32's time over the others',
in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORMATS = ("float32", "bfloat16", "int8")
CELLS = ("rnn_tanh", "lstm", "gru", "gru_reset_before")
SIZES = (64, 128, 256, 512, 1024)
KINDS = ("step", "sequence", "batch", "character")
ALPHABET, EMBEDDING = 100, 64


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.quantized", description=__doc__)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=SIZES, help="hidden sizes; inputs are as wide"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--core", type=int, help="core to run on; default: the first that is allowed")
    parser.add_argument("--quick", action="store_true", help="few rounds: does it run, is it plausible")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every row to a file")
    return parser.parse_args()


def runs(cell: str, H: int, kind: str) -> tuple[dict[str, Callable[[], Any]], int]:
    """What to time for each format, and how many steps that is."""
    import numpy as np

    import fastrnn
    from fastrnn import backend
    from fastrnn._types import CellWeights

    engine, rng = backend.active(), np.random.default_rng(0)
    name, options = {
        "rnn_tanh": ("RNN", {}),
        "lstm": ("LSTM", {}),
        "gru": ("GRU", {}),
        "gru_reset_before": ("GRU", {"reset_after": False}),
    }[cell]
    layer = getattr(fastrnn, name)(EMBEDDING if kind == "character" else H, H, seed=0, **options)
    weights = CellWeights(
        *(getattr(layer, f"{part}_l0").value for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    )
    steps = {"step": 1, "character": 50}.get(kind, 100)
    x = rng.standard_normal((steps, 32 if kind == "batch" else 1, H), dtype=np.float32)
    output = fastrnn.Linear(H, ALPHABET, seed=0)
    found: dict[str, Callable[[], Any]] = {}
    for label in FORMATS:
        form = None if label == "float32" else label
        packed = engine.pack_weights(cell, weights, False, form)
        if kind == "step":
            step = engine.StepStream([packed], 1).step
            found[label] = lambda step=step: step(x[0])
        elif kind == "character":
            embedding = rng.standard_normal((ALPHABET, EMBEDDING), dtype=np.float32)
            linear = engine.pack_linear(output.weight.value, output.bias.value, False, form)
            sample, uniforms = engine.TokenStream(embedding, [packed], linear).sample, rng.random(steps)
            found[label] = lambda sample=sample, uniforms=uniforms: sample(uniforms, 1.0, 0, 1.0)
        else:
            found[label] = lambda packed=packed: engine.rnn_forward(packed, x)
    return found, steps


def measure(cell: str, H: int, kind: str, quick: bool) -> dict[str, Any]:
    from bench.timing import QUICK, Effort, interleave, paired_ratio

    found, steps = runs(cell, H, kind)
    samples = interleave(found, QUICK if quick else Effort(seconds=1.0, min_rounds=9, max_rounds=41))
    seconds = {label: samples[label].seconds for label in FORMATS}
    row: dict[str, Any] = {"cell": cell, "H": H, "kind": kind}
    row |= {f"{label}_us": statistics.median(times) / steps * 1e6 for label, times in seconds.items()}
    row |= {f"{label}_ratio": paired_ratio(seconds["float32"], seconds[label]) for label in FORMATS[1:]}
    return row


def main() -> None:
    args = arguments()
    if hasattr(os, "sched_setaffinity"):
        core = min(os.sched_getaffinity(0)) if args.core is None else args.core
        os.sched_setaffinity(0, {core})
    import fastrnn
    from bench.machine import facts

    fastrnn.set_num_threads(1)
    print(f"{fastrnn.current_isa()}, one core, microseconds a step or character and float32's time over it")
    print(f"{'cell':18}{'H':>5}  {'kind':10}{'float32':>10}{'bfloat16':>10}{'':>7}{'int8':>10}")
    rows = []
    for kind in args.kinds:
        for cell in args.cells:
            for H in args.sizes:
                row = measure(cell, H, kind, args.quick)
                rows.append(row)
                print(
                    f"{cell:18}{H:5}  {kind:10}{row['float32_us']:10.2f}"
                    f"{row['bfloat16_us']:10.2f} x{row['bfloat16_ratio']:5.2f}"
                    f"{row['int8_us']:10.2f} x{row['int8_ratio']:5.2f}",
                    flush=True,
                )
    if args.json:
        args.json.write_text(
            json.dumps({"facts": facts(), "isa": fastrnn.current_isa(), "rows": rows}, indent=1)
        )


if __name__ == "__main__":
    main()
