"""The handle that registering a hook gives, under PyTorch's path."""
from .._hooks import RemovableHandle  # noqa: F401
