"""The commands beside `bench.peers`: what they compute from times and counters; that each runs and agrees."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if not (Path(__file__).parents[1] / "bench").is_dir():
    pytest.skip("wheels are tested without the benchmarks", allow_module_level=True)

from bench import (
    agreement,
    char_model,
    company,
    compare,
    memory,
    peers,
    plot,
    ragged,
    report,
    resident,
    stream,
)
from bench.contenders import OURS, char_generation
from bench.contenders.fastrnn_layer import make_layer
from bench.contenders.steps import STEPS
from bench.network import make_batches, make_network, our_model
from bench.peak import Peak
from bench.problem import make_problem
from bench.processes import Server, in_fresh_process
from bench.resident import STATUS, counter
from bench.shapes import Shape
from bench.timing import QUICK
from bench.worker import Job
from fastrnn._types import CELLS
from fastrnn.backend import get_num_threads, num_threads


@pytest.fixture(autouse=True)
def _keep_threads() -> Iterator[None]:
    """Contenders set the number of threads for the whole process."""
    with num_threads(get_num_threads()):
        yield


# Against the peers


def test_several_threads_are_timed_beside_one() -> None:
    job = Job(
        module="bench.peers",
        parameters={"contenders": [OURS], "reference": "never"},
        dtype="float32",
        threads=2,
        cores=[],
        isa="",
        effort=QUICK,
        rows_file="",
    )
    peak = Peak("float32", 2)
    try:
        row = peers.measure_row(job, "small", Shape(3, 2, 4, 8), "lstm", "train", peak)
    finally:
        peak.close()
    assert row["figures"][peers.SPEED_UP] > 0
    assert list(row["contenders"]) == [OURS]
    assert row["ratios"] == {}


# Ragged batches


@pytest.mark.parametrize("cell", CELLS)
def test_ragged_lengths_are_in_range_and_equal_ones_do_as_much(cell: str) -> None:
    shape = Shape(20, 32, 4, 5)
    problem = ragged.ragged_problem(cell, shape, "float32", True)
    assert problem.lengths is not None
    assert 1 <= problem.lengths.min() < problem.lengths.max() <= shape.T
    assert problem.steps == problem.lengths.sum()
    equal = ragged.equal_problem(problem)
    assert equal.lengths is None
    assert abs(equal.steps - problem.steps) <= shape.N / 2
    assert equal.flops / equal.steps == problem.flops / problem.steps


# Streaming


def test_over_reading_takes_the_call_from_the_reading() -> None:
    assert stream.over_reading([3.0, 6.0, 9.0], [2.0, 4.0, 5.0], [1.0, 1.0, 2.0]) == 3.0


@pytest.mark.parametrize("cell", stream.CELLS)
@pytest.mark.parametrize("contender", [name for name in STEPS if name.startswith("onnxruntime")])
def test_steps_feed_their_state_back(cell: str, contender: str) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    problem = make_problem(cell, Shape(5, 1, 6, 8), "float32", False)
    step = STEPS[contender](problem, 1)
    y = np.stack([step(x).copy() for x in problem.x])
    errors = agreement.compare({"y": y}, {"y": make_layer(problem)(problem.x)[0]})
    assert agreement.disagreements(errors, lambda name: agreement.tolerance(problem, name)) == []


# The character model


def test_every_symbol_has_few_successors() -> None:
    batches = make_batches(make_network("gru", 50, 4, 8, symbols=20), 3)
    assert len(batches) == 3
    pairs = {(a, b) for x, y in batches for a, b in zip(x.flat, y.flat, strict=True)}
    assert all(len({b for a, b in pairs if a == symbol}) <= 8 for symbol in range(20))
    inputs, targets = batches[0]
    np.testing.assert_array_equal(inputs[1:], targets[:-1])
    np.testing.assert_array_equal(batches[1][0][0], targets[-1])


@pytest.mark.parametrize("cell", char_model.CELLS)
def test_text_is_drawn_from_the_logits_of_the_network(cell: str) -> None:
    network = make_network(cell, 1, 1, 8, symbols=20)
    uniforms = np.random.default_rng(0).random(40)
    text = char_generation.fastrnn_generation(network, 1)(uniforms)
    read = np.concatenate([[char_generation.FIRST], text[:-1]])
    logits = our_model(network)(read[:, None])[0][:, 0].astype(np.float64)
    expected = np.array([char_generation.draw(row, u) for row, u in zip(logits, uniforms, strict=True)])
    assert char_generation.text_disagreement(network, text, expected, uniforms) is None
    wrong = expected.copy()
    wrong[7] = (wrong[7] + 5) % 20
    line = char_generation.text_disagreement(network, text, wrong, uniforms)
    assert line is not None and line.startswith("character 7:")


def test_texts_may_part_at_the_edge_between_two_symbols() -> None:
    cumulative = np.array([0.25, 0.5, 1.0])
    assert agreement.draw_error(cumulative, 1, 0.3) == 0
    assert agreement.draw_error(cumulative, 0, 0.3) == pytest.approx(0.05)
    assert agreement.draw_error(cumulative, 2, 0.3) == pytest.approx(0.2)
    assert agreement.draw_error(cumulative, 0, 0.25 + 1e-7) < agreement.draw_tolerance()


def test_the_best_way_of_a_peer_counts() -> None:
    samples = {
        OURS: [1.0, 2.0],
        "torch": [3.0, 6.0],
        "torch fused": [2.0, 4.0],
    }
    assert char_model.best_ratio_to(samples, "torch", OURS) == 2.0
    assert char_model.best_ratio_to(samples, "onnxruntime", OURS) is None


# Memory


def test_counters_are_read_in_bytes() -> None:
    text = "Name:\tpython\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"
    assert counter("VmHWM", text) == 2 << 20
    assert counter("VmRSS", text) == 1 << 20


@pytest.mark.parametrize("cell", CELLS)
def test_what_a_training_step_needs_grows_with_its_steps(cell: str) -> None:
    short, long = (make_problem(cell, Shape(T, 2, 3, 4), "float32", True) for T in (5, 6))
    per_step = 2 * 4 * (2 * 3 + 2 * 4 + memory.KEPT[cell] * 4)
    assert memory.needed_bytes(long) - memory.needed_bytes(short) == per_step
    assert memory.sequence_bytes(short) == 5 * 2 * 4 * 2 * (3 + 4)
    assert memory.needed_bytes(short) > memory.given_bytes(short)


def allocate(megabytes: int) -> int:
    peak, _ = resident.peak_of(lambda: np.ones(megabytes << 17).sum())
    return peak


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells")
def test_a_peak_is_what_was_held_at_once() -> None:
    peak = in_fresh_process(allocate, 64)
    # The array, and what NumPy touches for the first time; the kernel's counters lag by a few hundred KiB.
    assert 63 << 20 <= peak < 66 << 20


# Company


def remember(start: int) -> Callable[[int], None]:
    if start < 0:
        raise ValueError("no start")
    return lambda more: None


def test_a_server_does_what_it_is_told_and_says_why_it_cannot() -> None:
    server = Server(remember, 1)
    try:
        assert company.together([server], 2) > 0
        server.begin("too", "many")
        with pytest.raises(RuntimeError, match="TypeError"):
            server.wait()
    finally:
        server.close()
    with pytest.raises(RuntimeError, match="ValueError: no start"):
        Server(remember, -1)


def test_denormals_are_every_other_number() -> None:
    problem = make_problem("lstm", Shape(4, 3, 6, 8), "float32", True)
    spoiled = company.scaled(problem, company.DENORMAL)
    for before, after in (
        (problem.x, spoiled.x),
        (problem.dy, spoiled.dy),
        *zip(problem.state, spoiled.state, strict=True),
    ):
        np.testing.assert_array_equal(after[..., 1::2], before[..., 1::2])
        assert np.abs(after[..., ::2]).max() < np.finfo(np.float32).tiny
        assert np.count_nonzero(after[..., ::2]) > after[..., ::2].size / 2


def test_first_and_second_calls_are_told_apart() -> None:
    calls: list[int] = []
    first, second = company.first_and_second((lambda k=k: calls.append(k) for k in range(10)), 3)
    assert calls == [0, 0, 1, 1, 2, 2]
    assert len(first) == len(second) == 3


# The picture and the report


def make_row(**changes: Any) -> dict[str, Any]:
    row = {
        "cell": "lstm",
        "mode": "train",
        "shape_name": "batch-128",
        "shape": [100, 32, 128, 128],
        "dtype": "float32",
        "threads": 1,
        "isa": "avx2",
        "load_average": [0.5, 0.5, 0.5],
        "contenders": {OURS: {"samples_ms": [1.0]}, "torch": {"samples_ms": [2.0]}},
        "ratios": {"torch": 2.0},
        "best_peer": "torch",
        "peak_fraction": 0.875,
        "figures": {},
        "absent": {},
        "errors": {},
        "disagreements": {},
    }
    return {**row, **changes}


def make_result() -> dict[str, Any]:
    slower = make_row(
        mode="infer",
        shape=[1, 1, 64, 64],
        contenders={OURS: {"samples_ms": [4.0]}, "torch": {"samples_ms": [3.0]}},
        ratios={"torch": 0.75},
    )
    two = make_row(threads=2, figures={"over one thread": 2.0})
    return {
        "format": 1,
        "command": ["--seconds", "1", "--json", "file.json"],
        "machine": {
            "identity": {"cpu": {"model name": "Some CPU", "model": "7"}, "cores": 2},
            "date": "2026-11-25T00:00:00+00:00",
            "python": "3.11.7",
            "versions": {"torch": "2.13.0", "fastrnn": "0"},
        },
        "rows": [make_row(), slower, two],
    }


def test_the_section_says_where_it_comes_from_and_where_we_are_behind() -> None:
    text = report.section(make_result(), "picture.svg")
    assert "by `python -m bench.peers --seconds 1`" in text
    assert "2 cores of Some CPU (model 7)" in text
    assert "2026-11-25" in text and "PyTorch 2.13.0" in text and "load 0.5 to 0.5" in text
    assert "](picture.svg)" in text
    assert "| training step | lstm | 1 | **2.00** | 2.00 | 2.00 | 0.88 to 0.88 |" in text
    assert "| lstm | 100,32,128,128 | 1.00 | 2.00 (torch) | 2.00 | 0.88 | - | - | - | - |" in text
    assert "- inference, lstm, 1,1,64,64, 1 thread, float32, avx2: 0.750 (torch)" in text
    assert "2 threads: 2.00 to 2.00 times as fast as one on large shapes" in text


def test_nobody_ahead_of_us_is_said_too() -> None:
    assert report.behind([make_row()]) == ["In all 1 rows we are ahead of every other library."]


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    new = report.replace_section(text, "new")
    assert new == f"before\n{report.BEGIN}\n\nnew\n{report.END}\nafter\n"
    assert report.replace_section(new, "new") == new
    with pytest.raises(ValueError, match="must be the lines"):
        report.replace_section("nothing", "new")


def test_the_readme_has_the_markers() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    assert report.replace_section(text, "new") != text


def test_ratios_are_drawn_by_mode_cell_and_threads() -> None:
    rows = [*make_result()["rows"], make_row(isa="avx512")]
    assert plot.ratios(rows) == {
        "train": {("lstm", 1): [((100, 32, 128, 128), 2.0)], ("lstm", 2): [((100, 32, 128, 128), 2.0)]},
        "infer": {("lstm", 1): [((1, 1, 64, 64), 0.75)]},
    }
    assert set(plot.STYLES) >= set(CELLS)


def test_report_and_picture_are_written_beside_the_readme(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result, readme = tmp_path / "result.json", tmp_path / "README.md"
    result.write_text(json.dumps(make_result()))
    readme.write_text(f"{report.BEGIN}\n{report.END}\n")
    assert report.main([str(result), "--readme", str(readme), "--picture", "pictures/p.svg"]) == 0
    assert "| training step | lstm |" in readme.read_text()
    svg = (tmp_path / "pictures/p.svg").read_bytes()
    assert (tmp_path / "pictures/p.png").read_bytes()[:4] == b"\x89PNG"
    assert plot.main([str(result), str(tmp_path / "again.svg")]) == 0
    assert (tmp_path / "again.svg").read_bytes() == svg


def test_nothing_to_report_is_an_error(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    result.write_text(json.dumps({**make_result(), "rows": [make_row(best_peer=None, ratios={})]}))
    assert report.main([str(result)]) == 1
    assert plot.main([str(result), str(tmp_path / "p.svg")]) == 1


# The commands: nobody else takes part, so that this tests what is ours wherever it runs


@pytest.mark.parametrize(
    ("name", "options", "modes"),
    [
        ("ragged", ["--peers", ""], {"ragged train", "ragged infer"}),
        ("stream", ["--peers", ""], {"step"}),
        ("char_model", ["--peers", ""], {"character training", "generation"}),
        (
            "quantized",
            ["--kinds", "step,character"],
            {"weights in fewer bits, step", "weights in fewer bits, character"},
        ),
        ("memory", ["--peers", "", "--long", "200,2,8,8"], {"peak memory of a training step"}),
        (
            "company",
            ["--peers", ""],
            {"first calls"}
            | {
                f"{what}, {mode}"
                for what in ("two processes over one", "denormals against ordinary data")
                for mode in ("train", "infer")
            },
        ),
    ],
)
def test_a_command_measures_prints_and_stores(
    name: str, options: list[str], modes: set[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if name == "memory" and not STATUS.exists():
        pytest.skip("only Linux tells")
    file = tmp_path / "result.json"
    command = importlib.import_module(f"bench.{name}")
    assert command.main(["--quick", "--cells", "gru", *options, "--json", str(file)]) == 0
    stored = json.loads(file.read_text())
    assert stored["complete"]
    assert {row["mode"] for row in stored["rows"] if "checkpoint" not in row["mode"]} == modes
    assert all(
        value is None or value > 0 or "beyond" in key
        for row in stored["rows"]
        for key, value in row["figures"].items()
    )
    timed = any("samples_ms" in row["contenders"].get(OURS, {}) for row in stored["rows"])
    assert compare.main([str(file), str(file)]) == (0 if timed else 2)
    assert "gru" in capfd.readouterr().out
