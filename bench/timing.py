"""Timing several things fairly on a machine that others use too.

A. Contenders take turns, round by round, so that whatever slows the machine down for a while slows all of
   them. What is compared are the times of one round with each other, and of those the median counts: it does
   not mind that the system takes a core away in some rounds.
B. A turn is a block of calls long enough for the clock, and short enough to fit between two interruptions by
   other processes. Every turn comes after one that is not timed, which brings code, data and sleeping threads
   back after the others' turn, and cores to their speed after a pause. To warm up short calls only favours
   whoever is just below the limit, by up to a third where a call of 2 ms reads megabytes.
C. No turn is repeated. To repeat those in which the system counted that a core was taken away (`ru_nivcsw`)
   gave the shortest of five attempts to every library that hands its work to a thread of its own on the same
   core, in every turn, and one attempt to those that do not.
D. A turn begins when the process has come to rest. Pools of some libraries spin for milliseconds after their
   last call, and threads give memory back after the result has been handed out (JAX: for up to 100 ms after a
   long call, even with one thread); both would take the cores of whoever comes next.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

NAP = 0.004
LONGEST_REST = 1.0


@dataclass(frozen=True)
class Effort:
    """How long and how often to measure."""

    seconds: float = 3.0
    """Aim of all rounds together; the limits on rounds go before."""
    min_rounds: int = 5
    max_rounds: int = 25
    block_seconds: float = 0.002
    """Shortest turn: fast calls are repeated until it is reached."""


QUICK = Effort(seconds=0.1, min_rounds=3, max_rounds=5, block_seconds=0.0005)


@dataclass(frozen=True)
class Tools:
    """What timing needs of the system; tests bring their own."""

    clock: Callable[[], float] = time.perf_counter
    processor_time: Callable[[], float] = time.process_time
    """Of all threads of the process."""
    sleep: Callable[[float], Any] = time.sleep


def time_once(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, and what it returned."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def _nothing() -> None:
    pass


def _rest(tools: Tools) -> None:
    """Sleep until no thread of this process has much to do any more."""
    end = tools.clock() + LONGEST_REST
    while tools.clock() < end:
        before = tools.processor_time()
        tools.sleep(NAP)
        if tools.processor_time() - before < NAP / 10:
            return


def _block(run: Callable[[], Any], calls: int, clock: Callable[[], float]) -> float:
    """Seconds of so many calls."""
    start = clock()
    for _ in range(calls):
        run()
    return clock() - start


def _repetitions(run: Callable[[], Any], block: float, clock: Callable[[], float]) -> tuple[int, float]:
    """Calls that fill a turn, and the seconds of one call."""
    calls = 1
    while (elapsed := _block(run, calls, clock)) < block / 4:
        calls *= 4
    each = elapsed / calls
    return max(1, round(block / each)), each


def interleave(
    contenders: Mapping[str, Callable[[], Any]],
    effort: Effort,
    tools: Tools | None = None,
    before: Mapping[str, Callable[[], Any]] | None = None,
) -> dict[str, list[float]]:
    """Seconds per call of contenders measured in turn, place k of each list in the same round.

    Some have a call `before` each turn.
    """
    tools = tools or Tools()
    before = before or {}
    plan = {}
    for name, run in contenders.items():
        before.get(name, _nothing)()
        plan[name] = _repetitions(run, effort.block_seconds, tools.clock)
    round_seconds = sum(NAP + calls * each for calls, each in plan.values())
    rounds = min(max(int(effort.seconds / round_seconds), effort.min_rounds), effort.max_rounds)
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for k in range(rounds):
            # Another one begins every time, so that no place in the order is anybody's own.
            first = k % len(names)
            for name in names[first:] + names[:first]:
                run, calls = contenders[name], plan[name][0]
                before.get(name, _nothing)()
                _rest(tools)
                _block(run, calls, tools.clock)
                samples[name].append(_block(run, calls, tools.clock) / calls)
    finally:
        if collecting:
            gc.enable()
    return samples


def paired_ratio(numerator: list[float], denominator: list[float]) -> float:
    """Median over the rounds of one time divided by the other of the same round."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))
