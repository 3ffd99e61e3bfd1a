"""Reductions over the elements where a mask is true."""
from . import _kiln

globals().update(_kiln._functions["masked"])
__all__ = list(_kiln._functions["masked"])
