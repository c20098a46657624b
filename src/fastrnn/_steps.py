"""One mini-batch through a model: what batches, models and losses look like to the training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastrnn._types import Array
from fastrnn.data.batching import IGNORED_TARGET

__all__ = ["Sample", "call_model", "evaluate_batches", "iterate", "unpack"]


class Sample(NamedTuple):
    """A batch taken apart."""

    x: Any
    y: Any
    model: dict[str, Any]
    """Keyword arguments of the model: lengths, resets."""
    loss: dict[str, Any]
    """Keyword arguments of the loss: all the rest, such as weight."""

    @property
    def targets(self) -> float:
        """How much the batch weighs in a mean over batches: its targets, or the sum of their weights."""
        y = np.asarray(self.y)
        counted = y != IGNORED_TARGET if y.dtype.kind in "iu" else np.ones(y.shape, bool)
        if "weight" not in self.loss:
            return float(np.count_nonzero(counted))
        weight = np.asarray(self.loss["weight"])
        # As in the losses, weight may lack the last axes of the targets.
        return float((weight.reshape(weight.shape + (1,) * (y.ndim - weight.ndim)) * counted).sum())


def unpack(batch: Any) -> Sample:
    """Take a batch apart: ``(x, y)``, a mapping, or a named tuple with x, y and further fields."""
    if hasattr(batch, "_asdict"):
        batch = batch._asdict()
    if isinstance(batch, Mapping):
        fields = {name: value for name, value in batch.items() if value is not None}
        if "x" not in fields or "y" not in fields:
            raise ValueError(f"a batch must have x and y, got the fields {sorted(fields)}")
        x, y = fields.pop("x"), fields.pop("y")
        model = {name: fields.pop(name) for name in ("lengths", "resets") if name in fields}
        return Sample(x, y, model, fields)
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return Sample(batch[0], batch[1], {}, {})
    given = type(batch).__name__ + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
    raise TypeError(f"a batch must be (x, y), a dict or a fastrnn.data.Batch, got {given}")


def call_model(model: Any, sample: Sample, state: Any) -> tuple[Any, Any]:
    """Output and new state; a stateless layer has the state None and takes no more than it understands."""
    if model.recurrent:
        outputs, new_state = model(sample.x, state, **sample.model)
        return outputs, new_state
    if model.uses_lengths:
        return model(sample.x, lengths=sample.model.get("lengths")), None
    return model(sample.x), None


def iterate(batches: Iterable[Any] | Callable[[int], Iterable[Any]], epoch: int) -> Iterator[Any]:
    """Give the batches of an epoch, counted from 0."""
    return iter(batches(epoch) if callable(batches) else batches)


def evaluate_batches(
    model: Any, batches: Iterable[Any], loss: Callable[..., tuple[float, Array]], carry_state: bool
) -> float:
    """Mean loss in eval mode; the mode is put back whatever happens."""
    was_training = model.training
    model.eval()
    try:
        total = count = 0.0
        state = None
        for batch in batches:
            sample = unpack(batch)
            outputs, new_state = call_model(model, sample, state)
            state = new_state if carry_state else None
            value, _ = loss(outputs, sample.y, **sample.loss)
            total += float(value) * sample.targets
            count += sample.targets
    finally:
        model.train(was_training)
    if count == 0:
        raise ValueError("batches held no target to evaluate on")
    return total / count
