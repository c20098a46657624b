"""What estimators of classes share, whatever their input: labels, probabilities, calibration, evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin

from fastrnn._checks import check_bool
from fastrnn._types import Array
from fastrnn.layers.base import Layer
from fastrnn.layers.sequential import Sequential
from fastrnn.losses import cross_entropy
from fastrnn.tasks._classes import (
    calibrating_temperature,
    check_labels,
    class_weights,
    classes_from_dict,
    classes_to_dict,
    encode_classes,
    held_out_count,
)
from fastrnn.tasks._evaluation import ClassificationEvaluation, evaluate_classes
from fastrnn.tasks._supervised import Prepare, SupervisedEstimator

__all__ = ["SupervisedClassifier", "TellsClasses"]


class TellsClasses(SupervisedEstimator):
    """Answers with one of some classes, be it for a sequence or for each step."""

    _unit: ClassVar[str] = "nats"
    _items: ClassVar[str] = "sequence"

    class_weight: str | Mapping[Any, float] | None
    calibrate: bool

    classes_: NDArray[Any]
    temperature_: float

    def _check_calibration(self, rows: int) -> None:
        check_bool("calibrate", self.calibrate)
        if self.calibrate and not held_out_count(rows, self.validation_fraction):
            raise ValueError(
                "calibrate=True needs at least 10 held-out rows: "
                f"validation_fraction={self.validation_fraction} of {rows} rows are too few"
            )

    def _probabilities(self, logits: Array) -> NDArray[np.float64]:
        """Softmax of logits ``[..., C]`` over the temperature."""
        exact: NDArray[np.float64] = softmax(logits.astype(np.float64) / self.temperature_, axis=-1)
        return exact

    def _evaluate_labels(
        self, labels: NDArray[Any], predicted: NDArray[np.float64]
    ) -> ClassificationEvaluation:
        if (labels.dtype.kind in "US") != (self.classes_.dtype.kind in "US"):
            kind = self.classes_.dtype
            raise ValueError(
                f"y holds {labels.dtype} labels such as {labels.tolist()[0]!r}, the classes are {kind}"
            )
        return evaluate_classes(labels, predicted, self.classes_)

    # Files

    def _settings(self) -> dict[str, Any]:
        settings = super()._settings()
        if isinstance(self.class_weight, Mapping):
            # The keys of a JSON object are strings, which labels need not be.
            names = np.asarray(list(self.class_weight)).tolist()
            pairs = zip(names, self.class_weight.values(), strict=True)
            settings["class_weight"] = [[name, float(weight)] for name, weight in pairs]
        return settings

    def _fitted_metadata(self) -> dict[str, Any]:
        return {"classes": classes_to_dict(self.classes_), "temperature": self.temperature_}

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        self.classes_ = classes_from_dict(content["classes"])
        self.temperature_ = float(content["temperature"])
        pairs: Any = self.class_weight
        if isinstance(pairs, list):
            self.class_weight = dict(pairs)


class SupervisedClassifier(ClassifierMixin, TellsClasses):  # type: ignore[misc]
    """A class for each sequence."""

    def _fit_classes(
        self,
        sequences: Sequence[Array],
        y: Any,
        *,
        reader: Callable[[int], list[Layer]],
        width: int,
        pooling: str,
        completed: Callable[[Sequential], Sequential] | None = None,
        prepare: Callable[[NDArray[np.int64]], Sequence[Array]] | None = None,
        resume: bool,
        learned: Callable[[], None],
    ) -> None:
        """Train as `_fit_network` does, to tell the classes of `y` apart.

        `prepare` gives just the sequences here. With `calibrate`, the held-out part decides about the
        temperature after training; an interrupted training leaves it at 1.
        """
        classes, indices = encode_classes(y, len(sequences))
        weights = class_weights(self.class_weight, classes, indices)
        self._check_calibration(len(sequences))
        read = sequences

        def prepared(rows: NDArray[np.int64]) -> tuple[Sequence[Array], Array]:
            nonlocal read
            if prepare is not None:
                read = prepare(rows)
            return read, indices

        def learn() -> None:
            self.classes_, self.temperature_ = classes, 1.0
            learned()

        prepares: Prepare = prepared
        held_out = self._fit_network(
            sequences,
            indices,
            partial(cross_entropy, class_weight=weights),
            reader=reader,
            width=width,
            outputs=len(classes),
            pooling=pooling,
            completed=completed,
            strata=indices,
            prepare=prepares,
            resume=resume,
            learned=learn,
        )
        if self.calibrate:
            logits = self._answers([read[i] for i in held_out])
            self.temperature_ = calibrating_temperature(logits, indices[held_out])

    def _logits(self, X: Any) -> Array:
        logits: Array = self._answers(self._encoded(X))
        return logits

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class.

        Parameters
        ----------
        X : N sequences
            As for `fit`.

        Returns
        -------
        float64 array, [N, C]
            Columns are in the order of `classes_`. A row does not depend on the other rows.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError, TypeError
            As `fit`, or if X is of another kind than what the estimator was fitted on.
        """
        self._check_fitted()
        return self._probabilities(self._logits(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Likeliest class.

        Parameters
        ----------
        X : N sequences
            As for `fit`.

        Returns
        -------
        array, [N]
            Of the labels' type.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `predict_proba`.
        """
        likeliest = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[likeliest]
        return labels

    def evaluate(self, X: Any, y: Any) -> ClassificationEvaluation:
        """Judge the predictions for sequences whose classes are known.

        Parameters
        ----------
        X : N sequences
            As for `fit`; not those that were trained on.
        y : array_like, [N]
            A label that is not in `classes_` counts as an error.

        Returns
        -------
        ClassificationEvaluation
            Accuracy, macro-F1, log loss, confusion matrix and figures of each class; ``str()`` is a table.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError, TypeError
            As `predict_proba`, or if `y` does not fit.
        """
        predicted = self.predict_proba(X)
        return self._evaluate_labels(check_labels(y, len(predicted)), predicted)
