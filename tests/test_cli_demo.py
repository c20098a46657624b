"""``fastrnn demo``: figures, pictures, and the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_cases import run

from fastrnn.cli.corpora import ngram_bits_per_char
from fastrnn.data import sets
from fastrnn.tasks import TextGenerator

TEXT = "the quick brown fox jumps over the lazy dog; " * 12


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    split = sets.TextSplit(TEXT * 4, TEXT)
    monkeypatch.setattr("fastrnn.cli.demo.text.load_demo_text", lambda: ("cpython-docs", split))
    result = run("demo", "--only", "text", "--out", "out/of/demo", "--seconds", 0.5)
    assert result.exit_code == 0, result.output
    folder = Path("out/of/demo")
    generator = TextGenerator.load(folder / "model.safetensors")
    assert f"{generator.bits_per_char(TEXT):.3f}" in result.stdout
    baseline, context = ngram_bits_per_char([split.train], [split.test])
    assert f"n-gram, context of {context}" in result.stdout
    assert f"{baseline:.3f}" in result.stdout
    sample = (folder / "sample.txt").read_text()
    assert len(sample) == 600
    assert sample in result.stdout
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "bits/char" in result.stderr
