"""Windows."""
from .. import _kiln

globals().update(_kiln._functions["signal.windows"])
__all__ = list(_kiln._functions["signal.windows"])
