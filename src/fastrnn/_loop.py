"""The loop inside :func:`fastrnn.training.fit`: steps, epochs, checkpoints and interruptions.

A. A step is a transaction. Until the optimizer updates the weights nothing has happened: an error or Ctrl-C
   before drops the contexts and gradients and puts the random generators back. The update itself, and
   everything recorded with it, is shielded from Ctrl-C.
B. The position (epoch, step) counts finished steps. A resumed run skips that many batches and goes on; as the
   state between two steps is all there is, it computes the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn._checkpoint import TrainingState, restore_rngs, rng_states, save_checkpoint
from fastrnn._history import History, TrainingEvent
from fastrnn._interrupt import InterruptShield
from fastrnn._steps import Sample, call_model, evaluate_batches, iterate, unpack
from fastrnn._types import Array
from fastrnn.clipping import clip_grad_norm, clip_grad_value
from fastrnn.errors import NonFiniteLossError, TrainingInterrupted

__all__ = ["Loop"]


@dataclass
class Loop:
    """One training; the fields are the checked arguments of ``fit``."""

    model: Any
    batches: Iterable[Any] | Callable[[int], Iterable[Any]]
    loss: Callable[..., tuple[float, Array]]
    optimizer: Any
    epochs: int
    schedule: Any
    schedule_per: str
    clip_norm: float | None
    clip_value: float | None
    validation: Any
    patience: int | None
    min_delta: float
    keep_best: bool
    carry_state: bool
    checkpoint: Path | None
    checkpoint_every: float | None
    checkpoint_steps: int | None
    checkpoint_extra: dict[str, Any]
    callbacks: list[Callable[[TrainingEvent], object]]
    state: TrainingState
    _shield: InterruptShield = field(default_factory=InterruptShield)
    _saved_at: float = field(default_factory=time.monotonic)

    def __call__(self) -> History:
        """Train to the end, or as far as a callback, the validation or the user wants."""
        was_training = self.model.training
        self.model.train()
        self._shield.install()
        try:
            self._epochs()
            if self.checkpoint is not None:
                self._save()
            if self.keep_best and self.state.best_weights is not None:
                with self._shield:
                    self.model.load_state_dict(self.state.best_weights)
        except KeyboardInterrupt as interrupt:
            with self._shield:
                if self.checkpoint is not None:
                    self._save()
                self._shield.drop()
            raise TrainingInterrupted(self.state.history, self.checkpoint) from interrupt
        finally:
            self._shield.remove()
            self.model.train(was_training)
        return self.state.history

    def _epochs(self) -> None:
        state = self.state
        state.history.stopped = None
        while state.epoch < self.epochs:
            if self.patience is not None and state.bad_epochs >= self.patience:
                state.history.stopped = "patience"
                return
            if self._epoch():
                state.history.stopped = "callback"
                return

    def _epoch(self) -> bool:
        """Do what is left of the running epoch; True if a callback wants to stop."""
        state = self.state
        skip, given = state.step, 0
        clock = time.perf_counter()
        for given, batch in enumerate(iterate(self.batches, state.epoch), start=1):
            if given <= skip:
                continue
            value, norm = self._step(batch, clock)
            clock = time.perf_counter()
            if self._tell(self._event("step", value, norm)):
                return True
            self._save_if_due()
        if given < skip:
            raise ValueError(f"the checkpoint lies {skip} batches into an epoch; batches gave only {given}")
        if given == 0:
            raise ValueError("batches gave no batch: there is nothing to train on")
        return self._end_of_epoch(clock)

    def _step(self, batch: Any, clock: float) -> tuple[float, float]:
        """Train on one batch: its loss, and the norm of the gradients before clipping."""
        state, model = self.state, self.model
        rngs = rng_states(model)
        try:
            sample = unpack(batch)
            model.zero_grad()
            outputs, carried = call_model(model, sample, state.carried)
            value, gradient = self.loss(outputs, sample.y, **sample.loss)
            value = float(value)
            if not math.isfinite(value):
                raise NonFiniteLossError(self._explain("the loss", value, sample))
            model.backward(gradient)
            norm = clip_grad_norm(model.parameters(), math.inf if self.clip_norm is None else self.clip_norm)
            if not math.isfinite(norm):
                raise NonFiniteLossError(self._explain("the norm of the gradients", norm, sample))
            if self.clip_value is not None:
                clip_grad_value(model.parameters(), self.clip_value)
        except BaseException:
            model.clear()
            model.zero_grad()
            restore_rngs(model, rngs)
            raise
        with self._shield:
            self.optimizer.step()
            count = sample.targets
            state.loss_sum += value * count
            state.target_count += count
            state.norm_sum += norm
            state.step += 1
            state.carried = carried if self.carry_state else None
            state.history.step_loss.append(value)
            state.last_lr = float(self.optimizer.lr)
            if self.schedule is not None and self.schedule_per == "step":
                self.schedule.step(value)
            state.seconds += time.perf_counter() - clock
        return value, norm

    def _end_of_epoch(self, clock: float) -> bool:
        """Validate and record; True if a callback wants to stop."""
        state, history = self.state, self.state.history
        row = {"loss": state.loss_sum / state.target_count if state.target_count else math.nan}
        if self.validation is not None:
            row["val_loss"] = self._validate()
        with self._shield:
            row["lr"] = state.last_lr
            row["grad_norm"] = state.norm_sum / state.step
            row["seconds"] = state.seconds + time.perf_counter() - clock
            history.append(**row)
            history.epoch_steps.append(state.step)
            if "val_loss" in row:
                self._note_best(row["val_loss"])
            if self.schedule is not None and self.schedule_per == "epoch":
                self.schedule.step(row.get("val_loss", row["loss"]))
            event = self._event("epoch", row["loss"], row["grad_norm"], row.get("val_loss"))
            event = event._replace(seconds=state.seconds_before + row["seconds"])
            state.epoch += 1
            state.seconds_before += row["seconds"]
            state.step, state.carried = 0, None
            state.loss_sum = state.target_count = state.norm_sum = state.seconds = 0.0
        stop = self._tell(event)
        self._save_if_due()
        return stop

    def _validate(self) -> float:
        if isinstance(self.validation, Iterable):
            return evaluate_batches(self.model, self.validation, self.loss, self.carry_state)
        self.model.eval()
        try:
            return float(self.validation(self.model))
        finally:
            self.model.train()

    def _note_best(self, val_loss: float) -> None:
        state = self.state
        # A first loss of NaN must not become the best one: nothing is lower than NaN.
        limit = math.inf if state.best_loss is None else state.best_loss - self.min_delta
        if val_loss < limit:
            state.best_loss, state.bad_epochs = val_loss, 0
            state.history.best_epoch = state.epoch + 1
            if self.keep_best:
                state.best_weights = self.model.state_dict()
        else:
            state.bad_epochs += 1

    def _event(self, kind: str, loss: float, norm: float, val_loss: float | None = None) -> TrainingEvent:
        state = self.state
        return TrainingEvent(
            kind=kind,
            epoch=state.epoch + 1,
            epochs=self.epochs,
            step=state.step,
            steps=len(self.batches) if isinstance(self.batches, Sized) else None,
            total_steps=len(state.history.step_loss),
            loss=loss,
            val_loss=val_loss,
            lr=state.last_lr,
            grad_norm=norm,
            seconds=state.seconds_before + state.seconds,
        )

    def _tell(self, event: TrainingEvent) -> bool:
        return any([bool(callback(event)) for callback in self.callbacks])  # all of them are told

    def _save_if_due(self) -> None:
        if self.checkpoint is None:
            return
        waited = time.monotonic() - self._saved_at
        steps = len(self.state.history.step_loss)
        by_time = self.checkpoint_every is not None and waited >= self.checkpoint_every
        by_steps = self.checkpoint_steps is not None and steps % self.checkpoint_steps == 0
        if by_time or by_steps:
            self._save()

    def _save(self) -> None:
        assert self.checkpoint is not None
        save_checkpoint(
            self.checkpoint, self.state, self.model, self.optimizer, self.schedule, self.checkpoint_extra
        )
        self._saved_at = time.monotonic()

    def _explain(self, what: str, value: float, sample: Sample) -> str:
        state = self.state
        where = (
            f"{what} is {value} in epoch {state.epoch + 1}, step {state.step + 1}; "
            "the weights are those of before this step. "
        )
        for name, data in (("x", sample.x), ("y", sample.y)):
            array = np.asarray(data)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return f"{where}The batch's {name} holds NaN or infinite values: clean the data."
        hints = [f"a smaller learning rate (now {float(self.optimizer.lr):g})"]
        if self.clip_norm is None:
            hints.append("clip_norm=1.0")
        return f"{where}Try {', or '.join(hints)}, or look for extreme values in the data."
