"""Timing several things fairly on a machine that others use too.

A. Contenders take turns, round by round, so that whatever slows the machine down for a while slows all of
   them. What is compared are the times of one round with each other.
B. A turn is a block of calls long enough for the clock, and short enough to fit between two interruptions by
   other processes. A turn of short calls comes after one that is not timed, which brings code, data and
   sleeping threads back after the others' turn, and cores to their speed after a pause.
C. The system counts how often it took a core away from us. A short turn in which it did is repeated a few
   times; the shortest attempt counts. The rule is the same for all, and `Samples.disturbed` says how often
   even that did not help.
D. With several threads a turn begins with a pause: the pools of some libraries spin for milliseconds after
   their last call and would steal the cores of whoever comes next.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

ATTEMPTS = 5
# A longer turn meets an interruption every time on a busy machine: repeating it would only cost time.
LONGEST_REPEATED = 0.02


@dataclass(frozen=True)
class Effort:
    """How long and how often to measure."""

    seconds: float = 3.0
    """Aim of all rounds together; the limits on rounds go before."""
    min_rounds: int = 5
    max_rounds: int = 25
    block_seconds: float = 0.002
    """Shortest turn: fast calls are repeated until it is reached."""
    pause_seconds: float = 0.0


QUICK = Effort(seconds=0.1, min_rounds=3, max_rounds=5, block_seconds=0.0005)


@dataclass
class Samples:
    """What the rounds of one contender took."""

    seconds: list[float] = field(default_factory=list)
    """Per call; place k belongs to the same round for all contenders."""
    disturbed: int = 0
    """Rounds in which no attempt had its cores to itself."""


def interruptions() -> int:
    """Times that a thread of this process lost its core since the start; 0 where nobody counts."""
    return 0 if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


@dataclass(frozen=True)
class Tools:
    """What timing needs of the system; tests bring their own."""

    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], Any] = time.sleep
    interruptions: Callable[[], int] = interruptions


def time_once(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, and what it returned."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def _nothing() -> None:
    pass


def _repetitions(run: Callable[[], Any], block: float, clock: Callable[[], float]) -> tuple[int, float]:
    """Calls that fill a turn, and the seconds of one call."""
    calls = 1
    while True:
        start = clock()
        for _ in range(calls):
            run()
        elapsed = clock() - start
        if elapsed >= block / 4:
            each = elapsed / calls
            return max(1, round(block / each)), each
        calls *= 4


def _turn(
    run: Callable[[], Any], repetitions: int, each: float, effort: Effort, tools: Tools
) -> tuple[float, bool]:
    """Seconds per call in one turn, and whether it was disturbed."""
    attempts = ATTEMPTS if repetitions * each <= LONGEST_REPEATED else 1
    shortest = float("inf")
    for _ in range(attempts):
        if effort.pause_seconds:
            tools.sleep(effort.pause_seconds)
        if each < effort.block_seconds:
            for _ in range(repetitions):
                run()
        before = tools.interruptions()
        start = tools.clock()
        for _ in range(repetitions):
            run()
        seconds = (tools.clock() - start) / repetitions
        if tools.interruptions() == before:
            return seconds, False
        shortest = min(shortest, seconds)
    return shortest, True


def interleave(
    contenders: Mapping[str, Callable[[], Any]],
    effort: Effort,
    tools: Tools | None = None,
    before: Mapping[str, Callable[[], Any]] | None = None,
) -> dict[str, Samples]:
    """Measure contenders in turn, the same number of rounds for all; some have a call `before` each turn."""
    tools = tools or Tools()
    before = before or {}
    plan = {}
    for name, run in contenders.items():
        before.get(name, _nothing)()
        plan[name] = _repetitions(run, effort.block_seconds, tools.clock)
    round_seconds = sum(repetitions * each + effort.pause_seconds for repetitions, each in plan.values())
    rounds = min(max(int(effort.seconds / round_seconds), effort.min_rounds), effort.max_rounds)
    samples = {name: Samples() for name in contenders}
    names = list(contenders)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for k in range(rounds):
            # Another one begins every time, so that no place in the order is anybody's own.
            first = k % len(names)
            for name in names[first:] + names[:first]:
                before.get(name, _nothing)()
                seconds, disturbed = _turn(contenders[name], *plan[name], effort, tools)
                samples[name].seconds.append(seconds)
                samples[name].disturbed += disturbed
    finally:
        if collecting:
            gc.enable()
    return samples


def paired_ratio(numerator: list[float], denominator: list[float]) -> float:
    """Median over the rounds of one time divided by the other of the same round."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))
