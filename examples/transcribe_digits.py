"""Handwritten numbers, with no word on where a digit ends: ``python examples/transcribe_digits.py``.

Digits of scikit-learn are written side by side to numbers of three to six digits and read column by column.
Those of the test numbers are taken from images that training has not seen.
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.datasets import load_digits

from fastrnn.tasks import SequenceTranscriber


def write(rng: np.random.Generator, images: np.ndarray, digits: np.ndarray, count: int) -> tuple[list, list]:
    """Numbers as sequences of columns ``[8 * digits, 8]``, and as text."""
    chosen = [rng.integers(len(images), size=rng.integers(3, 7)) for _ in range(count)]
    X = [np.concatenate([images[i].T for i in number]) for number in chosen]
    return X, ["".join(str(digits[i]) for i in number) for number in chosen]


def main() -> None:
    """Train and judge with three seeds."""
    data = load_digits()
    for seed in range(3):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(data.images))
        train, test = np.split(order, [len(order) * 4 // 5])
        X, y = write(rng, data.images[train], data.target[train], 4000)
        X_test, y_test = write(rng, data.images[test], data.target[test], 1000)
        begin = time.perf_counter()
        transcriber = SequenceTranscriber(epochs=20, random_state=seed).fit(X, y)
        seconds = time.perf_counter() - begin
        print(f"seed {seed}, {seconds:.0f} s: {transcriber.evaluate(X_test, y_test)}")
    print(f"{y_test[:4]} read as {transcriber.predict(X_test[:4])}")


if __name__ == "__main__":
    main()
