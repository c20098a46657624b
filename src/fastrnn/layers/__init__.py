"""Layers: recurrent ones, and what stands before and after them."""

from fastrnn.layers.base import Layer, Parameter
from fastrnn.layers.cells import GRUCell, LSTMCell, RNNCell
from fastrnn.layers.dropout import Dropout
from fastrnn.layers.embedding import Embedding
from fastrnn.layers.layer_norm import LayerNorm
from fastrnn.layers.linear import Linear
from fastrnn.layers.minimal import MinGRU, MinLSTM
from fastrnn.layers.pooling import AttentionPool, LastPool, MaxPool, MeanPool
from fastrnn.layers.recurrent import GRU, LSTM, RNN
from fastrnn.layers.sequential import Sequential

__all__ = [
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
]
