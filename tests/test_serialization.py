"""Files of models and arrays."""

from __future__ import annotations

import json
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fastrnn import serialization
from fastrnn.layers import (
    GRU,
    LSTM,
    AttentionPool,
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    Linear,
    Parameter,
    Sequential,
)
from fastrnn.serialization import load, load_arrays, read_metadata, save, save_arrays


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.safetensors"


class Custom(Layer):
    """A layer of the user's own."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = Parameter(np.zeros(size))

    def config(self) -> dict[str, Any]:
        return {"size": self.weight.size}


MODELS: dict[str, Callable[[], Layer]] = {
    "linear": lambda: Linear(3, 2, bias=False, dtype="float64"),
    "custom": lambda: Custom(4),
    "text": lambda: Sequential(
        ("embedding", Embedding(7, 3, padding_idx=0)),
        ("body", LSTM(3, 4, num_layers=2, dropout=0.1, bidirectional=True, seed=3)),
        ("drop", Dropout(0.3, seed=4)),
        ("head", Linear(8, 7)),
    ),
    "nested": lambda: Sequential(
        Sequential(GRU(3, 4, batch_first=True), LayerNorm(4)),
        AttentionPool(4, batch_first=True),
        Linear(4, 1),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_come_back(name: str, path: Path) -> None:
    model = MODELS[name]().train()
    save(model, path)
    loaded = load(path)
    assert type(loaded) is type(model)
    assert loaded.config() == model.config()
    assert not loaded.training
    for (n, p), (m, q) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        assert n == m
        assert p.dtype == q.dtype
        assert np.array_equal(p.value, q.value)
    assert os.listdir(path.parent) == [path.name]


def test_weights_are_readable_by_others(path: Path) -> None:
    model = MODELS["text"]()
    save(model, path)
    weights = load_file(path)
    assert set(weights) == set(model.state_dict())
    other = MODELS["text"]()
    other.load_state_dict(weights)
    assert np.array_equal(other.state_dict()["head.weight"], model.state_dict()["head.weight"])


def test_metadata(path: Path) -> None:
    metadata = {"epoch": np.int64(3), "loss": np.float32(0.5), "names": ["ä", None], "done": np.True_}
    save(Linear(2, 2), path, metadata)
    assert read_metadata(path) == {"epoch": 3, "loss": 0.5, "names": ["ä", None], "done": True}
    save(Linear(2, 2), str(path))
    assert read_metadata(str(path)) == {}


ARRAYS: dict[str, Any] = {
    "empty": np.zeros((0, 3)),
    "number": 2.5,
    "integer": 7,
    "zero_dimensional": np.float32(3),
    "bool": np.array([True, False]),
    "float16": np.arange(3, dtype=np.float16),
    "uint64": np.array([2**64 - 1], np.uint64),
    "int8": np.array([-128], np.int8),
    "transposed": np.arange(6).reshape(2, 3).T,
    "strided": np.arange(10.0)[::3],
    "reversed": np.arange(4, dtype=np.float32)[::-1],
    "big_endian": np.arange(3, dtype=">f8"),
    "special": np.array([np.nan, np.inf, -np.inf, -0.0]),
    "list": [[1, 2], [3, 4]],
}


def test_arrays_come_back(path: Path) -> None:
    save_arrays(path, ARRAYS, {"seed": 2**127, "limit": float("inf")})
    arrays, metadata = load_arrays(path)
    assert list(arrays) == sorted(ARRAYS)
    for name, value in ARRAYS.items():
        desired = np.asarray(value)
        assert arrays[name].dtype == desired.dtype.newbyteorder("=")
        assert arrays[name].shape == desired.shape
        assert np.array_equal(arrays[name], desired, equal_nan=desired.dtype.kind == "f")
        assert arrays[name].flags.writeable
    assert np.signbit(arrays["special"][3])
    assert metadata == {"seed": 2**127, "limit": float("inf")}


def test_nothing_comes_back_as_nothing(path: Path) -> None:
    save_arrays(path, {})
    assert load_arrays(path) == ({}, {})


@pytest.mark.parametrize("value", ["text", 1j, None, np.array([object()]), np.zeros(1, np.longdouble)])
def test_other_types_are_refused(value: Any, path: Path) -> None:
    if np.asarray(value).dtype == np.float64:
        pytest.skip("long double is double here")
    with pytest.raises(TypeError, match=r"arrays\['x'\] must hold floats, integers or booleans"):
        save_arrays(path, {"x": value})
    assert not path.exists()


def test_wrong_arguments(path: Path) -> None:
    with pytest.raises(TypeError, match="model must be a Layer, got dict"):
        save({}, path)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="metadata must be JSON, got a ndarray"):
        save_arrays(path, {}, {"x": np.zeros(2)})
    with pytest.raises(TypeError, match="named by str, got 3"):
        save_arrays(path, {3: np.zeros(1)})  # type: ignore[dict-item]
    assert not path.exists()


def test_an_interrupted_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_arrays(path, {"x": np.zeros(2)})
    old = path.read_bytes()

    def interrupt(fd: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_arrays(path, {"x": np.ones(2)})
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_arrays(tmp_path / "no" / "file", {})


@pytest.mark.skipif(os.name == "nt", reason="permissions and links of POSIX")
def test_permissions_follow_the_umask_and_links_are_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    save_arrays(link, {"x": np.zeros(1)})
    assert link.is_symlink()
    assert load_arrays(target)[0]["x"] == 0
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def damaged(path: Path, change: Callable[[bytes], bytes]) -> None:
    save(Linear(3, 2), path)
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[:-1],
        lambda b: b[:20],
        lambda b: b[:3],
        lambda b: b"",
        lambda b: b + b"more",
        lambda b: b"PK\x03\x04" + b,
        lambda b: struct.pack("<Q", 2**40) + b[8:],
        lambda b: b[:8] + b"\xff" * 40 + b[48:],
    ],
)
def test_damaged_files(path: Path, change: Callable[[bytes], bytes]) -> None:
    damaged(path, change)
    for read in (load, load_arrays, read_metadata):
        with pytest.raises(
            ValueError, match=r"cannot load .*file\.safetensors.*not a safetensors file, or a damaged"
        ):
            read(path)


def test_foreign_files(path: Path) -> None:
    save_file({"x": np.zeros(2)}, path)
    for read in (load, load_arrays, read_metadata):
        with pytest.raises(ValueError, match="it was not written by fastrnn"):
            read(path)
    save_file({"x": np.zeros(2)}, path, {"format": "pt"})
    with pytest.raises(ValueError, match="load_state_dict"):
        load(path)


def test_missing_files(path: Path) -> None:
    for read in (load, load_arrays, read_metadata):
        with pytest.raises(FileNotFoundError):
            read(path)
        with pytest.raises(OSError, match=r"directory|denied"):
            read(path.parent)


def test_newer_format(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialization, "_VERSION", 2)
    save(Linear(1, 1), path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="format version 2, this version of fastrnn reads 1"):
        load(path)


def test_arrays_are_no_model(path: Path) -> None:
    save_arrays(path, {"x": np.zeros(2)}, {"model": "text"})
    for read in (load, read_metadata):
        with pytest.raises(ValueError, match="arrays but no model"):
            read(path)


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Save a model whose arrays or content were changed."""
    model = Linear(3, 2)
    content = {"model": {"class": "Linear", **model.config()}, "metadata": {}}
    arrays = model.state_dict()
    change(arrays, content)
    save_arrays(path, arrays, content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, c: a.pop("bias"), r"lacks \['bias'\]"),
        (lambda a, c: a.update(more=np.zeros(1)), r"unexpected \['more'\]"),
        (lambda a, c: a.update(bias=np.zeros(5)), "must have shape"),
        (lambda a, c: c["model"].update({"class": "os.system"}), "'os.system', which is not defined"),
        (lambda a, c: c["model"].pop("class"), "is not defined"),
        (lambda a, c: c["model"].update(in_features="x"), "does not fit Linear"),
        (lambda a, c: c["model"].update(shape=3), "does not fit Linear"),
    ],
)
def test_contents_that_do_not_fit(path: Path, change: Any, message: str) -> None:
    rewrite(path, change)
    with pytest.raises(ValueError, match=f"cannot load .*{message}"):
        load(path)


@pytest.mark.parametrize("content", ["[1, 2]", "{", "nonsense"])
def test_metadata_that_is_not_an_object(path: Path, content: str) -> None:
    save_file({}, path, {"fastrnn_format": "1", "fastrnn_metadata": content})
    with pytest.raises(ValueError, match="cannot load"):
        load_arrays(path)


def test_the_file_is_json_and_numbers(path: Path) -> None:
    save(MODELS["text"](), path, {"note": "x"})
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    content = json.loads(header["__metadata__"]["fastrnn_metadata"])
    assert content["model"]["class"] == "Sequential"
    assert content["metadata"] == {"note": "x"}
