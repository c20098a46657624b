"""SentimentClassifier as users meet it: fitting, predicting, explaining, files, and what it refuses."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score, log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fastrnn import backend, serialization
from fastrnn.layers.linear import Linear
from fastrnn.tasks import SentimentClassifier, TextGenerator
from fastrnn.tasks._text_network import WideAndDeep
from fastrnn.training import TrainingEvent, TrainingInterrupted

SMALL: dict[str, Any] = {
    "hidden_size": 8,
    "embedding_size": 8,
    "learning_rate": 0.01,
    "epochs": 3,
    "random_state": 3,
}


def examples(rows: int = 120, seed: int = 0) -> tuple[list[str], list[str]]:
    """Opinions in which the word "not" turns what is meant; a third has none."""
    rng = np.random.default_rng(seed)
    good, bad = ["good", "great", "nice", "lovely"], ["bad", "awful", "poor", "boring"]
    things, about = ["film", "phone", "hotel", "song"], ["the", "this", "that"]
    X, y = [], []
    for _ in range(rows):
        kind = rng.integers(3)
        words = [rng.choice(about), rng.choice(things), "is"]
        if kind == 2:
            words += ["on", rng.choice(["monday", "friday"])]
        else:
            turned = rng.random() < 0.3
            words += ["not"] if turned else []
            words += [rng.choice(bad if (kind == 1) == turned else good)]
        X.append(" ".join(words))
        y.append(["negative", "positive", "neutral"][kind])
    return X, y


X, Y = examples()


def small(**settings: Any) -> SentimentClassifier:
    return SentimentClassifier(**{**SMALL, **settings})


@pytest.fixture(scope="module")
def fitted() -> SentimentClassifier:
    return small(epochs=20, calibrate=True).fit(X, Y)


def assert_same_weights(first: SentimentClassifier, second: SentimentClassifier) -> None:
    a, b = first.model_.state_dict(), second.model_.state_dict()
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


# Learning


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"level": "character"},
        {"ngrams": False, "epochs": 25, "hidden_size": 32, "dropout": 0.2},
        {"cell": "lstm", "pooling": "attention", "num_layers": 2},
        {"cell": "rnn", "bidirectional": False, "pooling": "last"},
        {"pooling": "mean", "recurrent_dropout": 0.1},
    ],
    ids=str,
)
def test_learns(settings: dict[str, Any]) -> None:
    """Who knows the words but not what "not" does to them is right in .8 of the cases."""
    classifier = small(**{"epochs": 10, **settings}).fit(*examples(300))
    assert classifier.score(*examples(100, seed=1)) > 0.9


def test_seed_decides() -> None:
    first = small().fit(X, Y)
    assert_same_weights(small().fit(X, Y), first)
    other = small(random_state=4).fit(X, Y)
    assert not np.array_equal(other.predict_proba(X), first.predict_proba(X))
    again = small(random_state=None).fit(X, Y)
    assert_same_weights(small(random_state=again.seed_).fit(X, Y), again)


def test_threads_do_not_matter() -> None:
    classifiers = [small(n_threads=threads).fit(X, Y) for threads in (1, 2, 3)]
    for other in classifiers[1:]:
        assert_same_weights(other, classifiers[0])
        np.testing.assert_array_equal(other.predict_proba(X), classifiers[0].predict_proba(X))


def test_a_text_does_not_depend_on_the_others(fitted: SentimentClassifier) -> None:
    texts = [*X[:20], "", "good " * 100, "zzz", "😡"]
    together = fitted.predict_proba(texts)
    np.testing.assert_array_equal(together, np.concatenate([fitted.predict_proba([text]) for text in texts]))


def test_many_texts_are_predicted_in_parts(
    fitted: SentimentClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted.predict_proba(X)
    monkeypatch.setattr("fastrnn.tasks.sentiment._PREDICTED_AT_ONCE", 7)
    np.testing.assert_array_equal(fitted.predict_proba(X), whole)


def test_unknown_words_leave_parts_to_go_by(fitted: SentimentClassifier) -> None:
    plain, inflected, unknown = fitted.predict_proba(["great", "greatness", "xyzzy"])
    assert not np.array_equal(inflected, unknown)
    assert fitted.classes_[inflected.argmax()] == fitted.classes_[plain.argmax()] == "positive"


def test_class_weight_counts_rare_classes_more() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.1).astype(int)
    texts = [rng.choice(["yes", "no"], p=[0.7, 0.3] if label else [0.3, 0.7]) for label in y]
    assert small().fit(texts, y).predict(["yes"]) == [0]
    assert small(class_weight="balanced").fit(texts, y).predict(["yes"]) == [1]
    assert small(class_weight={1: 9.0}).fit(texts, y).predict(["yes"]) == [1]


def test_calibration_does_not_harm() -> None:
    """Labels are noisy and the network learns them by heart: it is far too sure."""
    rng = np.random.default_rng(0)

    def noisy(rows: int, seed: int) -> tuple[list[str], list[str]]:
        texts, labels = examples(rows, seed)
        return texts, [rng.choice(Y) if rng.random() < 0.4 else label for label in labels]

    train, test = noisy(300, 2), noisy(300, 3)
    plain = small(epochs=15, validation_fraction=0.3).fit(*train)
    calibrated = small(epochs=15, validation_fraction=0.3, calibrate=True).fit(*train)
    assert_same_weights(plain, calibrated)
    assert plain.temperature_ == 1 != calibrated.temperature_
    np.testing.assert_array_equal(plain.predict(test[0]), calibrated.predict(test[0]))
    losses = [log_loss(test[1], model.predict_proba(test[0])) for model in (plain, calibrated)]
    assert losses[1] < losses[0]


def test_held_out_part_keeps_the_best_weights() -> None:
    history = small(epochs=6, validation_fraction=0.2).fit(X, Y).history_
    assert history.best_epoch == int(np.argmin(history["val_loss"])) + 1
    assert small(epochs=1).fit(X[:20], Y[:20]).history_.best_epoch is None  # 2 rows would be too few


def test_budgets() -> None:
    classifier = small(epochs=None, max_seconds=1e-6).fit(X, Y)
    assert classifier.history_.stopped == "max_seconds"
    stopped = small(epochs=200, patience=1, learning_rate=0.1).fit(X, Y)
    assert len(stopped.history_["loss"]) < 200


def test_progress_is_told_and_can_stop() -> None:
    seen: list[TrainingEvent] = []

    def watch(event: TrainingEvent) -> bool:
        seen.append(event)
        return event.kind == "epoch"

    assert len(small(progress=watch).fit(X, Y).history_["loss"]) == 1
    assert seen[-1].kind == "epoch"


# Labels and texts of all kinds


@pytest.mark.parametrize(
    "labels",
    [
        ["no", "yes", "may be"],
        [0, 1, 2],
        [-5, 10**12, 7],
        [True, False, True],
        np.array([b"a", b"b", b"c"]).astype("U"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("error")
def test_labels_of_any_type_come_back(labels: Any, tmp_path: Path) -> None:
    y = np.array([labels[["negative", "neutral", "positive"].index(name)] for name in Y])
    classifier = small(epochs=12).fit(X, y)
    np.testing.assert_array_equal(classifier.classes_, np.unique(labels))
    predicted = classifier.predict(X)
    assert predicted.dtype == y.dtype and np.mean(predicted == y) > 0.9
    classifier.save(tmp_path / "m")
    again = SentimentClassifier.load(tmp_path / "m").predict(X)
    assert again.dtype == predicted.dtype
    np.testing.assert_array_equal(again, predicted)


def test_texts_of_any_container(fitted: SentimentClassifier) -> None:
    expected = fitted.predict_proba(X)
    for given in (
        tuple(X),
        np.array(X),
        np.array(X, object)[:, None],
        pd.Series(X, index=range(5, 5 + len(X))),
        pd.Series(X, dtype="string"),
        pd.DataFrame({"text": X}),
        [[text] for text in X],
        (text for text in X),
    ):
        np.testing.assert_array_equal(fitted.predict_proba(given), expected)
    assert_same_weights(small().fit(pd.Series(X), pd.Series(Y, dtype="category")), small().fit(X, Y))


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ("a text", TypeError, r"single str: pass \[text\]"),
        (b"a text", TypeError, "single bytes"),
        (None, TypeError, "got NoneType"),
        (3, TypeError, "got int"),
        ({"a": "b"}, TypeError, "got dict"),
        ([], ValueError, "at least one text"),
        (pd.Series([], dtype=str), ValueError, "at least one text"),
        (["a", None], ValueError, "row 1 is None"),
        (["a", float("nan")], ValueError, "row 1 is nan"),
        (pd.Series(["a", pd.NA], dtype="string"), ValueError, "row 1 is <NA>"),
        (["a", 3], TypeError, r"row 1 is 3 \(int\)"),
        (["a", b"b"], TypeError, "row 1 is bytes"),
        (np.zeros((2, 1)), TypeError, "row 0 is 0.0"),
        (np.array([["a", "b"]]), ValueError, r"one text a row, got \(1, 2\)"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, "one text a row"),
    ],
    ids=repr,
)
def test_bad_texts(fitted: SentimentClassifier, given: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        fitted.predict(given)
    with pytest.raises(error, match=match):
        small().fit(given, ["a", "b"])


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (None, "y must hold the class of every row"),
        (["a"], "as many entries as X has rows, 2; got 1"),
        (["a", None], r"y\[1\] is None"),
        ([0.0, float("nan")], "must not hold missing"),
        (["a", 1], "of one type, got int, str"),
        (["a", "a"], "at least two classes"),
        ([0.3, 0.7], "continuous"),
    ],
    ids=str,
)
def test_bad_labels(y: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        small().fit(["good", "bad"], y if y != ["a", 1] else np.array(y, object))


def test_one_row() -> None:
    with pytest.raises(ValueError, match="at least two classes"):
        small().fit(["good"], ["positive"])


def test_texts_without_anything_to_learn() -> None:
    with pytest.raises(ValueError, match="no token of X occurs in min_count=1 texts"):
        small().fit(["", " \n"], [0, 1])
    with pytest.raises(ValueError, match="no token of X occurs in min_count=9 texts"):
        small(min_count=9).fit(["a", "b"], [0, 1])


def test_two_rows_are_enough() -> None:
    classifier = small(epochs=20).fit(["good", "bad"], [1, 0])
    assert classifier.predict(["good", "bad"]).tolist() == [1, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        "\ud800",
        "\u202e",
        "👩‍👩‍👧‍👦" * 9,
        "a" * 5000,
        "'" * 5000,
        ":-" * 5000,
        "ȷ\u0301" * 99,
        "漢字" * 999,
    ],
    ids=ascii,
)
def test_any_text_is_predicted_and_explained(fitted: SentimentClassifier, text: str) -> None:
    assert np.isfinite(fitted.predict_proba([text])).all()
    explanation = fitted.explain(text)
    assert len(explanation.words) <= fitted.max_tokens
    assert str(explanation) and explanation.html()
    small(epochs=1).fit([*X, text], [*Y, "neutral"])


def test_a_text_of_100_mb(fitted: SentimentClassifier) -> None:
    """Only its beginning is read: it costs what that costs."""
    huge = "this film is not good. " * 4_500_000
    assert len(huge) > 100_000_000
    beginning = huge[: fitted.max_tokens * 24]
    np.testing.assert_array_equal(fitted.predict_proba([huge]), fitted.predict_proba([beginning]))
    assert len(fitted.explain(huge).html()) < 200_000
    assert_same_weights(
        small(epochs=1).fit([*X, huge], [*Y, "neutral"]),
        small(epochs=1).fit([*X, beginning], [*Y, "neutral"]),
    )


# Settings


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"level": "sentence"}, ValueError),
        ({"max_vocabulary": 0}, ValueError),
        ({"min_count": 0}, ValueError),
        ({"max_tokens": 1.5}, TypeError),
        ({"ngrams": "yes"}, TypeError),
        ({"cell": "transformer"}, ValueError),
        ({"num_layers": 0}, ValueError),
        ({"hidden_size": -1}, ValueError),
        ({"bidirectional": 2}, TypeError),
        ({"embedding_size": "64"}, TypeError),
        ({"pooling": "min"}, ValueError),
        ({"dropout": 1.0}, ValueError),
        ({"token_dropout": -0.1}, ValueError),
        ({"recurrent_dropout": 1.0}, ValueError),
        ({"class_weight": "even"}, ValueError),
        ({"class_weight": {"unknown": 1.0}}, ValueError),
        ({"calibrate": 1}, TypeError),
        ({"calibrate": True, "validation_fraction": 0.01}, ValueError),
        ({"batch_size": 0}, ValueError),
        ({"epochs": 0}, ValueError),
        ({"max_seconds": 0.0}, ValueError),
        ({"learning_rate": 0.0}, ValueError),
        ({"optimizer": "newton"}, ValueError),
        ({"schedule": "sine"}, ValueError),
        ({"weight_decay": -1.0}, ValueError),
        ({"clip_norm": 0.0}, ValueError),
        ({"validation_fraction": 1.0}, ValueError),
        ({"patience": 0}, ValueError),
        ({"random_state": -1}, ValueError),
        ({"n_threads": 0}, ValueError),
    ],
    ids=str,
)
def test_bad_settings(settings: dict[str, Any], error: type[Exception]) -> None:
    name = next(iter(settings))
    with pytest.raises(error, match="Seed|seed" if name == "random_state" else name):
        small(**settings).fit(X, Y)


def test_bounded_vocabulary() -> None:
    features = small(epochs=1, max_vocabulary=5, max_tokens=3).fit(X, Y).features_
    assert all(len(ids) <= 3 for ids in features.encode(X))
    assert features.embedded_size <= 1 + 3 * 5


# scikit-learn


def test_init_stores_its_arguments_unchecked() -> None:
    settings = {name: object() for name in SentimentClassifier().get_params()}
    assert SentimentClassifier(**settings).get_params() == settings


def test_clone_is_unfitted(fitted: SentimentClassifier) -> None:
    again = clone(fitted)
    assert again.get_params() == fitted.get_params() and not hasattr(again, "model_")
    with pytest.raises(NotFittedError):
        again.predict(X)


@pytest.mark.parametrize(
    "use",
    [
        lambda classifier: classifier.predict(X),
        lambda classifier: classifier.predict_proba(X),
        lambda classifier: classifier.evaluate(X, Y),
        lambda classifier: classifier.explain("a"),
        lambda classifier: classifier.quantize("int8"),
        lambda classifier: classifier.save("m"),
        lambda classifier: classifier.plot_history(),
    ],
)
def test_unfitted(use: Any) -> None:
    with pytest.raises(NotFittedError, match="SentimentClassifier is not fitted"):
        use(small())


def test_model_selection() -> None:
    search = GridSearchCV(small(), {"hidden_size": [4, 8], "ngrams": [True]}, cv=2).fit(X, Y)
    assert search.best_params_["hidden_size"] in (4, 8)
    assert len(cross_val_score(small(), np.array(X), np.array(Y), cv=3)) == 3
    lower = FunctionTransformer(lambda texts: [text.upper() for text in texts])
    pipeline = make_pipeline(lower, small(epochs=10)).fit(X, Y)
    assert pipeline.score(X, Y) > 0.8


def test_evaluation(fitted: SentimentClassifier) -> None:
    texts, labels = examples(60, seed=5)
    result = fitted.evaluate(texts, labels)
    predicted = fitted.predict(texts)
    assert result.accuracy == fitted.score(texts, labels) == np.mean(predicted == np.array(labels))
    assert result.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert result.log_loss == pytest.approx(log_loss(labels, fitted.predict_proba(texts)))
    assert result.confusion.to_numpy().sum() == result.rows == 60
    assert list(result.per_class.index) == fitted.classes_.tolist()
    assert "confusion" in str(result)
    with pytest.raises(ValueError, match="as many entries as X has rows"):
        fitted.evaluate(texts, labels[1:])


# Explaining


@pytest.mark.parametrize("ngrams", [True, False])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_contributions_add_up(ngrams: bool, cell: str) -> None:
    classifier = small(epochs=8, ngrams=ngrams, cell=cell, recurrent_dropout=0.2).fit(X, Y)
    for text in ["the film is not good", "awful", "", "xyzzy is lovely lovely :-)"]:
        for label in classifier.classes_:
            explained = classifier.explain(text, label)
            total = explained.baseline + sum(word.contribution for word in explained.words)
            assert total == pytest.approx(explained.log_odds, abs=0.01)
            p = classifier.predict_proba([text])[0, classifier.classes_.tolist().index(label)]
            assert explained.probability == p
            assert explained.log_odds == pytest.approx(np.log(p / (1 - p)), abs=1e-4)  # not calibrated


def test_words_are_explained_as_they_were_learned(fitted: SentimentClassifier) -> None:
    by_word = {word.word: word.contribution for word in fitted.explain("the film is awful").words}
    assert max(by_word, key=lambda word: by_word[word]) == "awful"
    against = {word.word: word.contribution for word in fitted.explain("film is awful", "positive").words}
    assert min(against, key=lambda word: against[word]) == "awful"


def test_explained_words_are_places_in_the_text(fitted: SentimentClassifier) -> None:
    text = "  This film,\n isn't 👍🏽 GOOD!!! "
    words = fitted.explain(text).words
    assert [word.word for word in words] == ["This", "film", ",", "isn't", "👍🏽", "GOOD", "!!!"]
    assert all(text[word.start : word.end] == word.word for word in words)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        assert {name for name, _ in attrs} <= {"title", "style"}

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def test_html_holds_the_text_and_nothing_of_it_is_markup() -> None:
    label = '<b>&"good"'
    classifier = small(epochs=1).fit(X, [label if name == "positive" else name for name in Y])
    text = """<script>alert("x")</script> good & 'bad' <img src=x onerror=alert(1)> &lt; """
    page = classifier.explain(text, label).html()
    reader = _Text()
    reader.feed(page)
    assert reader.tags == {"div", "span", "strong"}
    assert text in "".join(reader.parts) and html.escape(label) in page
    assert not re.search(r"<(script|img)", page)


def test_explanation_as_text_and_picture(fitted: SentimentClassifier, tmp_path: Path) -> None:
    text = "this $film$ is not good " * 12
    explained = fitted.explain(text)
    lines = str(explained).splitlines()
    assert lines[0].startswith(f"{explained.label}: probability 0.") and len(lines) == 1 + len(
        explained.words
    )
    figure = explained.plot(tmp_path / "words.png")
    assert (tmp_path / "words.png").stat().st_size > 1000
    assert len(figure.axes[0].patches) == 30
    assert len(fitted.explain("").plot().axes[0].patches) == 0


def test_bad_explanations(fitted: SentimentClassifier) -> None:
    with pytest.raises(TypeError, match="text must be a str, got list"):
        fitted.explain(["good"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"label must be one of \['negative', 'neutral', 'positive'\]"):
        fitted.explain("good", "great")


# Weights in fewer bits


@pytest.mark.parametrize("format", ["bfloat16", "int8"])
def test_quantized(fitted: SentimentClassifier, format: str, tmp_path: Path) -> None:
    before = fitted.predict_proba(X)
    quantized = fitted.quantize(format)
    after = quantized.predict_proba(X)
    assert 0 < np.abs(after - before).max() < 0.05
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    assert quantized.explain("not good").label == fitted.explain("not good").label
    quantized.save(tmp_path / "m")
    np.testing.assert_array_equal(SentimentClassifier.load(tmp_path / "m").predict_proba(X), after)


def test_what_cannot_be_quantized(fitted: SentimentClassifier) -> None:
    with pytest.raises(ValueError, match="int4"):
        fitted.quantize("int4")


# Files


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"level": "character", "ngrams": False},
        {"class_weight": {"neutral": 2.0}, "calibrate": True},
        {"num_layers": 2, "cell": "lstm", "pooling": "attention"},
    ],
    ids=str,
)
def test_save_and_load(settings: dict[str, Any], tmp_path: Path) -> None:
    classifier = small(**settings).fit(X, Y)
    classifier.save(tmp_path / "m", {"column": "text"})
    again = SentimentClassifier.load(tmp_path / "m")
    assert_same_weights(again, classifier)
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
    assert again.get_params() == classifier.get_params()
    assert dict(again.history_) == dict(classifier.history_)
    assert again.explain("not good") == classifier.explain("not good")
    assert serialization.read_metadata(tmp_path / "m")["notes"] == {"column": "text"}


def test_the_network_is_loaded_without_the_task(fitted: SentimentClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    model = serialization.load(tmp_path / "m")
    assert isinstance(model[0], WideAndDeep)


def test_load_refuses_other_files(
    fitted: SentimentClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = TextGenerator(hidden_size=4, seq_len=4, epochs=1, random_state=0).fit("abc " * 20)
    generator.save(tmp_path / "generator")
    with pytest.raises(ValueError, match="holds a TextGenerator, not a SentimentClassifier"):
        SentimentClassifier.load(tmp_path / "generator")
    serialization.save(Linear(2, 2, seed=0), tmp_path / "layer")
    with pytest.raises(ValueError, match="a model without a task"):
        SentimentClassifier.load(tmp_path / "layer")
    (tmp_path / "text").write_text("text,label\ngood,1\n")
    with pytest.raises(ValueError):
        SentimentClassifier.load(tmp_path / "text")
    monkeypatch.setattr(SentimentClassifier, "_file_version", 2)
    fitted.save(tmp_path / "newer")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="written by a newer fastrnn"):
        SentimentClassifier.load(tmp_path / "newer")


# Interruption


class CtrlC:
    """Interrupt at a step, as the user would."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self, event: TrainingEvent) -> None:
        if event.kind == "step" and event.total_steps == self.at:
            raise KeyboardInterrupt


DROPPING: dict[str, Any] = {"dropout": 0.3, "token_dropout": 0.2, "recurrent_dropout": 0.1}


def interrupted(checkpoint: Path, at: int, **settings: Any) -> SentimentClassifier:
    classifier = small(**{**DROPPING, **settings}, checkpoint=checkpoint, progress=CtrlC(at))
    with pytest.raises(TrainingInterrupted):
        classifier.fit(X, Y)
    return classifier


@pytest.mark.parametrize("at", [1, 4, 8])
def test_a_resumed_training_ends_with_the_same_weights(tmp_path: Path, at: int) -> None:
    stopped = interrupted(tmp_path / "state", at, calibrate=True)
    assert stopped.predict(X).shape == (len(X),)  # usable as far as it got
    stopped.save(tmp_path / "m")
    resumed = small(**DROPPING, calibrate=True, checkpoint=tmp_path / "state").fit(X, Y, resume=True)
    whole = small(**DROPPING, calibrate=True).fit(X, Y)
    assert_same_weights(resumed, whole)
    assert resumed.temperature_ == whole.temperature_
    assert resumed.history_["val_loss"] == whole.history_["val_loss"]


def test_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    interrupted(path, 2)
    with pytest.raises(ValueError, match=r"other settings: hidden_size=8 \(now 9\)"):
        small(**DROPPING, **{"hidden_size": 9}, checkpoint=path).fit(X, Y, resume=True)
    with pytest.raises(ValueError, match="other data"):
        small(**DROPPING, checkpoint=path).fit(X[::-1], Y[::-1], resume=True)
    with pytest.raises(ValueError, match="resume=True needs the parameter checkpoint"):
        small().fit(X, Y, resume=True)


def test_the_reference_backend_agrees() -> None:
    classifier = small(epochs=1).fit(X, Y)
    expected = classifier.predict_proba(X[:20])
    with backend.use_backend("reference"):
        np.testing.assert_allclose(classifier.predict_proba(X[:20]), expected, atol=1e-5)


def test_history_is_drawn(fitted: SentimentClassifier, tmp_path: Path) -> None:
    fitted.plot_history(tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 1000
