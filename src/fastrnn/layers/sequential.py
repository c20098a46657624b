"""Sequential: layers one after the other, as one recurrent model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, overload

import numpy as np

from fastrnn._types import Array
from fastrnn.layers._stack import RecurrentStack
from fastrnn.layers.base import Layer, layer_config
from fastrnn.layers.embedding import Embedded, Embedding

__all__ = ["Sequential"]


class Sequential(Layer):
    """Layers applied one after the other.

    Whatever it holds, it follows the protocol of recurrent layers: a call returns the output and the state, a
    tuple with one entry per recurrent layer (empty if there is none). Where an embedding of few vectors comes
    right before a recurrent layer, looking up is left to that layer (see :meth:`fastrnn.Embedding.defer`).

    Parameters
    ----------
    *layers : Layer, or (str, Layer) pairs, or one mapping of names to layers
        Without names they are "0", "1", ..., as in PyTorch.

    Raises
    ------
    TypeError
        If something is not a layer.
    ValueError
        If there is no layer, names are not usable or not unique, layers disagree on ``batch_first``, or a
        recurrent or pooling layer comes after a pooling layer has removed the time axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Embedding, Linear, MeanPool, Sequential
    >>> model = Sequential(Embedding(10, 4), MeanPool(), Linear(4, 2))
    >>> y, state = model(np.array([[1, 2], [3, 4], [5, 0]]), lengths=[3, 2])
    >>> y.shape, state
    ((2, 2), ())
    >>> [name for name, _ in model.named_parameters()]
    ['0.weight', '2.weight', '2.bias']
    """

    uses_lengths: ClassVar[bool] = True
    recurrent: ClassVar[bool] = True

    def __init__(self, *layers: Layer | tuple[str, Layer] | Mapping[str, Layer]) -> None:
        super().__init__()
        self._layers = _named(layers)
        orders = [getattr(layer, "batch_first", None) for layer in self]
        self.batch_first: bool | None = next((order for order in orders if order is not None), None)
        self.pools_time = any(layer.pools_time for layer in self)
        self._recurrent_count = sum(layer.recurrent for layer in self)
        self._check_order()
        # Embeddings whose vectors nobody but a recurrent layer gets to see.
        self._deferring = [
            isinstance(following, RecurrentStack)
            and type(layer) is Embedding
            and layer.dtype == following.dtype
            and not following.regularisation.input_dropout
            for layer, following in itertools.pairwise([*self, None])
        ]

    def __call__(
        self, x: Any, state: Any = None, lengths: Any = None, resets: Any = None
    ) -> tuple[Any, tuple[Any, ...]]:
        """Run all layers.

        Parameters
        ----------
        x : array_like
            What the first layer takes, with a time axis if there are layers that need one. A ragged list is
            not taken: pad it and give `lengths`.
        state : tuple, optional
            One entry per recurrent layer, as returned by an earlier call; any may be None. Default: zeros.
        lengths : array_like of int, optional
            ``[N]``, for all layers up to a pooling layer that use it.
        resets : array_like of bool, optional
            ``[T, N]``, for the recurrent layers.

        Returns
        -------
        y : array
            Output of the last layer.
        state : tuple
            One entry per recurrent layer.

        Raises
        ------
        ValueError
            If `state` has another number of entries, or a layer finds its input wrong.
        TypeError
            If `x` is a list of arrays.
        """
        if isinstance(x, (list, tuple)) and any(isinstance(item, np.ndarray) for item in x):
            raise TypeError("x must be one array, got a list of arrays: pad it and give lengths")
        states = iter(self._per_recurrent("state", state))
        new_states = []
        for deferring, (_, layer) in zip(self._deferring, self._layers, strict=True):
            given = x
            if layer.recurrent:
                x, new = layer(given, next(states), lengths=lengths, resets=resets)
                new_states.append(new)
            elif layer.uses_lengths:
                x = layer(given, lengths=lengths)
            else:
                x = layer.defer(given) if deferring and isinstance(layer, Embedding) else layer(given)
            if layer.pools_time:
                lengths = resets = None
            inside = self.training and layer is not self._layers[-1][1] and x is not given
            if inside and type(x) is not Embedded:
                # Nobody else has it, and layers need not copy what cannot be written to.
                x.flags.writeable = False
        return x, tuple(new_states)

    def backward(self, dy: Any, dstate: Any = None) -> tuple[Array | None, tuple[Any, ...]]:
        """Go back through all layers.

        Parameters
        ----------
        dy : array_like
            Gradient of the output.
        dstate : tuple, optional
            Gradient of the returned state, in its form; an entry may be None. Default: zeros.

        Returns
        -------
        dx : array or None
            Gradient of the input; None if that is integers.
        dstate : tuple
            Gradient of the initial state.

        Raises
        ------
        RuntimeError
            In eval mode, or if there is no forward pass left to go back through.
        """
        dstates = list(self._per_recurrent("dstate", dstate))
        new_dstates = []
        for _, layer in reversed(self._layers):
            if layer.recurrent:
                dy, new = layer.backward(dy, dstates.pop())
                new_dstates.append(new)
            else:
                dy = layer.backward(dy)
        return dy, tuple(reversed(new_dstates))

    def _per_recurrent(self, name: str, state: Any) -> tuple[Any, ...]:
        count = self._recurrent_count
        if state is None:
            return (None,) * count
        if not isinstance(state, (tuple, list)) or len(state) != count:
            got = f"{len(state)}" if isinstance(state, (tuple, list)) else f"a {type(state).__name__}"
            raise ValueError(f"{name} must be a tuple of {count} entries, one per recurrent layer, got {got}")
        return tuple(state)

    def _check_order(self) -> None:
        pooled = None
        for name, layer in self._layers:
            batch_first = getattr(layer, "batch_first", None)
            if batch_first not in (None, self.batch_first):
                raise ValueError(f"layers must agree on batch_first, {name!r} differs from those before it")
            if pooled is not None and layer.uses_lengths:
                raise ValueError(f"layer {name!r} needs a time axis, which {pooled!r} before it removes")
            if layer.pools_time:
                pooled = name

    # A container

    def named_children(self) -> list[tuple[str, Layer]]:
        """Layers with their names, in order."""
        return list(self._layers)

    def __repr__(self) -> str:
        lines = (f"({name}): {layer!r}".replace("\n", "\n  ") for name, layer in self._layers)
        return "Sequential(\n  " + "\n  ".join(lines) + "\n)"

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Layer]:
        return (layer for _, layer in self._layers)

    @overload
    def __getitem__(self, key: int | str) -> Layer: ...
    @overload
    def __getitem__(self, key: slice) -> Sequential: ...
    def __getitem__(self, key: int | str | slice) -> Layer | Sequential:
        if isinstance(key, slice):
            return Sequential(*self._layers[key])
        if isinstance(key, str):
            return dict(self._layers)[key]
        return self._layers[key][1]

    def config(self) -> dict[str, Any]:
        """Names and configurations of the layers."""
        return {"layers": [[name, layer_config(layer)] for name, layer in self._layers]}

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> Self:
        layers = arguments.get("layers")
        if set(arguments) != {"layers"} or not isinstance(layers, list):
            raise ValueError(f"config of a {cls.__name__} must hold just 'layers', got {sorted(arguments)}")
        return cls(*((name, Layer.from_config(config)) for name, config in layers))


def _named(layers: tuple[Any, ...]) -> list[tuple[str, Layer]]:
    if len(layers) == 1 and isinstance(layers[0], Mapping):
        layers = tuple(layers[0].items())
    if not layers:
        raise ValueError("layers must hold at least one layer, got none")
    named = []
    for position, item in enumerate(layers):
        name, layer = item if isinstance(item, tuple) and len(item) == 2 else (str(position), item)
        if not isinstance(layer, Layer):
            raise TypeError(f"layers[{position}] must be a Layer or (str, Layer), got {type(layer).__name__}")
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"names of layers must be non-empty str without a dot, got {name!r}")
        named.append((name, layer))
    names = [name for name, _ in named]
    if len(set(names)) != len(names):
        raise ValueError(f"names of layers must be unique, got {names}")
    return named
