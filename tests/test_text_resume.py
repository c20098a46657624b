"""A text generator's training that is interrupted and resumed ends with the very same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn.layers import Linear
from fastrnn.losses import mse
from fastrnn.optim import Adam
from fastrnn.tasks import TextGenerator
from fastrnn.training import TrainingEvent, TrainingInterrupted, fit

TEXT = ["the quick brown fox jumps over the lazy dog; " * 8, "pack my box with five dozen liquor jugs. " * 3]
SETTINGS: dict[str, Any] = {
    "hidden_size": 8,
    "embedding_size": 4,
    "seq_len": 16,
    "batch_size": 4,
    "num_layers": 2,
    "dropout": 0.2,
    "recurrent_dropout": 0.1,
    "epochs": 3,
    "random_state": 3,
}


class CtrlC:
    """Interrupt at a step, as the user would."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self, event: TrainingEvent) -> None:
        if event.kind == "step" and event.total_steps == self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def uninterrupted() -> TextGenerator:
    return TextGenerator(**SETTINGS).fit(TEXT)


def interrupted(checkpoint: Path, at: int = 9, **settings: Any) -> TextGenerator:
    generator = TextGenerator(**{**SETTINGS, **settings}, checkpoint=checkpoint, progress=CtrlC(at))
    with pytest.raises(TrainingInterrupted):
        generator.fit(TEXT)
    return generator


def resumed(checkpoint: Path, text: Any = TEXT, **settings: Any) -> TextGenerator:
    return TextGenerator(**{**SETTINGS, **settings}, checkpoint=checkpoint).fit(text, resume=True)


def assert_same(first: TextGenerator, second: TextGenerator) -> None:
    a, b = first.model_.state_dict(), second.model_.state_dict()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert first.history_["loss"] == second.history_["loss"]
    assert first.history_["val_loss"] == second.history_["val_loss"]


@pytest.mark.parametrize("at", [1, 6, 9])
def test_same_weights(uninterrupted: TextGenerator, tmp_path: Path, at: int) -> None:
    interrupted(tmp_path / "state", at)
    assert_same(resumed(tmp_path / "state"), uninterrupted)


def test_interrupted_twice(uninterrupted: TextGenerator, tmp_path: Path) -> None:
    path = tmp_path / "state"
    interrupted(path, 3)
    again = TextGenerator(**SETTINGS, checkpoint=path, progress=CtrlC(10))
    with pytest.raises(TrainingInterrupted):
        again.fit(TEXT, resume=True)
    assert_same(resumed(path), uninterrupted)


def test_usable_after_interruption(tmp_path: Path) -> None:
    generator = interrupted(tmp_path / "state")
    assert len(generator.history_.step_loss) == 9
    assert len(generator.generate(5, seed=1)) == 5
    generator.save(tmp_path / "model")
    assert TextGenerator.load(tmp_path / "model").bits_per_char("fox") == generator.bits_per_char("fox")


def test_random_seed_is_remembered(tmp_path: Path) -> None:
    before = interrupted(tmp_path / "state", random_state=None)
    after = resumed(tmp_path / "state", random_state=None)
    assert after.seed_ == before.seed_
    assert_same(after, TextGenerator(**{**SETTINGS, "random_state": before.seed_}).fit(TEXT))


def test_more_epochs_prolong(tmp_path: Path) -> None:
    TextGenerator(**SETTINGS, checkpoint=tmp_path / "state").fit(TEXT)
    assert len(resumed(tmp_path / "state", epochs=5).history_["loss"]) == 5


def test_time_counts_across_interruptions(tmp_path: Path) -> None:
    interrupted(tmp_path / "state", epochs=None, max_seconds=1e6)
    generator = resumed(tmp_path / "state", epochs=None, max_seconds=1e-6)
    assert generator.history_.stopped == "max_seconds"
    assert len(generator.history_.step_loss) == 10  # one step is always made


def test_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    interrupted(path)
    with pytest.raises(
        ValueError, match=r"other settings: hidden_size=8 \(now 9\), optimizer='adam' \(now 'sgd'\)"
    ):
        resumed(path, hidden_size=9, optimizer="sgd")
    with pytest.raises(ValueError, match="other data"):
        resumed(path, text=[*TEXT, "more"])


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        resumed(tmp_path / "nothing")
    with pytest.raises(ValueError, match="resume=True needs the parameter checkpoint"):
        TextGenerator(**SETTINGS).fit(TEXT, resume=True)
    TextGenerator(**SETTINGS).fit(TEXT).save(tmp_path / "model")
    with pytest.raises(ValueError, match="not a training checkpoint"):
        resumed(tmp_path / "model")
    model = Linear(2, 1, seed=0)
    data = [(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32))]
    fit(model, data, mse, Adam(model.parameters()), epochs=1, checkpoint=tmp_path / "other")
    with pytest.raises(ValueError, match="other is not the checkpoint of a TextGenerator"):
        resumed(tmp_path / "other")
