"""What every layer is: :class:`Layer`, the stack of contexts, and the registry of layer classes.

A. A layer's parameters and children are its public attributes: ``self.weight = Parameter(...)`` and
   ``self.out = Linear(...)`` are all there is to registering one. Names that begin with an underscore are
   not registered. A layer whose children have other names (``Sequential``) overrides ``named_children``.
B. Gradients need no tape: a forward in train mode pushes what its backward needs on the layer's own stack,
   and backward pops it. Several forwards followed by as many backwards in reverse order are legal.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from fastrnn._checks import check_choice
from fastrnn._types import WEIGHT_FORMATS, Array
from fastrnn.layers.parameter import PackCache, Parameter, as_array, as_shaped, float_dtype

__all__ = [
    "Layer",
    "PackCache",
    "Parameter",
    "as_array",
    "as_gradient",
    "as_shaped",
    "float_dtype",
    "keep",
    "layer_config",
]

_T = TypeVar("_T")


def keep(x: Array, given: Any = None) -> Array:
    """Return what a forward may store of its input: an array that no later write of the caller reaches.

    That is `x` itself if it is read-only or certainly not the memory of `given` (what the caller passed),
    else a copy.
    """
    if not x.flags.writeable:
        return x
    if given is not x and isinstance(given, np.ndarray) and not np.may_share_memory(x, given):
        return x
    return x.copy()


def as_gradient(dy: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return `dy` as a contiguous array of this dtype, or raise ValueError if it has another shape."""
    return np.asarray(as_shaped(dy, shape, "dy"), dtype=dtype, order="C")


class Layer:
    """Base class of layers and models.

    A subclass calls ``super().__init__()``, assigns its parameters and child layers to public attributes,
    and defines ``__call__``, ``backward`` (with `_push` and `_pop`) and ``config``. Its class name registers
    it, so that a saved file can be loaded once the class has been defined.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers.base import Layer, Parameter
    >>> class Scale(Layer):
    ...     def __init__(self, factor=1.0):
    ...         super().__init__()
    ...         self.factor = Parameter(np.float32(factor))
    ...     def __call__(self, x):
    ...         if self.training:
    ...             self._push(x)
    ...         return x * self.factor.value
    ...     def backward(self, dy):
    ...         x = self._pop()
    ...         self.factor.grad += (dy * x).sum()
    ...         return dy * self.factor.value
    ...     def config(self):
    ...         return {}
    >>> layer = Scale(3.0).train()
    >>> y = layer(np.ones(2, np.float32))
    >>> dx = layer.backward(np.ones(2, np.float32))
    >>> print(y, dx, layer.factor.grad)
    [3. 3.] [3. 3.] 2.0
    """

    training: bool = False
    """True after `train()`: forward passes then keep what backward needs."""
    uses_lengths: ClassVar[bool] = False
    """Whether calls take ``lengths=``."""
    recurrent: ClassVar[bool] = False
    """Whether calls take ``state, lengths, resets`` and return ``y, state``."""
    pools_time: bool = False
    """Whether the output lacks the time axis of the input."""
    quantized: str | None = None
    """Format in which this layer computes with its weights, if `quantize` made it; else None."""
    _can_quantize: ClassVar[bool] = False
    """Whether the class heeds `quantized`; it then has a ``dtype``."""

    _registry: ClassVar[dict[str, type[Layer]]] = {}

    def __init__(self) -> None:
        self._contexts: list[Any] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known = Layer._registry.get(cls.__name__, cls).__module__
        if known.startswith("fastrnn.") and known != cls.__module__:
            raise ValueError(f"the class name {cls.__name__!r} is taken: saved models would be ambiguous")
        Layer._registry[cls.__name__] = cls

    def __setattr__(self, name: str, value: Any) -> None:
        old = self.__dict__.get(name)
        if isinstance(old, Parameter) and not isinstance(value, Parameter) and value is not None:
            raise TypeError(
                f"{name} is a Parameter and {type(value).__name__} is not: assign to .{name}.data instead"
            )
        super().__setattr__(name, value)
        if isinstance(value, (Parameter, Layer)) or isinstance(old, (Parameter, Layer)):
            vars(self).pop("_registered", None)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        vars(self).pop("_registered", None)

    # Computing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the layer's output."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def backward(self, *args: Any, **kwargs: Any) -> Any:
        """Add to the gradients of the parameters and return that of the input."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def _push(self, context: Any) -> None:
        self._contexts.append(context)

    def _pop(self) -> Any:
        if self.training and self._contexts:
            return self._contexts.pop()
        self._refuse_quantized()
        name = type(self).__name__
        if not self.training:
            raise RuntimeError(
                f"{name}.backward needs train mode: call .train() before the forward pass, "
                "eval mode stores nothing"
            )
        raise RuntimeError(
            f"{name}.backward has no forward pass to go back through: "
            "each one needs a forward pass of its own in train mode"
        )

    def clear(self) -> None:
        """Forget forward passes that no backward has used, here and in all children."""
        self._contexts.clear()
        for _, child in self.named_children():
            child.clear()

    # Modes

    def train(self, mode: bool = True) -> Self:
        """Switch this layer and its children to train mode (or, with ``mode=False``, to eval mode).

        Raises
        ------
        RuntimeError
            If a layer to be trained is quantized.
        """
        if mode:
            for _, layer in self._walk():
                layer._refuse_quantized()
        self.training = bool(mode)
        for _, child in self.named_children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Switch this layer and its children to eval mode: no dropout, nothing is stored."""
        return self.train(False)

    # Fewer bits

    def quantize(self, format: str) -> Self:
        """Copy the layer for inference with weights of fewer bits.

        Recurrent layers, their cells and :class:`~fastrnn.Linear` layers, here and in all children, compute
        with rounded weights; other layers stay as they are. States, biases, inputs and outputs are float32
        throughout. What is computed is defined in :mod:`fastrnn.reference.quantization`; when it pays, and
        what it costs, stands in ``docs/quantization.md``.

        Parameters
        ----------
        format : {"int8", "bfloat16"}
            ``"int8"``: 8 bits and a scale for each row of a weight matrix. ``"bfloat16"``: 8 significant bits
            for each weight.

        Returns
        -------
        Layer
            A copy in eval mode that cannot be trained. Its parameters are those of the original, unrounded,
            and so are its ``state_dict`` and what a file holds of it: rounding is part of computing.

        Raises
        ------
        ValueError
            If `format` is another one, or nothing here can be quantized.
        TypeError
            If a layer is not float32.

        Examples
        --------
        >>> import numpy as np
        >>> from fastrnn import LSTM
        >>> layer = LSTM(8, 16, seed=0)
        >>> small = layer.quantize("int8")
        >>> x = np.random.default_rng(0).standard_normal((20, 1, 8), dtype=np.float32)
        >>> bool(abs(small(x)[0] - layer(x)[0]).max() < 0.02)
        True
        """
        check_choice("format", format, WEIGHT_FORMATS)
        twin = copy.deepcopy(self).eval()
        found = [(prefix, layer) for prefix, layer in twin._walk() if layer._can_quantize]
        if not found:
            raise ValueError(f"{type(self).__name__} holds no RNN, LSTM, GRU, cell or Linear to quantize")
        for prefix, layer in found:
            layer._set_quantized(format, prefix.rstrip("."))
        return twin

    def _set_quantized(self, format: str, name: str = "") -> None:
        dtype = getattr(self, "dtype", None)
        if not self._can_quantize or dtype != np.float32:
            kind = f"{name} ({type(self).__name__})" if name else type(self).__name__
            raise TypeError(f"{kind} must be float32 for format={format!r}, got {dtype}")
        self.quantized = check_choice("format", format, WEIGHT_FORMATS)

    def _refuse_quantized(self) -> None:
        if self.quantized is not None:
            raise RuntimeError(
                f"{type(self).__name__} computes with {self.quantized} weights, which is for inference only: "
                "train the layer that quantize() was called on"
            )

    def _quantized_config(self) -> dict[str, str]:
        """What `config` of a class that can be quantized has to add."""
        return {} if self.quantized is None else {"quantized": self.quantized}

    # Contents

    def _parts(self) -> tuple[list[tuple[str, Parameter]], list[tuple[str, Layer]]]:
        """Own parameters and child layers, in order of registration; assigning one makes the lists anew."""
        parts = vars(self).get("_registered")
        if parts is None:
            public = [(name, value) for name, value in vars(self).items() if not name.startswith("_")]
            parts = (
                [(name, value) for name, value in public if isinstance(value, Parameter)],
                [(name, value) for name, value in public if isinstance(value, Layer)],
            )
            vars(self)["_registered"] = parts
        return parts

    def named_children(self) -> list[tuple[str, Layer]]:
        """Direct child layers with their names, in order of registration."""
        return list(self._parts()[1])

    def _walk(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Give this layer and all below it, with the prefix ("", "0.", "0.cell.") of its parts' names."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(f"{prefix}{name}.")

    def _all_parameters(self) -> list[tuple[str, Parameter]]:
        """Every parameter under each of its names; a shared one comes more than once."""
        return [(prefix + name, value) for prefix, layer in self._walk() for name, value in layer._parts()[0]]

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """Parameters with dotted names, own ones before those of children; a shared one only once."""
        return _unique(self._all_parameters())

    def parameters(self) -> list[Parameter]:
        """Parameters in the order of `named_parameters`."""
        return [p for _, p in self.named_parameters()]

    def named_rngs(self) -> list[tuple[str, np.random.Generator]]:
        """Every source of randomness with its dotted name; their states make a resumed run bit-exact."""
        return _unique(
            [
                (prefix + name.lstrip("_"), value)
                for prefix, layer in self._walk()
                for name, value in vars(layer).items()
                if isinstance(value, np.random.Generator)
            ]
        )

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        for _, p in self._parts()[0]:
            p.zero_grad()
        for _, child in self.named_children():
            child.zero_grad()

    # Saving

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters by name; a shared parameter stands under each of its names."""
        return {name: p.value.copy() for name, p in self._all_parameters()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy parameters from `state`; on any error nothing is changed.

        Parameters
        ----------
        state : mapping of str to array
            NumPy arrays, PyTorch tensors, or anything ``np.asarray`` takes; cast to each parameter's dtype.
        strict : bool, default True
            Whether missing and unexpected names are errors.

        Raises
        ------
        ValueError
            If names or shapes do not fit.
        TypeError
            If a value is not an array of real numbers.
        """
        own = self._all_parameters()
        missing = [name for name, _ in own if name not in state]
        unexpected = sorted(set(state) - {name for name, _ in own})
        if strict and (missing or unexpected):
            parts = [f"lacks {missing}"] * bool(missing) + [f"has unexpected {unexpected}"] * bool(unexpected)
            raise ValueError(f"state does not fit {type(self).__name__}: it {' and '.join(parts)}")
        given = [(name, p) for name, p in own if name in state]
        loads = [(p, as_shaped(state[name], p.shape, f"state[{name!r}]")) for name, p in given]
        for p, array in loads:
            p.data = array

    def config(self) -> dict[str, Any]:
        """Constructor arguments that make a layer of the same structure, in types that JSON has."""
        raise NotImplementedError(f"{type(self).__name__} does not define config(), so it cannot be saved")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make a layer from what `config` returned, or from `layer_config` (which also names the class).

        Raises
        ------
        ValueError
            If the class is unknown or not `cls`, or the arguments do not fit it.
        """
        arguments = dict(config)
        name = arguments.pop("class", cls.__name__)
        format = arguments.pop("quantized", None)
        found = Layer._registry.get(name)
        if found is None:
            raise ValueError(
                f"config names the layer class {name!r}, which is not defined; "
                f"known: {sorted(Layer._registry)}"
            )
        if not issubclass(found, cls):
            raise ValueError(f"config is that of a {name}, not of a {cls.__name__}")
        layer = found._from_arguments(arguments)
        if format is not None:
            layer._set_quantized(format)
        return layer

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> Self:
        try:
            return cls(**arguments)
        except TypeError as error:
            raise ValueError(f"config does not fit {cls.__name__}: {error}") from error

    def __repr__(self) -> str:
        try:
            config = self.config()
        except NotImplementedError:
            config = {}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in config.items())})"

    def __getstate__(self) -> dict[str, Any]:
        # Contexts belong to a running step, not to a copy; parts are looked up again.
        state = {**self.__dict__, "_contexts": []}
        state.pop("_registered", None)
        return state


def layer_config(layer: Layer) -> dict[str, Any]:
    """`layer.config()` together with the name of its class, for `Layer.from_config`."""
    return {"class": type(layer).__name__, **layer.config()}


def _unique(named: list[tuple[str, _T]]) -> list[tuple[str, _T]]:
    first: dict[int, tuple[str, _T]] = {}
    for name, value in named:
        first.setdefault(id(value), (name, value))
    return list(first.values())
