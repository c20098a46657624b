"""What `evaluate` of a classifier returns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

from fastrnn._types import Array
from fastrnn.errors import require
from fastrnn.plot import new_axes, save_figure

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["ClassificationEvaluation", "evaluate_classes"]


@dataclass(frozen=True)
class ClassificationEvaluation:
    """How well classes are predicted. ``str()`` is a table for people, `to_dict` one for machines."""

    rows: int
    """Targets that were judged."""
    accuracy: float
    """Share of right predictions."""
    macro_f1: float
    """Mean over the classes of the harmonic mean of precision and recall."""
    log_loss: float
    """Mean negative logarithm of the probability given to the right class, in nats."""
    majority: float
    """Accuracy of always answering the class that is most frequent here: what to be compared with."""
    confusion: pandas.DataFrame
    """Counts: a row for each true class, a column for each predicted one."""
    per_class: pandas.DataFrame
    """``precision``, ``recall``, ``f1`` and ``support`` (targets of it) of each class."""

    def to_dict(self) -> dict[str, Any]:
        """Everything in types that JSON has."""
        return {
            "rows": self.rows,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "log_loss": self.log_loss,
            "majority": self.majority,
            "classes": [str(label) for label in self.per_class.index],
            "confusion": self.confusion.to_numpy().tolist(),
            "per_class": {str(label): row for label, row in self.per_class.to_dict("index").items()},
        }

    def __str__(self) -> str:
        head = (
            f"{self.rows:,} rows: accuracy {self.accuracy:.3f} (most frequent class {self.majority:.3f}), "
            f"macro-F1 {self.macro_f1:.3f}, log loss {self.log_loss:.3f}"
        )
        table = self.per_class.to_string(float_format=lambda value: f"{value:.3f}")
        return (
            f"{head}\n\n{table}\n\nconfusion (rows: true, columns: predicted)\n{self.confusion.to_string()}"
        )

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the confusion matrix: counts, coloured by the share of the true class.

        Parameters
        ----------
        path : path-like, optional
            Image file to write; the suffix decides the format.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        counts = self.confusion.to_numpy()
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        names = [str(label) for label in self.confusion.index]
        size = 2.6 + 0.55 * len(names)
        axes = new_axes(size + 0.8, size)
        image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
        for i, row in enumerate(counts):
            for j, count in enumerate(row):
                colour = "white" if shares[i, j] > 0.6 else "black"
                axes.text(j, i, f"{count:,}", ha="center", va="center", color=colour, fontsize=9)
        axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 4 else 0)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(f"accuracy {self.accuracy:.3f}, macro-F1 {self.macro_f1:.3f}", fontsize=10)
        bar = axes.figure.colorbar(image, ax=axes, shrink=0.8)
        bar.set_label("share of the true class")
        if path is not None:
            save_figure(axes, path)
        return axes.figure  # type: ignore[return-value]  # of new axes, not a subfigure


def evaluate_classes(
    true: NDArray[Any], probabilities: Array, classes: NDArray[Any]
) -> ClassificationEvaluation:
    """Judge probabilities, ``[n, C]``, of the classes against the true labels, ``[n]``.

    A label outside `classes` counts as a wrong prediction and is left out of the log loss.
    """
    pandas = require("pandas", "tasks")
    predicted = classes[probabilities.argmax(axis=1)]
    labels = np.unique(np.concatenate([classes, true]))
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=labels, zero_division=0.0
    )
    known = np.isin(true, classes)
    columns = {"precision": precision, "recall": recall, "f1": f1, "support": support}
    counts = np.unique(true, return_counts=True)[1]
    loss = (
        log_loss(true[known], probabilities[known].astype(np.float64), labels=classes)
        if known.any()
        else np.nan
    )
    return ClassificationEvaluation(
        rows=len(true),
        accuracy=float(accuracy_score(true, predicted)),
        macro_f1=float(f1_score(true, predicted, average="macro", zero_division=0.0)),
        log_loss=float(loss),
        majority=float(counts.max() / len(true)),
        confusion=pandas.DataFrame(
            confusion_matrix(true, predicted, labels=labels), index=labels, columns=labels
        ),
        per_class=pandas.DataFrame(columns, index=labels),
    )
