"""The training loop: what it computes, stops at, refuses and records; interruption has a file of its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tolerances import sum_tolerance
from training_cases import make_model, tiny_windows, weights_of

from fastrnn.data import Batch
from fastrnn.layers import Dropout, Linear, MeanPool, Sequential
from fastrnn.layers.recurrent import GRU
from fastrnn.losses import cross_entropy, mse
from fastrnn.optim import SGD, Adam
from fastrnn.schedules import ReduceOnPlateau, StepSchedule
from fastrnn.training import NonFiniteLossError, TrainingEvent, evaluate, fit


def linear_problem(n: int = 8) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, n, 3))
    return [(x_t, x_t @ np.array([[1.0], [2.0], [-1.0]])) for x_t in x]


def make_linear(seed: int = 0) -> Linear:
    return Linear(3, 1, dtype=np.float64, seed=seed)


# What is computed


def test_steps_are_those_of_a_loop_by_hand() -> None:
    batches = linear_problem()
    model, by_hand = make_linear(), make_linear()
    history = fit(model, batches, mse, SGD(model.parameters(), lr=0.05), epochs=3)

    by_hand.train()
    optimizer = SGD(by_hand.parameters(), lr=0.05)
    losses = []
    for _ in range(3):
        for x, y in batches:
            by_hand.zero_grad()
            value, gradient = mse(by_hand(x), y)
            by_hand.backward(gradient)
            optimizer.step()
            losses.append(value)
    assert history.step_loss == losses
    assert weights_of(model) == weights_of(by_hand)
    assert history.epoch_steps == [4, 4, 4]
    assert history["loss"] == pytest.approx(np.reshape(losses, (3, 4)).mean(1), rel=sum_tolerance(float, 4))
    assert history["lr"] == [0.05] * 3
    assert set(history) == {"loss", "lr", "grad_norm", "seconds"}
    assert history.stopped is None


def test_state_is_carried_within_an_epoch_only() -> None:
    seen: list[tuple[Any, Any]] = []

    class Spy(Sequential):
        def __call__(self, x: Any, state: Any = None, **others: Any) -> Any:
            y, new = super().__call__(x, state, **others)
            seen.append((state, new))
            return y, new

    model = Spy(*make_model())
    windows = tiny_windows()
    fit(model, windows, cross_entropy, Adam(model.parameters()), epochs=2, carry_state=True)
    n = len(windows)
    assert n > 2
    assert seen[0][0] is None and seen[n][0] is None
    for before, after in itertools.pairwise(seen[:n]):
        assert after[0] is before[1]

    seen.clear()
    fit(model, windows, cross_entropy, Adam(model.parameters()), epochs=1)
    assert all(state is None for state, _ in seen)


def test_carried_state_changes_what_is_learned() -> None:
    results = []
    for carry_state in (False, True):
        model = make_model()
        fit(
            model,
            tiny_windows(),
            cross_entropy,
            SGD(model.parameters(), lr=1.0),
            epochs=1,
            carry_state=carry_state,
        )
        results.append(weights_of(model))
    assert results[0] != results[1]


def test_clipping_limits_the_step() -> None:
    batches = linear_problem()[:1]
    x, y = batches[0]
    model = make_linear()
    start = model.state_dict()
    fit(model, batches, mse, SGD(model.parameters(), lr=1.0), epochs=1, clip_norm=1e-3)
    moved = math.sqrt(sum(((model.state_dict()[k] - start[k]) ** 2).sum() for k in start))
    assert moved == pytest.approx(1e-3)

    model.load_state_dict(start)
    history = fit(model, batches, mse, SGD(model.parameters(), lr=1.0), epochs=1, clip_value=1e-3)
    assert max(np.abs(model.state_dict()[k] - start[k]).max() for k in start) == pytest.approx(1e-3)
    model.load_state_dict(start)
    _, gradient = mse(model(x), y)
    norm = math.hypot(np.linalg.norm(gradient.T @ x), gradient.sum())
    assert history["grad_norm"] == [pytest.approx(norm)]  # before clipping


@pytest.mark.parametrize("kind", [dict, lambda **fields: Batch(**fields)])
def test_batches_with_lengths_and_weight(kind: Any) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 3, 2))
    fields = {"x": x, "y": np.ones((3, 1)), "lengths": np.array([5, 1, 3]), "weight": np.ones((3, 1))}
    model = Sequential(
        GRU(2, 4, dtype=np.float64, seed=0), MeanPool(), Linear(4, 1, dtype=np.float64, seed=1)
    )
    expected = mse(model(x, lengths=fields["lengths"])[0], fields["y"])[0]
    assert evaluate(model, [kind(**fields)], mse) == expected
    assert expected != evaluate(model, [kind(**{**fields, "lengths": None})], mse)
    history = fit(model, [kind(**fields)], mse, SGD(model.parameters(), lr=0.1), epochs=2)
    assert history["loss"][0] == pytest.approx(expected, rel=sum_tolerance(float, 4))
    assert history["loss"][1] < expected


def test_resets_reach_the_model() -> None:
    model = make_model()
    x, y = next(iter(tiny_windows()))
    resets = np.zeros(x.shape, bool)
    resets[3] = True
    plain, reset = (evaluate(model, [Batch(x, y, resets=r)], cross_entropy) for r in (None, resets))
    assert plain != reset


def test_means_weigh_batches_by_their_targets() -> None:
    model = make_linear()
    (x, y), (x2, y2), *_ = linear_problem()
    both = evaluate(model, [(np.concatenate([x, x2[:2]]), np.concatenate([y, y2[:2]]))], mse)
    assert evaluate(model, [(x, y), (x2[:2], y2[:2])], mse) == pytest.approx(
        both, rel=sum_tolerance(float, 30)
    )

    char_model = make_model()
    windows = list(tiny_windows())
    (x, y), (x2, y2) = windows[:2]
    ignored = y2.copy()
    ignored[1:] = -100
    a = evaluate(char_model, [(x, y)], cross_entropy)
    b = evaluate(char_model, [(x2, ignored)], cross_entropy)
    n, m = y.size, y2[:1].size
    mean = evaluate(char_model, [(x, y), (x2, ignored)], cross_entropy)
    assert mean == pytest.approx((n * a + m * b) / (n + m), rel=sum_tolerance(float, 30))


def test_a_layer_over_time_without_state_gets_lengths() -> None:
    x = np.arange(12.0).reshape(3, 2, 2)
    batch = Batch(x, np.zeros((2, 2)), lengths=np.array([1, 3]))
    pool = MeanPool()
    expected = mse(pool(x, lengths=batch.lengths), batch.y)[0]
    assert evaluate(pool, [batch], mse) == expected


def test_modes_are_put_back_and_used() -> None:
    modes: list[bool] = []

    class Spy(Linear):
        def __call__(self, x: Any) -> Any:
            modes.append(self.training)
            return super().__call__(x)

    model = Spy(3, 1, dtype=np.float64)
    batches = linear_problem()
    fit(model, batches, mse, SGD(model.parameters()), epochs=1, validation=batches[:1])
    assert modes == [True] * 4 + [False]
    assert not model.training
    modes.clear()
    model.train()
    evaluate(model, batches[:1], mse)
    fit(model, batches[:1], mse, SGD(model.parameters()), epochs=1, validation=lambda m: float(m.training))
    assert modes == [False, True]
    assert model.training


# Schedules, validation, stopping


def test_schedule_per_step_and_per_epoch() -> None:
    for per, expected in (("step", [1 / 8, 1 / 128]), ("epoch", [1.0, 0.5])):
        model = make_linear()
        optimizer = SGD(model.parameters(), lr=1.0)
        schedule = StepSchedule(optimizer, step_size=1, gamma=0.5)
        rates = fit(
            model,
            linear_problem(),
            mse,
            optimizer,
            epochs=2,
            schedule=schedule,
            schedule_per=per,
            clip_norm=0.1,
        )["lr"]
        assert rates == expected


def test_plateau_schedule_sees_the_validation_loss() -> None:
    model = make_linear()
    optimizer = SGD(model.parameters(), lr=1e-3)
    schedule = ReduceOnPlateau(optimizer, factor=0.5, patience=0)
    values = iter([3.0, 2.0, 2.5, 1.0])
    history = fit(
        model,
        linear_problem(),
        mse,
        optimizer,
        epochs=4,
        schedule=schedule,
        schedule_per="epoch",
        validation=lambda _: next(values),
    )
    assert history["lr"] == [1e-3, 1e-3, 1e-3, 5e-4]


def test_early_stopping_restores_the_best_weights() -> None:
    model = make_linear()
    values = iter([5.0, 3.0, 4.0, 3.0, 2.9, 1.0])
    kept: list[Any] = []

    def validation(layer: Linear) -> float:
        kept.append(weights_of(layer))
        return next(values)

    history = fit(
        model,
        linear_problem(),
        mse,
        SGD(model.parameters(), lr=0.01),
        epochs=6,
        validation=validation,
        patience=3,
        min_delta=0.5,
    )
    assert history["val_loss"] == [5.0, 3.0, 4.0, 3.0, 2.9]
    assert history.best_epoch == 2
    assert history.stopped == "patience"
    assert weights_of(model) == kept[1] != kept[4]


def test_best_weights_are_kept_only_when_wanted() -> None:
    for restore_best, last in ((None, True), (False, True), (True, False)):
        model = make_linear()
        values = iter([math.nan, 1.0, 2.0])
        kept: list[Any] = []

        def validation(layer: Linear, values: Any = values, kept: Any = kept) -> float:
            kept.append(weights_of(layer))
            return next(values)

        optimizer = SGD(model.parameters(), lr=0.01)
        history = fit(
            model,
            linear_problem(),
            mse,
            optimizer,
            epochs=3,
            validation=validation,
            restore_best=restore_best,
        )
        assert history.best_epoch == 2
        assert (weights_of(model) == kept[2]) is last
        assert (weights_of(model) == kept[1]) is not last


def test_validation_state_is_carried_like_that_of_training() -> None:
    model = make_model()
    windows = tiny_windows()
    alone, carried = (evaluate(model, windows, cross_entropy, carry_state=c) for c in (False, True))
    assert alone != carried
    optimizer = SGD(model.parameters(), lr=0.0)
    history = fit(model, windows, cross_entropy, optimizer, epochs=1, validation=windows, carry_state=True)
    assert history["val_loss"] == [carried]


def test_a_callback_can_stop() -> None:
    model = make_linear()
    events: list[TrainingEvent] = []

    def stop(event: TrainingEvent) -> bool:
        return event.total_steps == 6

    history = fit(
        model,
        linear_problem(),
        mse,
        SGD(model.parameters()),
        epochs=3,
        callbacks=[stop, events.append],
    )
    assert history.stopped == "callback"
    assert len(history.step_loss) == 6
    assert len(history["loss"]) == 1
    assert [(e.kind, e.epoch, e.step) for e in events] == [
        *(("step", 1, i) for i in (1, 2, 3, 4)),
        ("epoch", 1, 4),
        ("step", 2, 1),
        ("step", 2, 2),
    ]
    assert all(e.steps == 4 and e.epochs == 3 for e in events)
    assert [e.seconds for e in events] == sorted(e.seconds for e in events)


# Progress and plots


def test_nothing_is_printed_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    model = make_linear()
    fit(model, linear_problem(), mse, SGD(model.parameters()), epochs=2)
    assert capfd.readouterr() == ("", "")


def test_progress_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    model = make_linear()
    batches = linear_problem()
    fit(model, batches, mse, SGD(model.parameters()), epochs=2, progress=True, validation=batches)
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("epoch 1/2  loss ")
    assert "val_loss" in second


def test_long_epochs_show_steps(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastrnn._progress._LINE_SECONDS", 0.0)
    model = make_linear()
    fit(model, linear_problem(), mse, SGD(model.parameters()), epochs=1, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[1] for line in lines[:4]] == [f"step {i}/4" for i in (1, 2, 3, 4)]
    assert len(lines) == 5


def test_an_epoch_without_targets_has_no_loss() -> None:
    model = make_model()
    (x, y), *_ = tiny_windows()
    before = weights_of(model)
    optimizer = SGD(model.parameters(), lr=1.0)
    history = fit(model, [(x, np.full_like(y, -100))], cross_entropy, optimizer, epochs=1)
    assert math.isnan(history["loss"][0])
    assert weights_of(model) == before


def test_progress_on_a_terminal_is_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich", reason="the bar needs rich")
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    model = make_linear()
    fit(model, linear_problem(), mse, SGD(model.parameters()), epochs=2, progress=True)
    fit(model, iter(linear_problem()), mse, SGD(model.parameters()), epochs=1, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 2/2" in err


def test_progress_may_be_a_function() -> None:
    model = make_linear()
    events: list[TrainingEvent] = []
    fit(model, linear_problem(), mse, SGD(model.parameters()), epochs=1, progress=events.append)
    assert [e.kind for e in events] == ["step"] * 4 + ["epoch"]


# Errors


def test_a_loss_that_is_not_finite_leaves_the_weights() -> None:
    model = make_linear()
    batches = linear_problem()
    x, y = batches[2]
    batches[2] = (x, np.where(np.arange(len(y))[:, None] == 3, np.nan, y))
    other = make_linear()
    fit(other, batches[:2], mse, SGD(other.parameters(), lr=0.01), epochs=1)
    with pytest.raises(NonFiniteLossError, match=r"loss is nan in epoch 1, step 3.*The batch's y holds NaN"):
        fit(model, batches, mse, SGD(model.parameters(), lr=0.01), epochs=1)
    assert weights_of(model) == weights_of(other)
    assert not model.training
    assert all(not p.grad.any() for p in model.parameters())
    with pytest.raises(RuntimeError, match="no forward pass"):
        model.train().backward(y)


def test_a_gradient_that_is_not_finite_is_no_step() -> None:
    model = make_linear()
    before = weights_of(model)

    def broken(outputs: Any, targets: Any) -> tuple[float, Any]:
        return 1.0, np.full_like(outputs, np.inf)

    message = r"gradients is (inf|nan).*smaller learning rate \(now 0.5\).*clip_norm"
    with pytest.raises(NonFiniteLossError, match=message), np.errstate(invalid="ignore"):
        fit(model, linear_problem(), broken, SGD(model.parameters(), lr=0.5), epochs=1)
    assert weights_of(model) == before


def test_random_generators_are_put_back_after_an_error() -> None:
    model = Sequential(Dropout(0.5, seed=3), make_linear())
    state = dict(model.named_rngs())["0.rng"].bit_generator.state

    def broken(outputs: Any, targets: Any) -> tuple[float, Any]:
        raise LookupError("broken")

    with pytest.raises(LookupError):
        fit(model, linear_problem(), broken, SGD(model.parameters()), epochs=1)
    assert dict(model.named_rngs())["0.rng"].bit_generator.state == state


def test_batches_may_be_a_function_of_the_epoch() -> None:
    model = make_linear()
    asked: list[int] = []

    def batches(epoch: int) -> Iterator[Any]:
        asked.append(epoch)
        yield from linear_problem()

    fit(model, batches, mse, SGD(model.parameters()), epochs=3)
    assert asked == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": -1}, ValueError, "epochs"),
        ({"epochs": 1.5}, TypeError, "epochs"),
        ({"schedule_per": "week"}, ValueError, "schedule_per"),
        ({"clip_norm": 0.0}, ValueError, "clip_norm"),
        ({"clip_value": -1.0}, ValueError, "clip_value"),
        ({"patience": 0, "validation": []}, ValueError, "patience"),
        ({"patience": 2}, ValueError, "need validation"),
        ({"restore_best": True}, ValueError, "need validation"),
        ({"min_delta": -1.0}, ValueError, "min_delta"),
        ({"resume": True}, ValueError, "resume=True needs checkpoint"),
        ({"resume": "no/such/file"}, FileNotFoundError, "no checkpoint 'no/such/file'"),
        ({"checkpoint_every": -1.0}, ValueError, "checkpoint_every"),
        ({"checkpoint_steps": 0}, ValueError, "checkpoint_steps"),
        ({"validation": iter([])}, TypeError, "validation is an iterator"),
        ({"validation": []}, ValueError, "no target to evaluate on"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    model = make_linear()
    with pytest.raises(error, match=message):
        fit(model, linear_problem(), mse, SGD(model.parameters()), **{"epochs": 2, **arguments})


@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        ([], ValueError, "gave no batch"),
        (iter(linear_problem()), TypeError, "batches is an iterator"),
        ([(1, 2, 3)], TypeError, r"\(x, y\), a dict or a fastrnn.data.Batch, got tuple of 3"),
        ([7], TypeError, "got int"),
        ([{"x": 1}], ValueError, "must have x and y, got the fields"),
    ],
)
def test_wrong_batches_are_named(batches: Any, error: type[Exception], message: str) -> None:
    model = make_linear()
    with pytest.raises(error, match=message):
        fit(model, batches, mse, SGD(model.parameters()), epochs=2)


def test_no_epochs_is_no_training() -> None:
    model = make_linear()
    before = weights_of(model)
    assert fit(model, linear_problem(), mse, SGD(model.parameters()), epochs=0) == {}
    assert weights_of(model) == before
