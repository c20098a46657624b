"""Series, and a forecaster that learns them quickly, for the tests of forecasting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fastrnn.tasks import Forecaster

SMALL: dict[str, Any] = {"horizon": 3, "hidden_size": 4, "epochs": 2, "random_state": 3}


def small(**settings: Any) -> Forecaster:
    return Forecaster(**{**SMALL, **settings})


def weekly(days: int = 150, seed: int = 0) -> pd.Series:
    """Sales of a shop, that are higher at weekends."""
    rng = np.random.default_rng(seed)
    index = pd.date_range("2026-01-05", periods=days)
    return pd.Series(50 + 20 * (np.arange(days) % 7 > 4) + rng.normal(0, 3, days), index, name="sold")


def prices(days: int = 150, seed: int = 1) -> pd.DataFrame:
    """Covariates of `weekly`."""
    rng = np.random.default_rng(seed)
    index = pd.date_range("2026-01-05", periods=days)
    return pd.DataFrame({"price": rng.normal(5, 1, days), "rain": rng.gamma(1.0, 2.0, days)}, index)
