"""Texts as users have them: a string, a file, or a list of either."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Set
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["read_documents", "read_text_file", "read_texts", "split_documents"]


def read_text_file(path: str | os.PathLike[str]) -> str:
    """Contents of a UTF-8 file, with line feeds as line ends and without a byte order mark.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{os.fspath(path)} is not UTF-8 text: byte {error.object[error.start]:#04x} at position "
            f"{error.start}. Decode it yourself and pass the text: "
            f"Path(...).read_text(encoding='latin-1'), for example"
        ) from error


def _read_document(value: Any, name: str) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, os.PathLike):
        return read_text_file(value)
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(f"{name} must be text, got bytes: decode them first, as in {name}.decode('utf-8')")
    raise TypeError(f"{name} must be a str or a pathlib.Path to a UTF-8 file, got {type(value).__name__}")


def read_documents(X: Any) -> list[str]:
    """The documents in ``X``, without empty ones.

    Parameters
    ----------
    X : str, os.PathLike, or iterable of these
        A ``str`` is the text itself, a path names a UTF-8 file. An iterable holds one document each.

    Raises
    ------
    TypeError
        If ``X`` is or holds something else.
    ValueError
        If no character is left, or a file is not UTF-8.
    """
    if isinstance(X, (str, os.PathLike, bytes, bytearray)):
        documents = [_read_document(X, "X")]
    elif isinstance(X, Iterable) and not isinstance(X, Mapping):
        documents = [_read_document(value, f"X[{i}]") for i, value in enumerate(X)]
    else:
        raise TypeError(f"X must be a str, a pathlib.Path or a list of these, got {type(X).__name__}")
    documents = [document for document in documents if document]
    if not documents:
        raise ValueError("X holds no text: every document is empty")
    return documents


def split_documents(documents: list[str], fraction: float) -> tuple[list[str], list[str]]:
    """Cut off so large a part of the characters at the end; a document may be cut in two."""
    rest = int(fraction * sum(map(len, documents)))
    first, last = list(documents), []
    while rest:
        document = first.pop()
        if len(document) > rest:
            first.append(document[:-rest])
            document = document[-rest:]
        last.append(document)
        rest -= len(document)
    return first, last[::-1]


def read_texts(X: Any) -> list[str]:
    """The texts in a list, an array ``[n]`` or ``[n, 1]``, a Series or a DataFrame of one column.

    Raises
    ------
    TypeError
        If ``X`` is or holds something else than texts.
    ValueError
        If ``X`` is empty, has several columns, or lacks a text.
    """
    if isinstance(X, (str, bytes, bytearray, os.PathLike)):
        raise TypeError(f"X must be a list of texts, got a single {type(X).__name__}: pass [text]")
    shape = getattr(X, "shape", None)
    if shape is not None:
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
            raise ValueError(f"X must have shape (n,) or (n, 1): one text a row, got {tuple(shape)}")
        values = np.asarray(X, dtype=object).ravel().tolist()
    elif isinstance(X, Iterable) and not isinstance(X, (Mapping, Set)):
        values = [value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value for value in X]
    else:
        raise TypeError(f"X must be a list, array, Series or one-column DataFrame, got {type(X).__name__}")
    if not values:
        raise ValueError("X must hold at least one text, got 0 sample(s)")
    for i, value in enumerate(values):
        if not isinstance(value, str):
            _refuse_text(i, value)
    return [str(value) for value in values]


def _refuse_text(row: int, value: Any) -> None:
    missing = value is None or (isinstance(value, Real) and math.isnan(value))
    if missing or type(value).__name__ in ("NAType", "NaTType"):
        raise ValueError(f"X must not hold missing texts: row {row} is {value!r}; drop it, or pass ''")
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(f"X must hold texts, row {row} is bytes: decode them first, as in .decode('utf-8')")
    raise TypeError(f"X must hold texts, row {row} is {value!r:.80} ({type(value).__name__})")
