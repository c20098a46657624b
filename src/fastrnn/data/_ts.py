"""The .ts format of time series archives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import Array

__all__ = ["read_ts"]


def read_ts(path: Path) -> tuple[list[Array], NDArray[Any]]:
    """Read sequences ``[T, I]``, float32, and the label of each, a str, or a number if the file says so.

    A line is a sequence: features separated by colons, their steps by commas, and at the end the label.
    What is missing (``?`` or NaN) at the end makes a sequence shorter.

    Raises
    ------
    ValueError
        If there is no data, or steps have time stamps, or features differ in length.
    """
    head, mark, body = path.read_text("utf-8").partition("@data")
    if not mark:
        raise ValueError(f"{path} has no @data")
    settings = {line.lower().strip() for line in head.splitlines()}
    if "@timestamps true" in settings:
        raise ValueError(f"{path} has time stamps, which are not read")
    X, y = [], []
    for line in filter(None, map(str.strip, body.splitlines())):
        *features, label = line.split(":")
        columns = [np.array(feature.replace("?", "nan").split(","), np.float32) for feature in features]
        steps = np.stack(columns, axis=1)
        present = np.flatnonzero(~np.isnan(steps).all(axis=1))
        X.append(np.ascontiguousarray(steps[: present[-1] + 1 if len(present) else 0]))
        y.append(label.strip())
    return X, np.array(y, np.float64 if "@targetlabel true" in settings else None)
