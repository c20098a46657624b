"""Histories of training put together."""

from __future__ import annotations

from fastrnn.training import History

__all__ = ["joined"]


def joined(first: History, second: History) -> History:
    """Both histories one after the other, with the columns that both have."""
    result = History(**{name: [*first[name], *second[name]] for name in second if name in first})
    result.step_loss = [*first.step_loss, *second.step_loss]
    result.epoch_steps = [*first.epoch_steps, *second.epoch_steps]
    return result
