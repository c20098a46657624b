"""Models and arrays in files: one safetensors file each, with the configuration as JSON in its metadata.

Nothing is ever pickled: a file holds numbers and JSON, and loading one runs no code of its own. The weights
keep the names of ``state_dict``, so that any reader of safetensors, in any language, can use them.
Format: https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._types import Array
from fastrnn.layers.base import Layer, layer_config

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load", "load_arrays", "read_metadata", "save", "save_arrays"]

_VERSION = 1
_VERSION_KEY = "fastrnn_format"
_CONTENT_KEY = "fastrnn_metadata"


def save(model: Layer, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a model, weights and configuration, to one safetensors file.

    The file appears complete or not at all: it is written beside `path` and then renamed.

    Parameters
    ----------
    model : Layer
        Any layer or model whose class defines ``config``.
    path : path-like
        File to write; ``.safetensors`` is the usual suffix. An existing file is replaced.
    metadata : mapping, optional
        Anything that JSON can hold, to be kept with the model; see `read_metadata`.

    Raises
    ------
    TypeError
        If `model` is not a layer, or `metadata` holds something that is not JSON.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastrnn import serialization
    >>> from fastrnn.layers.linear import Linear
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> serialization.save(Linear(3, 2), path, metadata={"epoch": 4})
    >>> serialization.load(path)
    Linear(in_features=3, out_features=2, bias=True, dtype='float32')
    >>> serialization.read_metadata(path)
    {'epoch': 4}
    """
    if not isinstance(model, Layer):
        raise TypeError(f"model must be a Layer, got {type(model).__name__}")
    content = {"model": layer_config(model), "metadata": dict(metadata or {})}
    save_arrays(path, model.state_dict(), content)


def load(path: str | os.PathLike[str]) -> Layer:
    """Read a model that `save` wrote; it is in eval mode.

    A class of your own must have been defined (imported) before.

    Raises
    ------
    ValueError
        If the file is damaged, was not written by `save`, comes from a newer format version, names an
        unknown layer class, or its weights do not fit its configuration.
    OSError
        If the file cannot be read.

    Examples
    --------
    See `save`.
    """
    arrays, content = load_arrays(path)
    with _explained(path):
        model = Layer.from_config(_model_content(content)["model"])
        model.load_state_dict(arrays)
    return model


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Metadata given to `save`, without reading the weights.

    Raises
    ------
    ValueError, OSError
        As `load`.

    Examples
    --------
    See `save`.
    """
    with _opened(path) as file:
        content = _content(file.metadata())
        return dict(_model_content(content)["metadata"])


def save_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write named arrays and JSON metadata to one safetensors file, completely or not at all.

    Parameters
    ----------
    path : path-like
        File to write. An existing file is replaced.
    arrays : mapping of str to array_like
        Of floating point, integer or boolean type, any shape, empty ones and numbers included.
    metadata : mapping, optional
        Anything that JSON can hold; NumPy numbers are taken as numbers.

    Raises
    ------
    TypeError
        If an array has another type or the metadata is not JSON.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastrnn.serialization import load_arrays, save_arrays
    >>> path = os.path.join(tempfile.mkdtemp(), "state.safetensors")
    >>> save_arrays(path, {"step": 3, "mean": np.zeros(2)}, {"note": "first"})
    >>> load_arrays(path)
    ({'mean': array([0., 0.]), 'step': array(3)}, {'note': 'first'})
    """
    from safetensors.numpy import save as encode

    target = Path(os.path.realpath(path))
    tensors = {name: _storable(name, value) for name, value in arrays.items()}
    header = {_VERSION_KEY: str(_VERSION), _CONTENT_KEY: _dumps(dict(metadata or {}))}
    encoded = encode(tensors, header)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        # Not safetensors' save_file, whose files only their owner may read, whatever the umask says.
        with open(temporary, "xb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())  # else a crash soon after could leave the new name with an empty file
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def load_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read what `save_arrays` wrote: the arrays, in order of name, and the metadata.

    Raises
    ------
    ValueError
        If the file is damaged, was not written by fastrnn or comes from a newer format version.
    OSError
        If the file cannot be read.

    Examples
    --------
    See `save_arrays`.
    """
    with _opened(path) as file:
        content = _content(file.metadata())
        return {name: file.get_tensor(name) for name in sorted(file.keys())}, content


def _storable(name: str, value: Any) -> Array:
    if not isinstance(name, str):
        raise TypeError(f"arrays must be named by str, got {name!r}")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"arrays[{name!r}] must hold floats, integers or booleans, got dtype {array.dtype}")
    return np.require(array, requirements="C")


def _dumps(content: dict[str, Any]) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(
            f"metadata must be JSON, got a {type(value).__name__}: arrays have a place of their own"
        )

    return json.dumps(content, default=plain)


@contextmanager
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in what is said about its content."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"cannot load {os.fspath(path)!r}: {error}") from error


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    with open(path, "rb"):
        pass  # Python's own errors for what is absent, forbidden or a directory
    with _explained(path):
        try:
            with safe_open(path, framework="np") as file:
                yield file
        except SafetensorError as error:
            raise ValueError(f"it is not a safetensors file, or a damaged one ({error})") from error


def _content(header: Mapping[str, str] | None) -> dict[str, Any]:
    header = header or {}
    if _VERSION_KEY not in header or _CONTENT_KEY not in header:
        raise ValueError("it was not written by fastrnn (to copy weights from it use load_state_dict)")
    if header[_VERSION_KEY] != str(_VERSION):
        raise ValueError(
            f"it has format version {header[_VERSION_KEY]}, this version of fastrnn reads {_VERSION}: "
            "a newer fastrnn may read it"
        )
    content = json.loads(header[_CONTENT_KEY])
    if not isinstance(content, dict):
        raise ValueError("its metadata is not a JSON object")
    return content


def _model_content(content: dict[str, Any]) -> dict[str, Any]:
    if not (isinstance(content.get("model"), dict) and isinstance(content.get("metadata"), dict)):
        raise ValueError("it holds arrays but no model")
    return content
