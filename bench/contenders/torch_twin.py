"""The networks of `fastrnn.tasks` in PyTorch, and the training of an estimator with them.

`training_in_torch` replaces the training loop of every estimator: the same network from the same first
weights, the same batches, schedule, clipping, validation and choice of the best epoch, with PyTorch's
layers, autograd and fused Adam. What stands around the network (tokens, windows, padding, scaling) is the
same code on both sides. So is the loss with its gradient with respect to the network's output, which takes
fastrnn less time than PyTorch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import fastrnn
from fastrnn import layers
from fastrnn._steps import unpack
from fastrnn.tasks import _text_network as text
from fastrnn.tasks._base import TaskEstimator
from fastrnn.training import History

RECURRENT = {layers.RNN: nn.RNN, layers.LSTM: nn.LSTM, layers.GRU: nn.GRU}


class Pool(nn.Module):
    """Max, mean, last or attention over the steps of each row."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.kind = type(layer)
        self.bidirectional = getattr(layer, "bidirectional", False)
        if self.kind is layers.AttentionPool:
            self.query = nn.Parameter(torch.from_numpy(layer.query.value.copy()))

    def forward(self, x: torch.Tensor, live: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        if self.kind is layers.MaxPool:
            return x.masked_fill(~live[:, :, None], -torch.inf).amax(0)
        if self.kind is layers.MeanPool:
            return (x * live[:, :, None]).sum(0) / lengths[:, None]
        if self.kind is layers.AttentionPool:
            scores = (x @ self.query).masked_fill(~live, -torch.inf)
            return (torch.softmax(scores, 0)[:, :, None] * x).sum(0)
        last = x[lengths - 1, torch.arange(x.shape[1])]
        if not self.bidirectional:
            return last
        half = x.shape[2] // 2
        return torch.cat([last[:, :half], x[0, :, half:]], 1)


class Tokens(nn.Module):
    """`fastrnn.tasks._text_network.TokenEmbedding`."""

    def __init__(self, layer: text.TokenEmbedding) -> None:
        super().__init__()
        self.features, self.dropout = layer.features, layer.dropout
        self.table = embedding(layer.table)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        y = self.table(ids[..., : self.features]).sum(2)
        if self.training:
            y = y * ((torch.rand(ids.shape[:2]) >= self.dropout)[:, :, None] / (1 - self.dropout))
        return y


class Wide(nn.Module):
    """`fastrnn.tasks._text_network.NgramLinear`."""

    def __init__(self, layer: text.NgramLinear) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(layer.weight.value.copy()))
        self.idf = torch.from_numpy(layer._idf)
        self.gain, self.dropout = layer.gain, layer.dropout

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        idf = self.idf[ids]
        tfidf = idf * (self.gain / idf.square().sum((0, 2)).sqrt().clamp_min(1e-30))[None, :, None]
        tfidf = nn.functional.dropout(tfidf, self.dropout, self.training)
        return torch.einsum("tnf,tnfc->nc", tfidf, nn.functional.embedding(ids, self.weight))


def embedding(layer: layers.Embedding) -> nn.Embedding:
    return nn.Embedding.from_pretrained(torch.from_numpy(layer.weight.value.copy()), freeze=False)


def recurrent(layer: Any) -> nn.Module:
    made = RECURRENT[type(layer)](
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        dropout=layer.dropout,
        bidirectional=layer.bidirectional,
    )
    made.load_state_dict({name: torch.from_numpy(value) for name, value in layer.state_dict().items()})
    return made


def translate(layer: Any) -> nn.Module:
    """The module that does what a layer does, with its weights."""
    if type(layer) in RECURRENT:
        return recurrent(layer)
    if isinstance(layer, text.TokenEmbedding):
        return Tokens(layer)
    if isinstance(layer, layers.Embedding):
        return embedding(layer)
    if isinstance(layer, layers.Dropout):
        return nn.Dropout(layer.p)
    if isinstance(layer, layers.Linear):
        made = nn.Linear(layer.in_features, layer.out_features)
        made.load_state_dict({name: torch.from_numpy(value) for name, value in layer.state_dict().items()})
        return made
    if isinstance(layer, text.WideAndDeep):
        return nn.ModuleDict({"deep": Chain(layer.deep), "wide": Wide(layer.wide)})
    return Pool(layer)


class Chain(nn.Module):
    """`fastrnn.Sequential`: rows of different lengths go through the recurrent layers as packed sequences."""

    def __init__(self, model: fastrnn.Sequential) -> None:
        super().__init__()
        self.parts = nn.ModuleList([translate(layer) for layer in model])

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None, state: Any) -> tuple[torch.Tensor, Any]:
        ids = x
        full = torch.full((ids.shape[1],), len(ids)) if lengths is None else lengths
        live = torch.arange(len(ids))[:, None] < full
        for part in self.parts:
            if isinstance(part, nn.ModuleDict):
                x = part["deep"](ids, lengths, None)[0] + part["wide"](ids)
            elif isinstance(part, nn.RNNBase) and lengths is not None:
                packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
                out, state = part(packed, state)
                x, _ = pad_packed_sequence(out, total_length=len(ids))
            elif isinstance(part, nn.RNNBase):
                x, state = part(x, state)
            elif isinstance(part, Pool):
                x = part(x, live, full)
            else:
                x = part(x)
        return x, state


class Twin:
    """A model in PyTorch that is called like the fastrnn model it was made from."""

    recurrent = True
    uses_lengths = True

    def __init__(self, model: fastrnn.Sequential) -> None:
        self.model, self.module = model, Chain(model)
        self.training = False

    def train(self, mode: bool = True) -> Twin:
        self.module.train(mode)
        self.training = mode
        return self

    def eval(self) -> Twin:
        return self.train(False)

    def forward(self, x: Any, state: Any, lengths: Any = None, resets: Any = None) -> Any:
        if resets is not None:
            raise NotImplementedError("resets in the middle of a sequence")
        x = torch.from_numpy(np.ascontiguousarray(x))
        return self.module(x, None if lengths is None else torch.from_numpy(lengths), state)

    def __call__(self, x: Any, state: Any = None, **how: Any) -> tuple[np.ndarray, Any]:
        with torch.inference_mode():
            y, state = self.forward(x, state, **how)
        return y.numpy(), state

    def weights(self) -> dict[str, np.ndarray]:
        return {name: value.detach().numpy().copy() for name, value in self.module.state_dict().items()}

    def give_back(self) -> None:
        """Put the weights into the fastrnn model."""
        theirs = list(self.module.parameters())
        for mine, value in zip(self.model.parameters(), theirs, strict=True):
            mine.data = value.detach().numpy().reshape(mine.shape)


def fit_in_torch(
    self: Any,
    model: Any,
    batches: Callable[[int], Iterator[Any]],
    loss: Callable[..., tuple[float, np.ndarray]],
    optimizer: Any,
    budget: Any,
    items_per_step: int,
    *,
    epochs: int,
    validation: Callable[[Any], float] | None = None,
    patience: int | None = None,
    restore_best: bool = False,
    carry_state: bool = False,
    **_: Any,
) -> None:
    """`fastrnn.tasks._base.TaskEstimator._fit`, with PyTorch's layers."""
    twin = Twin(model)
    parameters = list(twin.module.parameters())
    adam = torch.optim.Adam(parameters, lr=float(optimizer.lr), fused=True)
    history, best, kept, bad = History(loss=[], val_loss=[]), np.inf, None, 0
    for epoch in range(epochs):
        twin.train()
        total, count, state = 0.0, 0, None
        for batch in batches(epoch):
            sample = unpack(batch)
            adam.zero_grad()
            y, state = twin.forward(sample.x, state, **sample.model)
            state = detached(state) if carry_state else None
            value, gradient = loss(y.detach().numpy(), sample.y, **sample.loss)
            y.backward(torch.from_numpy(gradient))
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, self.clip_norm)
            adam.step()
            budget.step(value)
            adam.param_groups[0]["lr"] = float(optimizer.lr)
            history.step_loss.append(value)
            total, count = total + value, count + 1
        history["loss"].append(total / count)
        history.epoch_steps.append(count)
        if validation is None:
            continue
        history["val_loss"].append(validation(twin.eval()))
        if history["val_loss"][-1] < best:
            best, bad = history["val_loss"][-1], 0
            kept = [p.detach().clone() for p in parameters] if restore_best else None
        else:
            bad += 1
        if patience is not None and bad >= patience:
            break
    if kept is not None:
        with torch.no_grad():
            for p, value in zip(parameters, kept, strict=True):
                p.copy_(value)
    twin.give_back()
    self.history_ = history


def detached(state: Any) -> Any:
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


@contextlib.contextmanager
def training_in_torch(threads: int) -> Iterator[None]:
    """Meanwhile estimators train with PyTorch."""
    torch.set_num_threads(threads)
    with mock.patch.object(TaskEstimator, "_fit", fit_in_torch):
        yield
