"""A character model from the embedding to the text: ``python -m bench.char_model --help``.

Training is the whole step of a script, embedding 64, 256 units, 100 symbols, N = 32, T = 64. Generation draws
64 characters a call, one after the other.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench import command
from bench.agreement import loss_tolerance
from bench.contenders import OURS, Prepared
from bench.contenders.char_generation import CHARACTERS, GENERATIONS, Generate, text_disagreement
from bench.contenders.char_training import TRAININGS
from bench.network import EMBEDDING, Network, make_batches, make_network
from bench.peak import Peak
from bench.rows import Row, check, enter, new_row, time_row
from bench.timing import paired_ratio
from bench.worker import Job

CELLS = ("lstm", "gru", "rnn_tanh")
PEERS = ("torch", "onnxruntime")
CHECKED_STEPS, CHECKED_CHARACTERS = 10, 200
BATCHES = 8


def first_calls(
    job: Job, row: Row, contenders: Mapping[str, Any], prepare: Callable[[Any], Prepared]
) -> Iterator[tuple[str, Callable[[], Any], dict[str, np.ndarray]]]:
    """Those contenders that take part: name, what to time, results of the first calls."""
    for name, make in contenders.items():
        if name.split()[0] not in (OURS, *job.parameters["peers"]):
            continue
        if entered := enter(row, name, lambda make=make: prepare(make)):
            yield name, *entered


def best_ratio_to(samples: Mapping[str, list[float]], peer: str, ours: str) -> float | None:
    """The peer's time, by the fastest of its ways, over ours in the same rounds; None if it is not here."""
    return min(
        (paired_ratio(taken, samples[ours]) for name, taken in samples.items() if name.split()[0] == peer),
        default=None,
    )


def training_row(job: Job, network: Network, peak: Peak) -> Row:
    problem = network.recurrent
    row = new_row(job, problem.cell, "character training", f"H={problem.shape.H}", problem.shape)
    batches = make_batches(network, BATCHES)

    def prepare(make: Callable[..., Callable[[], float]]) -> Prepared:
        step = make(network, batches, job.threads)
        return Prepared(
            step, lambda first: {"losses": np.array([first, *(step() for _ in range(1, CHECKED_STEPS))])}
        )

    runs = {}
    truth: dict[str, np.ndarray] = {}
    for name, run, results in first_calls(job, row, TRAININGS, prepare):
        runs[name] = run
        truth = truth or results
        if name != OURS:
            check(row, name, results, truth, loss_tolerance)
    row["losses"] = truth["losses"].tolist()
    samples = time_row(row, runs, peak, job.effort)
    T, N = problem.shape[:2]
    row["figures"]["characters/s"] = T * N / statistics.median(samples[OURS])
    return row


def generation_row(job: Job, network: Network, peak: Peak) -> Row:
    problem = network.recurrent
    H = problem.shape.H
    row = new_row(job, problem.cell, "generation", f"H={H}", (1, 1, EMBEDDING, H))
    uniforms = np.random.default_rng(3).random(CHECKED_CHARACTERS)

    def prepare(make: Callable[..., Generate]) -> Prepared:
        generate = make(network, job.threads)
        # The text that is compared begins where all texts do: with a generator of its own.
        return Prepared(lambda: generate(None), lambda _: {"text": make(network, job.threads)(uniforms)})

    runs = {}
    truth: dict[str, np.ndarray] = {}
    for name, run, results in first_calls(job, row, GENERATIONS, prepare):
        runs[name] = run
        truth = truth or results
        equal = int(np.argmin(np.append(results["text"] == truth["text"], False)))
        if name.startswith(OURS):
            # Fewer bits are another network, so that its text may part from ours anywhere.
            row.setdefault("equal_characters", {})[name] = equal
            continue
        row["errors"][name] = {"text": 1 - equal / uniforms.size}
        if line := text_disagreement(network, truth["text"], results["text"], uniforms):
            row["disagreements"][name] = [line]
    samples = time_row(row, runs, peak, job.effort)
    for name in filter(lambda name: name.startswith(OURS), runs):
        row["figures"][f"characters/s{name.removeprefix(OURS)}"] = CHARACTERS / statistics.median(
            samples[name]
        )
        for peer in job.parameters["peers"]:
            row["figures"][f"to {peer}{name.removeprefix(OURS)}"] = best_ratio_to(samples, peer, name)
    return row


def measure(job: Job, peak: Peak) -> Iterator[Row]:
    p = job.parameters
    if p["training"]:
        T, N, H = p["training"]
        for cell in p["cells"]:
            yield training_row(job, make_network(cell, T, N, H), peak)
            gc.collect()
    for cell, hidden in itertools.product(p["cells"], p["generation"]):
        yield generation_row(job, make_network(cell, 1, 1, hidden), peak)
        gc.collect()


def main(arguments: Sequence[str] | None = None) -> int:
    p = command.new_parser(
        "char_model",
        "Measure the training step of a character model, and generation with it.",
        cells=CELLS,
        default_cells=("lstm", "gru"),
    )
    p.add_argument("--parts", choices=("both", "training", "generation"), default="both")
    command.add_peers(p, PEERS)
    options = p.parse_args(arguments)
    quick = options.quick
    training = [8, 4, 32] if quick else [64, 32, 256]
    generation = [16] if quick else [64, 256, 512]
    peers = command.installed_peers(options)
    jobs = []
    if options.parts != "generation":
        parameters = {"cells": options.cells, "training": training, "generation": [], "peers": peers}
        jobs += command.make_jobs(options, "bench.char_model", parameters)
    if options.parts != "training":
        parameters = {"cells": options.cells, "training": None, "generation": generation, "peers": peers}
        jobs += command.make_jobs(options, "bench.char_model", parameters, threads=(1,))
    return command.run(jobs, options)


if __name__ == "__main__":
    sys.exit(main())
