"""Linear algebra: products."""
from . import _kiln

globals().update(_kiln._functions["linalg"])
__all__ = list(_kiln._functions["linalg"])
