"""scikit-learn's own checks on every estimator of fastrnn.tasks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sklearn.utils.estimator_checks import check_estimator

from fastrnn.tasks import (
    SequenceClassifier,
    SequenceRegressor,
    SequenceTagger,
    SequenceTranscriber,
    TextGenerator,
)

# For each estimator: checks that pass at least, and those that cannot, with the reason. scikit-learn leaves
# out what an estimator's tags say is not for it: most checks need numbers in columns.
QUICK: dict[str, Any] = {
    "hidden_size": 16,
    "epochs": 60,
    "learning_rate": 0.02,
    "dropout": 0.0,
    "random_state": 0,
}
ESTIMATORS: list[tuple[Any, int, dict[str, str]]] = [
    (TextGenerator(hidden_size=4, embedding_size=2, seq_len=4, epochs=1, random_state=0), 1, {}),
    (SequenceClassifier(**QUICK), 55, {}),
    (SequenceRegressor(**QUICK), 52, {}),
    # A label for every step is no column of targets.
    (SequenceTagger(**QUICK), 1, {}),
    (SequenceTranscriber(**QUICK), 1, {}),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(
    ("estimator", "least", "exceptions"), ESTIMATORS, ids=[type(case[0]).__name__ for case in ESTIMATORS]
)
def test_checks_of_scikit_learn(
    estimator: Any, least: int, exceptions: dict[str, str], told: list[str]
) -> None:
    ran = check_estimator(estimator, expected_failed_checks=exceptions, on_fail=None, on_skip=None)
    count = Counter(check["status"] for check in ran)
    told.append(f"scikit-learn's checks of {type(estimator).__name__}: {dict(count)}")
    failed = [f"{check['check_name']}: {check['exception']}" for check in ran if check["status"] == "failed"]
    assert not failed, "\n".join(failed)
    assert count["passed"] >= least
    assert count["xfail"] == len(exceptions)  # none that would pass by now
