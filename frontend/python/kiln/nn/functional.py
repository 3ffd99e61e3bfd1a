"""Layers as functions."""
from .. import _kiln

globals().update(_kiln._functions["nn.functional"])
__all__ = list(_kiln._functions["nn.functional"])
