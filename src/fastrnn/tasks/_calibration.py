"""Forecast quantiles that hold what they promise: never crossing, and calibrated on held-out outcomes.

References
----------
Y. Romano, E. Patterson, E. Candès: Conformalized quantile regression. NeurIPS 2019 (one-sided, section 4).

V. Chernozhukov, I. Fernández-Val, A. Galichon: Quantile and probability curves without crossing. Econometrica
78(3), 2010 (sorting never makes quantile forecasts worse).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import Array

__all__ = ["LEVELS", "apply_calibration", "calibrate", "conformal_quantiles"]

LEVELS = np.concatenate([[0.001, 0.005], np.arange(1, 100) / 100, [0.995, 0.999]])
"""Levels at which the errors of the held-out part are kept."""


def conformal_quantiles(errors: Array, levels: Array, overlap: int = 1) -> Array:
    """Quantiles of errors ``[n]``, a little further out, as conformal prediction takes them.

    Forecasts for `overlap` steps ahead that are made at every step share most of what happens: they say as
    much as n / overlap others.
    """
    n = len(errors) / overlap
    outward = np.clip(0.5 + (levels - 0.5) * (n + 1) / n, 0.0, 1.0)
    found: Array = np.quantile(errors, outward)
    return found


def calibrate(forecasts: Array, outcomes: Array, there: NDArray[np.bool_]) -> Array:
    """Quantiles of what the outcomes exceed the forecasts by.

    Parameters
    ----------
    forecasts : array, [M, H, V, Q]
    outcomes : array, [M, H, V]
    there : bool array, [M, H, V]
        Which outcomes are known.

    Returns
    -------
    array, [H, V, Q, LEVELS]
        With seven digits, as there are many to be saved. Where a step ahead has no outcome, those of the step
        before, a little larger, as the errors of a random walk are.
    """
    H, V, Q = forecasts.shape[1:]
    found = np.zeros((H, V, Q, len(LEVELS)))
    for h in range(H):
        for v in range(V):
            known = there[:, h, v]
            if known.any():
                errors = outcomes[known, h, v, None] - forecasts[known, h, v]
                for q in range(Q):
                    found[h, v, q] = [
                        float(f"{x:.7g}") for x in conformal_quantiles(errors[:, q], LEVELS, h + 1)
                    ]
            elif h:
                found[h, v] = found[h - 1, v] * np.sqrt((h + 1) / h)
    return found


def apply_calibration(
    forecasts: Array, trained: Sequence[float], calibration: Array, quantiles: Sequence[float]
) -> Array:
    """Calibrated quantile forecasts, sorted along the last axis.

    Parameters
    ----------
    forecasts : array, [M, H, V, Q]
        Of the levels `trained`.
    trained : sequence of Q floats
        One of them is 0.5.
    calibration : array, [H', V, Q, LEVELS]
        As `calibrate` gives. Steps ahead beyond H' are calibrated by the last, growing with the root of the
        step, as the errors of a random walk do.
    quantiles : sequence of float
        Levels that are wanted: the nearest trained one is moved by the quantile of its held-out errors, but
        the median stays.

    Returns
    -------
    array, [M, H, V, len(quantiles)]
    """
    M, H, V, _ = forecasts.shape
    kept = len(calibration)
    rows = np.minimum(np.arange(H), kept - 1)
    growth = np.sqrt(np.maximum(np.arange(1, H + 1) / kept, 1.0))
    answers = np.empty((M, H, V, len(quantiles)))
    for place, level in enumerate(quantiles):
        nearest = int(np.argmin(np.abs(np.asarray(trained) - level)))
        right = int(np.clip(np.searchsorted(LEVELS, level), 1, len(LEVELS) - 1))
        share = np.clip((level - LEVELS[right - 1]) / (LEVELS[right] - LEVELS[right - 1]), 0.0, 1.0)
        errors = calibration[:, :, nearest]
        shift = (1 - share) * errors[..., right - 1] + share * errors[..., right]
        answers[..., place] = forecasts[..., nearest] + shift[rows] * growth[:, None]
    # The median is the forecast itself, whatever the held-out errors say; the others keep to their side.
    wanted, median = np.asarray(quantiles), forecasts[..., trained.index(0.5), None]
    answers[..., wanted < 0.5] = np.minimum(answers[..., wanted < 0.5], median)
    answers[..., wanted > 0.5] = np.maximum(answers[..., wanted > 0.5], median)
    answers[..., wanted == 0.5] = median
    order = np.argsort(wanted, kind="stable")
    answers[..., order] = np.sort(answers, axis=-1)
    return answers
