"""Ctrl-C at any moment, checkpoints, and that a continued training ends at the same bits."""

from __future__ import annotations

import pickle
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_cases import make_model, tiny_windows, weights_of

from fastrnn import training
from fastrnn.data import SequenceBatches
from fastrnn.layers import Dropout, Linear, Sequential
from fastrnn.losses import cross_entropy, mse
from fastrnn.optim import SGD, Adam
from fastrnn.schedules import CosineSchedule, ReduceOnPlateau
from fastrnn.serialization import load_arrays, save_arrays
from fastrnn.training import TrainingEvent, TrainingInterrupted, checkpoint_metadata, fit

EPOCHS = 4
MOMENTS = (
    "batches",
    "after the forward pass",
    "in the middle of the update",
    "after a step",
    "validation",
    "after an epoch",
    "while saving",
)


class Interrupter:
    """Sends SIGINT at one moment, the `at`-th time that it comes."""

    def __init__(self, moment: str, at: int) -> None:
        self.moment = moment
        self.left = at

    def __call__(self, moment: str) -> None:
        if moment == self.moment:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)


class Experiment:
    """A training with everything on: dropout, Adam, schedule, carried state, validation, best weights."""

    def __init__(
        self, seed: int = 0, schedule: str = "cosine", interrupter: Interrupter | None = None
    ) -> None:
        self.model = make_model(seed, dropout=0.2)
        self.optimizer = Adam(self.model.parameters(), lr=0.02)
        self.windows = tiny_windows()
        self.schedule: Any
        if schedule == "cosine":
            self.schedule = CosineSchedule(self.optimizer, total_steps=EPOCHS * len(self.windows))
        else:
            self.schedule = ReduceOnPlateau(self.optimizer, patience=0, factor=0.5)
        self.per = "step" if schedule == "cosine" else "epoch"
        self.reach = interrupter or Interrupter("never", 0)
        update = self.optimizer._update

        def watched(*arguments: Any) -> None:
            self.reach("in the middle of the update")
            update(*arguments)

        self.optimizer._update = watched  # type: ignore[method-assign]

    def batches(self, epoch: int) -> Iterator[Any]:
        for batch in self.windows:
            self.reach("batches")
            yield batch

    def loss(self, outputs: Any, targets: Any) -> tuple[float, Any]:
        self.reach("after the forward pass" if self.model.training else "validation")
        return cross_entropy(outputs, targets)

    def told(self, event: TrainingEvent) -> None:
        self.reach("after a step" if event.kind == "step" else "after an epoch")

    def __call__(self, epochs: int = EPOCHS, **others: Any) -> training.History:
        return fit(
            self.model,
            self.batches,
            self.loss,
            self.optimizer,
            epochs=epochs,
            schedule=self.schedule,
            schedule_per=self.per,
            clip_norm=1.0,
            validation=self.windows,
            patience=3,
            carry_state=True,
            callbacks=[self.told],
            **others,
        )

    def outcome(self) -> dict[str, Any]:
        """Everything that training changes, comparable to the bit."""
        optimizer = {
            k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in self.optimizer.state_dict().items()
        }
        rngs = {name: rng.bit_generator.state for name, rng in self.model.named_rngs()}
        return {
            "weights": weights_of(self.model),
            "optimizer": optimizer,
            "schedule": self.schedule.state_dict(),
            "rngs": rngs,
        }


def recorded(history: training.History) -> dict[str, Any]:
    columns = {name: values for name, values in history.items() if name != "seconds"}
    return {**columns, **vars(history)}


@pytest.fixture(scope="module", params=["cosine", "plateau"])
def uninterrupted(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any], dict[str, Any]]:
    experiment = Experiment(schedule=request.param)
    history = experiment()
    assert history.best_epoch is not None
    assert len(dict(experiment.model.named_rngs())) >= 2
    return request.param, experiment.outcome(), recorded(history)


@pytest.mark.parametrize("at", [1, 9])
@pytest.mark.parametrize("moment", MOMENTS)
def test_resumed_training_ends_at_the_same_bits(
    moment: str,
    at: int,
    uninterrupted: tuple[str, dict[str, Any], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule, outcome, history = uninterrupted
    if moment == "after an epoch" and at > EPOCHS:
        at = EPOCHS
    path = tmp_path / "checkpoint.safetensors"
    interrupter = Interrupter(moment, at)

    def saving(*arguments: Any) -> None:
        interrupter("while saving")
        save_arrays(*arguments)

    monkeypatch.setattr("fastrnn._checkpoint.save_arrays", saving)
    first = Experiment(schedule=schedule, interrupter=interrupter)
    with pytest.raises(TrainingInterrupted) as caught:
        first(checkpoint=path, checkpoint_steps=2 if moment == "while saving" else None)
    assert caught.value.checkpoint == path
    steps = len(caught.value.history.step_loss)
    assert caught.value.history.step_loss == history["step_loss"][:steps]
    # Nothing of the abandoned step is left behind.
    assert not first.model.training
    with pytest.raises(RuntimeError, match="no forward pass"):
        first.model.train().backward(np.zeros(1, np.float32))

    second = Experiment(seed=99, schedule=schedule)
    second_history = second(checkpoint=path, resume=True)
    assert recorded(second_history) == history
    assert second.outcome() == outcome


def test_several_interruptions_in_a_row(
    uninterrupted: tuple[str, dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    schedule, outcome, history = uninterrupted
    path = tmp_path / "checkpoint"
    resume = False
    for at in (3, 1, 4, 6):
        interrupter = Interrupter("after the forward pass", at)
        experiment = Experiment(seed=8 if resume else 0, schedule=schedule, interrupter=interrupter)
        with pytest.raises(TrainingInterrupted):
            experiment(checkpoint=path, resume=resume)
        resume = True
    last = Experiment(seed=7, schedule=schedule)
    assert recorded(last(checkpoint=path, resume=True)) == history
    assert last.outcome() == outcome


def test_keyboard_interrupt_without_a_signal_is_the_same(tmp_path: Path) -> None:
    model = make_model(dropout=0.2)

    def batches(epoch: int) -> Iterator[Any]:
        for i, batch in enumerate(tiny_windows()):
            if i == 3:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(TrainingInterrupted, match=r"after 3 steps; everything needed.*file.*resume=True"):
        fit(model, batches, cross_entropy, Adam(model.parameters()), epochs=1, checkpoint=tmp_path / "file")
    assert (tmp_path / "file").exists()


def test_interruption_without_a_checkpoint_says_so() -> None:
    model = make_model()

    def interrupt(event: TrainingEvent) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="after 1 steps; nothing was saved") as caught:
        fit(model, tiny_windows(), cross_entropy, Adam(model.parameters()), epochs=1, callbacks=[interrupt])
    assert caught.value.checkpoint is None
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.history.step_loss == caught.value.history.step_loss


def test_a_second_interrupt_does_not_disturb_the_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def saving(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        save_arrays(*arguments)

    monkeypatch.setattr("fastrnn._checkpoint.save_arrays", saving)
    experiment = Experiment(interrupter=Interrupter("after a step", 2))
    with pytest.raises(TrainingInterrupted):
        experiment(checkpoint=tmp_path / "file")
    assert load_arrays(tmp_path / "file")[0]["step_loss"].size == 2


def test_a_second_interrupt_does_not_disturb_the_clearing_up(
    uninterrupted: tuple[str, dict[str, Any], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, outcome, history = uninterrupted
    first = Experiment(schedule=schedule, interrupter=Interrupter("after the forward pass", 3))
    clear = first.model.clear
    monkeypatch.setattr(first.model, "clear", lambda: (signal.raise_signal(signal.SIGINT), clear()))
    with pytest.raises(TrainingInterrupted):
        first(checkpoint=tmp_path / "file")
    second = Experiment(seed=9, schedule=schedule)
    assert recorded(second(checkpoint=tmp_path / "file", resume=True)) == history
    assert second.outcome() == outcome


def test_the_signal_handler_is_put_back_and_respected() -> None:
    received: list[int] = []

    def handler(number: int, frame: Any) -> None:
        received.append(number)

    former = signal.signal(signal.SIGINT, handler)
    try:
        # Twice, one of them held back: this handler does not interrupt, so training goes on.
        experiment = Experiment(interrupter=Interrupter("in the middle of the update", 1))
        experiment(epochs=1)
        other = Experiment(interrupter=Interrupter("after a step", 1))
        other(epochs=1)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, former)
    assert received == [signal.SIGINT] * 2
    assert experiment.outcome() == other.outcome()


def test_ignored_interrupts_stay_ignored() -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        history = Experiment(interrupter=Interrupter("after a step", 1))(epochs=1)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, former)
    assert len(history.step_loss) == len(tiny_windows())


def test_training_works_outside_the_main_thread() -> None:
    outcomes = []

    def work() -> None:
        experiment = Experiment()
        experiment(epochs=2)
        outcomes.append(experiment.outcome())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    experiment = Experiment()
    experiment(epochs=2)
    assert outcomes == [experiment.outcome()]


# Checkpoints


def test_checkpoints_are_written_when_due(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seen: list[tuple[int, int]] = []

    def look(event: TrainingEvent) -> None:
        if event.kind == "step" and path.exists():
            seen.append((event.total_steps, load_arrays(path)[0]["step_loss"].size))

    model = make_model()
    windows = tiny_windows()
    assert len(windows) == 5
    fit(
        model,
        windows,
        cross_entropy,
        Adam(model.parameters()),
        epochs=2,
        checkpoint=path,
        checkpoint_every=None,
        checkpoint_steps=3,
        callbacks=[look],
    )
    assert seen == [(4, 3), (5, 3), (6, 3), (7, 6), (8, 6), (9, 6), (10, 9)]
    assert load_arrays(path)[0]["step_loss"].size == 10

    seen.clear()
    path.unlink()
    fit(
        model,
        windows,
        cross_entropy,
        Adam(model.parameters()),
        epochs=1,
        checkpoint=path,
        checkpoint_every=0.0,
        callbacks=[look],
    )
    assert seen == [(i, i - 1) for i in (2, 3, 4, 5)]


def test_a_finished_training_can_be_prolonged(tmp_path: Path) -> None:
    path = tmp_path / "file"
    Experiment()(epochs=2, checkpoint=path)
    prolonged = Experiment(seed=5)
    history = prolonged(epochs=3, checkpoint=path, resume=True)
    whole = Experiment()
    assert recorded(whole(epochs=3)) == recorded(history)
    assert whole.outcome() == prolonged.outcome()


def test_resuming_a_finished_training_does_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    first = Experiment()
    history = first(epochs=2, checkpoint=path)
    again = Experiment(seed=5, interrupter=Interrupter("after the forward pass", 1))
    assert recorded(again(epochs=2, resume=path)) == recorded(history)
    assert again.outcome() == first.outcome()


def test_a_stop_by_a_callback_can_be_continued(tmp_path: Path) -> None:
    path = tmp_path / "file"
    batches = SequenceBatches(np.random.default_rng(0).standard_normal((12, 3, 2)), np.ones((12, 3, 1)), 4)

    def train(seed: int, stop_at: int, **others: Any) -> tuple[Any, Any]:
        model = Sequential(Dropout(0.3, seed=seed), Linear(2, 1, dtype=np.float64, seed=seed))
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

        def stop(event: TrainingEvent) -> bool:
            return event.total_steps == stop_at

        def loss(outputs: Any, targets: Any) -> Any:
            return mse(outputs, targets.swapaxes(0, 1))

        history = fit(model, batches, loss, optimizer, epochs=3, callbacks=[stop], **others)
        return weights_of(model), recorded(history)

    train(0, stop_at=5, checkpoint=path)
    assert train(1, stop_at=0, resume=path) == train(0, stop_at=0)


def test_extra_metadata_is_kept(tmp_path: Path) -> None:
    model = make_model()
    path = tmp_path / "file"
    fit(
        model,
        tiny_windows(),
        cross_entropy,
        Adam(model.parameters()),
        epochs=1,
        checkpoint=path,
        checkpoint_extra={"alphabet": "añ", "size": 3},
    )
    assert checkpoint_metadata(path) == {"alphabet": "añ", "size": 3}
    save_arrays(tmp_path / "other", {"a": np.zeros(1)}, {})
    with pytest.raises(ValueError, match="not a training checkpoint"):
        checkpoint_metadata(tmp_path / "other")


def test_every_bit_generator_of_numpy_is_kept(tmp_path: Path) -> None:
    for kind in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64):
        path = tmp_path / kind.__name__
        results = []
        for seed, steps, resume in ((0, 3, False), (0, 1, False), (1, 3, True)):
            layer = Dropout(0.5, seed=np.random.Generator(kind(seed)))
            model = Sequential(layer, Linear(2, 1, seed=seed))
            x = np.ones((3, 4, 2), np.float32)
            batches = [(x, x[..., :1])]
            fit(
                model,
                batches,
                mse,
                SGD(model.parameters(), lr=0.1),
                epochs=steps,
                checkpoint=path,
                resume=resume,
            )
            results.append((weights_of(model), layer._rng.integers(1 << 60)))
        assert results[0] == results[2]


@pytest.mark.parametrize("change", ["model", "optimizer", "schedule", "rngs", "batches"])
def test_a_checkpoint_of_another_training_is_refused(change: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    first = Experiment(interrupter=Interrupter("after a step", 3))
    with pytest.raises(TrainingInterrupted):
        first(checkpoint=path)
    other = Experiment()
    if change == "model":
        other.model = Sequential(*list(make_model(dropout=0.2))[:-1], Linear(8, 3))
        message = "shape"
    elif change == "optimizer":
        other.optimizer = SGD(other.model.parameters())  # type: ignore[assignment]
        message = "optimizer must be the kind .* Adam, got SGD"
    elif change == "schedule":
        other.schedule = None
        message = "schedule must be the kind .* CosineSchedule, got None"
    elif change == "rngs":
        other.model = Sequential(*list(make_model())[:2], *list(make_model())[3:])
        message = "random generators"
    else:
        other.windows = list(other.windows)[:2]  # type: ignore[assignment]
        message = "3 batches into an epoch; batches gave only 2"
    with pytest.raises(ValueError, match=message):
        other(checkpoint=path, resume=True)
