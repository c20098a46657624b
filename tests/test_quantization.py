"""``layer.quantize``: what it returns, what it refuses, and what files and estimators make of it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_cases import assert_same_bits
from recurrent_layers import BACKENDS, CELL_LAYER_IDS, CELL_LAYERS, leaves
from tolerances import magnification

import fastrnn
from fastrnn import serialization
from fastrnn._types import WEIGHT_FORMATS
from fastrnn.layers import LayerNorm, Linear, MeanPool, Sequential
from fastrnn.reference.quantization import Int8Matrix, bfloat16

by_layer = pytest.mark.parametrize(("name", "options"), CELL_LAYERS, ids=CELL_LAYER_IDS)
by_format = pytest.mark.parametrize("format", WEIGHT_FORMATS)
X = np.random.default_rng(0).standard_normal((7, 3, 5)).astype(np.float32)


def make(name: str, options: dict[str, Any], **more: Any) -> Any:
    return getattr(fastrnn, name)(5, 24, seed=1, **options, **more)


def model() -> Sequential:
    return Sequential(
        fastrnn.Embedding(11, 5, seed=0), fastrnn.LSTM(5, 24, seed=1), LayerNorm(24), Linear(24, 11, seed=2)
    )


def same(a: Any, b: Any) -> None:
    for first, second in zip(leaves(a), leaves(b), strict=True):
        assert_same_bits(first, second)


# ---- layers ----


@pytest.mark.parametrize("backend", BACKENDS)
@by_format
@by_layer
def test_a_quantized_layer_is_near_its_original(name: str, options: dict, format: str, backend: str) -> None:
    with fastrnn.use_backend(backend):
        layer = make(name, options, num_layers=2, bidirectional=True)
        before = layer(X)
        small = layer.quantize(format)
        assert type(small) is type(layer) and small.quantized == format and layer.quantized is None
        error = fastrnn.quantization_error(layer, small, X, lengths=[7, 0, 3])
        scale = magnification(layer.cell)
        assert 0 < error.mean < error.max < 0.05 * scale and 0 < error.relative < 0.02 * scale
        same(layer(X), before)


@by_format
@by_layer
def test_streams_compute_with_the_same_weights(name: str, options: dict, format: str) -> None:
    small = make(name, options, num_layers=2).quantize(format)
    y, state = small(X)
    stream = small.stream(3)
    for t in range(7):
        assert_same_bits(stream.step(X[t]), y[t])
    same(stream.state, state)


@by_format
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells(name: str, format: str) -> None:
    cell = getattr(fastrnn, name)(5, 24, seed=1)
    layer = getattr(fastrnn, name.removesuffix("Cell"))(5, 24)
    layer.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    expected, _ = layer.quantize(format)(X[:1])
    assert_same_bits(leaves(cell.quantize(format)(X[0]))[0], expected[0])


@by_format
def test_a_whole_model(format: str) -> None:
    network = model()
    small = network.quantize(format)
    assert [layer.quantized for layer in small] == [None, format, None, format]
    ids = np.arange(11)[:, None]
    error = fastrnn.quantization_error(network, small, ids)
    assert 0 < error.relative < 0.05


def test_the_copy_is_independent_and_follows_its_own_parameters() -> None:
    layer = make("LSTM", {})
    small = layer.quantize("int8")
    y, _ = small(X)
    for p in layer.parameters():
        p.data[...] = 0
    same(small(X)[0], y)
    for p in small.parameters():
        p.data[...] = 0
    assert not small(X)[0].any()


def test_quantizing_again_changes_the_format_without_rounding_twice() -> None:
    layer = make("GRU", {})
    same(layer.quantize("bfloat16").quantize("int8")(X), layer.quantize("int8")(X))


@by_format
@pytest.mark.parametrize("how", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_stay_quantized(how: Any, format: str) -> None:
    small = make("LSTM", {"proj_size": 2}).quantize(format)
    same(how(small)(X), small(X))


@by_format
@by_layer
def test_files_hold_the_format_and_the_unrounded_weights(
    name: str, options: dict, format: str, tmp_path: Path
) -> None:
    layer = make(name, options, num_layers=2)
    small = layer.quantize(format)
    assert f"quantized='{format}'" in repr(small)
    serialization.save(small, tmp_path / "m")
    loaded: Any = serialization.load(tmp_path / "m")
    assert loaded.quantized == format
    same(loaded(X), small(X))
    for key, value in layer.state_dict().items():
        assert_same_bits(loaded.state_dict()[key], value)
    serialization.save(model().quantize(format), tmp_path / "m")
    assert [part.quantized for part in serialization.load(tmp_path / "m")] == [None, format, None, format]


# ---- refusals ----


@by_format
def test_inference_only(format: str) -> None:
    for layer in (make("LSTM", {}), Linear(5, 2), fastrnn.GRUCell(5, 3)):
        small = layer.quantize(format)
        with pytest.raises(RuntimeError, match=f"{format} weights, which is for inference"):
            small.train()
        with pytest.raises(RuntimeError, match="quantize"):
            small.backward(np.zeros((7, 3, 24)))
        assert not small.training
        small.eval()


def test_a_model_refuses_to_train_as_a_whole() -> None:
    small = model().quantize("int8")
    with pytest.raises(RuntimeError, match="LSTM computes with int8"):
        small.train()
    assert not any(layer.training for _, layer in small._walk())


def test_quantizing_while_training() -> None:
    layer = make("RNN", {}).train()
    layer(X)
    small = layer.quantize("int8")
    assert not small.training and layer.training
    layer.backward(np.ones((7, 3, 24), np.float32))


def test_what_cannot_be_quantized() -> None:
    with pytest.raises(ValueError, match="format must be one of"):
        make("LSTM", {}).quantize("int4")
    with pytest.raises(TypeError, match="LSTM must be float32 for format='int8', got float64"):
        make("LSTM", {}, dtype="float64").quantize("int8")
    with pytest.raises(TypeError, match=r"1 \(Linear\) must be float32"):
        Sequential(fastrnn.RNN(2, 3), Linear(3, 2, dtype="float64")).quantize("bfloat16")
    for nothing in (fastrnn.Embedding(3, 2), Sequential(MeanPool())):
        with pytest.raises(ValueError, match="holds no RNN"):
            nothing.quantize("int8")
    with pytest.raises(ValueError, match="format"):
        fastrnn.Layer.from_config(
            {"class": "Linear", "in_features": 2, "out_features": 2, "quantized": "int4"}
        )
    with pytest.raises(TypeError, match="Embedding"):
        fastrnn.Layer.from_config(
            {"class": "Embedding", "num_embeddings": 2, "embedding_dim": 2, "quantized": "int8"}
        )


# ---- the report ----


class _Shifted(Linear):
    def __call__(self, x: Any) -> Any:
        return super().__call__(x) + np.float32(0.5)


def test_errors_are_what_they_say() -> None:
    layer, other = Linear(2, 2, seed=0), _Shifted(2, 2, seed=0)
    x = np.ones((4, 2), np.float32)
    error = fastrnn.quantization_error(layer, other, x)
    rms = np.sqrt(np.mean(np.square(layer(x).astype(float))))
    assert np.allclose([error.max, error.mean, error.relative], [0.5, 0.5, 0.5 / rms])
    assert str(error).startswith("max 0.5, mean 0.5, relative ")
    assert fastrnn.quantization_error(layer, layer, x) == fastrnn.QuantizationError(0, 0, 0)
    assert fastrnn.quantization_error(layer, layer, x[:0]) == fastrnn.QuantizationError(0, 0, 0)
    zero = Linear(2, 2)
    for p in zero.parameters():
        p.data[...] = 0
    assert fastrnn.quantization_error(zero, layer, x).relative == np.inf


def test_ragged_lists() -> None:
    layer = make("GRU", {})
    ragged = [X[:4, 0], X[:6, 1]]
    error = fastrnn.quantization_error(layer, layer.quantize("int8"), ragged)
    assert 0 < error.mean < error.max < 0.05
    assert fastrnn.quantization_error(layer, layer.quantize("int8"), []).max == 0


def test_what_the_report_refuses() -> None:
    layer = Linear(2, 2)
    with pytest.raises(RuntimeError, match="layer is in train mode"):
        fastrnn.quantization_error(Linear(2, 2).train(), layer, np.ones((1, 2)))
    with pytest.raises(ValueError, match="as many outputs"):
        fastrnn.quantization_error(layer, Linear(2, 3), np.ones((1, 2)))


# ---- the definition ----


def test_bfloat16_rounds_to_nearest_with_ties_to_even() -> None:
    pairs = [
        (1.0, 1.0),
        (1 + 2**-8, 1.0),  # half way, down to even
        (1 + 3 * 2**-8, 1 + 2**-6),  # half way, up to even
        (1 + 2**-8 + 2**-20, 1 + 2**-7),
        (-0.0, -0.0),
        (np.inf, np.inf),
        (float(np.finfo(np.float32).max), np.inf),
        (2.0**-149, 0.0),
    ]
    a, expected = (np.array(column, np.float32) for column in zip(*pairs, strict=True))
    assert_same_bits(bfloat16(a), expected)
    assert np.isnan(bfloat16(np.array([np.nan], np.float32)))[0]


def test_int8_uses_all_levels_of_every_row() -> None:
    weight = np.random.default_rng(0).standard_normal((50, 30)).astype(np.float32)
    matrix = Int8Matrix.of(weight)
    assert (np.abs(matrix.integers).max(axis=1) == 127).all()
    restored = matrix.integers * matrix.scale[:, None]
    assert (np.abs(restored - weight) <= 0.501 * matrix.scale[:, None]).all()
