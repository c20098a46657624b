"""Histories of training put together and converted."""

from __future__ import annotations

from fastrnn.training import History

__all__ = ["joined", "scaled"]


def joined(first: History, second: History) -> History:
    """Both histories one after the other, with the columns that both have."""
    result = History(**{name: [*first[name], *second[name]] for name in second if name in first})
    result.step_loss = [*first.step_loss, *second.step_loss]
    result.epoch_steps = [*first.epoch_steps, *second.epoch_steps]
    return result


def scaled(history: History, scale: float) -> History:
    """The history with its losses in another unit."""
    losses = {"loss", "val_loss"}
    result = History(
        **{
            name: [scale * value for value in values] if name in losses else values
            for name, values in history.items()
        }
    )
    result.step_loss = [scale * value for value in history.step_loss]
    result.epoch_steps = history.epoch_steps
    return result
