"""Tasks on sequences of any kind: a class, numbers, or a class for every step."""

from fastrnn.tasks.sequence_classifier import SequenceClassifier
from fastrnn.tasks.sequence_regressor import SequenceRegressor
from fastrnn.tasks.sequence_tagger import SequenceTagger

__all__ = ["SequenceClassifier", "SequenceRegressor", "SequenceTagger"]
