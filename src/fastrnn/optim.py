"""Optimizers: PyTorch's update rules, names and defaults (https://pytorch.org/docs/stable/optim.html).

The arithmetic is in the backend, one call a parameter, in place. State arrays are named
``"<slot>.<position of the parameter>"``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from fastrnn import backend
from fastrnn._checks import check_bool, check_float, check_int, check_probability
from fastrnn._types import Array
from fastrnn.clipping import clip_grad_norm, clip_grad_value
from fastrnn.layers.base import Parameter, as_shaped

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm", "clip_grad_value"]


class Optimizer:
    """What all optimizers share; a subclass names its state arrays in `_slots` and defines `_update`.

    Attributes
    ----------
    parameters : list of Parameter
        What is being learned.
    lr : float
        Learning rate, may be set at any time; schedules do.
    steps : int
        Number of steps taken.
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float, weight_decay: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("parameters must hold at least one Parameter, got none")
        for p in self.parameters:
            if not isinstance(p, Parameter):
                raise TypeError(f"parameters must be Parameter objects, got {type(p).__name__}")
        if len({id(p) for p in self.parameters}) != len(self.parameters):
            raise ValueError("parameters must not hold the same Parameter twice")
        self.lr = lr
        self.weight_decay = check_float("weight_decay", weight_decay, low=0.0)
        self.steps = 0
        self._state: list[dict[str, Array]] = [
            {slot: np.full(p.shape, first, p.dtype) for slot, first in self._slots().items()}
            for p in self.parameters
        ]

    @property
    def lr(self) -> float:
        """Learning rate, 0 or more."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = check_float("lr", value, low=0.0)

    def _slots(self) -> dict[str, float]:
        """Names of the arrays kept for each parameter, with the value they begin with."""
        raise NotImplementedError

    def _update(self, engine: ModuleType, param: Array, grad: Array, state: dict[str, Array]) -> None:
        """Change `param` and the arrays of `state` in place."""
        raise NotImplementedError

    def step(self) -> None:
        """Change every parameter by one step along its gradient."""
        engine = backend.active()
        self.steps += 1
        for p, state in zip(self.parameters, self._state, strict=True):
            # Taking p.data announces the change to whoever looks at p.version.
            self._update(engine, p.data, p.grad, state)

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to zero."""
        for p in self.parameters:
            p.zero_grad()

    def _named_state(self) -> dict[str, Array]:
        return {f"{slot}.{i}": kept[slot] for slot in self._slots() for i, kept in enumerate(self._state)}

    def state_dict(self) -> dict[str, Any]:
        """Learning rate, number of steps and copies of all state arrays, in one flat dict."""
        arrays = {name: a.copy() for name, a in self._named_state().items()}
        return {"lr": self.lr, "steps": self.steps, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave; on any error nothing is changed.

        Raises
        ------
        ValueError
            If names or shapes do not fit this optimizer and its parameters.
        """
        own = self._named_state()
        expected = {"lr", "steps", *own}
        if set(state) != expected:
            missing, unexpected = sorted(expected - set(state)), sorted(set(state) - expected)
            raise ValueError(
                f"state does not fit this {type(self).__name__} of {len(self.parameters)} parameters: "
                f"missing {missing}, unexpected {unexpected}"
            )
        loads = [(a, as_shaped(state[name], a.shape, f"state[{name!r}]")) for name, a in own.items()]
        steps = check_int("state['steps']", state["steps"], low=0)
        self.lr = state["lr"]
        self.steps = steps
        for array, loaded in loads:
            array[...] = loaded

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.parameters)} parameters, lr={self.lr:g}, steps={self.steps})"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    Parameters
    ----------
    parameters : iterable of Parameter
        Usually ``model.parameters()``.
    lr : float, default 1e-3
        Learning rate.
    momentum : float, default 0
        Part of the last update that is kept.
    dampening : float, default 0
        Part of the gradient that does not enter the momentum.
    weight_decay : float, default 0
        This times the weights is added to the gradient.
    nesterov : bool, default False
        Nesterov's momentum; needs `momentum` and no `dampening`.

    Raises
    ------
    ValueError
        If a number is out of range or `nesterov` is without momentum.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl, G. Hinton: On the importance of initialization and momentum in deep
    learning. ICML 2013.

    Examples
    --------
    >>> from fastrnn.layers import Parameter
    >>> from fastrnn.optim import SGD
    >>> p = Parameter([1.0, 2.0])
    >>> p.grad = [1.0, -1.0]
    >>> SGD([p], lr=0.5).step()
    >>> p.data
    array([0.5, 2.5])
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        self.momentum = check_float("momentum", momentum, low=0.0)
        self.dampening = check_float("dampening", dampening)
        self.nesterov = check_bool("nesterov", nesterov)
        if nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError(
                "nesterov needs momentum more than 0 and dampening 0, "
                f"got momentum {momentum} and dampening {dampening}"
            )
        super().__init__(parameters, lr, weight_decay)

    def _slots(self) -> dict[str, float]:
        return {"momentum_buffer": 0.0} if self.momentum else {}

    def _update(self, engine: ModuleType, param: Array, grad: Array, state: dict[str, Array]) -> None:
        engine.sgd_step(
            param,
            grad,
            state.get("momentum_buffer"),
            self.lr,
            self.momentum,
            self.dampening,
            self.nesterov,
            self.weight_decay,
            self.steps == 1,
        )


class RMSprop(Optimizer):
    """Gradient divided by a running root mean square of itself.

    Parameters
    ----------
    parameters : iterable of Parameter
        Usually ``model.parameters()``.
    lr : float, default 1e-2
        Learning rate.
    alpha : float, default 0.99
        How much of the running mean is kept each step, 0 to 1.
    eps : float, default 1e-8
        Added to the root.
    weight_decay : float, default 0
        This times the weights is added to the gradient.
    momentum : float, default 0
        Part of the last update that is kept.
    centered : bool, default False
        Divide by the running standard deviation instead.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    T. Tieleman, G. Hinton: Lecture 6.5, RMSProp. Coursera, 2012. Centered: A. Graves, arXiv:1308.0850.

    Examples
    --------
    >>> from fastrnn.layers import Parameter
    >>> from fastrnn.optim import RMSprop
    >>> p = Parameter([1.0, 2.0])
    >>> p.grad = [1.0, -1.0]
    >>> RMSprop([p], lr=0.1).step()
    >>> p.data.round(6)
    array([0., 3.])
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        self.alpha = check_float("alpha", alpha, low=0.0, high=1.0)
        self.eps = check_float("eps", eps, low=0.0)
        self.momentum = check_float("momentum", momentum, low=0.0)
        self.centered = check_bool("centered", centered)
        super().__init__(parameters, lr, weight_decay)

    def _slots(self) -> dict[str, float]:
        wanted = {"square_avg": True, "momentum_buffer": self.momentum > 0, "grad_avg": self.centered}
        return {slot: 0.0 for slot, use in wanted.items() if use}

    def _update(self, engine: ModuleType, param: Array, grad: Array, state: dict[str, Array]) -> None:
        engine.rmsprop_step(
            param,
            grad,
            state["square_avg"],
            state.get("momentum_buffer"),
            state.get("grad_avg"),
            self.lr,
            self.alpha,
            self.eps,
            self.momentum,
            self.weight_decay,
        )


class Adagrad(Optimizer):
    """Gradient divided by the root of the sum of all its squares so far.

    Parameters
    ----------
    parameters : iterable of Parameter
        Usually ``model.parameters()``.
    lr : float, default 1e-2
        Learning rate.
    lr_decay : float, default 0
        The learning rate is divided by ``1 + lr_decay * (steps - 1)``.
    weight_decay : float, default 0
        This times the weights is added to the gradient.
    initial_accumulator_value : float, default 0
        First value of the sums.
    eps : float, default 1e-10
        Added to the root.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    J. Duchi, E. Hazan, Y. Singer: Adaptive subgradient methods for online learning and stochastic
    optimization. JMLR 12, 2011.

    Examples
    --------
    >>> from fastrnn.layers import Parameter
    >>> from fastrnn.optim import Adagrad
    >>> p = Parameter([1.0, 2.0])
    >>> p.grad = [1.0, -4.0]
    >>> Adagrad([p], lr=0.5).step()
    >>> p.data.round(6)
    array([0.5, 2.5])
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        self.lr_decay = check_float("lr_decay", lr_decay, low=0.0)
        self.initial_accumulator_value = check_float(
            "initial_accumulator_value", initial_accumulator_value, low=0.0
        )
        self.eps = check_float("eps", eps, low=0.0)
        super().__init__(parameters, lr, weight_decay)

    def _slots(self) -> dict[str, float]:
        return {"sum": self.initial_accumulator_value}

    def _update(self, engine: ModuleType, param: Array, grad: Array, state: dict[str, Array]) -> None:
        lr = self.lr / (1 + (self.steps - 1) * self.lr_decay)
        engine.adagrad_step(param, grad, state["sum"], lr, self.eps, self.weight_decay)


class Adam(Optimizer):
    """Running mean of the gradient divided by the running root mean square of it, both without bias.

    Parameters
    ----------
    parameters : iterable of Parameter
        Usually ``model.parameters()``.
    lr : float, default 1e-3
        Learning rate: about how far a weight moves each step.
    betas : (float, float), default (0.9, 0.999)
        How much of the running means is kept each step, each in [0, 1).
    eps : float, default 1e-8
        Added to the root.
    weight_decay : float, default 0
        This times the weights is added to the gradient.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    D. Kingma, J. Ba: Adam: a method for stochastic optimization. ICLR 2015.

    Examples
    --------
    >>> from fastrnn.layers import Parameter
    >>> from fastrnn.optim import Adam
    >>> p = Parameter([1.0, 2.0])
    >>> p.grad = [1.0, -4.0]
    >>> Adam([p], lr=0.5).step()
    >>> p.data.round(6)
    array([0.5, 2.5])
    """

    _decoupled: ClassVar[bool] = False

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if len(betas) != 2:
            raise ValueError(f"betas must be two numbers, got {betas!r}")
        beta1, beta2 = (check_probability(f"betas[{i}]", betas[i], allow_one=False) for i in (0, 1))
        self.betas = (beta1, beta2)
        self.eps = check_float("eps", eps, low=0.0)
        super().__init__(parameters, lr, weight_decay)

    def _slots(self) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _update(self, engine: ModuleType, param: Array, grad: Array, state: dict[str, Array]) -> None:
        engine.adam_step(
            param,
            grad,
            state["exp_avg"],
            state["exp_avg_sq"],
            self.lr,
            self.betas[0],
            self.betas[1],
            self.eps,
            self.weight_decay,
            self._decoupled,
            self.steps,
        )


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: weights shrink by ``lr * weight_decay`` each step.

    Parameters
    ----------
    parameters : iterable of Parameter
        Usually ``model.parameters()``.
    lr : float, default 1e-3
        Learning rate: about how far a weight moves each step.
    betas : (float, float), default (0.9, 0.999)
        How much of the running means is kept each step, each in [0, 1).
    eps : float, default 1e-8
        Added to the root.
    weight_decay : float, default 1e-2
        See above.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    I. Loshchilov, F. Hutter: Decoupled weight decay regularization. ICLR 2019.

    Examples
    --------
    >>> from fastrnn.layers import Parameter
    >>> from fastrnn.optim import AdamW
    >>> p = Parameter([1.0, 2.0])
    >>> AdamW([p], lr=0.5, weight_decay=0.5).step()
    >>> p.data
    array([0.75, 1.5 ])
    """

    _decoupled: ClassVar[bool] = True

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)
