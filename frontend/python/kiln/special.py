"""Special functions."""
from . import _kiln

globals().update(_kiln._functions["special"])
__all__ = list(_kiln._functions["special"])
