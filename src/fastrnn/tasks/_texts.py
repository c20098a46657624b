"""Texts as users have them: a string, a file, or a list of either."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["read_documents", "read_text_file", "split_documents"]


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
