"""Named problem sizes of one recurrent layer."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """Steps, rows of a batch, input size and hidden size."""

    T: int
    N: int
    I: int  # noqa: E741
    H: int

    def __str__(self) -> str:
        return ",".join(map(str, self))


SHAPES = {
    "single-32": Shape(100, 1, 32, 32),
    "single-64": Shape(1000, 1, 64, 64),
    "single-256": Shape(100, 1, 256, 256),
    "batch-64": Shape(50, 32, 64, 64),
    "batch-128": Shape(100, 32, 128, 128),
    "batch-256": Shape(50, 64, 256, 256),
    "batch-512": Shape(50, 64, 512, 512),
    "batch-1024": Shape(25, 128, 1024, 1024),
    "step-256": Shape(1, 1, 256, 256),
    "step-64": Shape(1, 1, 64, 64),
    # No size is a multiple of a vector or of another one.
    "odd-50": Shape(30, 7, 13, 50),
    "odd-96": Shape(77, 16, 40, 96),
    "odd-20": Shape(200, 5, 3, 20),
}
"""``single``: one row; ``batch``: what training uses; ``step``: one step of one row; the number is H."""

GROUPS = {
    "all": tuple(SHAPES),
    "single": ("single-32", "single-64", "single-256"),
    "batch": ("batch-64", "batch-128", "batch-256", "batch-512", "batch-1024"),
    "step": ("step-256", "step-64"),
    "odd": ("odd-50", "odd-96", "odd-20"),
    "suite": ("single-32", "batch-64", "batch-128", "step-64", "odd-50"),
    "quick": ("single-32", "batch-64", "step-64", "odd-50"),
}


def parse_shape(text: str) -> list[tuple[str, Shape]]:
    """Names and sizes meant by one word: a name, a group or four numbers ``T,N,I,H``."""
    if text in GROUPS:
        return [(name, SHAPES[name]) for name in GROUPS[text]]
    if text in SHAPES:
        return [(text, SHAPES[text])]
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) != 4 or min(sizes) < 1:
        raise ValueError(
            f"shape must be T,N,I,H (four integers of at least 1), a name or a group, got {text!r}; "
            f"names: {', '.join(SHAPES)}; groups: {', '.join(GROUPS)}"
        )
    shape = Shape(*sizes)
    return [(next((name for name, known in SHAPES.items() if known == shape), str(shape)), shape)]
