"""What `evaluate` of the tasks on sequences returns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    precision_recall_fscore_support,
    r2_score,
)

from fastrnn._types import Array
from fastrnn.errors import require
from fastrnn.plot import new_axes, save_figure

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = [
    "ClassificationEvaluation",
    "RegressionEvaluation",
    "TranscriptionEvaluation",
    "edit_distance",
    "evaluate_classes",
    "evaluate_regression",
    "evaluate_transcriptions",
]


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


@dataclass(frozen=True)
class TranscriptionEvaluation:
    """How well label sequences are read. ``str()`` is a line for people, `to_dict` for machines."""

    rows: int
    """Sequences that were judged."""
    labels: int
    """Labels that they have."""
    label_error_rate: float
    """Labels that were left out, put in or taken for others (edit distance), over the labels there are."""
    sequence_accuracy: float
    """Share of the sequences without any error."""

    def to_dict(self) -> dict[str, Any]:
        """All figures in types that JSON has."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.rows:,} sequences, {self.labels:,} labels: label error rate {self.label_error_rate:.4f}, "
            f"{self.sequence_accuracy:.3f} of the sequences without an error"
        )


def evaluate_transcriptions(true: Sequence[Any], predicted: Sequence[Any]) -> TranscriptionEvaluation:
    """Judge label sequences against the true ones."""
    errors = [edit_distance(list(a), list(b)) for a, b in zip(true, predicted, strict=True)]
    labels = sum(map(len, true))
    return TranscriptionEvaluation(
        rows=len(errors),
        labels=labels,
        label_error_rate=sum(errors) / max(1, labels),
        sequence_accuracy=errors.count(0) / max(1, len(errors)),
    )


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Fewest insertions, deletions and substitutions that make one sequence the other (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


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


@dataclass(frozen=True)
class RegressionEvaluation:
    """How well numbers are predicted. ``str()`` is a table for people, `to_dict` one for machines."""

    rows: int
    """Sequences that were judged."""
    mae: float
    """Mean absolute error, in units of the targets; of several targets the mean."""
    rmse: float
    """Root of the mean squared error, likewise."""
    r2: float
    """Part of the variance here that is explained; NaN for a single row."""
    mean_mae: float
    """`mae` of always predicting the mean of the training: what to be compared with."""
    mean_rmse: float
    """`rmse` of that."""
    true: NDArray[np.float64]
    """``[rows]`` or ``[rows, K]``."""
    predicted: NDArray[np.float64]
    """Likewise."""

    def to_dict(self) -> dict[str, Any]:
        """All figures in types that JSON has."""
        names = ("rows", "mae", "rmse", "r2", "mean_mae", "mean_rmse")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        return (
            f"{self.rows:,} rows\n\n"
            f"{'':22}{'MAE':>10}{'RMSE':>10}{'R2':>8}\n"
            f"{'model':22}{self.mae:10.4g}{self.rmse:10.4g}{self.r2:8.3f}\n"
            f"{'mean of the training':22}{self.mean_mae:10.4g}{self.mean_rmse:10.4g}"
        )

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw predicted against true numbers.

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
        axes = new_axes(5.0, 4.5)
        true, predicted = (a.reshape(len(a), -1) for a in (self.true, self.predicted))
        for k in range(true.shape[1]):
            axes.scatter(true[:, k], predicted[:, k], s=12, alpha=0.6, label=f"target {k}")
        ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
        axes.plot(ends, ends, color="grey", linewidth=1, zorder=0)
        if 1 < true.shape[1] <= 10:
            axes.legend(frameon=False)
        axes.set_xlabel("true")
        axes.set_ylabel("predicted")
        axes.set_title(f"MAE {self.mae:.4g}, R2 {self.r2:.3f}", fontsize=10)
        if path is not None:
            save_figure(axes, path)
        return axes.figure  # type: ignore[return-value]  # of new axes, not a subfigure


def evaluate_regression(
    true: NDArray[np.float64], predicted: NDArray[np.float64], mean: NDArray[np.float64]
) -> RegressionEvaluation:
    """Judge predictions, ``[n]`` or ``[n, K]``, beside the `mean`, ``[K]``, of the training."""
    constant = np.broadcast_to(mean if true.ndim == 2 else mean[0], true.shape)

    def errors(answers: NDArray[np.float64]) -> tuple[float, float]:
        squared = mean_squared_error(true, answers, multioutput="raw_values")
        return float(mean_absolute_error(true, answers)), float(np.sqrt(squared).mean())

    return RegressionEvaluation(
        len(true),
        *errors(predicted),
        float(r2_score(true, predicted)) if len(true) > 1 else float("nan"),
        *errors(constant),
        true,
        predicted,
    )
