"""The estimators of sequences as users meet them: what they learn, answer, keep in files, and refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fastrnn import serialization
from fastrnn.errors import TrainingInterrupted
from fastrnn.tasks import SequenceClassifier, SequenceRegressor, SequenceTagger
from fastrnn.training import TrainingEvent

RNG = np.random.default_rng(0)
SMALL: dict[str, Any] = {"hidden_size": 6, "epochs": 3, "random_state": 3}
# Frequent enough for dropout, held-out rows and several batches to take part.
X = [RNG.normal(size=(length, 2)).astype(np.float32) for length in RNG.integers(3, 12, size=120)]
PEAKS = np.array(["early" if x[:, 0].argmax() < len(x) / 2 else "late" for x in X])
SUMS = np.array([x[:, 0].sum() for x in X])
SIGNS = [np.where(x[:, 0] > 0, "up", "down") for x in X]
TASKS: dict[type[Any], Any] = {SequenceClassifier: PEAKS, SequenceRegressor: SUMS, SequenceTagger: SIGNS}

every_task = pytest.mark.parametrize("task", TASKS, ids=[task.__name__ for task in TASKS])


def small(task: type[Any], **settings: Any) -> Any:
    return task(**{**SMALL, **settings})


@pytest.fixture(scope="module")
def fitted() -> dict[type[Any], Any]:
    return {task: small(task).fit(X, y) for task, y in TASKS.items()}


def answers(estimator: Any, given: Any = X) -> list[Any]:
    """As exact as they come, sequence by sequence."""
    method = getattr(estimator, "predict_proba", estimator.predict)
    return list(method(given))


def assert_same(first: Any, second: Any) -> None:
    a, b = first.model_.state_dict(), second.model_.state_dict()
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert first.history_["loss"] == second.history_["loss"]
    assert first.history_["val_loss"] == second.history_["val_loss"]


class CtrlC:
    """Interrupt at a step, as the user would."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self, event: TrainingEvent) -> None:
        if event.kind == "step" and event.total_steps == self.at:
            raise KeyboardInterrupt


# Learning and answering


def test_classifier_learns() -> None:
    signs = np.where(SUMS > 0, "positive", "negative")
    classifier = small(SequenceClassifier, hidden_size=16, epochs=40, learning_rate=0.02)
    evaluation = classifier.fit(X[:100], signs[:100]).evaluate(X[100:], signs[100:])
    assert evaluation.accuracy >= 0.85 > evaluation.majority + 0.1
    assert classifier.score(X[100:], signs[100:]) == evaluation.accuracy
    probabilities = classifier.predict_proba(X)
    assert probabilities.shape == (120, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert (classifier.predict(X) == classifier.classes_[probabilities.argmax(axis=1)]).all()


@pytest.mark.parametrize("y", [SUMS * 1e4 + 1e6, np.stack([SUMS, -3 * SUMS], axis=1)], ids=["one", "two"])
def test_regressor_learns_in_the_units_of_the_targets(y: np.ndarray) -> None:
    regressor = small(SequenceRegressor, hidden_size=16, epochs=60, learning_rate=0.02, pooling="last")
    regressor.fit(X[:100], y[:100])
    assert regressor.predict(X).shape == y.shape and regressor.predict(X).dtype == np.float64
    assert regressor.score(X[100:], y[100:]) > 0.8
    assert regressor.evaluate(X[100:], y[100:]).r2 == pytest.approx(regressor.score(X[100:], y[100:]))
    np.testing.assert_allclose(regressor.target_mean_, y.reshape(120, -1)[:100].mean(axis=0), rtol=0.2)


def test_tagger_learns() -> None:
    tagger = small(SequenceTagger, hidden_size=8, epochs=40, learning_rate=0.02).fit(X[:100], SIGNS[:100])
    evaluation = tagger.evaluate(X[100:], SIGNS[100:])
    assert evaluation.rows == sum(map(len, X[100:]))
    assert evaluation.accuracy > 0.95 and tagger.score(X[100:], SIGNS[100:]) == evaluation.accuracy
    for x, tags, probabilities in zip(X, tagger.predict(X), tagger.predict_proba(X), strict=True):
        assert tags.shape == (len(x),) and probabilities.shape == (len(x), 2)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


@pytest.mark.parametrize(
    "given",
    [
        RNG.normal(size=(30, 5)),
        pd.DataFrame(RNG.normal(size=(30, 5)), columns=list("abcde")),
        RNG.normal(size=(30, 5, 2)),
        RNG.normal(size=(30, 5, 3, 4)),
        RNG.integers(0, 256, size=(30, 5, 3, 4, 3)).astype(np.uint8),
        ["ACGTA"] * 15 + ["GGTCA"] * 15,
        [["der", "Hund", "bellt", ",", "."]] * 15 + [["die", "Katze", "schläft", ",", "."]] * 15,
        pd.Series(list(RNG.normal(size=(30, 5)))),
    ],
    ids=["table", "DataFrame", "3-D", "frames", "colour frames", "genomes", "tokens", "Series"],
)
@every_task
def test_forms_of_sequences(task: type[Any], given: Any, tmp_path: Path) -> None:
    y = [list("babab")] * 15 + [list("abbba")] * 15 if task is SequenceTagger else [0, 1] * 15
    estimator = small(task, epochs=1).fit(given, y)
    predicted = answers(estimator, given)
    assert len(predicted) == 30
    few = given.iloc[:3] if hasattr(given, "iloc") else given[:3]
    for a, b in zip(predicted[:3], answers(estimator, few), strict=True):
        np.testing.assert_array_equal(a, b)
    estimator.save(tmp_path / "m")
    loaded = task.load(tmp_path / "m")
    for name in ("n_features_in_", "feature_names_in_"):
        assert np.array_equal(getattr(loaded, name, None), getattr(estimator, name, None))
    for a, b in zip(predicted, answers(loaded, given), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("scale", [True, False])
def test_projection(scale: bool) -> None:
    films = RNG.integers(0, 256, size=(30, 4, 5, 6)).astype(np.uint8)
    classifier = small(SequenceClassifier, projection=3, scale=scale).fit(films, [0, 1] * 15)
    assert classifier.model_[0].weight.shape == (3, 30)
    with pytest.raises(ValueError, match="projection is for numbers; text has embedding_size"):
        classifier.fit(["ab", "ba"] * 15, [0, 1] * 15)


def test_few_numbers_a_step_are_not_dropped() -> None:
    # With a probability of nearly 1, a dropped input would leave nothing to tell the classes by.
    x = RNG.normal(size=(40, 1))
    names = [
        [type(layer).__name__ for layer in small(SequenceClassifier, epochs=1).fit(given, x[:, 0] > 0).model_]
        for given in (x, np.repeat(x[:, None], 8, axis=2), ["ab", "ba"] * 20)
    ]
    assert names[0][0] == "GRU"
    assert names[1][:2] == ["Dropout", "GRU"]
    assert names[2][:3] == ["Embedding", "Dropout", "GRU"]


@pytest.mark.parametrize("y", [PEAKS == "late", np.where(PEAKS == "late", 7, -2), pd.Series(PEAKS)])
def test_labels_come_back_in_their_type(y: Any) -> None:
    predicted = small(SequenceClassifier, epochs=1).fit(X, y).predict(X[:5])
    assert predicted.dtype.kind == np.asarray(y.tolist()).dtype.kind


def test_labels_of_steps_may_be_strings_or_numbers() -> None:
    texts = ["".join("u" if tag == "up" else "d" for tag in tags) for tags in SIGNS]
    numbers = [[int(tag == "up") for tag in tags] for tags in SIGNS]
    assert small(SequenceTagger, epochs=1).fit(X, texts).classes_.tolist() == ["d", "u"]
    assert small(SequenceTagger, epochs=1).fit(X, numbers).classes_.tolist() == [0, 1]
    assert small(SequenceTagger, epochs=1).fit(X, pd.Series(numbers)).score(X, numbers) > 0


@every_task
def test_bits_do_not_depend_on_the_batch(task: type[Any], fitted: dict[type[Any], Any]) -> None:
    together = answers(fitted[task])
    for i in (0, 7, 119):
        np.testing.assert_array_equal(answers(fitted[task], [X[i]])[0], together[i])
    for a, b in zip(answers(fitted[task], X[::-1]), together[::-1], strict=True):
        np.testing.assert_array_equal(a, b)


@every_task
def test_bits_do_not_depend_on_threads(task: type[Any], fitted: dict[type[Any], Any]) -> None:
    assert_same(small(task, n_threads=3).fit(X, TASKS[task]), fitted[task])
    other = small(task, random_state=4).fit(X, TASKS[task])
    assert other.history_["loss"] != fitted[task].history_["loss"]


def test_a_generator_of_seeds() -> None:
    first, second = (
        small(SequenceClassifier, random_state=np.random.RandomState(5)).fit(X, PEAKS) for _ in "ab"
    )
    assert_same(first, second)
    assert_same(small(SequenceClassifier, random_state=first.seed_).fit(X, PEAKS), first)


# Classes


def test_class_weight() -> None:
    rare = np.array(["rare"] * 12 + ["often"] * 108)
    shares = [
        small(SequenceClassifier, class_weight=weight).fit(X, rare).predict_proba(X)[:, 1].mean()
        for weight in (None, "balanced", {"rare": 100.0})
    ]
    assert shares[0] < shares[1] < shares[2]
    tags = [["a"] * (len(x) - 1) + ["b"] for x in X]
    shares = [
        np.concatenate(small(SequenceTagger, class_weight=weight).fit(X, tags).predict_proba(X))[:, 1].mean()
        for weight in (None, "balanced", {"b": 100.0})
    ]
    assert shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize("task", [SequenceClassifier, SequenceTagger])
@pytest.mark.parametrize(
    ("weight", "message"),
    [("much", "class_weight must be 'balanced'"), ({"x": 2.0}, "names 'x', which is not")],
)
def test_no_class_weight(task: type[Any], weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(task, class_weight=weight).fit(X, TASKS[task])


@pytest.mark.parametrize("task", [SequenceClassifier, SequenceTagger])
def test_calibration_changes_no_decision(
    task: type[Any], fitted: dict[type[Any], Any], tmp_path: Path
) -> None:
    y = TASKS[task]
    calibrated = small(task, calibrate=True).fit(X, y)
    assert fitted[task].temperature_ == 1.0 != calibrated.temperature_
    for a, b in zip(calibrated.predict(X), fitted[task].predict(X), strict=True):
        assert np.array_equal(a, b)
    # What is minimised on the held-out part is its loss: better than that of the last weights.
    calibrated.save(tmp_path / "m")
    assert task.load(tmp_path / "m").temperature_ == calibrated.temperature_
    with pytest.raises(ValueError, match="calibrate=True needs at least 10 held-out rows"):
        small(task, calibrate=True).fit(X[:20], y[:20])


# Files


@every_task
def test_files(task: type[Any], fitted: dict[type[Any], Any], tmp_path: Path) -> None:
    path = tmp_path / "m"
    fitted[task].save(path)
    loaded = task.load(path)
    assert loaded.get_params() == fitted[task].get_params()
    assert_same(loaded, fitted[task])
    for a, b in zip(answers(loaded), answers(fitted[task]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert loaded.fit(X, TASKS[task]) is loaded
    assert_same(loaded, fitted[task])
    for other in set(TASKS) - {task}:
        with pytest.raises(ValueError, match=f"m holds a {task.__name__}, not a {other.__name__}"):
            other.load(path)


@every_task
def test_files_of_a_newer_version(task: type[Any], fitted: dict[type[Any], Any], tmp_path: Path) -> None:
    fitted[task].save(tmp_path / "m")
    metadata = serialization.read_metadata(tmp_path / "m")
    serialization.save(fitted[task].model_, tmp_path / "new", {**metadata, "task_version": 1000})
    with pytest.raises(ValueError, match=r"new was written by a newer fastrnn .*: upgrade fastrnn"):
        task.load(tmp_path / "new")


def test_class_weights_in_a_file(tmp_path: Path) -> None:
    small(SequenceClassifier, class_weight={0: 2.0, 1: 1.0}).fit(X, (PEAKS == "late") * 1).save(
        tmp_path / "m"
    )
    assert SequenceClassifier.load(tmp_path / "m").class_weight == {0: 2.0, 1: 1.0}


# Interruptions


@every_task
@pytest.mark.parametrize("at", [1, 7])
def test_resumed_training_gives_the_same_weights(
    task: type[Any], at: int, fitted: dict[type[Any], Any], tmp_path: Path
) -> None:
    y, path = TASKS[task], tmp_path / "state"
    estimator = small(task, checkpoint=path, progress=CtrlC(at))
    with pytest.raises(TrainingInterrupted):
        estimator.fit(X, y)
    assert len(estimator.history_.step_loss) == at
    assert len(estimator.predict(X)) == 120
    estimator.save(tmp_path / "m")
    for a, b in zip(answers(task.load(tmp_path / "m")), answers(estimator), strict=True):
        np.testing.assert_array_equal(a, b)
    assert_same(small(task, checkpoint=path).fit(X, y, resume=True), fitted[task])


@every_task
def test_another_training_is_not_resumed(task: type[Any], tmp_path: Path) -> None:
    y, path = TASKS[task], tmp_path / "state"
    with pytest.raises(TrainingInterrupted):
        small(task, checkpoint=path, progress=CtrlC(2)).fit(X, y)
    with pytest.raises(ValueError, match=r"other settings: hidden_size=6 \(now 7\)"):
        small(task, checkpoint=path, hidden_size=7).fit(X, y, resume=True)
    with pytest.raises(ValueError, match="other data"):
        small(task, checkpoint=path).fit(
            [*X[1:], X[0]], y if task is not SequenceTagger else [*y[1:], y[0]], resume=True
        )
    other = SequenceRegressor if task is not SequenceRegressor else SequenceClassifier
    with pytest.raises(ValueError, match=f"state is not the checkpoint of a {other.__name__}"):
        small(other, checkpoint=path).fit(X, TASKS[other], resume=True)
    with pytest.raises(ValueError, match="resume=True needs the parameter checkpoint"):
        small(task).fit(X, y, resume=True)


def test_patience_and_the_best_epoch() -> None:
    noise = RNG.permutation(PEAKS)
    classifier = small(SequenceClassifier, epochs=60, patience=3, learning_rate=0.05).fit(X, noise)
    assert classifier.history_.stopped == "patience"
    losses = classifier.history_["val_loss"]
    assert len(losses) < 60 and classifier.history_.best_epoch == int(np.argmin(losses)) + 1


def test_plot_of_the_history(fitted: dict[type[Any], Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    fitted[SequenceRegressor].plot_history(tmp_path / "h.png")
    assert (tmp_path / "h.png").stat().st_size > 1000


# scikit-learn's tools


@every_task
def test_model_selection_with_ragged_lists(task: type[Any]) -> None:
    y = TASKS[task]
    scores = cross_val_score(small(task, epochs=1), X, y, cv=3)
    assert scores.shape == (3,) and np.isfinite(scores).all()
    search = GridSearchCV(
        small(task),
        {"hidden_size": [2, 4], "pooling": ["max"]}
        if task is not SequenceTagger
        else {"hidden_size": [2, 4]},
        cv=2,
    )
    search.fit(X, y)
    assert search.best_params_["hidden_size"] in (2, 4)
    assert len(search.predict(X)) == 120


@every_task
def test_pipeline_and_clone(task: type[Any], fitted: dict[type[Any], Any]) -> None:
    first = FunctionTransformer(lambda sequences: [x[:, :1] for x in sequences])
    pipeline = make_pipeline(first, small(task)).fit(X, TASKS[task])
    assert pipeline[-1].coder_.step_shape == (1,)
    assert len(pipeline.predict(X)) == 120
    copy = clone(fitted[task])
    assert copy.get_params() == fitted[task].get_params()
    with pytest.raises(NotFittedError, match=f"this {task.__name__} is not fitted yet"):
        copy.predict(X)


def test_predictions_by_cross_validation() -> None:
    assert cross_val_predict(small(SequenceClassifier, epochs=1), X, PEAKS, cv=2).shape == (120,)


# What is refused


@every_task
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"cell": "mgu"}, ValueError, "cell must be one of"),
        ({"hidden_size": 0}, ValueError, "hidden_size must be"),
        ({"hidden_size": 2.5}, TypeError, "hidden_size must be"),
        ({"num_layers": 0}, ValueError, "num_layers must be"),
        ({"bidirectional": 1}, TypeError, "bidirectional must be"),
        ({"projection": 0}, ValueError, "projection must be"),
        ({"embedding_size": -1}, ValueError, "embedding_size must be"),
        ({"dropout": 1.0}, ValueError, "dropout must be"),
        ({"recurrent_dropout": -0.1}, ValueError, "recurrent_dropout must be"),
        ({"scale": None}, TypeError, "scale must be"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"epochs": 0}, ValueError, "epochs must be"),
        ({"max_seconds": 0}, ValueError, "max_seconds must be"),
        ({"learning_rate": 0}, ValueError, "learning_rate must be"),
        ({"optimizer": "lion"}, ValueError, "optimizer must be one of"),
        ({"schedule": "step"}, ValueError, "schedule must be one of"),
        ({"weight_decay": -1}, ValueError, "weight_decay must be"),
        ({"clip_norm": 0}, ValueError, "clip_norm must be"),
        ({"validation_fraction": 1}, ValueError, "validation_fraction must be"),
        ({"patience": 2, "validation_fraction": 0}, ValueError, "patience needs held-out data"),
        ({"n_threads": 0}, ValueError, "n_threads must be"),
        ({"random_state": -1}, ValueError, "[Ss]eed|random_state"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_settings(task: type[Any], settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small(task, **settings).fit(X, TASKS[task])


@pytest.mark.parametrize("task", [SequenceClassifier, SequenceRegressor])
def test_pooling(task: type[Any]) -> None:
    with pytest.raises(ValueError, match="pooling must be one of"):
        small(task, pooling="sum").fit(X, TASKS[task])
    losses = {
        tuple(small(task, pooling=pooling).fit(X, TASKS[task]).history_["loss"])
        for pooling in ("attention", "max", "mean", "last")
    }
    assert len(losses) == 4


@every_task
def test_too_few_sequences(task: type[Any]) -> None:
    with pytest.raises(ValueError, match=r"one sequence \(1 sample\); at least two are needed"):
        small(task).fit(X[:1], TASKS[task][:1])
    y = [["a"] * len(X[0]), ["b"] * len(X[1])] if task is SequenceTagger else [0, 1]
    assert len(small(task).fit(X[:2], y).predict(X)) == 120  # nothing is held out


@every_task
def test_nan(task: type[Any], fitted: dict[type[Any], Any]) -> None:
    bad = [x.copy() for x in X]
    bad[5][2, 1] = np.nan
    for call in (lambda: small(task).fit(bad, TASKS[task]), lambda: fitted[task].predict(bad)):
        with pytest.raises(ValueError, match=r"X\[5\] has NaN at step 2, feature 1"):
            call()


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, ValueError, "y must hold the class of every row"),
        (PEAKS[1:], ValueError, "as many entries as X has rows, 120; got 119"),
        (["same"] * 120, ValueError, r"at least two classes, got one class: \['same'\]"),
        ([None, *PEAKS[1:]], ValueError, r"y\[0\] is None"),
        ([1, *PEAKS[1:]], ValueError, "labels of one type|y must"),
        ([np.inf] * 120, ValueError, r"y\[0\] is infinite"),
        (SUMS, ValueError, "Unknown label type"),
    ],
)
def test_classes_that_are_none(y: Any, error: type[Exception], message: str) -> None:
    if isinstance(y, list) and y[0] == 1:
        y = np.array(y, object)
    with pytest.raises(error, match=message):
        small(SequenceClassifier).fit(X, y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y must hold the numbers of every row"),
        (SUMS[1:], "as many entries as X has rows, 120; got 119"),
        (np.r_[np.nan, SUMS[1:]], "y contains NaN"),
        (np.r_[np.inf, SUMS[1:]], "y contains infinity"),
        (SUMS[:, None, None], r"y must have shape \[N\] or \[N, K\]|dim 3"),
        (PEAKS, "could not convert string"),
        (SUMS.astype(np.float64) * 1e300, "too large to be standardised"),
    ],
)
def test_numbers_that_are_none(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(SequenceRegressor).fit(X, y)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, ValueError, "y must hold a label sequence"),
        ("updown", TypeError, "y must be a list of label sequences, got str"),
        (SIGNS[1:], ValueError, "as many entries as X has sequences, 120; got 119"),
        (
            [SIGNS[0][1:], *SIGNS[1:]],
            ValueError,
            r"y\[0\] must have a label for each of the \d+ steps of X\[0\]",
        ),
        (PEAKS == "late", TypeError, r"y\[0\] must be a label sequence"),
        ([["a"] * len(x) for x in X], ValueError, r"at least two classes, got one class: \['a'\]"),
        ([[1] * len(X[0]), *SIGNS[1:]], ValueError, "labels of one type, got"),
        ([[None] * len(X[0]), *SIGNS[1:]], ValueError, "y must"),
    ],
)
def test_tags_that_are_none(y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small(SequenceTagger).fit(X, y)


def test_evaluation_of_what_does_not_fit(fitted: dict[type[Any], Any]) -> None:
    with pytest.raises(ValueError, match="as many entries as X has rows, 120; got 3"):
        fitted[SequenceClassifier].evaluate(X, PEAKS[:3])
    with pytest.raises(ValueError, match="y holds int64 labels such as 0, the classes are"):
        fitted[SequenceClassifier].evaluate(X, np.arange(120))
    with pytest.raises(ValueError, match=r"y must have shape \(120,\), got \(120, 2\)"):
        fitted[SequenceRegressor].evaluate(X, np.ones((120, 2)))
    evaluation = fitted[SequenceClassifier].evaluate(X[:2], ["early", "never seen"])
    assert evaluation.accuracy <= 0.5


@every_task
def test_not_fitted(task: type[Any], tmp_path: Path) -> None:
    for call in (
        lambda e: e.predict(X),
        lambda e: e.evaluate(X, TASKS[task]),
        lambda e: e.save(tmp_path / "m"),
    ):
        with pytest.raises(NotFittedError, match=f"this {task.__name__} is not fitted yet"):
            call(small(task))
