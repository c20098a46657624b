"""TextGenerator as users meet it: fitting, generating, scoring, files, and what it refuses."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from fastrnn import backend, serialization
from fastrnn.layers.linear import Linear
from fastrnn.tasks import TextGenerator

TEXT = "the quick brown fox jumps over the lazy dog; " * 12
SMALL: dict[str, Any] = {
    "hidden_size": 12,
    "embedding_size": 6,
    "seq_len": 16,
    "batch_size": 4,
    "random_state": 3,
}


def small(**settings: Any) -> TextGenerator:
    return TextGenerator(**{**SMALL, "epochs": 2, **settings})


@pytest.fixture(scope="module")
def fitted() -> TextGenerator:
    return TextGenerator(**{**SMALL, "hidden_size": 32}, epochs=25, learning_rate=0.02).fit(TEXT)


def weights(generator: TextGenerator) -> dict[str, np.ndarray]:
    return generator.model_.state_dict()


def same_weights(first: TextGenerator, second: TextGenerator) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


# Weights in fewer bits


@pytest.mark.parametrize("format", ["bfloat16", "int8"])
def test_quantized(fitted: TextGenerator, format: str, tmp_path: Path) -> None:
    before = fitted.bits_per_char(TEXT)
    quantized = fitted.quantize(format)
    assert type(quantized) is TextGenerator and quantized.get_params() == fitted.get_params()
    assert abs(quantized.bits_per_char(TEXT) - before) < 0.05
    assert fitted.bits_per_char(TEXT) == before
    prompt = "the quick brown "
    assert quantized.generate(10, prompt, temperature=0) == fitted.generate(10, prompt, temperature=0)
    quantized.save(tmp_path / "m")
    loaded = TextGenerator.load(tmp_path / "m")
    assert loaded.generate(50, seed=1) == quantized.generate(50, seed=1)
    assert loaded.bits_per_char(TEXT) == quantized.bits_per_char(TEXT)
    with pytest.raises(RuntimeError, match=f"{format} weights"):
        loaded.partial_fit(TEXT)
    assert loaded.set_params(epochs=1).fit(TEXT).model_[1].quantized is None
    with backend.use_backend("reference"):
        assert quantized.generate(10, prompt, temperature=0) == fitted.generate(10, prompt, temperature=0)


def test_what_cannot_be_quantized(fitted: TextGenerator) -> None:
    with pytest.raises(NotFittedError):
        small().quantize("int8")
    with pytest.raises(ValueError, match="format must be one of"):
        fitted.quantize("int4")


# scikit-learn's conventions


def test_init_stores_its_arguments_unchecked() -> None:
    odd = object()
    generator = TextGenerator(cell=odd, epochs=-1)  # type: ignore[arg-type]
    assert generator.cell is odd
    assert generator.get_params()["epochs"] == -1


def test_clone_and_set_params(fitted: TextGenerator) -> None:
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "model_")
    assert copy.set_params(hidden_size=5).hidden_size == 5


@pytest.mark.parametrize(
    "use",
    [
        lambda g: g.generate(1),
        lambda g: g.stream(1),
        lambda g: g.bits_per_char("a"),
        lambda g: g.score("a"),
        lambda g: g.save("never-written"),
        lambda g: g.plot_history(),
    ],
)
def test_unfitted(use: Any) -> None:
    with pytest.raises(NotFittedError, match="TextGenerator is not fitted"):
        use(TextGenerator())


def test_model_selection() -> None:
    scores = cross_val_score(small(epochs=1), [TEXT[:200], TEXT[:220], TEXT[:240], TEXT[:260]], cv=2)
    assert scores.shape == (2,)
    assert (scores < 0).all()


def test_score_is_negative_bits(fitted: TextGenerator) -> None:
    assert fitted.score("the fox") == -fitted.bits_per_char("the fox")


# Learning


def test_learns_the_text(fitted: TextGenerator) -> None:
    assert fitted.bits_per_char(TEXT) < 0.3
    assert fitted.generate(30, prompt="the quick brown", temperature=0) == " fox jumps over the lazy dog; "


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_cells_and_layers(cell: str) -> None:
    generator = small(cell=cell, num_layers=2, dropout=0.2, recurrent_dropout=0.1, learning_rate=0.02).fit(
        TEXT
    )
    history = generator.history_
    assert history["loss"][-1] < history["loss"][0]
    assert len(generator.generate(5, seed=0)) == 5


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "adagrad", "sgd"])
def test_optimizers(optimizer: str) -> None:
    losses = small(optimizer=optimizer, weight_decay=0.01, schedule="constant").fit(TEXT).history_["loss"]
    assert losses[-1] < losses[0]


def test_seed_decides() -> None:
    assert same_weights(small(dropout=0.3).fit(TEXT), small(dropout=0.3).fit(TEXT))
    assert not same_weights(small().fit(TEXT), small(random_state=4).fit(TEXT))
    assert not same_weights(small(random_state=None).fit(TEXT), small(random_state=None).fit(TEXT))
    assert same_weights(
        small(random_state=np.random.RandomState(5)).fit(TEXT),
        small(random_state=np.random.RandomState(5)).fit(TEXT),
    )


def test_threads_do_not_matter() -> None:
    assert same_weights(small(n_threads=1).fit(TEXT), small(n_threads=3).fit(TEXT))


def test_thread_limit_ends_with_fit() -> None:
    if backend.current_backend() == "reference":
        pytest.skip("the reference backend has no threads")
    before = backend.get_num_threads()
    small(n_threads=before + 1).fit(TEXT)
    assert backend.get_num_threads() == before


def test_held_out_part_keeps_the_best_weights() -> None:
    generator = small(epochs=6, learning_rate=0.05, validation_fraction=0.3).fit(TEXT)
    held_out = TEXT[-int(0.3 * len(TEXT)) :]
    best = min(generator.history_["val_loss"]) / math.log(2)
    assert generator.bits_per_char(held_out) == pytest.approx(best, rel=1e-12)
    assert generator.n_characters_ == len(TEXT) - len(held_out)


def test_nothing_held_out() -> None:
    generator = small(validation_fraction=0).fit(TEXT)
    assert "val_loss" not in generator.history_
    assert generator.n_characters_ == len(TEXT)


def test_patience() -> None:
    generator = small(patience=1, epochs=50, learning_rate=0.5, validation_fraction=0.2).fit(TEXT)
    assert generator.history_.stopped == "patience"
    assert len(generator.history_["loss"]) < 50


def test_learning_rate_anneals() -> None:
    rates = small(epochs=4, learning_rate=0.01).fit(TEXT).history_["lr"]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.001
    assert set(small(epochs=3, learning_rate=0.01, schedule="constant").fit(TEXT).history_["lr"]) == {0.01}


def test_time_limit() -> None:
    generator = small(epochs=None, max_seconds=0.15, learning_rate=0.01).fit(TEXT)
    history = generator.history_
    assert history.stopped == "max_seconds"
    assert len(history["val_loss"]) == len(history["loss"])  # the last, shortened epoch is validated too
    assert len(history["loss"]) > 1
    assert history["lr"][-1] < 0.005


def test_time_limit_is_an_upper_one() -> None:
    assert small(epochs=2, max_seconds=1000).fit(TEXT).history_.stopped is None


def test_default_epochs() -> None:
    short = small(epochs=None, hidden_size=2, batch_size=1, validation_fraction=0).fit(TEXT[:160]).history_
    assert (len(short["loss"]), len(short.step_loss)) == (100, 1000)
    long = small(epochs=None, hidden_size=2, seq_len=1, batch_size=1, validation_fraction=0).fit(TEXT[:202])
    assert len(long.history_["loss"]) == 10


# Texts


def test_str_path_and_list_are_the_same_text(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace(";", ";\n").replace("\n", "\r\n").encode())
    text = TEXT.replace(";", ";\n")
    expected = small().fit(text)
    for X in (path, [path], [text], iter([text]), np.array([text]), ["", text]):
        assert same_weights(small().fit(X), expected)


def test_any_unicode() -> None:
    text = "naïve \U0001f600 日本語 \ud800 e\u0301 " * 20  # half a surrogate pair, too
    generator = small().fit(text)
    assert set(generator.generate(200, seed=1)) <= set(text)
    assert generator.bits_per_char(text) < 6


def test_documents_do_not_know_each_other(fitted: TextGenerator) -> None:
    one, two = "the lazy dog", "quick brown fox jumps"
    together = fitted.bits_per_char([one, two])
    bits = [len(text) * fitted.bits_per_char(text) for text in (one, two)]
    assert together == pytest.approx(sum(bits) / (len(one) + len(two)), rel=1e-12)


def test_first_character_of_documents_is_learned() -> None:
    names = [f"{letter}nna\n" for letter in "aaaaaaah"] * 40
    generator = small(epochs=8, learning_rate=0.02).fit(names)
    first = [generator.generate(1, seed=seed) for seed in range(60)]
    assert first.count("a") > 40
    assert set(first) <= {"a", "h"}


def test_unknown_characters_in_prompt(fitted: TextGenerator) -> None:
    assert len(fitted.generate(10, prompt="日本 the", seed=0)) == 10


def test_unknown_is_never_generated() -> None:
    rare = "".join(chr(0x4E00 + i) for i in range(300))
    text = "".join("ab" + c for c in rare)  # a third of the text is the unknown character
    generator = small(min_count=2, learning_rate=0.02, epochs=5).fit(text)
    assert generator.vocabulary_.characters == "ab"
    assert set(generator.generate(300, seed=0, temperature=3.0)) == {"a", "b"}
    # Learned to expect it: less than a fixed price in bits besides its spelling of 20 bits every third time.
    assert generator.bits_per_char(text) < 20.2 / 3 + 1


# Generation


def test_stream_is_generate(fitted: TextGenerator) -> None:
    whole = fitted.generate(200, "the ", temperature=1.5, seed=7)
    assert "".join(fitted.stream(200, "the ", temperature=1.5, seed=7)) == whole
    assert "".join(itertools.islice(fitted.stream(None, "the ", temperature=1.5, seed=7), 200)) == whole
    assert fitted.generate(77, "the ", temperature=1.5, seed=7) == whole[:77]
    assert fitted.generate(200, "the ", temperature=1.5, seed=8) != whole


def test_zero_characters(fitted: TextGenerator) -> None:
    assert fitted.generate(0) == ""


def test_likeliest_character(fitted: TextGenerator) -> None:
    greedy = fitted.generate(50, "the ", temperature=0)
    assert fitted.generate(50, "the ", top_k=1, seed=3) == greedy
    assert fitted.generate(50, "the ", top_p=1e-9, seed=3) == greedy
    assert len(fitted.generate(50, "the ", top_k=10**6, top_p=1.0, seed=3)) == 50


def test_stream_keeps_the_weights_it_began_with() -> None:
    generator = small().fit(TEXT)
    expected = generator.generate(100, seed=1)
    stream = generator.stream(100, seed=1)
    text = next(stream)
    generator.partial_fit(TEXT)
    assert text + "".join(stream) == expected


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"n": -1}, ValueError, "n must"),
        ({"n": 2.5}, TypeError, "n must"),
        ({"n": 1, "prompt": b"x"}, TypeError, "prompt must be a str, got bytes"),
        ({"n": 1, "temperature": -1}, ValueError, "temperature must"),
        ({"n": 1, "temperature": math.nan}, ValueError, "temperature must"),
        ({"n": 1, "top_k": 0}, ValueError, "top_k must"),
        ({"n": 1, "top_p": 0.0}, ValueError, "top_p must"),
        ({"n": 1, "top_p": 1.5}, ValueError, "top_p must"),
    ],
)
def test_bad_generation(fitted: TextGenerator, arguments: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        fitted.generate(**arguments)
    with pytest.raises(error, match=match):  # at the call, not at the first character
        fitted.stream(**arguments)


# Going on


def test_partial_fit_learns_on() -> None:
    generator = small(learning_rate=0.02)
    for _ in range(5):
        generator.partial_fit(TEXT)
    losses = generator.history_["loss"]
    assert len(losses) == 5
    assert losses[-1] < losses[0]
    assert len(generator.history_.step_loss) == sum(generator.history_.epoch_steps)
    assert generator.n_characters_ == 5 * len(TEXT)


def test_partial_fit_keeps_the_vocabulary() -> None:
    generator = small(learning_rate=0.02).fit(TEXT)
    before = generator.vocabulary_
    other = "ÄÖÜ the dog. " * 20
    price = generator.bits_per_char("ÄÖÜ")
    generator.partial_fit(other).partial_fit(other).partial_fit(other)
    assert generator.vocabulary_ == before
    assert generator.bits_per_char("ÄÖÜ") < price  # it has learned to expect unknown characters


def test_partial_fit_continues_a_loaded_one(tmp_path: Path) -> None:
    generator = small().fit(TEXT)
    generator.save(tmp_path / "model")
    loaded = TextGenerator.load(tmp_path / "model")
    assert same_weights(loaded.partial_fit(TEXT), generator.partial_fit(TEXT))


# Files


def test_save_and_load(fitted: TextGenerator, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    loaded = TextGenerator.load(path)
    assert loaded.get_params() == fitted.get_params()
    assert loaded.vocabulary_ == fitted.vocabulary_
    assert loaded.n_characters_ == fitted.n_characters_
    assert loaded.history_ == fitted.history_
    assert loaded.generate(50, seed=1) == fitted.generate(50, seed=1)
    assert loaded.bits_per_char(TEXT) == fitted.bits_per_char(TEXT)
    # The network alone can be read without the task.
    assert serialization.load(path).state_dict().keys() == weights(fitted).keys()


def test_load_refuses_other_files(fitted: TextGenerator, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        TextGenerator.load(path)
    path.write_text("not a model")
    with pytest.raises(ValueError, match="not a safetensors file"):
        TextGenerator.load(path)
    serialization.save(Linear(2, 2), path)
    with pytest.raises(ValueError, match="holds a model without a task, not a TextGenerator"):
        TextGenerator.load(path)
    serialization.save(Linear(2, 2), path, {"task": "Forecaster"})
    with pytest.raises(ValueError, match="holds a Forecaster, not a TextGenerator"):
        TextGenerator.load(path)
    serialization.save(Linear(2, 2), path, {"task": "TextGenerator", "task_version": 99})
    with pytest.raises(ValueError, match="written by a newer fastrnn"):
        TextGenerator.load(path)


# Pictures


def test_plot_history_is_in_bits(tmp_path: Path) -> None:
    generator = small(epochs=2).fit(TEXT)
    figure = generator.plot_history(tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 1000
    (axes,) = figure.axes
    assert axes.get_ylabel() == "bits/char"
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    bits = np.array(generator.history_["val_loss"]) / math.log(2)
    np.testing.assert_allclose(lines["held out"], bits, rtol=1e-14)


# What it refuses


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        ("", ValueError, "X holds no text"),
        (["", ""], ValueError, "X holds no text"),
        ([], ValueError, "X holds no text"),
        ("short", ValueError, "leaves 5 characters .* less than one window of seq_len=16"),
        ("a" * 100, ValueError, "the character 'a' over and over"),
        (b"bytes", TypeError, "X must be text, got bytes: decode"),
        ([b"bytes"], TypeError, r"X\[0\] must be text, got bytes"),
        (3, TypeError, "X must be a str"),
        ({"a": 1}, TypeError, "X must be a str"),
        ([TEXT, 3], TypeError, r"X\[1\] must be a str .* got int"),
    ],
)
def test_bad_text(X: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        small().fit(X)
    with pytest.raises(error, match=match):
        small().partial_fit(X)


def test_too_rare() -> None:
    with pytest.raises(ValueError, match="no character of X occurs min_count=1000 times"):
        small(min_count=1000).fit(TEXT)


def test_wrong_encoding_and_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9" * 50)
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8 text: byte 0xe9 at position 3"):
        small().fit(path)
    with pytest.raises(FileNotFoundError):
        small().fit(tmp_path / "nothing")


def test_name_of_a_file_for_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"pass pathlib.Path\('book.txt'\)"):
        small().fit("book.txt")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"cell": "transformer"}, ValueError),
        ({"num_layers": 0}, ValueError),
        ({"hidden_size": 2.5}, TypeError),
        ({"embedding_size": 0}, ValueError),
        ({"dropout": 1.0}, ValueError),
        ({"recurrent_dropout": -0.1}, ValueError),
        ({"seq_len": 0}, ValueError),
        ({"batch_size": 0}, ValueError),
        ({"epochs": 0}, ValueError),
        ({"max_seconds": 0}, ValueError),
        ({"learning_rate": 0}, ValueError),
        ({"optimizer": "newton"}, ValueError),
        ({"schedule": "linear"}, ValueError),
        ({"weight_decay": -1}, ValueError),
        ({"clip_norm": 0}, ValueError),
        ({"validation_fraction": 1.0}, ValueError),
        ({"patience": 0}, ValueError),
        ({"min_count": 0}, ValueError),
        ({"n_threads": 0}, ValueError),
        ({"random_state": -1}, ValueError),
        ({"checkpoint_every": -1, "checkpoint": "unused"}, ValueError),
    ],
)
def test_bad_settings(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=f"(?i){next(iter(settings))}|seed"):
        small(**settings).fit(TEXT)


def test_patience_needs_held_out_text() -> None:
    with pytest.raises(ValueError, match="patience needs held-out data"):
        small(patience=2, validation_fraction=0).fit(TEXT)
    with pytest.raises(ValueError, match="patience needs held-out data"):
        small(patience=2, validation_fraction=0.001).fit(TEXT)
