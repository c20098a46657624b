"""Recurrent networks on CPUs: RNN, LSTM and GRU with fused C kernels, forward and backward, on NumPy arrays.

The names below are loaded when they are first used, so that ``import fastrnn`` costs next to nothing.

Layers (PyTorch's arguments, parameter names and state layout)
    RNN, LSTM, GRU, MinGRU, MinLSTM, RNNCell, LSTMCell, GRUCell, Linear, Embedding, Dropout, LayerNorm,
    Sequential, LastPool, MeanPool, MaxPool, AttentionPool, SimpleRNN
Training
    fit, evaluate, History; the losses of ``fastrnn.losses``, the optimizers of ``fastrnn.optim`` and the
    schedules of ``fastrnn.schedules``; clip_grad_norm, clip_grad_value
Inference in fewer bits
    layer.quantize("int8" | "bfloat16"), quantization_error
Files
    save, load
Tasks (extra ``tasks``)
    ``fastrnn.tasks.TextGenerator``
Plain functions
    ``fastrnn.functional`` on the active backend, ``fastrnn.reference`` in pure NumPy
Machine
    use_backend, current_backend, current_isa, available_isas, use_isa, num_threads, set_num_threads,
    get_num_threads

Examples
--------
>>> import numpy as np
>>> import fastrnn
>>> layer = fastrnn.LSTM(8, 16, seed=0)
>>> y, (h, c) = layer(np.zeros((5, 2, 8), np.float32))
>>> y.shape, h.shape
((5, 2, 16), (1, 2, 16))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_SOURCES = {
    "backend": (
        "available_isas",
        "current_backend",
        "current_isa",
        "get_num_threads",
        "num_threads",
        "set_num_threads",
        "use_backend",
        "use_isa",
    ),
    "clipping": ("clip_grad_norm", "clip_grad_value"),
    "layers": (
        "GRU",
        "LSTM",
        "RNN",
        "AttentionPool",
        "Dropout",
        "Embedding",
        "GRUCell",
        "LSTMCell",
        "LastPool",
        "Layer",
        "LayerNorm",
        "Linear",
        "MaxPool",
        "MeanPool",
        "MinGRU",
        "MinLSTM",
        "Parameter",
        "RNNCell",
        "Sequential",
    ),
    "losses": ("binary_cross_entropy", "cross_entropy", "ctc", "huber", "mae", "mse", "quantile"),
    "optim": ("SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"),
    "quantization": ("QuantizationError", "quantization_error"),
    "schedules": (
        "CosineSchedule",
        "OneCycleSchedule",
        "ReduceOnPlateau",
        "Schedule",
        "StepSchedule",
        "WarmupSchedule",
    ),
    "serialization": ("load", "save"),
    "simple": ("SimpleRNN",),
    "streaming": ("Stream",),
    "training": ("History", "TrainingInterrupted", "evaluate", "fit"),
}
_MODULES = frozenset(
    {"data", "errors", "functional", "init", "plot", "reference", "tasks", "training", "cli", *_SOURCES}
)
_HOME = {name: module for module, names in _SOURCES.items() for name in names}

__all__ = [*sorted(_HOME), "__version__"]

if TYPE_CHECKING:  # "as" marks what type checkers may import from here
    from fastrnn.backend import (
        available_isas as available_isas,
        current_backend as current_backend,
        current_isa as current_isa,
        get_num_threads as get_num_threads,
        num_threads as num_threads,
        set_num_threads as set_num_threads,
        use_backend as use_backend,
        use_isa as use_isa,
    )
    from fastrnn.clipping import (
        clip_grad_norm as clip_grad_norm,
        clip_grad_value as clip_grad_value,
    )
    from fastrnn.layers import (
        GRU as GRU,
        LSTM as LSTM,
        RNN as RNN,
        AttentionPool as AttentionPool,
        Dropout as Dropout,
        Embedding as Embedding,
        GRUCell as GRUCell,
        LastPool as LastPool,
        Layer as Layer,
        LayerNorm as LayerNorm,
        Linear as Linear,
        LSTMCell as LSTMCell,
        MaxPool as MaxPool,
        MeanPool as MeanPool,
        MinGRU as MinGRU,
        MinLSTM as MinLSTM,
        Parameter as Parameter,
        RNNCell as RNNCell,
        Sequential as Sequential,
    )
    from fastrnn.losses import (
        binary_cross_entropy as binary_cross_entropy,
        cross_entropy as cross_entropy,
        ctc as ctc,
        huber as huber,
        mae as mae,
        mse as mse,
        quantile as quantile,
    )
    from fastrnn.optim import (
        SGD as SGD,
        Adagrad as Adagrad,
        Adam as Adam,
        AdamW as AdamW,
        Optimizer as Optimizer,
        RMSprop as RMSprop,
    )
    from fastrnn.quantization import (
        QuantizationError as QuantizationError,
        quantization_error as quantization_error,
    )
    from fastrnn.schedules import (
        CosineSchedule as CosineSchedule,
        OneCycleSchedule as OneCycleSchedule,
        ReduceOnPlateau as ReduceOnPlateau,
        Schedule as Schedule,
        StepSchedule as StepSchedule,
        WarmupSchedule as WarmupSchedule,
    )
    from fastrnn.serialization import (
        load as load,
        save as save,
    )
    from fastrnn.simple import (
        SimpleRNN as SimpleRNN,
    )
    from fastrnn.streaming import (
        Stream as Stream,
    )
    from fastrnn.training import (
        History as History,
        TrainingInterrupted as TrainingInterrupted,
        evaluate as evaluate,
        fit as fit,
    )


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"fastrnn.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"fastrnn.{name}")
    raise AttributeError(f"module 'fastrnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_MODULES})
