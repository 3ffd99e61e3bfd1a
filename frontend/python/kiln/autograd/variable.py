"""Variable, under PyTorch's path."""
from . import Variable  # noqa: F401
