"""Layers: recurrent ones, and what stands before and after them."""

from fastrnn.layers.base import Layer, Parameter

__all__ = ["Layer", "Parameter"]
