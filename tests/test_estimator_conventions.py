"""scikit-learn's own checks on every estimator of fastrnn.tasks."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

from fastrnn.tasks import (
    Forecaster,
    SentimentClassifier,
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
# The rows of a series are steps and no samples.
NO_ROWS = dict.fromkeys(
    [
        "check_dict_unchanged",
        "check_dtype_object",
        "check_estimators_dtypes",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_fit2d_predict1d",
        "check_fit_idempotent",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_n_features_in_after_fitting",
    ],
    "predict takes the number of steps ahead",
)
FORECASTER = NO_ROWS | {
    "check_fit1d": "one variable may be 1-D",
    "check_fit2d_1feature": "ten steps are too few to learn from, as the message says",
    "check_fit_score_takes_y": "the series comes first and is called y, covariates second",
}
ESTIMATORS: list[tuple[Any, int, dict[str, str]]] = [
    (TextGenerator(hidden_size=4, embedding_size=2, seq_len=4, epochs=1, random_state=0), 1, {}),
    (SentimentClassifier(hidden_size=4, embedding_size=2, epochs=1, random_state=0), 1, {}),
    (Forecaster(hidden_size=4, epochs=1, random_state=0), 25, FORECASTER),
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
    estimator: Any, least: int, exceptions: dict[str, str], told: Callable[[str], None]
) -> None:
    ran = check_estimator(estimator, expected_failed_checks=exceptions, on_fail=None, on_skip=None)
    count = Counter(check["status"] for check in ran)
    told(f"scikit-learn's checks of {type(estimator).__name__}: {dict(count)}")
    failed = [f"{check['check_name']}: {check['exception']}" for check in ran if check["status"] == "failed"]
    assert not failed, "\n".join(failed)
    assert count["passed"] >= least
    # None that would pass by now.
    assert {check["check_name"] for check in ran if check["status"] == "xfail"} == set(exceptions)


# What takes no numbers in columns is left out above: the same promises, with data that suits it.

TEXTS = ["so good", "so bad", "really good", "really bad", "good day", "bad day"] * 4
ODD: list[tuple[Any, tuple[Any, ...], Any, str]] = [
    (TextGenerator(hidden_size=4, seq_len=8, epochs=1), (TEXTS,), TEXTS, "bits_per_char"),
    (SentimentClassifier(hidden_size=4, epochs=1), (TEXTS, [0, 1] * 12), TEXTS, "predict_proba"),
    (SequenceTagger(hidden_size=4, epochs=1), (TEXTS, [t[::-1] for t in TEXTS]), TEXTS, "predict_proba"),
    (SequenceTranscriber(hidden_size=4, epochs=1), (TEXTS, ["ab", "b"] * 12), TEXTS, "predict"),
    (Forecaster(hidden_size=4, epochs=1), (list(range(40)),), 1, "predict"),
]
WITHOUT_DATA = (
    checks.check_estimator_cloneable,
    checks.check_estimator_repr,
    checks.check_estimator_tags_renamed,
    checks.check_valid_tag_types,
    checks.check_no_attributes_set_in_init,
    checks.check_do_not_raise_errors_in_init_or_set_params,
    checks.check_mixin_order,
    checks.check_parameters_default_constructible,
    checks.check_get_params_invariance,
    checks.check_set_params,
)


@pytest.mark.parametrize("check", WITHOUT_DATA, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", ODD, ids=[type(case[0]).__name__ for case in ODD])
def test_checks_that_need_no_data(case: Any, check: Any) -> None:
    check(type(case[0]).__name__, case[0])


@pytest.mark.parametrize(
    ("estimator", "data", "asked", "method"), ODD, ids=[type(case[0]).__name__ for case in ODD]
)
def test_conventions(estimator: Any, data: tuple[Any, ...], asked: Any, method: str) -> None:
    def answers(fitted: Any) -> list[Any]:
        found = getattr(fitted, method)(asked)
        return [np.asarray(one) for one in found] if isinstance(found, list) else [np.asarray(found)]

    estimator = clone(estimator).set_params(random_state=0)
    before = copy.deepcopy((estimator.get_params(), data))
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    assert estimator.fit(*data) is estimator
    check_is_fitted(estimator)
    assert (estimator.get_params(), data) == before  # neither settings nor data are changed
    public = {name for name in vars(estimator) if not name.startswith("_")}
    learned = public - set(estimator.get_params())
    assert learned and all(name.endswith("_") for name in learned)
    first = answers(estimator)
    again = [clone(estimator).fit(*data), estimator.fit(*data), pickle.loads(pickle.dumps(estimator))]
    for other in again:
        for a, b in zip(first, answers(other), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="Invalid parameter 'colour'"):
        estimator.set_params(colour="blue")
