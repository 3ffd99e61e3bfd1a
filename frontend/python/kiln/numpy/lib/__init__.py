"""Where NumPy keeps its views by strides and its functions that turn complex."""
from .. import emath as scimath  # noqa: F401
from . import stride_tricks  # noqa: F401
