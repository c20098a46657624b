"""The length of a season, guessed from the data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri

from fastrnn._types import Array
from fastrnn.tasks._series import Series, carry_forward
from fastrnn.tasks._timeline import usual_seasons

__all__ = ["autocorrelation", "guess_season"]

_LEAST = 0.15  # autocorrelation of what a season leaves a trace in
_USUAL_LEAST = 0.1
_BY_CHANCE = 0.05  # how often noise may be taken for a season
_USUAL_BONUS = 1.5  # a day, a week or a year need less evidence than any other number of steps
_SHORTEST = 4  # what repeats sooner is how the series moves, unless the calendar says otherwise
_LONGEST = 2000
_MOST_STEPS = 100_000  # at the end of a series; more would not change the guess


def autocorrelation(values: Array, most: int) -> Array:
    """Correlation of values with themselves 0 to `most` steps later, ``[most + 1]``; 0 for a constant."""
    centred = values - values.mean()
    size = next_fast_len(len(centred) + most, real=True)
    spectrum = rfft(centred, size)
    products: Array = irfft(spectrum * spectrum.conj(), size)[: most + 1]
    return products / products[0] if products[0] > 0 else np.zeros(most + 1)


def guess_season(series: Sequence[Series]) -> int:
    """Steps of the season that the series repeat best, or 1.

    A season shows in the movements from step to step: they resemble those a season before, more than those of
    any number of steps close by. At least three seasons must have been seen. Steps that make a day, a week or
    a year by the calendar need less evidence than others.
    """
    length = max(len(one) for one in series)
    most = min(length // 3, _LONGEST)
    if most < 2:
        return 1
    total, count = np.zeros(most + 2), 0
    for one in series:
        if len(one) < 3 * (most + 1) // 2:
            continue
        values = np.nan_to_num(carry_forward(one.values[-_MOST_STEPS:]), nan=0.0)
        for column in np.diff(values, axis=0).T:
            total += autocorrelation(column, most + 1)
            count += 1
    if not count:
        return 1
    score = total / count
    usual = set(usual_seasons(series[0].timeline))
    # A correlation counts for what it exceeds its neighbourhood by: slow waves are no season.
    best, found = 1, 0.0
    usual_deviations, deviations = -ndtri([_BY_CHANCE, _BY_CHANCE / most])
    for m in range(2, most + 1):
        if m < _SHORTEST and m not in usual:
            continue
        height = score[m]
        # Differences of white noise have a correlation of -0.5 with their neighbours, hence the 1.5.
        deviation = np.sqrt(1.5 * max(length - m, 1) / count) / length
        least, enough = (_USUAL_LEAST, usual_deviations) if m in usual else (_LEAST, deviations)
        if height <= max(least, enough * deviation):
            continue
        if m > 2 and (height < score[m - 1] or height < score[m + 1]):
            continue
        height *= _USUAL_BONUS if m in usual else 1.0
        if height > found * 1.05:  # a multiple of the season must be clearly better than the season
            best, found = m, height
    return best
