"""Linear algebra (torch.linalg)."""
from . import _kiln
from ._kiln import LinAlgError

globals().update(_kiln._functions["linalg"])
__all__ = [*_kiln._functions["linalg"], "LinAlgError"]
