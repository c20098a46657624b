"""The most multiply-adds that the cores give while something else is being measured."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from fastrnn import _core


class Peak:
    """Multiply-adds in registers on n threads at once, in the dtype and on the ISA that are in use.

    `run` is a contender for `bench.timing.interleave`. It waits for all threads at both ends, so its time is
    that of the slowest; starting them costs microseconds of about four milliseconds.
    """

    def __init__(self, dtype: str, threads: int, seconds: float = 0.004) -> None:
        self._dtype = dtype
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._pool = ThreadPoolExecutor(threads, initializer=self._take_core)
        self._barrier = threading.Barrier(threads)
        self._threads = threads
        self._iterations = 10_000
        while True:
            start = time.perf_counter()
            _core.fma_loop(dtype, self._iterations)
            elapsed = time.perf_counter() - start
            if elapsed >= seconds / 2:
                break
            self._iterations *= 2
        self.flops = sum(self.run())
        """Operations of one run, all threads together."""

    def _take_core(self) -> None:
        # A thread that is woken after a pause may otherwise land on another one's core.
        if self._cores:
            os.sched_setaffinity(0, {self._cores.pop()})

    def _one(self) -> float:
        self._barrier.wait()
        return float(_core.fma_loop(self._dtype, self._iterations))

    def run(self) -> list[float]:
        if self._threads == 1:
            return [float(_core.fma_loop(self._dtype, self._iterations))]
        return [f.result() for f in [self._pool.submit(self._one) for _ in range(self._threads)]]

    def close(self) -> None:
        self._pool.shutdown()
