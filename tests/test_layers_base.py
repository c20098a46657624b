"""Parameters that notice changes, and what every layer inherits."""

from __future__ import annotations

import copy
import ctypes
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS

from fastrnn.backend import active, use_backend
from fastrnn.layers import LSTM, Dropout, Layer, Linear, Parameter, Sequential
from fastrnn.layers.base import PackCache, keep, layer_config
from fastrnn.layers.parameter import Gradients


@pytest.fixture
def p() -> Parameter:
    return Parameter(np.arange(6.0).reshape(2, 3))


def changed(p: Parameter, since: int) -> bool:
    """Whether the version has risen, looked at once."""
    return p.version > since


class Gain(Layer):
    """Smallest layer there is."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = Parameter(np.float64(factor))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.training:
            self._push(x)
        return x * self.factor.value

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.factor.grad += (dy * self._pop()).sum()
        return dy * self.factor.value

    def config(self) -> dict[str, Any]:
        return {"factor": float(self.factor.value)}


class Pair(Layer):
    """A layer with a parameter and two children."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Gain(2.0)
        self.bias = Parameter([0.5])
        self.second = Gain(3.0)
        self.nothing = None
        self._hidden = Gain(9.0)
        self._noise = np.random.default_rng(3)


# Parameter


def test_parameter_copies_what_it_is_given() -> None:
    given = np.arange(6.0).reshape(3, 2).T
    p = Parameter(given, "float32")
    given[0, 0] = 9
    assert p.data[0, 0] == 0
    assert p.data.dtype == p.dtype == np.float32
    assert p.data.flags.c_contiguous
    assert p.data.flags.owndata
    assert (p.shape, p.size) == ((2, 3), 6)
    assert repr(p) == "Parameter(shape=(2, 3), dtype=float32)"


@pytest.mark.parametrize("data", [np.arange(3), np.zeros(2, np.float16), [True], np.zeros(1, complex), ["a"]])
def test_parameter_is_float32_or_float64(data: Any) -> None:
    with pytest.raises(TypeError, match="dtype"):
        Parameter(data)


def test_version_is_stable_while_nothing_happens(p: Parameter) -> None:
    assert p.version == p.version
    _ = p.value, p.grad, p.shape, repr(p)
    before = p.version
    _ = p.value.sum()
    assert p.version == before


def test_versions_differ_between_parameters() -> None:
    assert len({Parameter(0.0).version for _ in range(5)}) == 5


WRITES = {
    "assign": lambda p: setattr(p, "data", np.zeros((2, 3))),
    "assign_list": lambda p: setattr(p, "data", [[1, 2, 3], [4, 5, 6]]),
    "in_place_operator": lambda p: p.data.__imul__(2),
    "item": lambda p: p.data.__setitem__((0, 0), 5),
    "everything": lambda p: p.data.__setitem__(Ellipsis, 0),
    "view": lambda p: p.data[1].fill(7),
    "out": lambda p: np.add(p.data, 1, out=p.data),
    "memoryview": lambda p: memoryview(p.data).cast("B").__setitem__(0, 1),
    "touch": lambda p: p.touch(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_every_way_of_writing_is_noticed_once(p: Parameter, write: Any) -> None:
    before = p.version
    write(p)
    after = p.version
    assert after > before
    assert p.version == after  # nobody holds the array any more


def test_augmented_assignment(p: Parameter) -> None:
    before = p.version
    p.data *= 2
    p.data += 1
    assert p.data.tolist() == [[1, 3, 5], [7, 9, 11]]
    assert changed(p, before)


HOLDERS = {
    "array": lambda p: p.data,
    "view": lambda p: p.data[1:, ::2],
    "view_of_view": lambda p: p.data.T[1:][:, 0],
    "memoryview": lambda p: memoryview(p.data),
    "flat": lambda p: p.data.flat,
    "ctypes": lambda p: np.ctypeslib.as_ctypes(p.data),
    "container": lambda p: [{"x": (p.data,)}],
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS.keys())
def test_while_the_array_is_held_every_look_is_a_change(p: Parameter, hold: Any) -> None:
    held = hold(p)
    looks = [p.version for _ in range(4)]
    assert looks == sorted(set(looks))
    before = p.version
    del held
    assert changed(p, before)  # the last moment at which it may have been written to
    assert p.version == p.version


def test_a_write_long_after_the_look_is_noticed(p: Parameter) -> None:
    held = p.data[0]
    before = p.version
    held[1] = 42
    assert changed(p, before)
    assert p.data[0, 1] == 42


def test_looks_in_a_hot_loop_count_references_the_same_way(p: Parameter) -> None:
    """The interpreter specialises what runs often; the number of its own references must not change."""
    before = p.version
    assert all(p.version == before for _ in range(5000))
    held = p.data
    looks = [p.version for _ in range(5000)]
    assert len(set(looks)) == 5000
    del held
    assert p.version > looks[-1]
    assert p.version == p.version


def test_a_held_pointer_does_not_outlive_the_array(p: Parameter) -> None:
    pointer = p.data.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
    before = p.version
    pointer[0] = 5.0
    assert changed(p, before)


def test_two_holders(p: Parameter) -> None:
    one, two = p.data, p.data[0]
    before = p.version
    del one
    assert changed(p, before)
    before = p.version
    assert changed(p, before)
    del two
    _ = p.version
    assert p.version == p.version


def test_assigning_replaces_contents_not_the_array(p: Parameter) -> None:
    held = p.data
    p.data = np.ones((2, 3), np.float32)
    assert held.sum() == 6
    assert p.data is held


@pytest.mark.parametrize("value", [np.zeros(3), np.zeros((3, 2)), 0.0, np.zeros((1, 2, 3))])
def test_shapes_are_not_broadcast(p: Parameter, value: Any) -> None:
    with pytest.raises(ValueError, match=r"data must have shape \(2, 3\)"):
        p.data = value
    with pytest.raises(ValueError, match=r"grad must have shape \(2, 3\)"):
        p.grad = value
    assert p.value.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_value_is_read_only(p: Parameter) -> None:
    with pytest.raises(ValueError, match="read-only"):
        p.value[0, 0] = 1


def test_gradient(p: Parameter) -> None:
    p.zero_grad()
    assert not p.grad.any()
    grad = p.grad
    p.grad += 2
    assert p.grad is grad
    assert p.grad.sum() == 12
    p.grad = np.ones((2, 3), int)
    assert grad.sum() == 6
    p.zero_grad()
    assert p.grad is grad
    assert not grad.any()


def stepped(layer: Any, x: np.ndarray) -> list[np.ndarray]:
    """Gradients after one pass, copied."""
    y = layer(x)
    layer.backward(np.ones_like(y[0] if isinstance(y, tuple) else y))
    return [p.grad.copy() for p in layer.parameters()]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("make", [lambda: Linear(3, 4, seed=0), lambda: LSTM(3, 4, num_layers=2, seed=0)])
def test_zeroed_gradients_are_as_new(make: Any, backend: str) -> None:
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    with use_backend(backend):
        first = stepped(make().train(), x)
        layer = make().train()
        for _ in range(3):  # what the arrays hold from before must not be seen
            layer.zero_grad()
            assert all(np.array_equal(a, b) for a, b in zip(stepped(layer, x), first, strict=True))
        assert all(np.allclose(a, 2 * b) for a, b in zip(stepped(layer, x), first, strict=True))
        layer.zero_grad()
        assert not any(p.grad.any() for p in layer.parameters())


def test_whoever_holds_a_gradient_sees_it_zeroed() -> None:
    layer = Linear(3, 4, seed=0).train()
    stepped(layer, np.ones((2, 3), np.float32))
    held, row = layer.weight.grad, layer.bias.grad[:2]
    assert held.any() and row.any()
    layer.zero_grad()
    assert not held.any() and not row.any() and layer.weight.grad is held


def test_one_gradient_that_is_not_zero_is_kept() -> None:
    layer = LSTM(3, 4, seed=0).train()
    x = np.ones((2, 1, 3), np.float32)
    first = stepped(layer, x)
    layer.zero_grad()
    layer.bias_hh_l0.grad += 1
    again = stepped(layer, x)
    for name, a, b in zip(layer.state_dict(), again, first, strict=True):
        assert np.allclose(a, b + (name == "bias_hh_l0"))


def test_a_backward_that_fails_leaves_gradients_zero(p: Parameter) -> None:
    p.grad += 1
    p.zero_grad()
    gradients = Gradients([p, None])
    assert gradients.overwrite and gradients.arrays[1] is None
    gradients.arrays[0].fill(7)
    assert not p.grad.any()  # nobody has said that they are written


def test_a_backward_writes_gradients_that_are_zero(p: Parameter) -> None:
    p.grad += 1
    p.zero_grad()
    gradients = Gradients([p, None])
    gradients.arrays[0].fill(7)
    gradients.written()
    assert (p.grad == 7).all()
    assert not Gradients([p, None]).overwrite


def test_a_copy_of_a_zeroed_gradient_is_zero(p: Parameter) -> None:
    p.grad += 1
    p.zero_grad()
    assert not pickle.loads(pickle.dumps(p)).grad.any()
    assert not copy.deepcopy(p).grad.any()


def test_a_parameter_of_two_layers_collects_from_both() -> None:
    x = np.ones((2, 3), np.float32)
    one, other = Linear(3, 3, seed=0).train(), Linear(3, 3, seed=0).train()
    other.weight, other.bias = one.weight, one.bias
    alone = stepped(one, x)
    for _ in range(2):
        one.zero_grad()
        stepped(other, x)
        assert all(np.allclose(a, 2 * b) for a, b in zip(stepped(one, x), alone, strict=True))


@pytest.mark.parametrize(
    "clone",
    [copy.deepcopy, copy.copy, *(lambda p, k=k: pickle.loads(pickle.dumps(p, k)) for k in range(2, 6))],
)
def test_copies_are_independent_and_notice_changes(p: Parameter, clone: Any) -> None:
    p.grad += 3
    q = clone(p)
    assert q.version != p.version
    assert q.grad.tolist() == p.grad.tolist()
    view = q.data[0]
    before = q.version
    view[0] = 8
    assert changed(q, before)
    assert p.data[0, 0] == 0


# PackCache


@pytest.fixture
def count() -> Any:
    class Counter:
        """A cache over one parameter that counts how often it packs."""

        def __init__(self) -> None:
            self.cache, self.parameter, self.made = PackCache(("parameter", None)), Parameter([1.0]), 0

        def get(self, training: bool = False) -> Any:
            return self.cache.get(active(), self, training)

        def _pack(self, engine: Any, values: list[Any], training: bool, borrow: bool) -> Any:
            assert engine is active() and values[1] is None and not borrow
            self.made += 1
            return values[0].copy(), training

    return Counter()


def test_cache_packs_once(count: Any) -> None:
    assert count.get() is count.get()
    assert count.made == 1


def test_cache_follows_the_parameter(count: Any) -> None:
    count.get()
    count.parameter.data[0] = 5
    assert count.get()[0] == 5
    assert count.get() is count.get()
    assert count.made == 2


def test_a_pack_for_training_serves_inference_but_not_the_reverse(count: Any) -> None:
    assert count.get(False) == ([1.0], False)
    assert count.get(True) == ([1.0], True)
    assert count.get(False) == ([1.0], True)
    assert count.made == 2


def test_another_parameter_is_another_pack(count: Any) -> None:
    count.get()
    count.parameter = Parameter([7.0])
    assert count.get()[0] == 7


def test_a_parameter_that_is_gone_is_missed(count: Any) -> None:
    del count.parameter
    with pytest.raises(AttributeError, match="parameter"):
        count.get()


def test_names_beyond_those_of_a_cell_are_refused() -> None:
    with pytest.raises(ValueError, match="names must be at most 9, got 10"):
        PackCache(["p"] * 10)


def test_copies_of_a_cache_are_empty(count: Any) -> None:
    count.get()
    count.cache = copy.deepcopy(count.cache)
    count.get()
    assert count.made == 2


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs two backends")
def test_each_backend_gets_its_own_pack(count: Any) -> None:
    for name in BACKENDS:
        with use_backend(name):
            count.get()
    assert count.made == 2


# Layer


def test_names_in_order() -> None:
    names = [name for name, _ in Pair().named_parameters()]
    assert names == ["bias", "first.factor", "second.factor"]
    assert [p.size for p in Pair().parameters()] == [1, 1, 1]
    assert [name for name, _ in Pair().named_children()] == ["first", "second"]


def test_parts_are_those_of_now() -> None:
    pair = Pair()

    def names() -> list[str]:
        pair.zero_grad()
        return [name for name, _ in pair.named_parameters()]

    assert names() == ["bias", "first.factor", "second.factor"]
    pair.third = Gain()
    assert names() == ["bias", "first.factor", "second.factor", "third.factor"]
    pair.bias = Parameter([5.0])
    assert pair.named_parameters()[0][1] is pair.bias
    pair.bias = None
    del pair.second
    assert names() == ["first.factor", "third.factor"]
    twin = copy.copy(pair)
    twin.third = Gain()
    assert pair.named_children()[1][1] is pair.third
    assert twin.named_children()[1][1] is twin.third


def test_shared_parameters_count_once_and_are_saved_under_each_name() -> None:
    pair = Pair()
    pair.second.factor = pair.first.factor
    assert [name for name, _ in pair.named_parameters()] == ["bias", "first.factor"]
    assert set(pair.state_dict()) == {"bias", "first.factor", "second.factor"}


def test_a_parameter_cannot_be_lost_by_assigning_an_array() -> None:
    layer = Gain()
    with pytest.raises(TypeError, match=r"factor\.data"):
        layer.factor = np.float64(2)  # type: ignore[assignment]
    assert isinstance(layer.factor, Parameter)


def test_modes_and_gradients_are_recursive() -> None:
    pair = Pair()
    assert pair.train() is pair
    assert pair.training
    assert pair.second.training
    pair.second.factor.grad += 1
    pair.zero_grad()
    assert not pair.second.factor.grad.any()
    assert pair.eval() is pair
    assert not (pair.training or pair.first.training)


def test_contexts_are_a_stack() -> None:
    layer = Gain(1.0).train()
    layer(np.array([1.0]))
    layer(np.array([10.0]))
    layer.eval().zero_grad()
    layer.train()  # neither drops contexts
    layer.backward(np.array([1.0]))
    assert layer.factor.grad == 10
    layer.backward(np.array([1.0]))
    assert layer.factor.grad == 11
    with pytest.raises(RuntimeError, match="forward pass of its own"):
        layer.backward(np.array([1.0]))


def test_backward_in_eval_mode_says_what_to_do() -> None:
    layer = Gain().train()
    layer(np.ones(1))
    layer.eval()
    with pytest.raises(RuntimeError, match=r"\.train\(\)"):
        layer.backward(np.ones(1))


def test_clear_is_recursive() -> None:
    pair = Pair().train()
    pair.first(np.ones(1))
    pair.clear()
    with pytest.raises(RuntimeError, match="forward pass"):
        pair.first.backward(np.ones(1))


def test_state_dict_is_a_copy_and_loads() -> None:
    pair, other = Pair(), Pair()
    state = pair.state_dict()
    state["bias"][:] = 7
    assert pair.bias.data == 0.5
    before = other.bias.version
    other.load_state_dict(state)
    assert other.bias.data == 7
    assert changed(other.bias, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("bias"), r"lacks \['bias'\]"),
        (lambda s: s.update(extra=1), r"unexpected \['extra'\]"),
        (lambda s: s.update(bias=np.zeros(2)), r"state\['bias'\] must have shape \(1,\), got \(2,\)"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change: Any, message: str) -> None:
    pair = Pair()
    state = {name: a + 1 for name, a in pair.state_dict().items()}
    change(state)
    with pytest.raises(ValueError, match=message):
        pair.load_state_dict(state)
    assert pair.first.factor.data == 2


def test_not_strict_loads_what_there_is() -> None:
    pair = Pair()
    pair.load_state_dict({"bias": [4], "unknown": 3}, strict=False)
    assert pair.bias.data == 4
    with pytest.raises(ValueError, match="shape"):
        pair.load_state_dict({"bias": [4, 5]}, strict=False)


def test_states_are_numbers() -> None:
    with pytest.raises(TypeError, match=r"state\['bias'\] must be an array of real numbers"):
        Pair().load_state_dict({"bias": ["x"]}, strict=False)


def test_tensors_load_by_their_methods_alone() -> None:
    class Tensor:
        """What torch.Tensor offers, bfloat16 included."""

        def __init__(self, array: np.ndarray, bfloat16: bool = False) -> None:
            self.array, self.bfloat16 = array, bfloat16

        def detach(self) -> Tensor:
            return self

        cpu = detach

        def float(self) -> Tensor:
            return Tensor(self.array)

        def numpy(self) -> np.ndarray:
            if self.bfloat16:
                raise TypeError("Got unsupported ScalarType BFloat16")
            return self.array

    pair = Pair()
    pair.load_state_dict({"bias": Tensor(np.array([6.0]))}, strict=False)
    assert pair.bias.data == 6
    pair.load_state_dict({"bias": Tensor(np.array([8.0]), bfloat16=True)}, strict=False)
    assert pair.bias.data == 8


def test_random_generators_by_name() -> None:
    model = Sequential(Dropout(0.5, seed=1), Pair(), Dropout(0.5, seed=2))
    assert [name for name, _ in model.named_rngs()] == ["0.rng", "1.noise", "2.rng"]
    shared = np.random.default_rng(0)
    assert len(Sequential(Dropout(seed=shared), Dropout(seed=shared)).named_rngs()) == 1


def test_configurations() -> None:
    config = layer_config(Gain(4.0))
    assert config == {"class": "Gain", "factor": 4.0}
    made = Layer.from_config(config)
    assert isinstance(made, Gain)
    assert made.factor.data == 4
    assert Gain.from_config({"factor": 5.0}).factor.data == 5
    assert repr(made) == "Gain(factor=4.0)"
    assert repr(Pair()) == "Pair()"


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (Layer, {"class": "Nowhere"}, "'Nowhere', which is not defined"),
        (Layer, {}, "'Layer', which is not defined"),
        (Linear, {"class": "Gain", "factor": 1.0}, "that of a Gain, not of a Linear"),
        (Gain, {"colour": 1}, "does not fit Gain"),
        (Linear, {"in_features": 0, "out_features": 1}, "in_features must be at least 1"),
    ],
)
def test_wrong_configurations(cls: type[Layer], config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls.from_config(config)


def test_names_of_built_in_classes_are_taken() -> None:
    with pytest.raises(ValueError, match="'Linear' is taken"):
        type("Linear", (Layer,), {})


def test_own_classes_may_be_defined_again() -> None:
    old = Layer._registry["Gain"]
    try:
        new = type("Gain", (Gain,), {})
        assert isinstance(Layer.from_config({"class": "Gain"}), new)
    finally:
        Layer._registry["Gain"] = old


def test_what_a_layer_does_not_define_is_said() -> None:
    layer = Layer()
    for call in (lambda: layer(1), lambda: layer.backward(1), layer.config):
        with pytest.raises(NotImplementedError, match="Layer does not define"):
            call()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copied_layers_compute_the_same_and_share_nothing(clone: Any) -> None:
    layer = Linear(3, 2, seed=0).train()
    x = np.ones((4, 3), np.float32)
    y = layer(x)
    other = clone(layer)
    assert np.array_equal(other(x), y)
    other.weight.data += 1
    assert np.array_equal(layer(x), y)
    assert not np.array_equal(other(x), y)
    other.backward(y)
    other.backward(y)
    with pytest.raises(RuntimeError, match="forward pass"):
        other.backward(y)  # the one of before the copy stayed with the original


@pytest.mark.usefixtures("backend")
def test_inference_from_many_threads_sees_no_stale_weights() -> None:
    layer = Linear(8, 8, bias=False)
    x = np.ones((1, 8))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            for k in range(30):
                layer.weight.data[...] = k
                results = list(pool.map(lambda _: layer(x), range(8)))
                assert (np.concatenate(results) == 8 * k).all()
    finally:
        sys.setswitchinterval(interval)


def test_keep() -> None:
    mine, given = np.zeros(3), np.ones(3)
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    assert keep(frozen) is frozen
    assert keep(mine) is not mine
    assert keep(mine, given) is mine
    assert keep(given[1:], given) is not given
    assert not np.shares_memory(keep(given[1:], given), given)
    assert keep(mine, [0, 0, 0]) is not mine
