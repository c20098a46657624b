"""Data: texts and real sets, vocabularies, windows and mini-batches, and the n-gram baseline.

Nothing here downloads anything; sets come from installed packages (extra ``data``).
"""

from fastrnn.data.batching import Batch, SequenceBatches, batch_indices, pad_sequences, unpad_sequences
from fastrnn.data.ngram import NGramModel
from fastrnn.data.text import TextWindows, Vocabulary

__all__ = [
    "Batch",
    "NGramModel",
    "SequenceBatches",
    "TextWindows",
    "Vocabulary",
    "batch_indices",
    "pad_sequences",
    "unpad_sequences",
]
