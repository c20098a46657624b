"""Types of the compiled engine; what each name does stands in docs/protocols.md."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import Array, CellWeights

_State = list[tuple[Array, Array | None]]

def available_isas() -> tuple[str, ...]: ...
def current_isa() -> str: ...
def set_isa(name: str) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def fma_loop(dtype: Any, iterations: int) -> float: ...

class Buffer: ...

class Saved:
    @property
    def nbytes(self) -> int: ...

class Packed:
    training: bool
    @property
    def cell(self) -> str: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def proj_size(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def format(self) -> str | None: ...
    @property
    def borrowed(self) -> bool: ...
    def settle(self) -> None: ...
    @property
    def nbytes(self) -> int: ...

class PackedLinear:
    training: bool
    @property
    def in_features(self) -> int: ...
    @property
    def out_features(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def format(self) -> str | None: ...

def pack_weights(
    cell: str,
    weights: Iterable[Array | None],
    training: bool = False,
    format: str | None = None,
    borrow: bool = False,
) -> Packed: ...
def rnn_forward(
    packed: Packed,
    x: Array,
    h0: Array | None = None,
    c0: Array | None = None,
    *,
    lengths: NDArray[np.int64] | None = None,
    resets: Array | None = None,
    reverse: bool = False,
    input_mask: Array | None = None,
    hidden_mask: Array | None = None,
    zoneout_h: Any = None,
    zoneout_c: Any = None,
    out: Array | None = None,
    training: bool = False,
    checkpoint_every: int | None = None,
    embedding: Array | None = None,
) -> tuple[Array, Array, Array | None, Saved | None]: ...
def layer_forward(
    packed: Packed,
    x: Any,
    state: Any,
    lengths: NDArray[np.int64] | None = None,
    training: bool = False,
    checkpoint_every: int | None = None,
) -> tuple[Array, Any, Saved | None] | None: ...
def layer_backward(
    saved: Saved,
    dy: Any,
    dstate: Any,
    grads: Sequence[Array | None],
    need_dx: bool,
    overwrite: bool,
) -> tuple[Array | None, Any] | None: ...
def rnn_backward(
    saved: Saved,
    dy: Array | None = None,
    dhn: Array | None = None,
    dcn: Array | None = None,
    *,
    grads: CellWeights,
    need_dx: bool = True,
    overwrite: bool = False,
    out: Array | None = None,
) -> tuple[Array | None, Array, Array | None]: ...
def pack_linear(
    weight: Array, bias: Array | None = None, training: bool = False, format: str | None = None
) -> PackedLinear: ...
def linear_forward(packed: PackedLinear, x: Array) -> Array: ...
def linear_backward(
    packed: PackedLinear,
    x: Array,
    dy: Array,
    dweight: Array,
    dbias: Array | None = None,
    need_dx: bool = True,
    overwrite: bool = False,
) -> Array | None: ...
def embedding_forward(weight: Array, ids: NDArray[np.int64]) -> Array: ...
def embedding_backward(dy: Array, ids: NDArray[np.int64], dweight: Array) -> None: ...
def cross_entropy(
    logits: Array,
    targets: NDArray[np.int64],
    class_weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[float, float, Array]: ...
def ctc(
    logits: Array,
    targets: NDArray[np.int64],
    input_lengths: NDArray[np.int64],
    target_lengths: NDArray[np.int64],
    blank: int = 0,
    row_weight: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], Array]: ...
def ctc_beam(
    logits: Array,
    lengths: NDArray[np.int64],
    beam_width: int,
    blank: int = 0,
    n_best: int = 1,
    transition: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]: ...
def global_norm(arrays: Sequence[Array]) -> float: ...
def scale_(arrays: Sequence[Array], factor: float) -> None: ...
def sgd_step(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None,
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: float,
    first: bool,
) -> None: ...
def rmsprop_step(
    param: Array,
    grad: Array,
    square_avg: Array,
    momentum_buffer: Array | None,
    grad_avg: Array | None,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
    weight_decay: float,
) -> None: ...
def adagrad_step(
    param: Array, grad: Array, state_sum: Array, lr: float, eps: float, weight_decay: float
) -> None: ...
def adam_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None: ...

class StepStream:
    def __init__(
        self, packed: list[Packed], batch_size: int, zoneout: Sequence[tuple[float, float]] | None = None
    ) -> None: ...
    def step(self, x: Array) -> Array: ...
    def get_state(self) -> _State: ...
    def set_state(self, state: _State) -> None: ...
    def reset(self, rows: NDArray[np.int64] | None = None) -> None: ...
    def fork(self) -> StepStream: ...

class TokenStream:
    def __init__(self, embedding: Array, packed: list[Packed], out: PackedLinear) -> None: ...
    def feed(self, tokens: NDArray[np.int64]) -> None: ...
    def sample(
        self, uniforms: NDArray[np.float64], temperature: float, top_k: int, top_p: float
    ) -> NDArray[np.int64]: ...
    @property
    def logits(self) -> Array: ...
    def get_state(self) -> _State: ...
    def set_state(self, state: _State) -> None: ...
    def fork(self) -> TokenStream: ...
