"""How much memory a training step takes: what BPTT must keep, and little more.

Everything is counted by tracemalloc, which sees NumPy's arrays and the engine's blocks, in a fresh process,
because the engine keeps some blocks for the next call.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("fastrnn._core") is None, reason="the reference keeps what NumPy makes of it"
)

SCRIPT = """
import json, sys, tracemalloc
import numpy as np
import fastrnn

settings = json.loads(sys.argv[1])
N, H = settings["N"], settings["H"]
layer = getattr(fastrnn, settings["layer"])(H, H, seed=0, checkpoint_every=settings["every"]).train()

def step(T):
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((T, N, H), dtype=np.float32) for _ in range(2))
    x.flags.writeable = False  # or the layer would copy it
    y, _ = layer(x)
    kept = tracemalloc.get_traced_memory()[0]
    layer.backward(dy)
    return kept

step(2)  # packs and gradients of the weights
tracemalloc.start()
results = []
for T in settings["steps"]:
    tracemalloc.reset_peak()
    kept = step(T)
    results.append((kept, tracemalloc.get_traced_memory()[1]))
print(json.dumps(results))
"""
SLOTS = {"RNN": 1, "LSTM": 6, "GRU": 4, "MinGRU": 2, "MinLSTM": 4}
"""Numbers a unit and step that a cell's gradients need beside x and h."""

each_layer = pytest.mark.parametrize("layer", SLOTS)


def measure(layer: str, steps: list[int], *, N: int, H: int, every: int | None = None) -> list[list[int]]:
    """Bytes kept after forward and at the peak, for one training step after another."""
    settings = {"layer": layer, "steps": steps, "N": N, "H": H, "every": every}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(settings)],
        env={**os.environ, "FASTRNN_BACKEND": "native"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    results: list[list[int]] = json.loads(done.stdout)
    return results


@pytest.mark.parametrize("H", [16, 128])
@each_layer
def test_the_peak_is_what_must_be_kept_and_a_fifth(layer: str, H: int) -> None:
    T, N = 64_000 // H, 32
    must = (SLOTS[layer] + 4) * T * N * H * 4  # x, y, dy, dx
    [[_, peak]] = measure(layer, [T], N=N, H=H)
    assert must <= peak <= 1.2 * must


@each_layer
def test_sequences_of_other_lengths_leave_little_behind(layer: str) -> None:
    N, H = 32, 64
    steps = [400, 500, 650, 800, 300, 1000, 450, 1000]
    for T, (_, peak) in zip(steps, measure(layer, steps, N=N, H=H), strict=True):
        longest = max(steps[: steps.index(T) + 1])
        assert peak <= 1.2 * (SLOTS[layer] + 4) * longest * N * H * 4


@each_layer
def test_checkpoints_keep_a_tenth(layer: str) -> None:
    T, N, H = 2000, 16, 64
    unit = T * N * H * 4
    [[kept, peak]] = measure(layer, [T], N=N, H=H, every=45)
    assert kept - 3 * unit <= 0.1 * SLOTS[layer] * unit  # x, y, dy
    assert peak - 4 * unit <= 0.1 * SLOTS[layer] * unit + (
        1 << 20
    )  # x, y, dy, dx; scratch does not grow with T
