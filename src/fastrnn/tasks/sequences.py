"""Tasks on sequences of any kind: a class, numbers, a class for every step, or labels without alignment."""

from fastrnn.tasks.sequence_classifier import SequenceClassifier
from fastrnn.tasks.sequence_regressor import SequenceRegressor
from fastrnn.tasks.sequence_tagger import SequenceTagger
from fastrnn.tasks.sequence_transcriber import SequenceTranscriber

__all__ = ["SequenceClassifier", "SequenceRegressor", "SequenceTagger", "SequenceTranscriber"]
