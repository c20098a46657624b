"""The benchmark harness: what it computes from times, not the times."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn._types import CELL_COUNTS, CELLS

if not (Path(__file__).parents[1] / "bench").is_dir():
    pytest.skip("wheels are tested without the benchmarks", allow_module_level=True)

from bench import agreement, compare, peers, table, timing
from bench.contenders import MODULES, OURS, PACKAGES, PEERS, REFERENCE, Unsupported, load, versions
from bench.problem import WEIGHTS, Problem, make_problem
from bench.shapes import GROUPS, SHAPES, Shape, parse_shape
from bench.timing import Effort, Tools, interleave
from bench.worker import Job
from fastrnn.backend import get_num_threads, num_threads

SMALL = Shape(5, 3, 4, 6)


@pytest.fixture(autouse=True)
def _keep_threads() -> Iterator[None]:
    """Contenders set the number of threads for the whole process."""
    with num_threads(get_num_threads()):
        yield


# Shapes and problems


def test_a_shape_is_a_name_a_group_or_four_numbers() -> None:
    assert parse_shape("batch-128") == [("batch-128", Shape(100, 32, 128, 128))]
    assert parse_shape("100,32,128,128") == parse_shape("batch-128")
    assert parse_shape("2,3,4,5") == [("2,3,4,5", Shape(2, 3, 4, 5))]
    assert [name for name, _ in parse_shape("step")] == ["step-256", "step-64"]
    assert {name for group in GROUPS.values() for name in group} == set(SHAPES)


@pytest.mark.parametrize("text", ["batch-7", "1,2,3", "0,1,1,1", "1,2,3,4,5", "a,b,c,d"])
def test_other_words_are_no_shape(text: str) -> None:
    with pytest.raises(ValueError, match=r"T,N,I,H .* names: .*batch-64.* groups: all"):
        parse_shape(text)


def test_operations_are_those_of_the_matrix_products() -> None:
    shape = Shape(100, 32, 128, 128)
    forward = 2 * 100 * 32 * (4 * 128) * (128 + 128)
    assert make_problem("lstm", shape, "float32", False).flops == forward
    assert make_problem("lstm", shape, "float32", True).flops == 3 * forward
    assert make_problem("gru", shape, "float32", False).flops == forward * 3 // 4
    assert make_problem("rnn_tanh", shape, "float32", False).flops == forward // 4


@pytest.mark.parametrize("cell", CELLS)
def test_a_problem_is_the_same_arrays_every_time(cell: str) -> None:
    a, b = (make_problem(cell, SMALL, "float64", True) for _ in range(2))
    assert a.x.shape == (5, 3, 4)
    assert len(a.state) == len(a.dstate) == (1 + CELL_COUNTS[cell].has_c)
    arrays = [(p.x, p.dy, *p.state, *p.dstate, *p.weights.values()) for p in (a, b)]
    for first, second in zip(*arrays, strict=True):
        assert first.dtype == np.float64
        np.testing.assert_array_equal(first, second)


# Contenders and their agreement


def results(name: str, cell: str, dtype: str = "float32", train: bool = True) -> dict[str, np.ndarray]:
    prepared = load(name).prepare(make_problem(cell, SMALL, dtype, train), 1)
    prepared.run()
    return prepared.read(prepared.run())


def disagreements(problem: Problem, errors: dict[str, float]) -> list[str]:
    return agreement.disagreements(errors, partial(agreement.tolerance, problem))


def test_every_contender_has_its_packages() -> None:
    assert set(PACKAGES) == set(MODULES)
    assert set(MODULES) == {OURS, REFERENCE, *PEERS}
    assert versions(OURS) is not None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_engine_and_reference_agree(cell: str, dtype: str) -> None:
    problem = make_problem(cell, SMALL, dtype, True)
    errors = agreement.compare(results(REFERENCE, cell, dtype), results(OURS, cell, dtype))
    states = {"cn", "dc0"} if CELL_COUNTS[cell].has_c else set()
    assert set(errors) == {"y", "hn", "dx", "dh0", *states, *WEIGHTS}
    assert disagreements(problem, errors) == []


@pytest.mark.parametrize("peer", [name for name in PEERS if name != "torch"])
def test_peer_agrees(peer: str) -> None:
    if versions(peer) is None:
        pytest.skip(f"{peer} is not installed")
    took_part = set()
    for cell, train in itertools.product(CELLS, (False, True)):
        problem = make_problem(cell, SMALL, "float32", train)
        try:
            errors = agreement.compare(results(peer, cell, train=train), results(OURS, cell, train=train))
        except Unsupported:
            continue
        took_part.add(cell)
        assert disagreements(problem, errors) == []
    assert took_part >= {"rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_before"}


def test_a_wrong_result_is_told() -> None:
    problem = make_problem("gru", SMALL, "float32", True)
    good = results(OURS, "gru")
    bad = {**good, "weight_hh": np.roll(good["weight_hh"], 1, axis=0), "y": good["y"] * np.float32(1 + 1e-4)}
    lines = disagreements(problem, agreement.compare(bad, good))
    assert [line.partition(":")[0] for line in lines] == ["y", "weight_hh"]


@pytest.mark.parametrize("spoil", [lambda a: a[:-1], lambda a: np.where(a == a.max(), np.nan, a)])
def test_other_shapes_and_nans_are_infinite_errors(spoil: Callable[[np.ndarray], np.ndarray]) -> None:
    array = np.arange(6.0)
    assert agreement.error(spoil(array), array) == math.inf
    assert agreement.compare({}, {"y": array}) == {"y": math.inf}


# Timing, on a clock that only moves when something runs


class Machine:
    """A clock, who was called, and what threads have left to do after each call."""

    def __init__(self, left_over: float = 0.0) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        self.naps = 0
        self.left_over = left_over
        self.left = 0.0
        self.computed = 0.0

    def contender(self, name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.calls.append(name)
            self.now += seconds
            self.left = self.left_over

        return run

    def sleep(self, seconds: float) -> None:
        self.naps += 1
        self.now += seconds
        done = min(seconds, self.left)
        self.left -= done
        self.computed += done

    def tools(self) -> Tools:
        return Tools(clock=lambda: self.now, processor_time=lambda: self.computed, sleep=self.sleep)


LONG = Effort(seconds=1.0, min_rounds=4, max_rounds=4, block_seconds=0.002)


def test_contenders_take_turns_and_nobody_is_always_first() -> None:
    machine = Machine()
    runs = {name: machine.contender(name, 0.004) for name in "abc"}
    samples = interleave(runs, LONG, machine.tools())
    # One call each to see how long it takes, then the rounds; the first of two calls is not timed.
    assert "".join(machine.calls) == "abc" + "aabbcc" + "bbccaa" + "ccaabb" + "aabbcc"
    assert samples == {name: pytest.approx([0.004] * 4) for name in "abc"}


def test_what_comes_ahead_of_turns_is_not_timed() -> None:
    machine = Machine()
    runs = {name: machine.contender(name, 0.004) for name in "ab"}
    samples = interleave(runs, LONG, machine.tools(), before={"b": machine.contender("-", 1.0)})
    assert "".join(machine.calls) == "a-b" + "aa-bb" + "-bbaa" + "aa-bb" + "-bbaa"
    assert samples == {name: pytest.approx([0.004] * 4) for name in "ab"}


def test_short_calls_fill_their_turn() -> None:
    machine = Machine()
    interleave({"a": machine.contender("a", 0.0005)}, LONG, machine.tools())
    assert len(machine.calls) == 1 + 4 * (4 + 4)


@pytest.mark.parametrize("seconds", [0.0001, 0.0019, 0.0021, 0.1])
def test_a_turn_is_warmed_up_whatever_it_takes(seconds: float) -> None:
    machine = Machine()
    first = 1.0

    def run() -> None:
        # What comes after somebody else's turn takes longer.
        machine.now += first if machine.calls[-1:] != ["a"] else seconds
        machine.calls.append("a")

    samples = interleave({"a": run, "b": machine.contender("b", 0.004)}, LONG, machine.tools())
    assert samples["a"] == pytest.approx([seconds] * 4)


@pytest.mark.parametrize(("left_over", "naps"), [(0.0, 1), (0.01, 4), (math.inf, 250)])
def test_a_turn_begins_when_the_threads_of_the_others_rest(left_over: float, naps: int) -> None:
    machine = Machine(left_over)
    interleave({name: machine.contender(name, 0.004) for name in "ab"}, LONG, machine.tools())
    assert machine.naps == pytest.approx(naps * 4 * 2, rel=0.01)


def test_rounds_fit_the_time_between_their_limits() -> None:
    for seconds, rounds in [(0.0, 5), (0.161, 20), (9.0, 25)]:
        machine = Machine()
        effort = Effort(seconds=seconds, block_seconds=0.002)
        samples = interleave({"a": machine.contender("a", 0.004)}, effort, machine.tools())
        assert len(samples["a"]) == rounds


def test_a_ratio_is_the_median_over_rounds() -> None:
    # The second round met a slow machine: both were slow.
    assert timing.paired_ratio([2.0, 20.0, 2.2], [1.0, 10.0, 1.0]) == pytest.approx(2.0)


# Tables


def make_row(**changes: Any) -> dict[str, Any]:
    row = {
        "cell": "lstm",
        "mode": "train",
        "shape_name": "batch-128",
        "shape": [100, 32, 128, 128],
        "dtype": "float32",
        "threads": 1,
        "isa": "avx2",
        "fma_gflops": [100.0, 101.0, 99.0],
        "contenders": {
            OURS: {"prepare_ms": 1.0, "first_ms": 2.0, "samples_ms": [1.0, 1.1, 0.9]},
            "torch": {"prepare_ms": 3.0, "first_ms": 4.0, "samples_ms": [2.0, 2.1, 1.9]},
            "jax": {"prepare_ms": 0.5, "first_ms": 700.0, "samples_ms": [8.0, 8.1, 7.9]},
        },
        "absent": {"openvino": "inference only"},
        "errors": {"torch": {"y": 1e-7}, "jax": {"y": 1e-7}},
        "disagreements": {},
        "ratios": {"torch": 2.0, "jax": 8.0},
        "best_peer": "torch",
        "peak_fraction": 0.875,
        "figures": {},
    }
    return {**row, **changes}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (0.0012345, "0.00123"),
        (0.9999, "1.00"),
        (1.5, "1.50"),
        (12.34, "12.3"),
        (1234.5, "1234"),
        (99.99, "100"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert table.number(value) == text


def test_the_report_says_it_all() -> None:
    slower = make_row(shape_name="odd-50", shape=[30, 7, 13, 50], ratios={"torch": 0.5, "jax": 2.0})
    text = table.report([make_row(), slower], ["onnxruntime"])
    lines = [line.split() for line in text.splitlines()]
    assert ["lstm", "batch-128", "100,32,128,128", "1.00", "2.00", "8.00", "torch", "2.00", "0.88"] in lines
    # Geometric means to the best, to torch, to jax; the lowest ratio and where; the large shapes.
    assert ["lstm", "1.00", "1.00", "4.00", "0.500", "odd-50", "0.88"] in lines
    assert ["lstm", "batch-128", "3.00", "7.00", "700"] in lines
    assert "training step, float32, 1 thread, avx2; FMA peak 100 GFLOP/s" in text
    assert "Results agree" in text
    assert "openvino: inference only" in text
    assert "Not installed: onnxruntime." in text


def test_the_report_tells_disagreements() -> None:
    text = table.report([make_row(disagreements={"jax": ["dx: error 0.5, tolerance 1e-05"]})], [])
    assert "batch-128!" in text
    assert "train lstm batch-128 float32 x1 avx2, jax: dx: error 0.5, tolerance 1e-05" in text
    assert "Results agree" not in text


def test_the_report_of_ourselves_alone() -> None:
    alone = make_row(contenders={OURS: make_row()["contenders"][OURS]}, ratios={}, best_peer=None, errors={})
    text = table.report([alone], list(PEERS))
    assert "Geometric mean" not in text
    assert "Not installed: torch" in text
    assert table.progress_line(alone).endswith("avx2: 1.00 ms, 0.88 of the peak")


def test_figures_are_columns_and_what_was_not_timed_has_none() -> None:
    row = make_row(mode="peak memory", contenders={OURS: {}}, ratios={}, best_peer=None, figures={"MB": 12.5})
    del row["peak_fraction"], row["fma_gflops"]
    lines = table.report([row], []).splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["peak", "memory,", "float32,", "1", "thread,", "avx2"],
        ["cell", "shape", "T,N,I,H", "MB"],
        ["lstm", "batch-128", "100,32,128,128", "12.5"],
    ]
    assert table.progress_line(row).endswith("avx2: MB 12.5")


def test_columns_are_aligned() -> None:
    assert table.align([["a", "b", "c"], ["long", "1.00", "22"]], left=1) == [
        "a        b   c",
        "long  1.00  22",
    ]


# Two results


def result(rows: list[dict[str, Any]], cpu: str = "this") -> dict[str, Any]:
    return {"format": 1, "machine": {"identity": {"cpu": cpu, "cores": 2}}, "rows": rows}


def ours(*samples: float, fma: float = 100.0) -> dict[str, Any]:
    row = make_row(fma_gflops=[fma] * 3)
    row["contenders"][OURS] = {"samples_ms": list(samples)}
    return row


@pytest.fixture
def run_compare(tmp_path: Path) -> Iterator[Callable[..., int]]:
    def run(a: dict[str, Any], b: dict[str, Any], *options: str) -> int:
        paths = [tmp_path / "a.json", tmp_path / "b.json"]
        for path, content in zip(paths, (a, b), strict=True):
            path.write_text(json.dumps(content))
        return compare.main([*map(str, paths), *options])

    yield run


def test_compare_equal_results(run_compare: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    same = result([ours(1.0, 1.0, 1.0)])
    assert run_compare(same, same) == 0
    assert "1 rows: 0 faster, 0 slower; geometric mean of B / A 1.000" in capsys.readouterr().out


def test_compare_tells_slower_from_faster(
    run_compare: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = result([ours(1.0, 1.01, 0.99)]), result([ours(1.2, 1.21, 1.19)])
    assert run_compare(old, new) == 1
    assert "SLOWER" in capsys.readouterr().out
    assert run_compare(new, old) == 0
    assert "1 faster" in capsys.readouterr().out
    assert run_compare(old, new, "--threshold", "0.5") == 0


def test_compare_does_not_take_noise_for_a_change(run_compare: Callable[..., int]) -> None:
    noisy = result([ours(0.7, 1.2, 1.7)])
    assert run_compare(result([ours(1.0, 1.0, 1.0)]), noisy) == 0


def test_compare_corrects_for_the_speed_of_the_machine(run_compare: Callable[..., int]) -> None:
    fast, slow = ours(1.0, 1.0, 1.0, fma=100.0), ours(2.0, 2.0, 2.0, fma=50.0)
    assert run_compare(result([fast]), result([slow])) == 0
    assert run_compare(result([fast]), result([ours(2.0, 2.0, 2.0, fma=100.0)])) == 1


def test_compare_refuses_other_machines(
    run_compare: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = result([ours(1.0, 1.0, 1.0)]), result([ours(1.0, 1.0, 1.0)], cpu="that")
    assert run_compare(here, there) == 2
    assert "cpu: this / that" in capsys.readouterr().err
    assert run_compare(here, there, "--force") == 0


def test_compare_needs_something_in_common(run_compare: Callable[..., int]) -> None:
    assert run_compare(result([make_row()]), result([make_row(threads=2)])) == 2
    assert run_compare(result([make_row()]), {**result([make_row()]), "format": 2}) == 2


# The command


def test_a_job_survives_json() -> None:
    effort = Effort(seconds=1.0)
    job = Job("bench.peers", {"cells": ["lstm"]}, "float32", 2, [0, 1], "", effort, "f")
    again = Job.from_json(job.to_json())
    assert again.effort == effort
    assert again.to_json() == job.to_json()
    assert again.environment()["OMP_NUM_THREADS"] == "2"
    assert "FASTRNN_ISA" not in again.environment()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cells", "lstn"],
        ["--shapes", "1,2"],
        ["--dtype", "float16"],
        ["--isa", "none"],
        ["--peers", "keras"],
        ["--threads", "0"],
        ["--threads", "100000"],
        ["--cores", "100000"],
    ],
)
def test_bad_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        peers.main(arguments)
    assert stop.value.code not in (0, None)


def test_the_command_measures_prints_and_stores(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "result.json"
    arguments = ["--quick", "--peers", "", "--cells", "lstm,gru", "--shapes", "3,2,4,5", "--json", str(file)]
    assert peers.main(arguments) == 0
    out, err = capfd.readouterr()
    assert "Results agree, all arrays within rounding: fastrnn, numpy." in out
    assert err.count("of the peak") == 4
    stored = json.loads(file.read_text())
    assert stored["complete"]
    assert [(row["mode"], row["cell"]) for row in stored["rows"]] == [
        (mode, cell) for mode in ("train", "infer") for cell in ("lstm", "gru")
    ]
    for row in stored["rows"]:
        rounds = {len(entry["samples_ms"]) for entry in row["contenders"].values()} | {len(row["fma_gflops"])}
        assert len(rounds) == 1
        assert row["peak_fraction"] > 0
    assert compare.main([str(file), str(file)]) == 0
