"""The state of a training between two steps, and the file it is continued from.

One safetensors file. Arrays: ``model.*`` the weights, ``best.*`` the best ones so far, ``optimizer.*``,
``schedule.*``, ``carried.*`` the recurrent state between two windows, ``history.*``, ``sums`` (what the
running epoch has added up). Metadata: everything that is not an array.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastrnn._history import History
from fastrnn._types import Array
from fastrnn.serialization import load_arrays, save_arrays

__all__ = ["TrainingState", "load_checkpoint", "restore_rngs", "rng_states", "save_checkpoint"]

_KIND = "fastrnn training checkpoint"


@dataclass
class TrainingState:
    """Everything about a training that is not in the model, optimizer and schedule."""

    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Finished steps of the running epoch."""
    loss_sum: float = 0.0
    """Sum of the losses of this epoch's steps, each times the count of its targets."""
    target_count: float = 0.0
    norm_sum: float = 0.0
    seconds: float = 0.0
    """Time spent on this epoch."""
    seconds_before: float = 0.0
    """Time spent on the finished epochs."""
    bad_epochs: int = 0
    """Epochs since the validation loss was lowest."""
    best_loss: float | None = None
    best_weights: dict[str, Array] | None = None
    last_lr: float = 0.0
    """Learning rate of the last step."""
    carried: Any = None
    """Recurrent state for the next window."""
    history: History = field(default_factory=History)


_NUMBERS = ("loss_sum", "target_count", "norm_sum", "seconds", "seconds_before", "last_lr")
_COUNTS = ("epoch", "step", "bad_epochs")


def rng_states(model: Any) -> dict[str, Any]:
    """States of all random generators of a model, by name."""
    return {name: rng.bit_generator.state for name, rng in model.named_rngs()}


def restore_rngs(model: Any, states: Mapping[str, Any]) -> None:
    """Set the states that `rng_states` gave."""
    for name, rng in model.named_rngs():
        rng.bit_generator.state = states[name]


def save_checkpoint(
    path: str | os.PathLike[str],
    state: TrainingState,
    model: Any,
    optimizer: Any,
    schedule: Any,
    extra: Mapping[str, Any],
) -> None:
    """Write everything from which `load_checkpoint` continues to the same bits."""
    arrays: dict[str, Any] = {f"model.{name}": value for name, value in model.state_dict().items()}
    arrays.update({f"best.{name}": value for name, value in (state.best_weights or {}).items()})
    carried: list[Array] = []
    numbers: dict[str, dict[str, Any]] = {}
    for part, owner in (("optimizer", optimizer), ("schedule", schedule)):
        numbers[part] = {}
        for name, value in ({} if owner is None else owner.state_dict()).items():
            if isinstance(value, np.ndarray):
                arrays[f"{part}.{name}"] = value
            else:
                numbers[part][name] = value
    history = state.history
    metadata = {
        "kind": _KIND,
        "classes": {"optimizer": _class_name(optimizer), "schedule": _class_name(schedule)},
        "numbers": numbers,
        "counts": {name: getattr(state, name) for name in _COUNTS},
        "carried": _flatten(state.carried, carried),
        "rngs": {name: _plain(value) for name, value in rng_states(model).items()},
        "columns": list(history),
        "best_epoch": history.best_epoch,
        "extra": dict(extra),
    }
    arrays.update({f"carried.{i}": value for i, value in enumerate(carried)})
    arrays.update({f"history.{name}": np.array(values, np.float64) for name, values in history.items()})
    arrays["step_loss"] = np.array(history.step_loss, np.float64)
    arrays["epoch_steps"] = np.array(history.epoch_steps, np.int64)
    arrays["sums"] = np.array([getattr(state, name) for name in _NUMBERS], np.float64)
    if state.best_loss is not None:
        arrays["best_loss"] = np.float64(state.best_loss)
    save_arrays(path, arrays, metadata)


def load_checkpoint(path: str | os.PathLike[str], model: Any, optimizer: Any, schedule: Any) -> TrainingState:
    """Bring model, optimizer and schedule to the state in the file and return the rest of it.

    Raises
    ------
    ValueError
        If the file is no checkpoint or belongs to another model, optimizer or schedule.
    """
    arrays, metadata = read_checkpoint(path)
    for part, owner in (("optimizer", optimizer), ("schedule", schedule)):
        saved, given = metadata["classes"][part], _class_name(owner)
        if saved != given:
            raise ValueError(
                f"{part} must be the kind that the checkpoint {os.fspath(path)!r} was written with: "
                f"{saved}, got {given}"
            )
    names = {name for name, _ in model.named_rngs()}
    if names != set(metadata["rngs"]):
        raise ValueError(
            f"model has the random generators {sorted(names)}, the checkpoint {os.fspath(path)!r} those of "
            f"another: {sorted(metadata['rngs'])}"
        )
    model.load_state_dict(_part(arrays, "model"))  # refuses another model's weights before changing anything
    for part, owner in (("optimizer", optimizer), ("schedule", schedule)):
        if owner is not None:
            owner.load_state_dict({**metadata["numbers"][part], **_part(arrays, part)})
    restore_rngs(model, {name: _restored(value) for name, value in metadata["rngs"].items()})

    history = History(**{name: arrays[f"history.{name}"].tolist() for name in metadata["columns"]})
    history.step_loss = arrays["step_loss"].tolist()
    history.epoch_steps = arrays["epoch_steps"].tolist()
    history.best_epoch = metadata["best_epoch"]
    return TrainingState(
        **metadata["counts"],
        **dict(zip(_NUMBERS, arrays["sums"].tolist(), strict=True)),
        best_loss=float(arrays["best_loss"]) if "best_loss" in arrays else None,
        best_weights=_part(arrays, "best") or None,
        carried=_unflatten(metadata["carried"], arrays),
        history=history,
    )


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and metadata of a checkpoint file."""
    arrays, metadata = load_arrays(path)
    if metadata.get("kind") != _KIND:
        raise ValueError(f"{os.fspath(path)!r} is not a training checkpoint")
    return arrays, metadata


def _part(arrays: Mapping[str, Array], part: str) -> dict[str, Array]:
    return {name.removeprefix(part + "."): a for name, a in arrays.items() if name.startswith(part + ".")}


def _class_name(owner: Any) -> str | None:
    return None if owner is None else type(owner).__name__


def _flatten(value: Any, found: list[Array]) -> Any:
    """Structure of nested tuples with the arrays replaced by their numbers in `found`."""
    if value is None:
        return None
    if isinstance(value, (tuple, list)):
        return [_flatten(item, found) for item in value]
    found.append(np.asarray(value))
    return len(found) - 1


def _unflatten(structure: Any, arrays: Mapping[str, Array]) -> Any:
    if isinstance(structure, list):
        return tuple(_unflatten(item, arrays) for item in structure)
    return None if structure is None else arrays[f"carried.{structure}"]


def _plain(value: Any) -> Any:
    """State of a bit generator in JSON: some (MT19937, Philox, SFC64) hold arrays of unsigned integers."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    return value


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"array", "dtype"}:
            return np.array(value["array"], value["dtype"])
        return {name: _restored(item) for name, item in value.items()}
    return value
